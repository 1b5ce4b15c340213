"""How far a net in fewer bits is from the same net in full: what each expects after every token.

Both read the same ids as they do in a chat: the first half in blocks, like a prompt, the rest one
at a time, like a reply. One net is in memory at a time; the first one's scores wait in a temporary
file. Knows nothing of tables or options.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import IO, Any

import torch

from glmcli.config import Settings
from glmcli.engines import open_engine
from glmcli.errors import UsageError
from glmcli.types import Message, Report

BLOCK = 64
"""Ids of the first half that are read at once: few, since the scores of all of them are kept."""
Tell = Callable[[int, int], None]
"""Called with the number of ids that are read, and of all ids."""


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


def compare(
    full: Settings, reduced: Settings, text: str, found: Divergence, report: Report, tell: Tell
) -> None:
    """Let both nets read `text` as a user's message, the full one first. Adds to `found`.

    Raises UsageError if the two write the text in different ids; else what opening one raises.
    """
    with tempfile.TemporaryFile() as file:
        with closing(open_engine(full, report)) as engine:
            ids = ids_of(engine, text)
            for number, scores in enumerate(read(engine, ids)):
                file.write(scores.numpy().tobytes())
                tell(number + 1, 2 * len(ids))
        file.seek(0)
        with closing(open_engine(reduced, report)) as engine:
            if ids_of(engine, text) != ids:
                raise UsageError("the two write the text in different ids", "compare one model")
            for number, scores in enumerate(read(engine, ids)):
                found.add(next_row(file, len(scores)), scores)
                tell(len(ids) + number + 1, 2 * len(ids))


def ids_of(engine: Any, text: str) -> list[int]:
    """The prompt that a text makes, as far as the window goes."""
    ids: list[int] = engine._template.encode([Message("user", text)]).ids
    return ids[: engine.context_tokens]


def read(engine: Any, ids: Sequence[int]) -> Iterator[torch.Tensor]:
    """The scores after each id: float32, (vocabulary,), in main memory."""

    engine._cache.clear()
    half = len(ids) // 2
    for start in range(0, half, BLOCK):
        block = ids[start : min(start + BLOCK, half)]
        yield from engine._cache.read_each(block, last=len(block)).cpu()

    def singles() -> Generator[torch.Tensor, None, None]:
        for token in ids[half:]:
            yield engine._cache.read([token]).cpu()

    # As in a reply: a busy neighbour must not make this ten times slower.
    yield from engine._pace.paced(singles())


def next_row(file: IO[bytes], vocabulary: int) -> torch.Tensor:
    """The next position's scores, as they were written."""
    return torch.frombuffer(bytearray(file.read(4 * vocabulary)), dtype=torch.float32)
