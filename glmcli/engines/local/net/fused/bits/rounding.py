"""Weights in 8 and in 4 bits: rounding without calibration, and the way back.

In a layout that belongs to no product: int8 has a scale for each row; int4 a scale and a zero for
each group of columns, and two neighbours in a byte, the first in its higher half.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

Kept = Mapping[str, Tensor]
"""The tensors that a matrix is kept as, by name."""
LAYOUTS = ({"weight", "scale"}, {"codes", "scale", "zero"})
"""Of int8 and of int4."""

TINY = 1e-12
"""Less than any row's largest number, so that nothing is divided by zero."""
GROUP, SMALL_GROUP = 64, 32
"""Columns that share a scale and a zero."""
ROUNDS = 3
"""More of them gain nothing."""
MIDDLE, TOP = 8, 15
"""The code that stands for the zero of a group, and the largest one."""
ROUNDED_AT_ONCE = 1 << 22
"""So many are rounded at once: each is there about eight times over meanwhile."""
SAMPLE_ROWS, GRID_DISTANCE = 64, 0.02
"""Rows in which a grid is looked for, and how near to it weights are, relative to their size, that
came from one: its scales are rounded. Others are 0.08 away from the best."""


def round_rows(weight: Tensor) -> dict[str, Tensor]:
    """`weight` (out, in) as int8, with a float32 scale for each row: weight * scale."""
    weight = weight.float()
    scale = weight.abs().amax(1).clamp_min(TINY) / 127
    return {"weight": (weight / scale[:, None]).round_().to(torch.int8), "scale": scale}


def full_rows(kept: Kept, dtype: torch.dtype) -> Tensor:
    """The weights (out, in) that int8 stands for. Each is rounded to `dtype` once."""
    numbers = kept["weight"]
    full = torch.empty(numbers.shape, dtype=dtype, device=numbers.device)
    return torch.mul(numbers, kept["scale"][:, None], out=full)


def group_for(weight: Tensor) -> int | None:
    """How many columns of a matrix should share a scale in int4; None: it cannot be in int4.

    One that was in groups of 32 before, as GGUF's Q4_1 is, gets its own grid again.
    """
    if weight.shape[1] % SMALL_GROUP:
        return None
    if weight.shape[1] % GROUP:
        return SMALL_GROUP
    step = -(-len(weight) // SAMPLE_ROWS)
    sample = weight[::step].float()
    apart = full_groups(_round_slice(sample, SMALL_GROUP, 0), torch.float32) - sample
    return SMALL_GROUP if apart.norm() <= GRID_DISTANCE * sample.norm() else GROUP


def round_groups(weight: Tensor, group: int) -> dict[str, Tensor]:
    """`weight` (out, in) as codes of 4 bits: (code - 8) * scale + zero, both bfloat16.

    First codes between the least and the largest number of a group; then, some times, the scale and
    the zero that fit these codes best, by least squares, and the codes that fit them.
    """
    rows = max(1, ROUNDED_AT_ONCE // weight.shape[1])
    parts = [_round_slice(part.float(), group, ROUNDS) for part in torch.split(weight, rows)]
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}


def full_groups(kept: Kept, dtype: torch.dtype) -> Tensor:
    """The weights (out, in) that int4 stands for."""
    return spread(split_codes(kept["codes"], dtype), kept["scale"], kept["zero"])


def split_codes(codes: Tensor, dtype: torch.dtype) -> Tensor:
    """The codes (out, in) of bytes (out, in / 2), as numbers."""
    numbers = torch.empty(*codes.shape, 2, dtype=dtype, device=codes.device)
    torch.bitwise_right_shift(codes, 4, out=numbers[..., 0])
    torch.bitwise_and(codes, TOP, out=numbers[..., 1])
    return numbers.flatten(1)


def join_codes(numbers: Tensor) -> Tensor:
    """Codes (out, in) as bytes (out, in / 2)."""
    codes = numbers.to(torch.uint8)
    return codes[:, ::2] << 4 | codes[:, 1::2]


def spread(numbers: Tensor, scale: Tensor, zero: Tensor) -> Tensor:
    """Codes (out, in) times their scales, plus their zeros: written over the codes."""
    scale, zero = scale.float()[..., None], zero.float()[..., None]
    grouped = numbers.view(len(numbers), scale.shape[1], -1)
    torch.addcmul(zero - MIDDLE * scale, grouped, scale, out=grouped)
    return numbers


def _round_slice(weight: Tensor, group: int, rounds: int) -> dict[str, Tensor]:
    parts = weight.reshape(len(weight), -1, group)
    low, high = parts.aminmax(dim=2, keepdim=True)
    scale = _rounded((high - low) / TOP).clamp_min(TINY)
    zero = _rounded(low + MIDDLE * scale)
    mean = parts.mean(2, keepdim=True)
    for _ in range(rounds):
        codes = _codes(parts, scale, zero)
        middle = codes.mean(2, keepdim=True)
        codes -= middle
        spread_out = codes.square().sum(2, keepdim=True)
        best = (codes * (parts - mean)).sum(2, keepdim=True) / spread_out.clamp_min(TINY)
        scale = _rounded(torch.where(best > TINY, best, scale))
        zero = _rounded(mean - (middle - MIDDLE) * scale)
    return {
        "codes": join_codes(_codes(parts, scale, zero).flatten(1)),
        "scale": scale[..., 0].bfloat16(),
        "zero": zero[..., 0].bfloat16(),
    }


def _codes(parts: Tensor, scale: Tensor, zero: Tensor) -> Tensor:
    return ((parts - zero) / scale).round_().add_(MIDDLE).clamp_(0, TOP)


def _rounded(numbers: Tensor) -> Tensor:
    """As they will be kept."""
    return numbers.bfloat16().float()
