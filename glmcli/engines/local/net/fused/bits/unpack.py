"""The numbers of packed weights: whole, or in the few bits that they are in where those fit.

GPTQ (Frantar et al., arXiv:2210.17323), AWQ (Lin et al., arXiv:2306.00978) and compressed-tensors:
(number - zero) * scale. Which tensors belong together is in models/files/packed.py.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from glmcli.engines.local.net.fused.bits.rounding import MIDDLE, join_codes
from glmcli.models.files.packed import GROUP_SIZES, Packing, misplaced

Take = Callable[[str], Tensor]
"""A tensor of a checkpoint by its name, as it lies in the file. Raises KeyError."""
AWQ_PLACES = (0, 4, 1, 5, 2, 6, 3, 7)
"""Where in a word of AWQ each of eight neighbours is."""


@dataclass(frozen=True, slots=True)
class PackedMatrix:
    """A packed matrix (out, in), its numbers and zeros counted from 0."""

    numbers: Tensor
    """uint8 (out, in)."""
    scale: Tensor
    """float32 (out, groups)."""
    zero: Tensor
    """uint8 (out, groups)."""
    index: Tensor | None
    """The group of each column; None if groups are neighbours."""

    def whole(self, dtype: torch.dtype) -> Tensor:
        """The weights (out, in). Each is rounded to `dtype` once."""
        numbers, scale, zero = self.numbers.float(), self.scale, self.zero.float()
        if self.index is None:
            grouped = numbers.view(*scale.shape, -1)
            grouped.sub_(zero[..., None]).mul_(scale[..., None])
        else:
            numbers.sub_(zero[:, self.index]).mul_(scale[:, self.index])
        return numbers.to(dtype)


class Unpacker:
    """The tensors of a packed checkpoint, by the names that they have in one that is not."""

    def __init__(
        self, packing: Packing, take: Take, present: frozenset[str], dtype: torch.dtype
    ) -> None:
        """`dtype` is that of weights that were packed."""
        self._packing = packing
        self._take = take
        self._there = present
        self._dtype = dtype
        layout, scale = packing.layout, f".{packing.layout.scale}"
        self._packed = {name.removesuffix(scale) for name in present if name.endswith(scale)}
        parts = {f"{name}.{part}" for name in self._packed for part in layout}
        self.present = present - parts | {f"{name}.weight" for name in self._packed}
        """All names."""

    def take(self, name: str) -> Tensor:
        """A tensor, whole. Raises KeyError, ModelError."""
        base, _, kind = name.rpartition(".")
        is_packed = kind == "weight" and base in self._packed
        return self.parts(base).whole(self._dtype) if is_packed else self._take(name)

    def few(self, name: str, bits: int) -> dict[str, Tensor] | None:
        """A packed matrix as int4 or int8 are kept; None if it does not fit. Raises ModelError."""
        if name not in self._packed or bits != self._packing.bits:
            return None
        return (as_codes if bits == 4 else as_rows)(self.parts(name))

    def parts(self, name: str) -> PackedMatrix:
        """The numbers of one packed matrix. Raises ModelError."""
        layout, kind, bits = self._packing.layout, self._packing.kind, self._packing.bits
        packed, scale = self._take(f"{name}.{layout.numbers}"), self._take(f"{name}.{layout.scale}")
        if kind == "int-quantized":
            numbers = from_int8(packed)
        elif kind == "awq":
            numbers = in_order(from_words(packed, bits)).T.contiguous()
        else:
            numbers = from_words(packed.T if kind == "gptq" else packed, bits)
        scale = for_rows(scale.T if self._packing.is_turned else scale, len(numbers)).float()
        index = groups_of(name, self._part(name, layout.group_of), scale.shape[1])
        return PackedMatrix(
            numbers, scale, self._zeros(self._part(name, layout.zero), scale), index
        )

    def _zeros(self, zero: Tensor | None, scale: Tensor) -> Tensor:
        """The zeros of all groups, counted as the numbers are."""
        bits = self._packing.bits
        middle = 1 << bits - 1
        if zero is None:
            return torch.full_like(scale, middle, dtype=torch.uint8)
        if zero.dtype is torch.int8:
            return for_rows(from_int8(zero) - (128 - middle), len(scale))
        split = from_words(zero if self._packing.is_turned else zero.T, bits)
        split = in_order(split) if self._packing.kind == "awq" else split
        return split.T + self._packing.shift & (1 << bits) - 1

    def _part(self, name: str, part: str) -> Tensor | None:
        full = f"{name}.{part}"
        return self._take(full) if full in self._there else None


def for_rows(numbers: Tensor, rows: int) -> Tensor:
    """Scales or zeros as (rows, groups): there may be one for all."""
    each = numbers.expand(rows, 1) if numbers.numel() == 1 else numbers
    return each.reshape(rows, -1)


def groups_of(name: str, index: Tensor | None, groups: int) -> Tensor | None:
    """The group of each column; None if they are neighbours, each as many. Raises ModelError."""
    if index is None:
        return None
    index = index.long()
    if index.min() < 0 or index.max() >= groups:
        raise misplaced(name, groups)
    columns = len(index)
    is_plain = columns % groups == 0 and torch.equal(
        index, torch.arange(columns) // (columns // groups)
    )
    return None if is_plain else index


def from_words(words: Tensor, bits: int) -> Tensor:
    """The numbers (rows, many) of int32 words (rows, fewer), the lowest bits first."""
    octets = words.contiguous().view(torch.uint8)  # little-endian, as all that torch runs on
    if bits == 8:
        return octets
    return torch.stack((octets & 15, octets >> 4), -1).flatten(1)


def in_order(numbers: Tensor) -> Tensor:
    """Numbers of AWQ's words, in the order of the rows that they belong to."""
    return numbers.view(len(numbers), -1, 8)[..., list(AWQ_PLACES)].flatten(1)


def from_int8(numbers: Tensor) -> Tensor:
    """int8 as uint8, counted from the lowest."""
    return numbers.contiguous().view(torch.uint8) ^ 128


def as_codes(parts: PackedMatrix) -> dict[str, Tensor] | None:
    """The int4 that is kept (see rounding.py): the same codes, scale and zero in its format."""
    columns, groups = parts.numbers.shape[1], parts.scale.shape[1]
    if parts.index is not None or columns % groups:
        return None
    scale, zero, group = parts.scale, parts.zero.float(), columns // groups
    if group not in GROUP_SIZES:
        if group % GROUP_SIZES[-1]:
            return None
        times = group // GROUP_SIZES[-1]
        scale, zero = (each.repeat_interleave(times, 1) for each in (scale, zero))
    scale = scale.bfloat16()
    return {
        "codes": join_codes(parts.numbers),
        "scale": scale,
        "zero": ((MIDDLE - zero) * scale.float()).bfloat16(),
    }


def as_rows(parts: PackedMatrix) -> dict[str, Tensor] | None:
    """The int8 that is kept: the same numbers and scales."""
    if parts.index is not None or parts.scale.shape[1] != 1 or (parts.zero != 128).any():
        return None
    return {"weight": (parts.numbers ^ 128).view(torch.int8), "scale": parts.scale[:, 0]}
