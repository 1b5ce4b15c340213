"""What a ChatGLM checkpoint's config.json means: its settings as a Glm, and why some are refused.

Knows nothing of torch and runs nothing that comes with a checkpoint: its Python files are read as
text at most. Covers ChatGLM2, ChatGLM3 and the old layout of GLM-4, all of them "chatglm".
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from glmcli.errors import ModelError
from glmcli.language import tr
from glmcli.models.files.small import bad_download, read_checkpoint_bytes

ROPE_BASE = 10_000.0
_NEEDED = (
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


def check_chatglm(config: Config, *, name: str) -> None:
    """Raise ModelError for a checkpoint that cannot be loaded natively."""
    check_kind(config, name=name)
    for key, value in EXPECTED.items():
        if config.get(key, value) != value:
            raise no_equivalent(config, key, name=name)
    if not isinstance(config.get("rope_ratio") or 1, int | float):
        raise no_equivalent(config, "rope_ratio", name=name)
    for key in _NEEDED:
        if not isinstance(config.get(key), int):
            message = tr("{name} has no {key} in config.json", name=name, key=key)
            raise bad_download(message)


def check_kind(config: Config, *, name: str) -> None:
    """Raise ModelError for another generation, pictures, prefixes, and weights in few bits."""
    if any(key in config for key in FIRST_GENERATION):
        raise ModelError(
            tr(
                "{name} is ChatGLM-6B, the first generation: transformers has no class for it",
                name=name,
            ),
            tr("use its successor with the same API: -m zai-org/chatglm3-6b"),
        )
    if any(config.get(key) for key in VISION):
        raise ModelError(
            tr(
                "{name} reads pictures too (like CogAgent or GLM-4V); only text models can be "
                "loaded",
                name=name,
            ),
            tr("use a text model such as zai-org/glm-4-9b-chat"),
        )
    if config.get("pre_seq_len"):
        raise ModelError(
            tr(
                "{name} has a P-tuning prefix encoder (pre_seq_len), which cannot be loaded",
                name=name,
            ),
            tr("load the base model, or merge a LoRA fine-tune of it into the weights"),
        )
    if bits := config.get("quantization_bit"):
        raise ModelError(
            tr(
                "{name} was quantised to {bits} bits by ChatGLM's own kernels (quantization_bit)",
                name=name,
                bits=bits,
            ),
            tr("use the fp16 checkpoint of this model"),
        )
    if not config.get("original_rope", True):
        raise ModelError(
            tr(
                "{name} sets original_rope to false: its rotary layout has no equivalent here",
                name=name,
            ),
            tr("use a chat model such as zai-org/chatglm3-6b"),
        )


def no_equivalent(config: Config, key: str, *, name: str) -> ModelError:
    """The error for a field that makes another net than any that transformers has."""
    return ModelError(
        tr(
            "{name} sets {key} to {value} in config.json, which has no equivalent here",
            name=name,
            key=key,
            value=config[key],
        ),
        tr("use an unmodified ChatGLM2, ChatGLM3 or GLM-4 checkpoint"),
    )


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
        return read_checkpoint_bytes(path).decode("utf-8", errors="replace")
    except ModelError:
        return ""
