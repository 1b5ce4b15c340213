"""Products by FBGEMM, a library in torch: of int8 with int8, and of float32 with 16-bit weights.

What it does on this processor is found by trying: which instructions it looks for is its own
affair. Shapes: (tokens, in) to (tokens, out). Knows nothing of what the layers are for.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch
from torch import Tensor

from glmcli.engines.local.net.fused.bits.rounding import TINY

WIDE, NARROW = (127, 128), (63, 64)
"""The largest number that goes into a product of bytes, and the zero point that is added to it."""
TOP_POWER = 15
"""The largest number of a row of halves becomes less than two to the power of it."""
LOWEST_POWER = -100
"""Rows with less than two to the power of it are as good as zero, and float32 ends at -126."""
SLICE_NUMBERS = 1 << 24
"""Weights that are in memory as float32 at once while halves are packed."""


def has_fbgemm() -> bool:
    """Whether this torch multiplies int8 with int8 on this processor."""
    return "fbgemm" in torch.backends.quantized.supported_engines


@contextmanager
def by_fbgemm() -> Iterator[None]:
    """Have FBGEMM pack weights, and say nothing: quantised tensors may go, the products stay."""
    engine = torch.backends.quantized.engine
    try:
        torch.backends.quantized.engine = "fbgemm"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        torch.backends.quantized.engine = engine


class Int8Product:
    """Products of int8 with int8; sums are exact, so they depend on no other token.

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
    with by_fbgemm():
        rows = torch._make_per_channel_quantized_tensor(weight, scale.double(), zeros, 0)
        return torch.ops.quantized.linear_prepack(rows, None)


def multiply(numbers: Tensor, zero: int, packed: Any) -> Tensor:
    """Products of whole numbers of 8 bits, to which FBGEMM adds `zero` before it multiplies."""
    product = torch.ops.quantized.linear_with_input_q_dq_qweight_dq_output_fp32
    y: Tensor = product(numbers, 1.0, zero, packed)
    return y


@cache
def sums_are_wide() -> bool:
    """Whether the sums of int8 hold whole bytes here. AVX-VNNI, for one, does not count."""
    packed = packed_rows(torch.full((1, 64), 127, dtype=torch.int8), torch.ones(1))
    return float(multiply(torch.full((1, 64), 127.0), WIDE[1], packed)) == 64 * 127 * 127


class HalfProduct:
    """Products of float32 with 16-bit weights (out, in), which stay 16-bit; sums are float32.

    FBGEMM knows float16 only. Each row is multiplied by a power of two before it becomes that, and
    its sums by the inverse, both exactly: so bfloat16 of any size fits, and what float16 lacks at
    its lower end is less than 2**-39 of the row's largest number.
    """

    def __init__(self, weight: Tensor) -> None:
        """Raises ValueError for weights that are not finite."""
        low, high = weight.aminmax(dim=1)
        largest = torch.maximum(high, -low).float()
        if not torch.isfinite(largest).all():
            raise ValueError("weights are not finite")
        powers = (TOP_POWER - torch.frexp(largest).exponent).clamp_max(-LOWEST_POWER)
        factors = torch.ldexp(torch.ones(len(weight)), powers)
        self._sizes = 1 / factors
        rows = max(1, SLICE_NUMBERS // weight.shape[1])
        pairs = zip(torch.split(weight, rows), torch.split(factors[:, None], rows), strict=True)
        self._parts = [packed_halves(part.float().mul_(factor)) for part, factor in pairs]

    def __call__(self, x: Tensor) -> Tensor:
        """(tokens, in) to (tokens, out), in float32."""
        products = [multiply_halves(x, part) for part in self._parts]
        y = torch.cat(products, 1) if len(products) > 1 else products[0]
        return y.mul_(self._sizes)

    def unpacked(self) -> Tensor:
        """The weights (out, in) as float32."""
        parts = [torch.ops.quantized.linear_unpack_fp16(part)[0] for part in self._parts]
        return torch.cat(parts).mul_(self._sizes[:, None])


def packed_halves(weight: Tensor) -> Any:
    """float32 weights (out, in) as float16 in FBGEMM's own order."""
    with by_fbgemm():
        return torch.ops.quantized.linear_prepack_fp16(weight, None)


def multiply_halves(x: Tensor, packed: Any) -> Tensor:
    """Products of float32 with packed halves."""
    y: Tensor = torch.ops.quantized.linear_dynamic_fp16(x, packed)
    return y


@cache
def has_halves() -> bool:
    """Whether FBGEMM multiplies float32 with halves here, and rounds nothing but the sums."""
    weight = torch.diag(torch.tensor([1.0, 2047.0, 2.0**-14, 65504.0] * 16))
    x = torch.tensor([1 + 2.0**-23, 1 + 2.0**-12, 3.0, 1 + 2.0**-12] * 16).expand(2, -1)
    try:
        packed = packed_halves(weight)
        found = [multiply_halves(x[:count], packed) for count in (1, 2)]
    except (AttributeError, RuntimeError):  # no such operation; none for this processor
        return False
    return all(torch.equal(y, x[: len(y)] * weight.diagonal()) for y in found)
