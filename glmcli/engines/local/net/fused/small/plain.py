"""The small operations of a step, between the products with weights: in plain torch.

On a GPU each call of torch is a launch, and a step has more of these than of products; there
kernels of our own take their place, each for several (engines/local/net/fused/small/kernels.py).
Knows nothing of layers, nor of where keys are kept.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from glmcli.engines.local.net.fused.bits.matrices import FARTHEST, relative_error
from glmcli.engines.local.net.reader import FEW_ROWS
from glmcli.errors import first_line

TRIALS = (1, 576, 9, 3, 64), (3, 1500, 4, 2, 96)
"""Tokens, width, heads of queries and of keys, and their size, of what kernels are tried on."""
Turning = tuple[Tensor, Tensor]
"""Cosines and signed sines of places, (tokens, 1, head_size), for `rotate`."""


class Small:
    """What a step does beside the products, in as many calls of torch as it takes."""

    def norm_after(
        self, x: Tensor, y: Tensor | None, weight: Tensor, eps: float
    ) -> tuple[Tensor, Tensor]:
        """x + y, which goes on from layer to layer, and its norm: each (tokens, width)."""
        x = x if y is None else x + y
        return x, norm(x, weight, eps)

    def turned(
        self,
        heads: Tensor,
        turn: Turning,
        norms: tuple[Tensor, Tensor] | None,
        queries: int,
        eps: float,
    ) -> Tensor:
        """Queries, so many, and keys behind them, (tokens, heads, head_size), turned by places.

        `norms` are the weights of their norms, which come first, if there are any.
        """
        if norms is not None:
            normed = (
                norm(heads[:, :queries], norms[0], eps),
                norm(heads[:, queries:], norms[1], eps),
            )
            heads = torch.cat(normed, 1)
        return rotate(heads, turn)

    def gated(self, gate_up: Tensor) -> Tensor:
        """(tokens, 2 * inner) to (tokens, inner): the first half, through SiLU, times the other."""
        gate, up = gate_up.chunk(2, -1)
        return nn.functional.silu(gate) * up


def norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    """RMS norm over the last dimension; in halves rounded where transformers rounds."""
    few = FEW_ROWS if x.device.type == "cpu" else 1
    if x.dtype is torch.float32 and len(x) <= few and x.dim() == 2:
        # torch's own takes four times as long for a single row.
        sizes = torch.stack([torch.dot(row, row) for row in x])[:, None]
        return (x * sizes.mul_(1 / x.shape[1]).add_(eps).rsqrt_()).mul_(weight)
    return nn.functional.rms_norm(x, (x.shape[-1],), None, eps) * weight


def rotate(x: Tensor, turn: Turning) -> Tensor:
    """Rotary positions over (tokens, heads, size): a number and that half a head on are a pair."""
    cos, sin = turn
    return x * cos + x.roll(x.shape[-1] // 2, -1) * sin


def small_for(device: torch.device, dtype: torch.dtype) -> tuple[Small, str]:
    """The operations of a device, and why they are not its kernels; "" if they are or need not be.

    Kernels are used once they have said here what plain torch says.
    """
    if device.type != "cuda":
        return Small(), ""
    try:
        from glmcli.engines.local.net.fused.small.kernels import TritonSmall

        kernels = TritonSmall()
        apart = max(distances(kernels, device, dtype))
    except Exception as exc:  # each driver, card and compiler fails in its own way
        return Small(), first_line(exc) or type(exc).__name__
    return (kernels, "") if apart <= FARTHEST else (Small(), f"{apart:.2g}")


def distances(kernels: Small, device: torch.device, dtype: torch.dtype) -> Iterator[float]:
    """How far kernels are from plain torch on numbers that are made up, each time."""
    for name, *arguments in trials(device, dtype):
        one, other = (getattr(each, name)(*arguments) for each in (kernels, Small()))
        for found, wanted in zip(one, other, strict=True):
            yield relative_error(found.float(), wanted.float())


def trials(device: torch.device, dtype: torch.dtype) -> Iterator[tuple[Any, ...]]:
    """The names of operations, with what they are tried on."""
    random, eps = torch.Generator().manual_seed(3), 1e-5

    def some(*shape: int) -> Tensor:
        return torch.randn(shape, generator=random).to(device, dtype)

    for tokens, width, queries, keys, size in TRIALS:
        for y in (None, some(tokens, width)):
            yield "norm_after", some(tokens, width), y, some(width), eps
        for norms in (None, (some(size), some(size))):
            # As in a step, where values lie behind the keys of each token.
            heads = some(tokens, queries + 2 * keys, size)[:, : queries + keys]
            turn = some(tokens, 1, size), some(tokens, 1, size)
            yield "turned", heads, turn, norms, queries, eps
        yield "gated", some(tokens, 2 * width)
