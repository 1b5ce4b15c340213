"""In how many bits weights lie in files, and in memory once they are loaded.

Knows names of number formats, not torch: a checkpoint is a config and a table of tensors here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from glmcli.models.files.headers import Tensor
from glmcli.models.meaning import text_part

FORMATS = {"F32": "float32", "F16": "float16", "BF16": "bfloat16"}
"""Number formats as safetensors names them, and as torch does."""
BYTES = {"float32": 4.0, "float16": 2.0, "bfloat16": 2.0, "int8": 1.0, "int4": 0.5}
"""Of one number."""
_BLOCK = 64
"""Numbers that share a float32 scale in int4; in int8 a row does."""
PER_PARAMETER = {"fp16": 2.0, "int8": 1.0, "int4": 0.5 + 4 / _BLOCK}
"""Bytes of a whole model for each of its parameters."""


def is_packed(config: Mapping[str, Any]) -> bool:
    """Whether the weights are in fewer bits already, so that their shapes do not tell."""
    return "quantization_config" in config or bool(config.get("quantization_bit"))


def stated_format(config: Mapping[str, Any]) -> str | None:
    """The number format that a config names, as old and new releases of transformers do."""
    return config.get("dtype") or config.get("torch_dtype")


def stored_format(tensors: Mapping[str, Tensor], config: Mapping[str, Any]) -> str:
    """The number format of most weights; the config's word for it where they are packed."""
    counts: Counter[str] = Counter()
    for tensor in tensors.values():
        if tensor.is_float:
            counts[FORMATS.get(tensor.dtype, "float32")] += tensor.numbers
    stated = stated_format(config)
    if is_packed(config) and stated in FORMATS.values():
        return str(stated)
    return counts.most_common(1)[0][0] if counts else "float32"


def loaded_bytes(
    name: str, tensor: Tensor, number_format: str, config: Mapping[str, Any], quantize: str
) -> int:
    """Size of one tensor of a file once it is loaded."""
    if not tensor.is_float or is_packed(config):
        return tensor.size_bytes
    if quantize == "none" or not is_quantizable(name, tensor, config):
        return int(tensor.numbers * BYTES[number_format])
    scales = tensor.shape[0] if quantize == "int8" else -(-tensor.numbers // _BLOCK)
    return int(tensor.numbers * BYTES[quantize]) + 4 * scales


def is_quantizable(name: str, tensor: Tensor, config: Mapping[str, Any]) -> bool:
    """Whether it is the matrix of a linear layer inside a net: no embedding, head or expert.

    transformers stacks the experts of a layer, which makes them no linear layers any more.
    """
    text = text_part(config)
    vocabulary = (text.get("vocab_size"), text.get("padded_vocab_size"))
    is_matrix = len(tensor.shape) == 2 and tensor.shape[0] not in vocabulary
    return is_matrix and ".experts." not in name
