"""What a ChatGLM checkpoint's config.json means: what it is, what it maps to, what is refused.

Knows nothing of torch and runs nothing that comes with a checkpoint: its Python files are read as
text at most. Covers ChatGLM2, ChatGLM3 and the old layout of GLM-4, all of them "chatglm".
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from glmcli.errors import ModelError
from glmcli.messages import refusal
from glmcli.models.files.small import read_bytes

ROPE_BASE = 10_000.0
NEEDED = (
    *("num_layers", "hidden_size", "ffn_hidden_size", "num_attention_heads"),
    *("multi_query_group_num", "padded_vocab_size", "seq_length"),
)
EXPECTED = {
    "rmsnorm": True,
    "add_bias_linear": False,
    "post_layer_norm": True,
    "apply_residual_connection_post_layernorm": False,
    "multi_query_attention": True,
}
"""What transformers' Glm does and cannot be told to do otherwise."""
FIRST_GENERATION = ("position_encoding_2d", "inner_hidden_size", "gmask_token_id")
VISION = ("vision_config", "boi_token_id", "image_size", "vision_model")

Config = dict[str, Any]


def check_config(config: Config, *, name: str) -> None:
    """Raise ModelError for a checkpoint that cannot be loaded natively."""
    if any(key in config for key in FIRST_GENERATION):
        raise refusal("first-generation", name=name)
    if any(config.get(key) for key in VISION):
        raise refusal("vision", name=name)
    if config.get("pre_seq_len"):
        raise refusal("prefix-encoder", name=name)
    if config.get("quantization_bit"):
        raise refusal("quantized", name=name, bits=config["quantization_bit"])
    if not config.get("original_rope", True):
        raise refusal("rope", name=name)
    for key, value in EXPECTED.items():
        if config.get(key, value) != value:
            raise refusal("no-equivalent", name=name, key=key, value=config[key])
    if not isinstance(config.get("rope_ratio") or 1, int | float):
        raise refusal("no-equivalent", name=name, key="rope_ratio", value=config["rope_ratio"])
    for key in NEEDED:
        if not isinstance(config.get(key), int):
            raise refusal("incomplete-config", name=name, key=key)


def glm_settings(config: Config, *, linear_rope: bool = False) -> Config:
    """The arguments of a GlmConfig that computes the same. Source: configuration_chatglm.py.

    `linear_rope`: rope_ratio divides the positions, as in ChatGLM2; it scales the base otherwise.
    """
    heads = config["num_attention_heads"]
    ratio = float(config.get("rope_ratio") or 1)
    rope: Config = {"rope_type": "default", "rope_theta": ROPE_BASE * ratio}
    if linear_rope and ratio != 1:
        rope = {"rope_type": "linear", "rope_theta": ROPE_BASE, "factor": ratio}
    return {
        "vocab_size": config["padded_vocab_size"],
        "hidden_size": config["hidden_size"],
        "intermediate_size": config["ffn_hidden_size"],
        "num_hidden_layers": config["num_layers"],
        "num_attention_heads": heads,
        "num_key_value_heads": config["multi_query_group_num"],
        "head_dim": config.get("kv_channels") or config["hidden_size"] // heads,
        "max_position_embeddings": config["seq_length"],
        "rms_norm_eps": config.get("layernorm_epsilon", 1e-5),
        "attention_bias": bool(config.get("add_qkv_bias", False)),
        "attention_dropout": config.get("attention_dropout", 0.0),
        "rope_parameters": rope | {"partial_rotary_factor": 0.5},
        "tie_word_embeddings": bool(config.get("tie_word_embeddings", False)),
        "bos_token_id": None,
        "eos_token_id": config.get("eos_token_id", 2),
        "pad_token_id": config.get("pad_token_id", 0),
        "dtype": config.get("torch_dtype") or config.get("dtype") or "float16",
    }


def has_linear_rope(config: Config, folder: Path, *, name: str) -> bool:
    """Whether rope_ratio divides positions: the two meanings look the same in config.json."""
    code = read_code(folder / "modeling_chatglm.py")
    if re.search(r"/\s*(self\.)?rope_ratio", code):
        return True
    if re.search(r"base\s*\*\s*(self\.)?rope_ratio", code):
        return False
    return is_chatglm2(config, folder, name=name)


def is_chatglm2(config: Config, folder: Path, *, name: str) -> bool:
    """Whether this is the second generation: by its tokenizer's code, else by its names."""
    code = read_code(folder / "tokenization_chatglm.py")
    if code:
        return "<|observation|>" not in code
    for label in (name, folder.name, str(config.get("_name_or_path", ""))):
        generation = re.search(r"(?:chatglm|codegeex)-?([234])(?!\d)", label.lower())
        if generation:
            return generation[1] == "2"
    return False


def read_code(path: Path) -> str:
    """A Python file as text, never run; "" if there is none."""
    try:
        return read_bytes(path).decode("utf-8", errors="replace")
    except ModelError:
        return ""
