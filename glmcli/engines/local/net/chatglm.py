"""ChatGLM2, ChatGLM3 and old GLM-4 checkpoints as transformers' own Glm, without remote code.

Knows nothing of text. The classes here exist only while weights are loaded: they carry the names
under which transformers looks up how tensors are renamed and split. What is left is a plain Glm.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import torch
from transformers import GenerationConfig, GlmConfig, GlmForCausalLM
from transformers.conversion_mapping import register_checkpoint_conversion_mapping
from transformers.core_model_loading import (
    Concatenate,
    ConversionOps,
    WeightConverter,
    WeightRenaming,
)
from transformers.models.glm.modeling_glm import GlmRotaryEmbedding

from glmcli.engines.local.net.recipe import Recipe
from glmcli.models.chatglm import glm_settings, has_linear_rope
from glmcli.models.checkpoint import Checkpoint
from glmcli.models.defaults import stated_defaults

RENAMED = (
    (r"^transformer\.embedding\.word_embeddings", "model.embed_tokens"),
    (r"^transformer\.output_layer", "lm_head"),
    (r"^transformer\.encoder\.final_layernorm", "model.norm"),
    (r"^transformer\.encoder\.layers\.", "model.layers."),
    (r"\.self_attention\.dense", ".self_attn.o_proj"),
    (r"\.mlp\.dense_h_to_4h", ".mlp.gate_up_proj"),
    (r"\.mlp\.dense_4h_to_h", ".mlp.down_proj"),
)
"""Applied in this order, one upon the other."""


class ChatGLMLayoutConfig(GlmConfig):  # type: ignore[misc]
    """A GlmConfig with a name of its own."""

    model_type = "chatglm_layout"


class ChatGLMLayout(GlmForCausalLM):  # type: ignore[misc]
    """A GlmForCausalLM with a name of its own. The original's RoPE table is computed, not read."""

    config_class = ChatGLMLayoutConfig
    _keys_to_ignore_on_load_unexpected: ClassVar[list[str]] = [r"rotary_pos_emb\.inv_freq"]


class SplitQueryKeyValue(ConversionOps):  # type: ignore[misc]
    """The rows of the fused projection: all query heads, then the key groups, then the values."""

    def convert(
        self, input_dict: dict[str, Any], *, target_patterns: list[str], config: Any, **_: Any
    ) -> dict[str, torch.Tensor]:
        """Three tensors of their own, so that the fused one can go."""
        (fused,) = input_dict.values()
        fused = fused[0] if isinstance(fused, list) else fused
        groups = config.num_key_value_heads * config.head_dim
        sizes = [config.num_attention_heads * config.head_dim, groups, groups]
        parts = fused.split(sizes, dim=0)
        return {name: part.clone() for name, part in zip(target_patterns, parts, strict=True)}

    @property
    def reverse_op(self) -> ConversionOps:
        """How the three would be written as one again."""
        return Concatenate(0)


class SteadyRotary(GlmRotaryEmbedding):  # type: ignore[misc]
    """RoPE whose frequencies follow a move to another device, but not to a smaller dtype.

    `net.half()` would round them, and far positions would read as other ones.
    """

    def _apply(self, fn: Callable[[torch.Tensor], torch.Tensor], recurse: bool = True) -> Any:
        exact = dict(self._buffers)
        super()._apply(fn, recurse)
        for name, buffer in exact.items():
            moved = self._buffers[name]
            if buffer is not None and moved is not None and moved.dtype != buffer.dtype:
                self._buffers[name] = buffer.to(moved.device)
        return self


def recipe(checkpoint: Checkpoint) -> Recipe:
    """How to load a checkpoint of the family "chatglm"."""
    config, name = checkpoint.config, checkpoint.name
    linear = has_linear_rope(config, checkpoint.folder, name=name)
    # Looked up by class name or by model_type, as the version of transformers will have it.
    for key in (ChatGLMLayout.__name__, ChatGLMLayoutConfig.model_type):
        register_checkpoint_conversion_mapping(key, conversions(), overwrite=True)
    return Recipe(
        config=ChatGLMLayoutConfig(**glm_settings(config, linear_rope=linear)),
        net_class=ChatGLMLayout,
        settle=lambda net: settle(net, checkpoint),
    )


def conversions() -> list[Any]:
    """How the original tensors become Glm's; positional arguments differ between versions."""
    renamed = [
        WeightRenaming(source_patterns=source, target_patterns=target) for source, target in RENAMED
    ]
    split = WeightConverter(
        source_patterns="self_attention.query_key_value",
        target_patterns=["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"],
        operations=[SplitQueryKeyValue()],
    )
    return [*renamed, split]


def settle(net: Any, checkpoint: Checkpoint) -> None:
    """Make a loaded net a plain GlmForCausalLM with exact RoPE, stop ids and sampling defaults."""
    net.__class__ = GlmForCausalLM
    net.config.__class__ = GlmConfig
    net.config.architectures = ["GlmForCausalLM"]
    net._weight_conversions = None
    net.model.rotary_emb.__class__ = SteadyRotary
    if not (checkpoint.folder / "generation_config.json").exists():
        net.generation_config = GenerationConfig(
            pad_token_id=net.config.pad_token_id, **stated_defaults(checkpoint)
        )
