"""Weights that come in fewer bits: what GPTQ, AWQ and compressed-tensors keep, by names and shapes.

Each of their matrices is several tensors: numbers of few bits, scales, zeros. Here they become the
one that they stand for, as every other checkpoint has it. Knows nothing of the numbers themselves.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from glmcli.errors import ModelError
from glmcli.language import tr
from glmcli.models.files.decoder import decoder_of
from glmcli.models.files.headers import Tensor
from glmcli.models.files.small import bad_download

FAMILIES = ("llama", "mistral", "qwen2", "qwen3", "glm", "glm4")
"""Those of the fused decoder; others are left to transformers, and the libraries it asks for."""
GROUP_SIZES = (32, 64, 128)
"""Columns with one scale, in which int4 may stay; a multiple of the last will do."""


class Layout(NamedTuple):
    """What the parts of a matrix are called; "" for what there is not."""

    numbers: str
    scale: str
    zero: str
    group_of: str
    others: str = ""


PARTS_OF = {
    "gptq": Layout("qweight", "scales", "qzeros", "g_idx"),
    "awq": Layout("qweight", "scales", "qzeros", ""),
    "pack-quantized": Layout(
        *("weight_packed", "weight_scale", "weight_zero_point", "weight_g_idx", "weight_shape")
    ),
    "int-quantized": Layout("weight", "weight_scale", "weight_zero_point", ""),
}


@dataclass(frozen=True, slots=True)
class Packing:
    """How the matrices of a checkpoint are packed."""

    kind: str
    """One of PARTS_OF."""
    bits: int
    shift: int = 0
    """What is added to a zero that was read: old GPTQ keeps one less."""
    is_shuffled: bool = False
    """Whether columns with one scale need not be neighbours."""
    has_zeros: bool = True
    """Whether each matrix must have zeros."""
    kept_as: str = ""
    """The value of `quantize` in which all of them can stay as they are; "" if there is none."""

    @property
    def layout(self) -> Layout:
        """What the parts are called."""
        return PARTS_OF[self.kind]

    @property
    def is_turned(self) -> bool:
        """Whether matrices lie as (in, out)."""
        return self.kind in ("gptq", "awq")


def as_read(
    config: Mapping[str, Any], tensors: Mapping[str, Tensor]
) -> tuple[dict[str, Any], Mapping[str, Tensor], Packing | None, dict[str, str]]:
    """A checkpoint as nets see it: unpacked, and of a model that sees pictures the decoder alone.

    With how it is packed, and the names of the decoder's tensors in the files. Raises ModelError.
    """
    config, tensors, stored = decoder_of(dict(config), tensors)
    return *unpacked(config, tensors), stored


def unpacked(
    config: Mapping[str, Any], tensors: Mapping[str, Tensor]
) -> tuple[dict[str, Any], Mapping[str, Tensor], Packing | None]:
    """A checkpoint as if it were not packed, and how it is; itself if that is not known here.

    Raises ModelError for parts that do not fit each other.
    """
    packing = packing_of(config)
    names = sorted(packed_names(tensors, packing)) if packing else []
    if packing is None or not names:
        return dict(config), tensors, None
    layout, found, fitting = packing.layout, dict(tensors), True
    for name in names:
        whole, groups = whole_tensor(name, tensors, packing)
        for part in layout:
            found.pop(f"{name}.{part}", None)
        found[f"{name}.weight"] = whole
        has_zero = f"{name}.{layout.zero}" in tensors
        fitting = fitting and can_stay(whole.shape[1], groups, packing.bits, has_zero=has_zero)
    if fitting and not packing.is_shuffled:
        packing = replace(packing, kept_as=f"int{packing.bits}")
    plain = {name: value for name, value in config.items() if name != "quantization_config"}
    return plain, found, packing


def can_stay(columns: int, groups: int, bits: int, *, has_zero: bool) -> bool:
    """Whether a matrix fits the int4 or the int8 that nets are kept in, without being rounded."""
    if bits == 8:
        return groups == 1 and not has_zero
    group = columns // groups
    return columns % groups == 0 and (group in GROUP_SIZES or group % GROUP_SIZES[-1] == 0)


def packed_names(tensors: Mapping[str, Tensor], packing: Packing) -> Iterator[str]:
    """What the names of all parts of each packed matrix begin with; some come several times."""
    layout = packing.layout
    for full, tensor in tensors.items():
        name, _, part = full.rpartition(".")
        if part in layout[:3] and (part != "weight" or tensor.dtype == "I8"):
            yield name


def whole_tensor(name: str, tensors: Mapping[str, Tensor], packing: Packing) -> tuple[Tensor, int]:
    """The matrix that parts stand for, and how many scales a row has. Raises ModelError."""
    layout = packing.layout
    parts = {part: tensors[f"{name}.{part}"] for part in layout if f"{name}.{part}" in tensors}
    needed = (layout.numbers, layout.scale, *([layout.zero] if packing.has_zeros else []))
    for part in needed:
        if part not in parts:
            raise bad_download(tr("{name} is packed, but has no {part}", name=name, part=part))
    numbers, scale = parts[layout.numbers], parts[layout.scale]
    in_word = 1 if packing.kind == "int-quantized" else 32 // packing.bits
    if len(numbers.shape) != 2 or numbers.dtype != ("I8" if in_word == 1 else "I32"):
        raise misfit(name, layout.numbers, numbers)
    rows, columns = numbers.shape
    if packing.kind == "gptq":
        rows, columns = columns, rows * in_word
    elif packing.kind == "awq":
        rows, columns = columns * in_word, rows
    else:
        columns *= in_word
    groups = max(1, scale.numbers // max(1, rows))
    is_turned = packing.is_turned
    shapes = [(groups, rows)] if is_turned else [(rows, groups), (rows,), (1,), (1, 1)]
    index = parts.get(layout.group_of)
    splits = index is not None or columns % groups == 0
    if scale.shape not in shapes or not scale.is_float or not splits or not rows * columns:
        raise misfit(name, layout.scale, scale)
    if index is not None and (index.shape != (columns,) or index.dtype not in ("I32", "I64")):
        raise misfit(name, layout.group_of, index)
    zero = parts.get(layout.zero)
    if zero is not None:
        words = (groups, rows // in_word) if is_turned else (rows // in_word, groups)
        fits = zero.dtype == "I32" and zero.shape == words and rows % in_word == 0
        if not (fits or (zero.dtype == "I8" and not is_turned and zero.shape == scale.shape)):
            raise misfit(name, layout.zero, zero)
    size = sum(part.size_bytes for part in parts.values())
    return Tensor(scale.dtype, (rows, columns), size), groups


def misfit(name: str, part: str, tensor: Tensor) -> ModelError:
    """The error for a part that is not as large as the others say."""
    return bad_download(
        tr(
            "{name}: {part} is {kind} of {shape}, which does not fit the other parts",
            name=name,
            part=part,
            kind=tensor.dtype,
            shape=" × ".join(f"{size:,}" for size in tensor.shape) or "0",
        )
    )


def misplaced(name: str, groups: int) -> ModelError:
    """The error for columns in groups that there are not."""
    return bad_download(
        tr("{name}: g_idx names groups other than its {groups:,}", name=name, groups=groups)
    )


def packing_of(config: Mapping[str, Any]) -> Packing | None:
    """How a config says that weights are packed; None for ways that are not known here."""
    stated = config.get("quantization_config")
    if config.get("model_type") not in FAMILIES or not isinstance(stated, dict):
        return None
    known = {"gptq": _gptq, "awq": _awq, "compressed-tensors": _compressed}
    how = stated.get("quant_method")
    return known[how](stated) if isinstance(how, str) and how in known else None


def _gptq(stated: Mapping[str, Any]) -> Packing | None:
    bits, form = stated.get("bits"), stated.get("checkpoint_format") or "gptq"
    # "dynamic" gives some layers other bits.
    if bits not in (4, 8) or form not in ("gptq", "gptq_v2") or stated.get("dynamic"):
        return None
    if stated.get("is_marlin_format") or stated.get("pack_dtype", "int32") != "int32":
        return None
    return Packing("gptq", bits, int(form == "gptq"), bool(stated.get("desc_act")))


def _awq(stated: Mapping[str, Any]) -> Packing | None:
    bits, version = stated.get("bits", stated.get("w_bit")), stated.get("version", "gemm")
    if bits != 4 or str(version).lower() != "gemm" or not stated.get("zero_point", True):
        return None
    return Packing("awq", 4)


def _compressed(stated: Mapping[str, Any]) -> Packing | None:
    kind, groups = stated.get("format"), stated.get("config_groups")
    sparse = stated.get("sparsity_config") or {}
    is_more = stated.get("kv_cache_scheme") or stated.get("transform_config")
    if is_more or not isinstance(sparse, dict) or sparse.get("format", "dense") != "dense":
        return None
    if kind not in ("pack-quantized", "int-quantized") or not isinstance(groups, dict):
        return None
    schemes = list(groups.values())
    if not schemes or not all(_is_plain(scheme, kind) for scheme in schemes):
        return None
    weights = [scheme["weights"] for scheme in schemes]
    bits = {each["num_bits"] for each in weights}
    if len(bits) != 1 or (kind == "int-quantized" and bits != {8}):
        return None
    return Packing(
        kind,
        bits.pop(),
        is_shuffled=any(each.get("actorder") in ("group", True) for each in weights),
        has_zeros=not any(each.get("symmetric", True) for each in weights),
    )


def _is_plain(scheme: Any, kind: str) -> bool:
    """Whether a group of layers has whole numbers as weights, and nothing that was measured."""
    weights = scheme.get("weights") if isinstance(scheme, dict) else None
    if not isinstance(weights, dict) or scheme.get("output_activations"):
        return False
    inputs = scheme.get("input_activations") or {"dynamic": True}
    return (
        weights.get("num_bits") in (4, 8)
        and weights.get("type", "int") == "int"
        and weights.get("strategy") in ("channel", "group", "tensor")
        and scheme.get("format") in (None, kind)
        and isinstance(inputs, dict)
        and inputs.get("dynamic") is True
    )
