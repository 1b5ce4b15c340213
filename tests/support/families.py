"""Tiny nets of all families that transformers continues text with, random but not indifferent."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from threading import Event
from typing import Any

import torch
import transformers
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES as CLASSES

from glmcli.config import load_settings
from glmcli.engines.local.net.decode import PrefixCache, decode, prefill
from glmcli.engines.local.net.open import open_model
from glmcli.engines.local.net.plain.reader import ReadingWay
from glmcli.engines.local.net.sampling.sampler import Sampler
from glmcli.errors import ModelError
from glmcli.models.checkpoint import find_checkpoint
from glmcli.models.defaults import defaults_in
from glmcli.types import GenerationParams

PROMPT, QUESTION, REPLY, BACK = 600, 20, 10, 400
"""Ids of the first text, of what is asked behind it, of a reply, and of what is gone back to."""
LAYERS = 2
WIDTH = 64
SIZES = (
    (r"vocab_size(_per_layer_input)?$", 320),
    (r"(chunk_size|conv_chunk_size)$", 32),
    (r"^(hidden_size|d_model|n_embd|embed_dim|hidden_dim|dim|embedding_size|emb_dim)$", WIDTH),
    (r"^(word_embed_proj_dim|embedding_dim|attention_hidden_size|lru_width)$", WIDTH),
    (r"hidden_size_per_layer_input$", 16),
    (r"(intermediate|ffn|mlp|expert).*(size|dim)$|^(n_inner|dff|d_ff)$", 96),
    (r"^(num_hidden_layers|num_layers|n_layers?|(en|de)coder_layers)$", LAYERS),
    (r"^(num_(en|de)coder_layers|num_blocks)$", LAYERS),
    (r"^(num_attention_heads|n_heads?|(en|de)coder_attention_heads|num_heads|num_query_heads)$", 4),
    (r"^(num_(en|de)coder_attention_heads)$", 4),
    (r"(num_key_value_heads|num_kv_heads|kv_n_heads|multi_query_group_num)$", 2),
    (r"^mamba_(n|num)_heads$", 8),
    (r"^linear_num_(key|value)_heads$|^linear_num_heads$", 4),
    (r"^index_n_heads$", 4),
    (r"^index_topk$", 32),
    (r"^qk_head_dim$", 32),
    (r"(head_dim|d_head|kv_channels)$|^rotary_dim$", 16),
    (r"_lora_rank$", 16),
    (r"^(n_routed_experts|(moe_)?num_experts|num_local_experts|num_routed_experts)$", 4),
    (r"^(num_experts_per_tok|moe_topk|moe_k|top_k_experts|num_experts_per_token|moe_top_k)$", 2),
    (r"^(n_group|topk_group|num_expert_group)$", 1),
    (r"(window_size|sliding_window|chunk_attention_size|local_attention_window_len)$", 64),
    (r"^attention_chunk_size$", 64),
    (r"^(state_size|mamba_d_state|ssm_state_size|time_step_rank)$", 8),
)
"""What the sizes of a config are called, and what they become at most."""
LONG = r"^(max_(position_embeddings|seq_len|sequence_length|target_positions)|n_positions|n_ctx)$"


CHANGES: dict[str, dict[str, Any]] = {
    "bamba": {"attn_layer_indices": [1]},
    "dots1": {"n_routed_experts": 4, "num_experts_per_tok": 2, "n_shared_experts": 1},
    "deepseek_v2": {"num_experts_per_tok": 2, "moe_intermediate_size": 32},
    "gpt_neo": {
        "attention_types": [[["global", "local"], 1]],
        "attention_layers": ["global", "local"],
    },
    "hunyuan_v1_dense": {"head_dim": 16},
    "hunyuan_v1_moe": {"head_dim": 16, "num_experts": 4, "moe_topk": 2},
    "hrm_text": {"num_layers_per_stack": 1, "num_hidden_layers": 4},
    "jamba": {"attn_layer_period": 2, "attn_layer_offset": 1},
    "mamba2": {"num_heads": 8},
    "reformer": {"axial_pos_embds_dim": [16, 48]},
    "gemma3n_text": {
        "num_kv_shared_layers": 2,
        "num_hidden_layers": 4,
        "layer_types": ["sliding_attention", "full_attention"] * 2,
        "intermediate_size": [96] * 4,
        "activation_sparsity_pattern": [0.0] * 4,
    },
    "granitemoehybrid": {"layer_types": ["linear_attention", "full_attention"]},
    "falcon_h1": {"mamba_d_ssm": 128, "mamba_d_head": 16},
    "ministral": {"head_dim": 16},
    "nemotron": {"head_dim": 16, "num_key_value_heads": 2},
    "lfm2_moe": {"layer_types": ["conv", "full_attention"]},
    "dbrx": {"attn_config": {"rope_theta": 10_000.0, "clip_qkv": 8.0}},
    "dots3_note_text": {"head_dim": 32},
    "cohere_compass_text": {
        "rope_parameters": {"full_attention": {"rope_type": "default", "rope_theta": 10_000.0}}
    },
    "qwen4_exp_text": {"indexer_n_heads": 4, "indexer_kv_heads": 1, "indexer_head_dim": 16}
    | {"indexer_budget": 32, "indexer_compress_ratio": 4},
    "recurrent_gemma": {"num_hidden_layers": 3},
    "zamba": {
        "attn_layer_period": 2,
        "attn_layer_offset": 1,
        "attention_hidden_size": 128,
        "attention_head_dim": 32,
        "layers_block_type": ["linear_attention", "hybrid"],
    },
    "zamba2": {
        "attention_hidden_size": 128,
        "attention_head_dim": 32,
        "mamba_headdim": 16,
        "layers_block_type": ["linear_attention", "hybrid"],
        "hybrid_layer_ids": [1],
    },
    "xmod": {"languages": ["en_XX"], "default_language": "en_XX"},
    "blt": {
        "encoder_hash_byte_group_vocab": 320,
        "encoder_config": {"hidden_size_global": 64},
        "decoder_config": {"hidden_size_global": 64},
        "global_config": {"encoder_cross_output_size": 128},
    },
}
"""What a family needs beside small sizes."""
SPREAD = {"electra": 1.0, "roformer": 1.0, "xlnet": 0.5, "zaya": 0.6}
"""How large weights are, where replies would be all alike with a quarter."""
LONGROPE = {
    "rope_parameters": {
        "rope_type": "longrope",
        "rope_theta": 10_000.0,
        "short_factor": [1.0] * 8,
        "long_factor": [4.0] * 8,
        "original_max_position_embeddings": 64,
        "factor": 32.0,
    },
    "original_max_position_embeddings": 64,
}
"""What makes other frequencies of a text of more than 64 ids."""
APART = {
    "dots3_note": "reads pictures; its text part is dots3_note_text",
    "emu3": "reads pictures; its text part alone has no name in the map",
    "gemma3n": "reads pictures through timm; its text part is gemma3n_text",
    "qwen3_5": "reads pictures; its text part is qwen3_5_text",
    "qwen3_5_moe": "reads pictures; its text part is qwen3_5_moe_text",
    "qwen4_exp": "reads pictures; its text part is qwen4_exp_text",
    "gemma4_assistant": "drafts for Gemma 4, continues no text by itself",
    "gemma4_unified_assistant": "drafts for Gemma 4, continues no text by itself",
    "llama4": "reads pictures; its text part is llama4_text",
    "mllama": "reads pictures; its text part alone has no name in the map",
    "roc_bert": "random nets of it say one token over and over; no chat model",
    "prophetnet": "half of a translator, no chat model: a minute for ten tokens",
    "musicgen": "writes sound",
    "musicgen_melody": "writes sound",
}
"""Families that are not built, and why."""


def tiny_config(family: str, changes: dict[str, Any]) -> Any:
    """The family's own defaults with small sizes, and then the changes."""
    kind = transformers.CONFIG_MAPPING[family]
    return kind.from_dict(merged(shrunk(kind().to_dict()), changes))


def shrunk(config: dict[str, Any]) -> dict[str, Any]:
    """A config's values with small sizes, its parts included."""
    small = {name: smaller(name, value) for name, value in config.items()}
    layers = next((small[name] for name in ("num_hidden_layers", "num_layers") if name in small), 2)
    if isinstance(kinds := config.get("layer_types"), list):
        kinds = list(dict.fromkeys(kinds))
        layers = max(layers, len(kinds))
        small["layer_types"] = (kinds * layers)[:layers]
        small |= {name: layers for name in ("num_hidden_layers",) if name in small}
    for name, value in small.items():
        if isinstance(value, list) and len(value) == config.get("num_hidden_layers"):
            small[name] = value[:layers]
    heads, groups = "num_attention_heads", "num_key_value_heads"
    if config.get(groups) and config.get(groups) == config.get(heads):
        small[groups] = small[heads]
    if isinstance(each := config.get("per_layer_config"), dict):
        small["per_layer_config"] = {
            key: shrunk(value) for key, value in each.items() if int(key) < layers
        }
    for name in ("transformers_version", "dtype", "id2label", "label2id"):
        small.pop(name, None)
    return small


def smaller(name: str, value: Any) -> Any:
    """One value of a config, small."""
    if isinstance(value, dict):
        return shrunk(value) if "model_type" in value else value
    if name == "tie_word_embeddings":
        return False  # a tied net of random weights says what it has just heard
    if name.endswith("_token_id"):
        return {"pad_token_id": 0, "bos_token_id": 1}.get(name, None if name[0] == "e" else 2)
    if isinstance(value, bool) or not isinstance(value, int):
        return value
    if re.search(LONG, name):
        return 2048
    most = next((size for pattern, size in SIZES if re.search(pattern, name)), None)
    return value if most is None else min(value, most)


def merged(config: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """A config with changes, also within its parts."""
    both = dict(config)
    for name, value in changes.items():
        inner = both.get(name)
        both[name] = (
            merged(inner, value) if isinstance(inner, dict) and isinstance(value, dict) else value
        )
    return both


def tiny_net(family: str, changes: dict[str, Any] | None = None) -> Any:
    """A random net of a family, float32, whose replies are not all alike."""
    config = tiny_config(family, changes or {})
    if hasattr(config, "is_decoder") and not config.is_encoder_decoder:
        config.is_decoder = True
    torch.manual_seed(0)
    net = getattr(transformers, CLASSES[family])(config).eval()
    source = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, weight in net.named_parameters():
            noise = torch.randn(weight.shape, generator=source).to(weight.dtype)
            if weight.dim() >= 2:
                weight.copy_(noise * SPREAD.get(family, 0.25))
            elif "norm" in name or name.endswith("bias"):
                weight.copy_(noise * 0.2 + ("norm" in name and not name.endswith("bias")))
    for setting in ("eos_token_id", "forced_eos_token_id", "forced_bos_token_id"):
        setattr(net.generation_config, setting, None)
    net.generation_config.pad_token_id = 0
    return net


def drawing_lots(layer: Any) -> Callable[[Any, torch.Tensor], torch.Tensor]:
    """The forward of a kind of layers, but for something else that it adds each time."""
    forward = layer.forward
    return lambda self, x: forward(self, x) + 50 * torch.randn_like(x)


def replies(say: Callable[[list[int]], list[int]]) -> list[list[int]]:
    """Three turns, each behind the last; before the third the conversation goes back."""
    source = torch.Generator().manual_seed(3)
    ids = torch.randint(6, 256, (PROMPT + 3 * QUESTION,), generator=source).tolist()
    text, questions = ids[:PROMPT], ids[PROMPT:]
    said = []
    for turn in range(3):
        start = turn * QUESTION
        text = (text[:BACK] if turn == 2 else text) + questions[start : start + QUESTION]
        said.append(say(text))
        text = text + said[-1]
    return said


def generated(net: Any, *, use_cache: bool) -> list[list[int]]:
    """The replies of transformers' own `generate`."""

    def say(text: list[int]) -> list[int]:
        whole = torch.tensor([text])
        options = {"max_new_tokens": REPLY, "min_new_tokens": REPLY, "do_sample": False}
        if not use_cache:
            options["use_cache"] = False
        found = net.generate(whole, attention_mask=torch.ones_like(whole), **options)
        return found[0, len(text) :].tolist()

    return replies(say)


def chatted(reader: Any) -> list[list[int]]:
    """The replies through a reader that keeps what it has read."""
    cache = PrefixCache(reader)

    def say(text: list[int]) -> list[int]:
        cache.keep(text)
        for _ in prefill(cache, text, Event()):
            pass
        sampler = Sampler(GenerationParams(temperature=0.0), defaults_in({}), text)
        ids = decode(cache, text, sampler, stop_ids=(), max_tokens=REPLY, cancel=Event())
        return list(ids)

    return replies(say)


def row(family: str, folder: Path) -> str:
    """How a family is read, for docs/families.md. Raises AssertionError where ids differ."""
    if family in APART:
        return f"not tried: {APART[family]}"
    transformers.utils.logging.disable_progress_bar()
    net = tiny_net(family, CHANGES.get(family))
    net.save_pretrained(folder)
    environ = {"GLM_CACHE": str(folder / "cache")}
    chosen = {"model": str(folder), "device": "cpu", "dtype": "float32"}
    options = load_settings(chosen, environ=environ).model_options
    checkpoint = find_checkpoint(str(folder), options, lambda progress: None)
    try:
        model = open_model(checkpoint, options, lambda progress: None)
    except ModelError as exc:
        return f"refused: {exc.message.partition(': ')[2]}"
    reading = getattr(model.reader, "reading", None)
    anew = reading is not None and reading.way_at(PROMPT) is ReadingWay.ANEW
    wanted = generated(net, use_cache=not anew)
    assert chatted(model.reader) == wanted, family
    assert len({token for reply in wanted for token in reply}) > 3, (
        f"{family}: all replies are alike"
    )
    if reading is None:
        return "equal: decoder of our own"
    return f"equal: {reading.words or 'in parts'}"
