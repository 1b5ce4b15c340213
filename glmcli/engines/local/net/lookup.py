"""Guesses at the next ids: those that followed the same few ids the last time.

Replies repeat their prompts (names, code, quotes), and a net reads several ids in hardly more time
than one. Knows nothing of nets. Source: prompt lookup decoding (Saxena, 2023).
"""

from __future__ import annotations

from collections.abc import Sequence

RUN = 3
"""Ids that have to be the same."""
GUESSES = 8
"""Ids that are guessed at most."""


class Lookup:
    """The ids of a conversation so far, and where each run of them ended last."""

    def __init__(self, ids: Sequence[int]) -> None:
        self._ids: list[int] = []
        self._ends: dict[tuple[int, ...], int] = {}
        for token in ids:
            self.add(token)

    def add(self, token: int) -> None:
        """One more id. A run is known once something has followed it."""
        run = tuple(self._ids[-RUN:])
        if len(run) == RUN:
            self._ends[run] = len(self._ids)
        self._ids.append(token)

    def guess(self) -> list[int]:
        """What may follow; empty if these ids come for the first time."""
        end = self._ends.get(tuple(self._ids[-RUN:]))
        return [] if end is None else self._ids[end : end + GUESSES]
