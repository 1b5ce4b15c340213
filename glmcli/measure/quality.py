"""How far a net in fewer bits is from the same net in full: what each expects after every token.

Both read the same ids as they do in a chat: the first half in blocks, like a prompt, the rest one
at a time, like a reply. One net is in memory at a time; the first one's scores wait in a temporary
file. Knows nothing of tables or options.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from typing import Any

from glmcli.config import Settings
from glmcli.engines import open_engine
from glmcli.engines.local.net.divergence import Divergence, Scores, next_row
from glmcli.errors import UsageError
from glmcli.types import Message, Report

BLOCK = 64
"""Ids of the first half that are read at once: few, since the scores of all of them are kept."""
Tell = Callable[[int, int], None]
"""Called with the number of ids that are read, and of all ids."""


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


def read(engine: Any, ids: Sequence[int]) -> Iterator[Scores]:
    """The scores after each id: float32, (vocabulary,), in main memory."""

    engine._cache.clear()
    half = len(ids) // 2
    for start in range(0, half, BLOCK):
        block = ids[start : min(start + BLOCK, half)]
        yield from engine._cache.read_each(block, last=len(block)).cpu()

    def singles() -> Generator[Scores, None, None]:
        for token in ids[half:]:
            yield engine._cache.read([token]).cpu()

    # As in a reply: a busy neighbour must not make this ten times slower.
    yield from engine._pace.paced(singles())
