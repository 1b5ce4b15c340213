"""Matrices in few bits, and their products: in plain torch, which runs anywhere.

A kernel for some device is a matrix of its own that says up to how many tokens it is used; beyond
them the weights are made whole for the moment, which many tokens pay for. Before it is used at all
it must say in a small product what plain torch says. Knows nothing of what the layers are for.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from glmcli.engines.local.net.fused.bits.rounding import (
    Kept,
    full_groups,
    full_rows,
    round_groups,
    round_rows,
)
from glmcli.errors import first_line

TRIAL_SHAPE = (32, 256)
"""The shape of the matrix that a kernel is tried on."""
FARTHEST = 0.01
"""How far a kernel's results may be from plain torch's: both are rounded to 16 bits."""


class Matrix:
    """Weights (out, in) as they are kept, multiplied with by making them whole."""

    most_tokens = 0
    """Up to so many `few` is used."""

    def __init__(self, kept: Kept) -> None:
        """Raises ValueError if a kernel has no place for a matrix of this shape."""
        self._kept = kept

    def full(self, dtype: torch.dtype) -> Tensor:
        """The weights that they stand for."""
        kept = self._kept
        return full_groups(kept, dtype) if "codes" in kept else full_rows(kept, dtype)

    def few(self, x: Tensor) -> Tensor:
        """The products of a few tokens."""
        raise NotImplementedError

    def __call__(self, x: Tensor, bias: Tensor | None = None) -> Tensor:
        """(tokens, in) to (tokens, out)."""
        if len(x) > self.most_tokens:
            return nn.functional.linear(x, self.full(x.dtype), bias)
        y = self.few(x)
        return y if bias is None else y + bias


def trial_matrix(*, codes: bool) -> dict[str, Tensor]:
    """A small matrix to try a kernel on."""
    weight = torch.randn(TRIAL_SHAPE, generator=torch.Generator().manual_seed(1))
    return round_groups(weight, 64) if codes else round_rows(weight)


def failure_of(kernel: type[Matrix], device: str, dtype: torch.dtype, *, codes: bool) -> str:
    """Why a kernel cannot be used on a device, in a few words; "" if it says what it should."""
    kept = trial_matrix(codes=codes)
    plain = Matrix(kept).full(torch.float32)
    x = torch.randn(kernel.most_tokens, TRIAL_SHAPE[1], generator=torch.Generator().manual_seed(2))
    try:
        matrix = kernel({name: tensor.to(device) for name, tensor in kept.items()})
        inputs = x.to(device, dtype)
        apart = relative_error(matrix.full(torch.float32).cpu(), plain)
        for count in range(1, len(x) + 1):
            y = matrix.few(inputs[:count])
            wanted = inputs[:count].cpu().float() @ plain.T
            apart = max(apart, relative_error(y.cpu().float(), wanted))
    except Exception as exc:  # each driver, card and compiler fails in its own way
        return first_line(exc) or type(exc).__name__
    return "" if apart <= FARTHEST else f"{apart:.2g}"


def relative_error(found: Tensor, wanted: Tensor) -> float:
    """How far numbers are from the wanted ones, relative to their size."""
    apart = float((found - wanted).norm() / wanted.norm())
    return apart if apart == apart else float("inf")
