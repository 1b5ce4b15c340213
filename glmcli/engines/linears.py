"""Linear layers for the fused decoder: the same product in whatever order is fastest here.

Knows nothing of what the layers are for. Shapes: (tokens, in) to (tokens, out).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Self

import torch
from torch import Tensor, nn

from glmcli.engines.machine import has_vnni
from glmcli.engines.packed import can_pack, fits_packing
from glmcli.engines.quantized import TINY, Shelf, quantized_rows

Linear = Callable[[Tensor], Tensor]
Read = Callable[[], Tensor]
"""Reads a layer's weights, (out, in), from a checkpoint."""


class Linears:
    """Makes the layers of one net, and counts what they hold. With a shelf they are int8."""

    def __init__(self, device: str, dtype: torch.dtype, shelf: Shelf | None = None) -> None:
        self._packs = device == "cpu" and dtype is torch.bfloat16 and can_pack()
        self._shelf = shelf
        self.dtype = dtype
        """Of all sums."""
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
        if self._packs and fits_packing(weight):
            return packed_linear(weight, bias)
        return plain_linear(weight, bias)

    def _int8(self, shelf: Shelf, place: str, read: Read, bias: Tensor | None) -> Linear:
        if shelf.is_full:
            weight, scale = shelf.get(place)
        else:
            weight, scale = quantized_rows(read())
            shelf.put(place, weight, scale)
        self.weight_bytes += weight.nbytes
        return int8_linear(weight, scale, bias)


def plain_linear(weight: Tensor, bias: Tensor | None) -> Linear:
    """As torch has it."""
    return lambda x: nn.functional.linear(x, weight, bias)


def packed_linear(weight: Tensor, bias: Tensor | None) -> Linear:
    """bfloat16 in oneDNN's own order; the same bits as torch's (packed.py)."""
    packed = torch.ops.mkldnn._reorder_linear_weight(weight, 1)
    product = torch.ops.mkldnn._linear_pointwise
    return lambda x: product(x, packed, bias, "none", [], "")


def int8_linear(weight: Tensor, scale: Tensor, bias: Tensor | None) -> Linear:
    """int8 weights (out, in) with a scale for each row, in float32 otherwise.

    The numbers that come in are rounded to 8 bits as well, each token by itself, where the
    processor multiplies int8 (FBGEMM); elsewhere they are not.
    """
    if "fbgemm" in torch.backends.quantized.supported_engines:
        return fbgemm_linear(weight, scale, bias)
    small = scale.bfloat16()

    def weight_only(x: Tensor) -> Tensor:
        y = torch._weight_int8pack_mm(x.bfloat16(), weight, small).float()
        return y if bias is None else y + bias

    return weight_only


def fbgemm_linear(weight: Tensor, scale: Tensor, bias: Tensor | None) -> Linear:
    """int8 times int8 by FBGEMM."""
    narrow = not has_vnni()  # without VNNI sums of two products overflow: 7 bits for what comes in
    zeros = torch.zeros(len(scale), dtype=torch.long)
    engine = torch.backends.quantized.engine
    try:
        torch.backends.quantized.engine = "fbgemm"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # says that quantised tensors, not the product, may go
            rows = torch._make_per_channel_quantized_tensor(weight, scale.double(), zeros, 0)
            packed = torch.ops.quantized.linear_prepack(rows, None)
    finally:
        torch.backends.quantized.engine = engine
    product = torch.ops.quantized.linear_dynamic

    def int8(x: Tensor) -> Tensor:
        y: Tensor
        if x.shape[0] == 1:
            y = product(x, packed, narrow)
        else:  # one scale serves all tokens of a call: each is brought to the same size before
            sizes = x.abs().amax(-1, keepdim=True).clamp_min(TINY)
            y = product(x / sizes, packed, narrow) * sizes
        return y if bias is None else y + bias

    return int8
