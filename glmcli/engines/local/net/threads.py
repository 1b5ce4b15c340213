"""How many processor threads to use: tried on the tokens of real replies, the fastest kept.

Two busy threads can be ten times slower than one when another process wants a core, and on an idle
machine they are faster, so nothing but measuring helps: the time of tokens, and of the blocks of a
prompt, which differ in size, how much of the cores there was for them. Knows nothing of torch.
"""

from __future__ import annotations

import functools
import os
import statistics
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator
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
OTHER_TOKENS = 64
"""After so many tokens of other replies the one that was learned from is not waited for."""
SHARE, POOR_BLOCKS = 0.7, 2
"""Of the processor time that the threads could have; with less in so many blocks of a prompt one
after the other, others want the cores."""
SHORTEST_S = 0.01
"""What takes less at the end of a prompt was no block."""
AGAIN_BLOCKS = 16
"""After so many blocks of a prompt more threads are tried again."""


class BlockCount:
    """The number of threads for the blocks of prompts: fewer while others want the cores."""

    def __init__(self, counts: list[int]) -> None:
        self._counts = sorted(set(counts))
        self.now = self._counts[-1]
        self._since_fewer = self._poor = 0
        self._has_read = False

    def learn(self, seconds: float, taken_s: float) -> None:
        """A block took so long, and so much processor time: of a short prompt, or of a long one."""
        self._since_fewer += 1
        is_poor = self._has_read and taken_s < SHARE * self.now * seconds
        self._has_read = True  # what the first one waits for may be the disk
        self._poor = self._poor + 1 if is_poor else 0
        if self._poor == POOR_BLOCKS and self.now > self._counts[0]:
            fewer = [count for count in self._counts if count < self.now]
            had = taken_s / seconds
            self._go_on_with(min(fewer, key=lambda count: abs(count - had)))
        elif self._since_fewer >= AGAIN_BLOCKS and self.now < self._counts[-1]:
            self._go_on_with(self._counts[-1])

    def _go_on_with(self, count: int) -> None:
        self.now, self._since_fewer, self._poor = count, 0, 0


class Pace:
    """Chooses among `counts` of threads by calling `set_threads`: the largest for the first prompt.

    For tokens the smallest is then tried first: with it nothing can go very wrong.
    """

    def __init__(
        self,
        counts: list[int],
        set_threads: Callable[[int], None],
        clock: Callable[[], float] = time.perf_counter,
        taken: Callable[[], float] = time.process_time,
        blocks: BlockCount | None = None,
    ) -> None:
        """`blocks`: what was learned from prompts elsewhere; of tokens it is learned here."""
        self._counts = sorted(set(counts))
        self._set_threads = set_threads
        self._clock = clock
        self._taken = taken
        self._recent: deque[float] = deque(maxlen=RECENT_TOKENS)
        self._usual_s = 0.0
        self._since_trial = 0
        self._trial: dict[int, float] = {}
        self._trying: int | None = None
        self.blocks = blocks or BlockCount(counts)
        self._for_tokens = self._counts[-1]
        self._teacher: object = None
        """The reply that is learned from: tokens of others, made in turn with it, cost others."""
        self._since_taught = 0
        set_threads(self._for_tokens)

    def reading(self, blocks: Iterator[_Item]) -> Iterator[_Item]:
        """The same blocks of prompts, read by fewer threads while others want the cores.

        What waits at the end of each product for a thread that has no core burns another one.
        Between blocks tokens of other replies may be made, with their own threads.
        """
        while True:
            self._set_threads(self.blocks.now)
            started, taken = self._clock(), self._taken()
            try:
                block = next(blocks, None)
            finally:
                seconds, taken = self._clock() - started, self._taken() - taken
                self._set_threads(self._for_tokens)
            if block is not None or seconds > SHORTEST_S:
                self.blocks.learn(seconds, taken)
            if block is None:  # behind the last one comes the rest, of a short prompt all of it
                return
            yield block

    def _decode_with(self, count: int) -> None:
        self._for_tokens = count
        self._set_threads(count)

    @property
    def is_trying(self) -> bool:
        """Whether counts are being tried: then steps should be alike, and without guesses."""
        return self._trying is not None

    def paced(
        self, ids: Generator[_Item, None, _T], is_alone: Callable[[], bool] = lambda: True
    ) -> Generator[_Item, None, _T]:
        """The same ids; the time that each of them takes is learned from, but for the first.

        `is_alone`: whether the last one came of a step of its own. Those that were guessed take no
        time.
        """
        if self._trying is None and not self._trial:
            self._begin_trial()
        me, is_first = object(), True
        try:
            while True:
                self._set_threads(self._for_tokens)
                started = self._clock()
                try:
                    token = next(ids)
                except StopIteration as end:
                    ending: _T = end.value
                    return ending
                seconds = self._clock() - started
                if self._is_teacher(me) and not is_first and is_alone():
                    self._learn(seconds)
                is_first = False
                yield token
        finally:
            if self._teacher is me:
                self._teacher = None

    def _is_teacher(self, reply: object) -> bool:
        """Whether to learn from a reply: from a single one, until it ends or is made no more."""
        self._since_taught += 1
        if self._since_taught > OTHER_TOKENS:
            self._teacher = None
            self._recent.clear()
        self._teacher = self._teacher or reply
        if self._teacher is reply:
            self._since_taught = 0
        return self._teacher is reply

    def _begin_trial(self) -> None:
        self._trial = {}
        self._since_trial = 0
        self._try_next()

    def _try_next(self) -> None:
        left = [count for count in self._counts if count not in self._trial]
        self._recent.clear()
        if left and len(self._counts) > 1:
            self._trying = left[0]
            self._decode_with(left[0])
            return
        self._trying = None
        if self._trial:
            best = min(self._trial, key=lambda count: self._trial[count])
            self._usual_s = self._trial[best]
            self._decode_with(best)

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


def make_pace(wanted: int | None, device: str, blocks: BlockCount | None = None) -> Pace:
    """The choice of processor threads: `wanted`, or whatever decodes fastest; 1, half or all.

    See `Pace` for `blocks`.
    """
    import torch

    cores = first_threads()
    if wanted is not None:
        most = max(os.cpu_count() or 1, cores)
        return Pace([min(wanted, most)], torch.set_num_threads, blocks=blocks)
    counts = [1, max(cores // 2, 1), cores] if device == "cpu" else [cores]
    return Pace(counts, torch.set_num_threads, blocks=blocks)


@functools.cache
def first_threads() -> int:
    """The number of processor threads that torch used when this was first asked.

    Later it is what some reply settled on, which says nothing about the cores.
    """
    return threads_in_use()


def threads_in_use() -> int:
    """The number of processor threads that torch uses now."""
    import torch

    return torch.get_num_threads()
