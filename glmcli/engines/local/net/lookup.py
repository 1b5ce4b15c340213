"""Guesses at the next ids: those that followed the same few ids the last time.

Replies repeat their prompts (names, code, quotes), and a net reads several ids in hardly more time
than one. Knows nothing of nets. Source: prompt lookup decoding (Saxena, 2023).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

RUN = 3
"""Ids that have to be the same."""
GUESSES = 8
"""Ids that are guessed at most."""
STAKE = 0.5
"""Steps that may be lost by guesses at first."""
EARNED = 0.005
"""Steps that may be lost for each step without guesses."""
STAKED = 0.5
"""The part of what right guesses saved that may be staked again; the rest is won."""
MOST_STAKE, LEAST_STAKE = 2.0, -1.0
"""Steps that may be lost after guesses that paid, and how many are made up for after a loss."""
PRICE = 0.25
"""The part of a step that a guess is thought to cost before one was tried."""
LEARNED = 0.25
"""The weight of what was measured last."""
SLOWEST_STEP = 3.0
"""A step is taken to last so many times as long as usual at most: something else came between."""


class Always:
    """Guesses are checked wherever there are some."""

    def __init__(self) -> None:
        self.checked = self.right = 0
        """Guesses so far, and how many of them were right."""

    def most(self) -> int:
        """How many guesses may be read along now."""
        return GUESSES

    def learn(self, guesses: int, right: int, seconds: float) -> None:
        """A step took so long, with so many guesses, of which so many were right."""
        self.checked += guesses
        self.right += right


class WherePaid(Always):
    """Guesses are checked as long as the time that right ones save is not lost by wrong ones.

    Counted in steps: a right guess saves one, and reading it along costs a part of one. What was
    saved may be staked again; else there is a small stake at first, and a little more by and by.
    """

    def __init__(self, may: Callable[[], bool] = lambda: True) -> None:
        """`may` is asked once, when a guess could be checked: whether it changes nothing else."""
        super().__init__()
        self._may: Callable[[], bool] | bool = may
        self._stake = STAKE
        self._price = PRICE
        self._usual_s = 0.0

    def most(self) -> int:
        """See `Always`."""
        count = min(int(max(self._stake, 0.0) / self._price), GUESSES) if self._usual_s else 0
        if count and callable(self._may):
            self._may = self._may()
        return count if self._may else 0

    def learn(self, guesses: int, right: int, seconds: float) -> None:
        """See `Always`."""
        super().learn(guesses, right, seconds)
        if not guesses:
            seconds = min(seconds, SLOWEST_STEP * (self._usual_s or seconds))
            self._usual_s += (seconds - self._usual_s) * (LEARNED if self._usual_s else 1)
            self._earn(EARNED)
            return
        cost = min(max(seconds / self._usual_s - 1, 0.0), SLOWEST_STEP * guesses)
        self._price += LEARNED * (max(cost / guesses, EARNED) - self._price)
        self._earn(STAKED * right - cost)

    def _earn(self, steps: float) -> None:
        self._stake = min(max(self._stake + steps, LEAST_STAKE), MOST_STAKE)


class Lookup:
    """The ids of a conversation so far, and where each run of them ended last."""

    def __init__(
        self,
        ids: Sequence[int],
        paid: Always | None = None,
        waits: Callable[[], bool] = lambda: False,
    ) -> None:
        """`paid` says how many guesses are worth their time, `waits` whether there are none now."""
        self._waits = waits
        self._paid = paid or Always()
        self._guesses: list[int] = []
        self._right = 0
        self._seconds: float | None = None
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
        self._right += self._guesses[self._right : self._right + 1] == [token]

    def guess(self, most: int = GUESSES) -> list[int]:
        """What may follow, so many at most; empty if these ids come for the first time."""
        if self._seconds is not None:
            self._paid.learn(len(self._guesses), self._right, self._seconds)
        end = self._ends.get(tuple(self._ids[-RUN:]))
        has_guess = end is not None and not self._waits()
        most = min(most, self._paid.most()) if has_guess else 0
        self._guesses = [] if end is None else self._ids[end : end + most]
        self._right = 0
        return self._guesses

    @property
    def is_alone(self) -> bool:
        """Whether nothing was guessed when this was asked last."""
        return not self._guesses

    def took(self, seconds: float) -> None:
        """The step with the guesses took so long."""
        self._seconds = seconds
