"""The decoder inside a model that also sees pictures: read as the model of text that it is.

Its tensors have other names in the files, and its settings lie in `text_config`, or beside those of
the rest. What sees pictures is left where it is. Source: the nets that transformers builds of both.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from glmcli.models.files.headers import Tensor

DECODERS = {
    "glm4v_text": "glm4",
    "glm_ocr_text": "glm4",
    "qwen2_vl_text": "qwen2",
    "qwen2_5_vl_text": "qwen2",
    "qwen3_vl_text": "qwen3",
    **{name: name for name in ("glm4", "llama", "mistral", "qwen2", "qwen3")},
}
"""What `text_config` calls a decoder -> the family that has the same net, to the bit."""
SEEING = {
    **dict.fromkeys(("glm4v", "glm46v"), "glm4v_text"),
    "glm_ocr": "glm_ocr_text",
    "qwen2_vl": "qwen2_vl_text",
    "qwen2_5_vl": "qwen2_5_vl_text",
    "qwen3_vl": "qwen3_vl_text",
    "mistral3": "mistral",
    **dict.fromkeys(("idefics3", "smolvlm", "llava", "llava_next"), "llama"),
    **dict.fromkeys(("internvl", "llava_onevision"), "qwen2"),
}
"""Families that see pictures -> the decoder of one that does not name it."""
_PREFIX = re.compile(r"^(model\.language_model|language_model\.model|model\.text_model)\.")
"""What the files put before the names of a decoder's layers; "model." where it is alone."""
_OF_TEXT = re.compile(r"(model\.(embed_tokens|norm|layers\.(?P<layer>\d+))|lm_head)\.")
_OF_THE_WHOLE = ("text_config", "vision_config", "audio_config", "architectures", "auto_map")
_IDS = ("bos_token_id", "eos_token_id", "pad_token_id")
_OF_BOTH = ("quantization_config", "dtype", "torch_dtype", "transformers_version")


def has_inner(config: Mapping[str, Any]) -> bool:
    """Whether a config is of a model whose decoder is read alone."""
    return config.get("model_type") in SEEING and _kind_of(config) in DECODERS


def decoder_of(
    config: dict[str, Any], tensors: Mapping[str, Tensor]
) -> tuple[dict[str, Any], Mapping[str, Tensor], dict[str, str]]:
    """The config and the tensors of the decoder alone, and the names of these in the files.

    The same and no names where there is no such decoder, or the files do not show their tensors.
    """
    stored = stored_names(config, tensors) if has_inner(config) else {}
    if not stored:
        return config, tensors, {}
    inner = {name: tensors[place] for name, place in stored.items()}
    return inner_config(config, inner), inner, stored


def inner_config(config: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    """The config of the decoder alone, as far as it is stated; `tensors` are the decoder's."""
    text = config.get("text_config")
    # Beside a part for text the rest says nothing of it, but for ids and for how numbers are kept.
    beside = {name: value for name, value in config.items() if not text or name in _OF_BOTH}
    stated = {**beside, **(text or {})}
    for name in _IDS:
        stated[name] = config.get(name) if stated.get(name) is None else stated[name]
    stated = {name: value for name, value in stated.items() if name not in _OF_THE_WHOLE}
    tie = "tie_word_embeddings"
    stated[tie] = config.get(tie, stated.get(tie, "lm_head.weight" not in tensors))
    return as_alone(stated, decoder_family(config), tensors)


def decoder_family(config: Mapping[str, Any]) -> str:
    """The family of the decoder alone."""
    return DECODERS[_kind_of(config)]


def as_alone(text: Mapping[str, Any], family: str, tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    """Settings of a decoder as its family has them that is alone."""
    found = {**text, "model_type": family}
    if family == "glm4":  # inside it is not a setting, but part of the net
        found["attention_bias"] = any(name.endswith("q_proj.bias") for name in tensors)
    width, heads = found.get("hidden_size"), found.get("num_attention_heads")
    if width and heads and not found.get("head_dim"):
        found["head_dim"] = width // heads
    for name in ("rope_parameters", "rope_scaling"):
        if isinstance(found.get(name), Mapping):
            found[name] = _plain_turns(found[name])
    return found


def stored_names(config: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> dict[str, str]:
    """The names of the decoder's tensors -> those in the files.

    Layers behind its last are no part of it: they guess further ids.
    """
    layers = _text_of(config).get("num_hidden_layers")
    found = {}
    for stored in tensors:
        name = name_alone(stored)
        match = _OF_TEXT.match(name)
        if match and (match["layer"] is None or layers is None or int(match["layer"]) < layers):
            found[name] = stored
    return found


def name_alone(stored: str) -> str:
    """What a tensor of a decoder is called where that is alone."""
    return _PREFIX.sub("model.", stored, 1).removeprefix("language_model.")


def _text_of(config: Mapping[str, Any]) -> Mapping[str, Any]:
    return config.get("text_config") or config


def _kind_of(config: Mapping[str, Any]) -> str:
    usual = SEEING[config["model_type"]]
    return str((config.get("text_config") or {}).get("model_type") or usual)


def _plain_turns(rope: Mapping[str, Any]) -> dict[str, Any]:
    """Rotary settings without sections for height and width: of text all three are alike."""
    found = {name: value for name, value in rope.items() if not name.startswith("mrope_")}
    for name in ("type", "rope_type"):
        if found.get(name) == "mrope":
            found[name] = "default"
    return found
