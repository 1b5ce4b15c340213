"""Linear layers for the fused decoder: the same product in whatever order is fastest here.

Knows nothing of what the layers are for. Shapes: (tokens, in) to (tokens, out).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Self

import torch
from torch import Tensor, nn

from glmcli.engines.local.net.fused.decoder import Linear
from glmcli.engines.local.net.fused.fbgemm import HalfProduct, Int8Product, has_fbgemm
from glmcli.engines.local.net.fused.int8 import Shelf, quantized_rows
from glmcli.engines.local.net.packed import can_pack, fits_packing

Read = Callable[[], Tensor]
"""Reads a layer's weights, (out, in), from a checkpoint."""


class Linears:
    """Makes the layers of one net, and counts what they hold. With a shelf they are int8."""

    def __init__(
        self,
        device: str,
        dtype: torch.dtype,
        sums: torch.dtype | None = None,
        shelf: Shelf | None = None,
    ) -> None:
        self._packs = device == "cpu" and dtype is torch.bfloat16 and can_pack()
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

    def make(self, place: str, read: Read, bias: Tensor | None) -> Linear:
        """The layer that is called `place`; its weights are read only if they are needed."""
        if self._shelf is not None:
            return self._int8(self._shelf, place, read, bias)
        weight = read()
        self.weight_bytes += weight.nbytes
        if self.sums is not self.dtype:
            return half_linear(weight, bias)
        if self._packs and fits_packing(weight):
            return packed_linear(weight, bias)
        return plain_linear(weight, bias)

    def _int8(self, shelf: Shelf, place: str, read: Read, bias: Tensor | None) -> Linear:
        kept = shelf.get(place)
        weight, scale = kept or quantized_rows(read())
        if kept is None:
            shelf.put(place, weight, scale)
        self.weight_bytes += weight.nbytes
        return int8_linear(weight, scale, bias)


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
