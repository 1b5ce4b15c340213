"""Linear layers for the fused decoder: the same product in whatever order is fastest here.

Knows nothing of what the layers are for. Shapes: (tokens, in) to (tokens, out).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol, Self

import torch
from torch import Tensor, nn

from glmcli.engines.local.net.fused.bits.kernels import TorchNibbles, TritonRows
from glmcli.engines.local.net.fused.bits.matrices import Matrix, failure_of
from glmcli.engines.local.net.fused.bits.rounding import (
    Kept,
    group_for,
    round_groups,
    round_rows,
)
from glmcli.engines.local.net.fused.bits.shelf import Shelf
from glmcli.engines.local.net.fused.decoder import Linear
from glmcli.engines.local.net.fused.fbgemm import HalfProduct, Int8Product, has_fbgemm
from glmcli.engines.local.net.packed import can_pack, fits_packing

Read = Callable[[], Tensor]
"""Reads a layer's weights, (out, in), from a checkpoint."""
Few = Callable[[int], Kept | None]
"""A layer in so many bits, if a checkpoint has it so."""
HEAD_PLACE = "head"
"""The place of the layer that makes scores."""


class Bits(Protocol):
    """In how many bits the weights of layers are, and how they are multiplied with."""

    bits: int
    """Of one weight."""

    def round(self, place: str, weight: Tensor) -> Kept:
        """What is kept of the weights (out, in) of a layer."""
        ...

    def product(self, kept: Kept, bias: Tensor | None) -> Linear:
        """The layer itself."""
        ...


class Linears:
    """Makes the layers of one net, and counts what they hold. What a shelf has is not read."""

    def __init__(
        self,
        device: str,
        dtype: torch.dtype,
        sums: torch.dtype | None = None,
        bits: Bits | None = None,
        shelf: Shelf | None = None,
    ) -> None:
        self._device = device
        self._bits = bits or full_bits(device, dtype, sums or dtype)
        self.lacks: Mapping[str, str] = bits.lacks if isinstance(bits, Int8) else {}
        """Why there is no kernel, by bits: plain torch multiplies."""
        self._shelf = shelf
        self.dtype = dtype
        """Of the weights as they are read."""
        self.sums = sums or dtype
        self.weight_bytes = 0
        """What is read for each token."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._shelf is not None:
            self._shelf.close(is_whole=kind is None)

    def make(
        self, place: str, read: Read, bias: Tensor | None, few: Few = lambda bits: None
    ) -> Linear:
        """The layer that is called `place`; its weights are read only if they are needed."""
        kept = few(self._bits.bits)
        if kept is None and self._shelf is not None:
            kept = self._shelf.get(place)
        if kept is None:
            kept = self._bits.round(place, read())
            if self._shelf is not None:
                self._shelf.put(place, kept)
        self.weight_bytes += sum(tensor.nbytes for tensor in kept.values())
        there = {name: tensor.to(self._device) for name, tensor in kept.items()}
        return self._bits.product(there, bias)


def full_bits(device: str, dtype: torch.dtype, sums: torch.dtype) -> Bits:
    """Weights as they are read."""
    return Plain(device, dtype) if sums is dtype else SixteenBits()


class Plain:
    """Weights as they are read, in whatever order is fastest here."""

    bits = 16

    def __init__(self, device: str, dtype: torch.dtype) -> None:
        self._packs = device == "cpu" and dtype is torch.bfloat16 and can_pack()

    def round(self, place: str, weight: Tensor) -> Kept:
        """See `Bits`."""
        return {"weight": weight}

    def product(self, kept: Kept, bias: Tensor | None) -> Linear:
        """See `Bits`."""
        weight = kept["weight"]
        packs = self._packs and fits_packing(weight)
        return packed_linear(weight, bias) if packs else plain_linear(weight, bias)


class SixteenBits:
    """Weights in 16 bits, and sums in float32."""

    bits = 16

    def round(self, place: str, weight: Tensor) -> Kept:
        """See `Bits`."""
        return {"weight": weight}

    def product(self, kept: Kept, bias: Tensor | None) -> Linear:
        """See `Bits`."""
        return half_linear(kept["weight"], bias)


class Int8:
    """Weights in 8 bits, with a scale for each row."""

    bits = 8

    def __init__(self, device: str, dtype: torch.dtype) -> None:
        """`dtype` is that of sums on `device`."""
        self._device, self._dtype = device, dtype
        self.lacks: dict[str, str] = {}
        self._rows = self._kernel("int8", TritonRows)

    def round(self, place: str, weight: Tensor) -> Kept:
        """See `Bits`."""
        return round_rows(weight)

    def product(self, kept: Kept, bias: Tensor | None) -> Linear:
        """See `Bits`."""
        if self._device == "cpu":
            return int8_linear(kept["weight"], kept["scale"], bias)
        return matrix_linear(self._rows, kept, bias)

    def _kernel(self, name: str, kernel: type[Matrix]) -> type[Matrix]:
        if self._device == "cpu":
            return Matrix
        why = failure_of(kernel, self._device, self._dtype, codes=name == "int4")
        if not why:
            return kernel
        self.lacks[name] = why
        return Matrix


class Int4(Int8):
    """Weights in 4 bits; those of the head, and what cannot be in groups of columns, in 8."""

    bits = 4

    def __init__(self, device: str, dtype: torch.dtype) -> None:
        super().__init__(device, dtype)
        self._nibbles = self._kernel("int4", TorchNibbles)

    def round(self, place: str, weight: Tensor) -> Kept:
        """See `Bits`."""
        group = None if place == HEAD_PLACE else group_for(weight)
        return round_rows(weight) if group is None else round_groups(weight, group)

    def product(self, kept: Kept, bias: Tensor | None) -> Linear:
        """See `Bits`."""
        if "codes" in kept:
            return matrix_linear(self._nibbles, kept, bias)
        return super().product(kept, bias)


def few_linears(name: str, device: str, dtype: torch.dtype, folder: Path, *, keep: bool) -> Linears:
    """Layers in "int8" or "int4", from a shelf in `folder`; `dtype` is that of sums on a GPU."""
    # On the processor guesses are checked several at once, and must be what single steps say.
    sums = torch.float32 if device == "cpu" else dtype
    bits = Int4(device, sums) if name == "int4" else Int8(device, sums)
    return Linears(device, sums, bits=bits, shelf=Shelf(folder, keep))


def matrix_linear(kernel: type[Matrix], kept: Kept, bias: Tensor | None) -> Linear:
    """By a kernel, or by plain torch if the matrix has no place in it."""
    try:
        matrix = kernel(kept)
    except ValueError:
        matrix = Matrix(kept)
    return lambda x: matrix(x, bias)


def plain_linear(weight: Tensor, bias: Tensor | None) -> Linear:
    """As torch has it."""
    return lambda x: nn.functional.linear(x, weight, bias)


def packed_linear(weight: Tensor, bias: Tensor | None) -> Linear:
    """bfloat16 in oneDNN's own order; the same bits as torch's (engines/local/net/packed.py)."""
    packed = torch.ops.mkldnn._reorder_linear_weight(weight, 1)
    product = torch.ops.mkldnn._linear_pointwise
    return lambda x: product(x, packed, bias, "none", [], "")


def half_linear(weight: Tensor, bias: Tensor | None) -> Linear:
    """16-bit weights with float32 sums; as plain float32 if they are not finite."""
    try:
        product = HalfProduct(weight)
    except ValueError:
        return plain_linear(weight.float(), bias)
    return lambda x: plus(product(x), bias)


def int8_linear(weight: Tensor, scale: Tensor, bias: Tensor | None) -> Linear:
    """int8 weights (out, in) with a scale for each row; inputs keep 16 bits of each number.

    By FBGEMM where this torch has it. Elsewhere torch rounds the inputs, and each sum, to
    bfloat16; the scale is applied in float32.
    """
    if has_fbgemm():
        product = Int8Product(weight, scale)
        return lambda x: plus(product(x), bias)
    ones = torch.ones(len(scale), dtype=torch.bfloat16)
    return lambda x: plus(
        torch._weight_int8pack_mm(x.bfloat16(), weight, ones).float() * scale, bias
    )


def plus(y: Tensor, bias: Tensor | None) -> Tensor:
    """`y` with the bias, if there is one."""
    return y if bias is None else y + bias
