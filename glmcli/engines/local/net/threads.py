"""How many processor threads to use: tried on the tokens of real replies, the fastest kept.

Two busy threads can be ten times slower than one when another process wants a core, and on an idle
machine they are faster, so nothing but measuring helps. Knows nothing of torch.
"""

from __future__ import annotations

import os
import statistics
import time
from collections import deque
from collections.abc import Callable, Generator
from typing import TypeVar

_T = TypeVar("_T")
_Item = TypeVar("_Item")

TRIAL_TOKENS = 4
"""Tokens for each count in a trial; the first is not timed, since the threads have to wake up."""
RECENT_TOKENS = 8
SLOWER = 2.0
"""A new trial begins when tokens take so many times as long as they did after the last one."""


AGAIN_TOKENS = 400
"""After so many tokens a trial is due in any case: a busy neighbour may have left."""


class Pace:
    """Chooses among `counts` of threads by calling `set_threads`: the largest for the first prompt.

    Then the smallest is tried first: with it nothing can go very wrong.
    """

    def __init__(
        self,
        counts: list[int],
        set_threads: Callable[[int], None],
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._counts = sorted(set(counts))
        self._set_threads = set_threads
        self._clock = clock
        self._recent: deque[float] = deque(maxlen=RECENT_TOKENS)
        self._usual_s = 0.0
        self._since_trial = 0
        self._trial: dict[int, float] = {}
        self._trying: int | None = None
        set_threads(self._counts[-1])

    def paced(self, ids: Generator[_Item, None, _T]) -> Generator[_Item, None, _T]:
        """The same ids; the time that each of them takes is learned from, but for the first."""
        if self._trying is None and not self._trial:
            self._begin_trial()
        is_first = True
        while True:
            started = self._clock()
            try:
                token = next(ids)
            except StopIteration as end:
                ending: _T = end.value
                return ending
            if not is_first:
                self._learn(self._clock() - started)
            is_first = False
            yield token

    def _begin_trial(self) -> None:
        self._trial = {}
        self._since_trial = 0
        self._try_next()

    def _try_next(self) -> None:
        left = [count for count in self._counts if count not in self._trial]
        self._recent.clear()
        if left and len(self._counts) > 1:
            self._trying = left[0]
            self._set_threads(left[0])
            return
        self._trying = None
        if self._trial:
            best = min(self._trial, key=lambda count: self._trial[count])
            self._usual_s = self._trial[best]
            self._set_threads(best)

    def _learn(self, seconds: float) -> None:
        self._recent.append(seconds)
        if self._trying is not None:
            slow = self._trial and seconds > SLOWER * min(self._trial.values())
            if len(self._recent) == TRIAL_TOKENS or (slow and len(self._recent) > 1):
                self._trial[self._trying] = statistics.median(list(self._recent)[1:])
                self._try_next()
            return
        self._since_trial += 1
        is_slow = len(self._recent) == RECENT_TOKENS and (
            statistics.median(self._recent) > SLOWER * self._usual_s
        )
        if len(self._counts) > 1 and (is_slow or self._since_trial >= AGAIN_TOKENS):
            self._begin_trial()


def make_pace(wanted: int | None, device: str) -> Pace:
    """The choice of processor threads: `wanted`, or whatever decodes fastest; 1, half or all."""
    import torch

    if wanted is not None:
        most = max(os.cpu_count() or 1, torch.get_num_threads())
        return Pace([min(wanted, most)], torch.set_num_threads)
    cores = torch.get_num_threads()
    counts = [1, max(cores // 2, 1), cores] if device == "cpu" else [cores]
    return Pace(counts, torch.set_num_threads)


def threads_in_use() -> int:
    """The number of processor threads that torch uses now."""
    import torch

    return torch.get_num_threads()
