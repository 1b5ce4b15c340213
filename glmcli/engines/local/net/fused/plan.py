"""What a checkpoint's config and tensors mean to the fused decoder, or why it cannot be used.

The config is config.json as transformers reads it, see proof.py: what a file leaves out, each
family has a default of its own for. Knows nothing of torch: tensors are names and shapes.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from glmcli.language import tr
from glmcli.models.checkpoint import IGNORABLE, Checkpoint
from glmcli.models.files.headers import Tensor

LLAMA_SHAPED = ("llama", "mistral", "qwen2", "qwen3")
GLM_SHAPED = ("glm", "glm4", "chatglm")
BY_LAYER = ("qwen2", "qwen3")
"""Families whose `layer_types` decide what a layer sees."""
NEEDED = (
    *("hidden_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads"),
    *("intermediate_size", "vocab_size", "rms_norm_eps"),
)
CONFIG_FIELDS = (
    *(*NEEDED, "head_dim", "hidden_act", "tie_word_embeddings"),
    *("rope_parameters", "layer_types", "sliding_window"),
)
"""All that is read of a config."""

_Config = Mapping[str, Any]
Tensors = Mapping[str, Tensor]
Shape = tuple[int, ...]


class NotCovered(Exception):
    """The fused decoder does not know this net; the text says why."""


@dataclass(frozen=True, slots=True)
class Dimensions:
    """The sizes of a net, and how its positions turn."""

    family: str
    layers: int
    width: int
    heads: int
    groups: int
    head_size: int
    inner: int
    """Width of gate and of up."""
    vocabulary: int
    eps: float
    window: int
    is_tied: bool
    """The embedding is the output layer too."""
    interleaved: bool
    """Rotary pairs are neighbours; otherwise they are half a head apart."""
    rotary_size: int
    """How many numbers of a head turn, from the first."""
    frequencies: tuple[float, ...]
    """Radians per token, (rotary_size / 2)."""


@dataclass(frozen=True, slots=True)
class Names:
    """What a family calls its tensors; "" where it has none."""

    embedding: str
    norm: str
    head: str
    layer: str
    """What all names of a layer begin with; "{}" is its number."""
    qkv: tuple[str, ...]
    out: str
    gate_up: tuple[str, ...]
    down: str
    mlp_norm: str = "post_attention_layernorm"
    after_attention: str = ""
    after_mlp: str = ""
    query_norm: str = ""
    key_norm: str = ""


SPLIT = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj")
USUAL = ("model.embed_tokens", "model.norm", "lm_head", "model.layers.{}.")
_NAMES = {
    "chatglm": Names(
        "transformer.embedding.word_embeddings",
        "transformer.encoder.final_layernorm",
        "transformer.output_layer",
        "transformer.encoder.layers.{}.",
        ("self_attention.query_key_value",),
        "self_attention.dense",
        ("mlp.dense_h_to_4h",),
        "mlp.dense_4h_to_h",
    ),
    "glm": Names(*USUAL, SPLIT, "self_attn.o_proj", ("mlp.gate_up_proj",), "mlp.down_proj"),
    "glm4": Names(
        *USUAL,
        SPLIT,
        "self_attn.o_proj",
        ("mlp.gate_up_proj",),
        "mlp.down_proj",
        after_attention="post_self_attn_layernorm",
        after_mlp="post_mlp_layernorm",
    ),
    "qwen3": Names(
        *USUAL,
        SPLIT,
        "self_attn.o_proj",
        ("mlp.gate_proj", "mlp.up_proj"),
        "mlp.down_proj",
        query_norm="self_attn.q_norm",
        key_norm="self_attn.k_norm",
    ),
}
LLAMA = Names(*USUAL, SPLIT, "self_attn.o_proj", ("mlp.gate_proj", "mlp.up_proj"), "mlp.down_proj")


def names_of(family: str) -> Names:
    """What a family calls its tensors."""
    return _NAMES.get(family, LLAMA)


def check_family(checkpoint: Checkpoint) -> None:
    """Raise NotCovered for a checkpoint whose config need not be read to know so."""
    family = checkpoint.family
    if family not in LLAMA_SHAPED + GLM_SHAPED or checkpoint.remote_code:
        raise NotCovered(tr("no fused decoder for {family}", family=family or "?"))
    if family == "chatglm" and checkpoint.adapter is not None:
        raise NotCovered(tr("an adapter changes its weights"))
    if "quantization_config" in checkpoint.config:
        raise NotCovered(tr("the weights are packed"))
    if checkpoint.window is None:
        key = "max_position_embeddings"
        raise NotCovered(tr("config.json does not say {key}", key=key))


def dimensions_of(checkpoint: Checkpoint, config: _Config, tensors: Tensors) -> Dimensions:
    """The sizes of a checkpoint's net, after a look at every tensor. Raises NotCovered.

    `config` has its CONFIG_FIELDS as transformers reads them.
    """
    family = checkpoint.family
    try:
        _check_config(family, config, checkpoint.window or 0)
        found = _read_config(checkpoint, config, tensors)
    except (ArithmeticError, KeyError, TypeError, ValueError) as exc:
        raise NotCovered(tr("config.json is not as expected: {why!r}", why=exc)) from exc
    check_tensors(found, tensors)
    return found


def _check_config(family: str, config: _Config, window: int) -> None:
    """Raise NotCovered for what the fused step does not do, and for what is not stated at all."""
    for key in NEEDED:
        if not isinstance(config[key], int | float):
            raise NotCovered(tr("config.json does not say {key}", key=key))
    if config["hidden_act"] != "silu":
        raise NotCovered(tr("no fused decoder with {name}", name=config["hidden_act"]))
    sliding = config["sliding_window"]
    is_short = sliding is not None and sliding < window
    others = set(config["layer_types"] or ()) - {"full_attention"}
    if others and (is_short or sliding is None or others != {"sliding_attention"}):
        raise NotCovered(tr("some layers see only part of the text"))
    if is_short and not (family in BY_LAYER and config["layer_types"]):
        raise NotCovered(tr("its layers see only part of the text"))


def _read_config(checkpoint: Checkpoint, config: _Config, tensors: Tensors) -> Dimensions:
    """The sizes that a config states. Raises NotCovered."""
    family = checkpoint.family
    heads, rope = config["num_attention_heads"], config["rope_parameters"]
    head_size = config["head_dim"] or config["hidden_size"] // heads
    is_glm = family in GLM_SHAPED
    share = rope.get("partial_rotary_factor", 1.0)
    if share != 1 and not is_glm:  # some turn whole heads all the same, some cannot be run
        raise NotCovered(tr("no fused decoder with {name}", name="partial_rotary_factor"))
    rotary_size = int(head_size * share)
    return Dimensions(
        family=family,
        layers=config["num_hidden_layers"],
        width=config["hidden_size"],
        heads=heads,
        groups=config["num_key_value_heads"],
        head_size=head_size,
        inner=config["intermediate_size"],
        vocabulary=config["vocab_size"],
        eps=config["rms_norm_eps"],
        window=checkpoint.window or 0,
        # An output layer in the files counts, whatever the config says.
        is_tied=config["tie_word_embeddings"] and f"{names_of(family).head}.weight" not in tensors,
        interleaved=is_glm,
        rotary_size=rotary_size,
        frequencies=frequencies(rope, rotary_size),
    )


def frequencies(rope: _Config, size: int) -> tuple[float, ...]:
    """Radians per token of each pair. Raises NotCovered for kinds that change with the text.

    Source: RoFormer (Su et al., 2021); Llama 3.1's stretching from its reference code.
    """
    kind = rope["rope_type"]
    plain = [rope["rope_theta"] ** (-2 * index / size) for index in range(size // 2)]
    if kind == "default":
        return tuple(plain)
    if kind == "linear":
        return tuple(value / rope["factor"] for value in plain)
    if kind != "llama3":
        raise NotCovered(tr("no fused decoder with {kind} positions", kind=kind))
    factor, trained = rope["factor"], rope["original_max_position_embeddings"]
    low, high = rope["low_freq_factor"], rope["high_freq_factor"]
    stretched = []
    for value in plain:
        turns = trained * value / (2 * math.pi)
        share = min(max((turns - low) / (high - low), 0.0), 1.0)
        stretched.append((1 - share) * value / factor + share * value)
    return tuple(stretched)


def shapes(net: Dimensions) -> dict[str, Shape]:
    """Every tensor that a net needs, without biases."""
    names = names_of(net.family)
    queries, keys = net.heads * net.head_size, net.groups * net.head_size
    parts = (queries, keys, keys) if len(names.qkv) == 3 else (queries + 2 * keys,)
    inner = (net.inner,) * 2 if len(names.gate_up) == 2 else (2 * net.inner,)
    found: dict[str, Shape] = {
        names.embedding: (net.vocabulary, net.width),
        names.norm: (net.width,),
    }
    if not net.is_tied:
        found[names.head] = (net.vocabulary, net.width)
    for index in range(net.layers):
        layer: dict[str, Shape] = {
            "input_layernorm": (net.width,),
            names.mlp_norm: (net.width,),
            names.out: (net.width, queries),
            names.down: (net.width, net.inner),
            **dict.fromkeys(filter(None, (names.after_attention, names.after_mlp)), (net.width,)),
            **dict.fromkeys(filter(None, (names.query_norm, names.key_norm)), (net.head_size,)),
            **{name: (rows, net.width) for name, rows in zip(names.qkv, parts, strict=True)},
            **{name: (rows, net.width) for name, rows in zip(names.gate_up, inner, strict=True)},
        }
        found |= {names.layer.format(index) + name: shape for name, shape in layer.items()}
    return {f"{name}.weight": shape for name, shape in found.items()}


def check_tensors(net: Dimensions, tensors: Tensors) -> None:
    """Raise NotCovered unless the files hold what the net needs, and nothing else but biases."""
    needed = shapes(net)
    for name, shape in needed.items():
        if name not in tensors or tensors[name].shape != shape:
            raise NotCovered(tr("{name} is not as expected", name=name))
    for name in tensors.keys() - needed.keys():
        is_bias = re.sub(r"\.bias$", ".weight", name) in needed and name.endswith(".bias")
        if not (is_bias or IGNORABLE.search(name)):
            raise NotCovered(tr("{name} has no place", name=name))
