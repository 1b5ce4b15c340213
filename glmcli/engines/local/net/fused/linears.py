"""Linear layers for the fused decoder: the same product in whatever order is fastest here.

Knows nothing of what the layers are for. Shapes: (tokens, in) to (tokens, out).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import cache
from typing import Any, Self

import torch
from torch import Tensor, nn

from glmcli.engines.local.net.fused.decoder import Linear
from glmcli.engines.local.net.fused.int8 import TINY, Shelf, quantized_rows
from glmcli.engines.local.net.packed import can_pack, fits_packing

Read = Callable[[], Tensor]
"""Reads a layer's weights, (out, in), from a checkpoint."""
WIDE, NARROW = (127, 128), (63, 64)
"""The largest number that goes into a product of bytes, and the zero point that is added to it."""


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


def has_fbgemm() -> bool:
    """Whether this torch multiplies int8 with int8 on this processor."""
    return "fbgemm" in torch.backends.quantized.supported_engines


def plus(y: Tensor, bias: Tensor | None) -> Tensor:
    """`y` with the bias, if there is one."""
    return y if bias is None else y + bias


class Int8Product:
    """Products of int8 with int8 by FBGEMM; sums are exact, so they depend on no other token.

    Each token goes in as two rows: rounded to 8 bits, and what that left, in 8 bits as well. FBGEMM
    adds a zero point to make bytes of both, and without AVX512-VNNI sums two products in 16 bits,
    which holds 2 * (63 + 64) * 127 but not 2 * (127 + 128) * 127: there, one bit less and a zero
    point of 64.
    """

    def __init__(self, weight: Tensor, scale: Tensor, *, is_wide: bool | None = None) -> None:
        """`is_wide` says whether sums are exact for whole bytes; None: as found here."""
        is_wide = sums_are_wide() if is_wide is None else is_wide
        self._top, self._zero = WIDE if is_wide else NARROW
        self._packed = packed_rows(weight, scale)

    def __call__(self, x: Tensor) -> Tensor:
        """(tokens, in) to (tokens, out), in float32."""
        sizes = x.abs().amax(-1, keepdim=True).clamp_min(TINY) / self._top
        numbers = x / sizes
        high = numbers.round()
        low = (numbers - high) * (2 * self._top)
        both = multiply(torch.cat((high, low)), self._zero, self._packed)
        y_high, y_low = both.chunk(2)
        return torch.add(y_high, y_low, alpha=0.5 / self._top).mul_(sizes)


def packed_rows(weight: Tensor, scale: Tensor) -> Any:
    """int8 weights (out, in) in FBGEMM's own order."""
    zeros = torch.zeros(len(scale), dtype=torch.long)
    engine = torch.backends.quantized.engine
    try:
        torch.backends.quantized.engine = "fbgemm"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # quantised tensors may go, the products stay
            rows = torch._make_per_channel_quantized_tensor(weight, scale.double(), zeros, 0)
            return torch.ops.quantized.linear_prepack(rows, None)
    finally:
        torch.backends.quantized.engine = engine


def multiply(numbers: Tensor, zero: int, packed: Any) -> Tensor:
    """Products of whole numbers of 8 bits, to which FBGEMM adds `zero` before it multiplies."""
    product = torch.ops.quantized.linear_with_input_q_dq_qweight_dq_output_fp32
    y: Tensor = product(numbers, 1.0, zero, packed)
    return y


@cache
def sums_are_wide() -> bool:
    """Whether FBGEMM's sums hold whole bytes on this processor, found by trying.

    Which instructions it looks for is its own affair: AVX-VNNI, for one, does not count.
    """
    packed = packed_rows(torch.full((1, 64), 127, dtype=torch.int8), torch.ones(1))
    return float(multiply(torch.full((1, 64), 127.0), WIDE[1], packed)) == 64 * 127 * 127
