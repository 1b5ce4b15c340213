"""Linear layers for the fused decoder: the same product in whatever order is fastest here.

Knows nothing of what the layers are for. Shapes: (tokens, in) to (tokens, out).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Self

import torch
from torch import Tensor, nn

from glmcli.engines.fused import Linear
from glmcli.engines.machine import has_vnni
from glmcli.engines.packed import can_pack, fits_packing
from glmcli.engines.quantized import TINY, Shelf, quantized_rows

Read = Callable[[], Tensor]
"""Reads a layer's weights, (out, in), from a checkpoint."""


class Linears:
    """Makes the layers of one net, and counts what they hold. With a shelf they are int8."""

    def __init__(
        self, device: str, dtype: torch.dtype, shelf: Shelf | None = None, *, fine: bool = False
    ) -> None:
        self._packs = device == "cpu" and dtype is torch.bfloat16 and can_pack()
        self._shelf = shelf
        self._fine = fine
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
        kept = shelf.get(place)
        weight, scale = kept or quantized_rows(read())
        if kept is None:
            shelf.put(place, weight, scale)
        self.weight_bytes += weight.nbytes
        return int8_linear(weight, scale, bias, fine=self._fine or place == "head")


def plain_linear(weight: Tensor, bias: Tensor | None) -> Linear:
    """As torch has it."""
    return lambda x: nn.functional.linear(x, weight, bias)


def packed_linear(weight: Tensor, bias: Tensor | None) -> Linear:
    """bfloat16 in oneDNN's own order; the same bits as torch's (packed.py)."""
    packed = torch.ops.mkldnn._reorder_linear_weight(weight, 1)
    product = torch.ops.mkldnn._linear_pointwise
    return lambda x: product(x, packed, bias, "none", [], "")


def int8_linear(weight: Tensor, scale: Tensor, bias: Tensor | None, *, fine: bool) -> Linear:
    """int8 weights (out, in) with a scale for each row, in float32 otherwise.

    Where the processor multiplies int8 (FBGEMM), what comes in is rounded too: to 16 bits, or to 8
    for a single token unless `fine`, which is quicker.
    """
    if has_fbgemm():
        product = Int8Product(weight, scale)
        return lambda x: plus(product.fine(x) if fine or len(x) > 1 else product.quick(x), bias)
    small = scale.bfloat16()
    return lambda x: plus(torch._weight_int8pack_mm(x.bfloat16(), weight, small).float(), bias)


def has_fbgemm() -> bool:
    """Whether this torch multiplies int8 with int8 on this processor."""
    return "fbgemm" in torch.backends.quantized.supported_engines


def plus(y: Tensor, bias: Tensor | None) -> Tensor:
    """`y` with the bias, if there is one."""
    return y if bias is None else y + bias


class Int8Product:
    """Products of int8 with int8 by FBGEMM; sums are exact, so they depend on no other token."""

    def __init__(self, weight: Tensor, scale: Tensor) -> None:
        # Without VNNI sums of two products overflow: one bit less for what comes in.
        self._is_narrow = not has_vnni()
        self._top = 63 if self._is_narrow else 127
        zeros = torch.zeros(len(scale), dtype=torch.long)
        engine = torch.backends.quantized.engine
        try:
            torch.backends.quantized.engine = "fbgemm"
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # quantised tensors may go, the products stay
                rows = torch._make_per_channel_quantized_tensor(weight, scale.double(), zeros, 0)
                self._packed = torch.ops.quantized.linear_prepack(rows, None)
        finally:
            torch.backends.quantized.engine = engine

    def quick(self, x: Tensor) -> Tensor:
        """One token, (1, in), rounded to 8 bits by the product itself."""
        y: Tensor = torch.ops.quantized.linear_dynamic(x, self._packed, self._is_narrow)
        return y

    def fine(self, x: Tensor) -> Tensor:
        """Each token in two rows: rounded to 8 bits, and what that left, in 8 bits as well."""
        sizes = x.abs().amax(-1, keepdim=True).clamp_min(TINY) / self._top
        numbers = x / sizes
        high = numbers.round()
        low = (numbers - high) * (2 * self._top)
        both = torch.ops.quantized.linear_with_input_q_dq_qweight_dq_output_fp32(
            torch.cat((high, low)), 1.0, 128, self._packed
        )
        y_high, y_low = both.chunk(2)
        return torch.add(y_high, y_low, alpha=0.5 / self._top).mul_(sizes)
