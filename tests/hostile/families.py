"""Hostile checkpoints of all families: sizes left out, or in fields that only one family has."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from tests.hostile import healthy
from tests.hostile.spoiling import GONE, Case, with_content, with_field

MANY, MORE = 10**8, 10**9
LEFT_OUT = ("llama", "qwen2", "qwen3", "mistral", "glm4", "gemma2", "falcon", "phi3")
"""Families whose defaults are the sizes of a large model."""
SMALL: Mapping[str, Any] = {"vocab_size": 430, "hidden_size": 64, "num_hidden_layers": 1}
GPTJ: Mapping[str, Any] = {"n_embd": 16, "n_layer": 1, "n_head": 1, "rotary_dim": 8}
LARGE: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "thousands of experts": ("qwen3_moe", {**SMALL, "num_experts": 8000}),
    "a billion experts": ("qwen3_moe", {**SMALL, "num_experts": MORE}),
    "a million experts of Mixtral": ("mixtral", {**SMALL, "num_local_experts": 10**6}),
    "a wide LoRA of DeepSeek": ("deepseek_v3", {**SMALL, "kv_lora_rank": MANY}),
    "experts of Llama 4": ("llama4_text", {**SMALL, "num_local_experts": MANY}),
    "experts of gpt-oss": ("gpt_oss", {**SMALL, "num_local_experts": MORE}),
    "experts of Phi": ("phimoe", {**SMALL, "num_local_experts": 10**7}),
    "a state of Mamba": ("mamba", {**SMALL, "state_size": MORE, "conv_kernel": MORE}),
    "heads of Mamba 2": ("mamba2", {**SMALL, "num_heads": MORE, "n_groups": 0}),
    "no period of Jamba": ("jamba", {**SMALL, "attn_layer_period": 0}),
    "a long pattern of layers": ("nemotron_h", {**SMALL, "hybrid_override_pattern": "M" * 20_000}),
    "a pattern of a million": ("nemotron_h", {**SMALL, "hybrid_override_pattern": "M" * 10**6}),
    "blocks of xLSTM": ("xlstm", {**SMALL, "num_heads": 4, "num_blocks": MANY}),
    "images of GIT": ("git", {**SMALL, "num_attention_heads": 4, "num_image_with_embedding": MANY}),
    "a layer for each pixel": ("git", {**SMALL, "vision_config": {"num_hidden_layers": 10**6}}),
    "repeated kinds of attention": (
        "gpt_neo",
        {**SMALL, "num_layers": 1, "attention_types": [[["global"], MANY]]},
    ),
    "a width of RWKV": ("rwkv", {**SMALL, "attention_hidden_size": MORE}),
    "a width of Griffin": ("recurrent_gemma", {**SMALL, "lru_width": MORE}),
    "places of CTRL": ("ctrl", {"n_embd": 64, "n_layer": 1, "n_positions": 10**8, "dff": MORE}),
    "places of XGLM": (
        "xglm",
        {"d_model": 64, "num_layers": 1, "max_position_embeddings": MORE, "attention_heads": 1},
    ),
    "places of BioGPT": ("biogpt", {**SMALL, "max_position_embeddings": MORE}),
    "places of GPT-J": ("gptj", {**GPTJ, "n_positions": MORE}),
    "a turn of GPT-J": ("gptj", {**GPTJ, "rotary_dim": MORE}),
    "places of CodeGen": ("codegen", {**GPTJ, "n_positions": MANY, "n_inner": MORE}),
    "places of OPT": ("opt", {**SMALL, "ffn_dim": MORE, "max_position_embeddings": MORE}),
    "layers of MPT": ("mpt", {"d_model": 64, "n_layers": MANY, "n_heads": 1}),
    "hashes of BLT": ("blt", {"encoder_hash_byte_group_vocab": MORE}),
    "layers of a picture": (
        "mllama",
        {"text_config": {"num_hidden_layers": 1}, "vision_config": {"num_hidden_layers": MANY}},
    ),
    "a Fuyu of defaults": (
        "fuyu",
        {"text_config": {"model_type": "persimmon", "num_hidden_layers": 1}},
    ),
    "half a million numbers for a layer": (
        "gemma3n_text",
        {**SMALL, "activation_sparsity_pattern": [0.5] * 500_000},
    ),
}
"""What is too much -> the family, and what its config.json says."""
SEEN = ("a pattern of a million", "half a million numbers for a layer")
"""What is refused without a library."""


def every_case() -> Iterator[Case]:
    """All of them."""
    for family in LEFT_OUT:
        config = json.dumps({"model_type": family}).encode()
        spoil = with_content("config.json", config)
        name = f"{family} without sizes"
        yield Case(name, healthy.write_llama, spoil, "config.json", needs_library=True)
    for field in ("intermediate_size", "num_hidden_layers", "num_attention_heads"):
        spoil = with_field("config.json", field, GONE)
        name = f"llama without {field}"
        yield Case(name, healthy.write_llama, spoil, needs_library=True)
    for name, (family, fields) in LARGE.items():
        config = json.dumps({"model_type": family, "eos_token_id": 422, **fields}).encode()
        yield Case(
            name,
            healthy.write_llama,
            with_content("config.json", config),
            "config.json",
            needs_library=name not in SEEN,
        )
