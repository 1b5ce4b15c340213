"""In how many bits weights lie in files, and in memory once they are loaded.

Knows names of number formats, not torch: a checkpoint is a config and a table of tensors here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from glmcli import machine
from glmcli.config.models import FEW, IN_FULL
from glmcli.models.files.headers import Tensor
from glmcli.models.meaning import text_part

FORMATS = {"F32": "float32", "F16": "float16", "BF16": "bfloat16"}
"""Number formats as safetensors names them, and as torch does."""
BYTES = {"float32": 4.0, "float16": 2.0, "bfloat16": 2.0, "int8": 1.0, "int4": 0.5}
"""Of one number."""
_BLOCK = 64
"""Numbers that share a float32 scale in int4; in int8 a row does."""


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


def bits_of(device: str) -> str:
    """The value of `quantize` for a model that runs so: "int8" of "cpu int8"."""
    bits = device.rpartition(" ")[2]
    return bits if bits in FEW else IN_FULL


def kept_formats(wanted: str, device: str, stored: str, has_halves: bool) -> tuple[str, str]:
    """The number format of weights in full on a device, and that of sums.

    Weights get the one asked for; else the checkpoint's own, or on a processor what it is fast at.
    float32 weights stay so. A processor without bfloat16 of its own is faster in float32, and
    float16 is slow on all: where there is a product for it, only the sums are in float32.
    """
    number_format = stored if wanted == "auto" else wanted
    is_slow = False
    if device == "cpu" and number_format != "float32":
        has_bfloat16 = machine.has_bfloat16()
        if wanted == "auto" and has_bfloat16:
            number_format = "bfloat16"
        is_slow = number_format == "float16" or not has_bfloat16
        if wanted == "auto" and is_slow and not has_halves:
            number_format = "float32"
    return number_format, "float32" if is_slow and has_halves else number_format


def assumed_tensors(size_bytes: int, config: Mapping[str, Any]) -> dict[str, Tensor]:
    """All weights as one: what is in .bin files is not known without torch, but for a few names."""
    kind, size = ("F32", 4) if stated_format(config) in (None, "float32") else ("F16", 2)
    return {"all": Tensor(kind, (1, size_bytes // size), size_bytes)}


def needed_bytes(
    tensors: Mapping[str, Tensor], config: Mapping[str, Any], number_format: str, quantize: str
) -> int:
    """Size of a net's weights once they are loaded."""
    return sum(
        loaded_bytes(name, tensor, number_format, config, quantize)
        for name, tensor in tensors.items()
    )


def loaded_bytes(
    name: str, tensor: Tensor, number_format: str, config: Mapping[str, Any], quantize: str
) -> int:
    """Size of one tensor of a file once it is loaded."""
    if not tensor.is_float or is_packed(config):
        return tensor.size_bytes
    if quantize == IN_FULL or not is_quantizable(name, tensor, config):
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
