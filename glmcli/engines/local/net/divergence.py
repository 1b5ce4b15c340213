"""How far two nets' expectations are apart, token by token.

Knows nothing of where the nets come from.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import IO

import torch

Scores = torch.Tensor
"""Of one position: float32, (vocabulary,)."""


@dataclass(frozen=True, slots=True)
class Quality:
    """How much worse one net predicts than another, over the positions of a text."""

    positions: int
    mean: float
    """Mean Kullback-Leibler divergence of the reduced net from the full one, in nats."""
    p99: float
    """Its 99th percentile."""
    worst: float
    same_best: float
    """Share of positions where both expect the same token most."""


class Divergence:
    """Collects the divergence at each position, so that an interrupt loses nothing."""

    def __init__(self) -> None:
        self._nats: list[float] = []
        self._agreed = 0

    def add(self, full: torch.Tensor, reduced: torch.Tensor) -> None:
        """Compare the scores (vocabulary,) at the next position."""
        expected = full.double().log_softmax(-1)
        given = reduced.double().log_softmax(-1)
        shares = expected.exp()
        lost = torch.where(shares > 0, shares * (expected - given), 0.0)  # 0 log 0 is 0
        self._nats.append(float(lost.sum().clamp(min=0)))
        self._agreed += int(full.argmax()) == int(reduced.argmax())

    def result(self) -> Quality | None:
        """What was found so far; None before the first position."""
        if not self._nats:
            return None
        nats = torch.tensor(self._nats, dtype=torch.float64)
        return Quality(
            positions=len(self._nats),
            mean=float(nats.mean()),
            p99=float(nats.quantile(0.99)),
            worst=float(nats.max()),
            same_best=self._agreed / len(self._nats),
        )


def next_row(file: IO[bytes], vocabulary: int) -> torch.Tensor:
    """The next position's scores, as they were written."""
    return torch.frombuffer(bytearray(file.read(4 * vocabulary)), dtype=torch.float32)
