"""Streams that one thread makes at the same time: a step of each in turn.

A step is a chunk of a reply or a block of a prompt. Knows nothing of engines or models.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Generator
from contextlib import closing, suppress
from contextvars import copy_context
from threading import Event, Lock
from typing import Any

from glmcli.engines.delivery import Delivery, Item
from glmcli.engines.failures import as_user_error
from glmcli.engines.reply import broken_off
from glmcli.errors import EngineError
from glmcli.language import ntr, tr
from glmcli.types import Chunk

UNTAKEN_S = 30
"""Others wait so long for a stream that nobody takes from, before it is ended."""


class Request:
    """A stream that was asked for: each of `steps` puts an item into its `delivery`, or ends it.

    They are taken in the context of whoever asked: messages are in that language.
    """

    def __init__(self, delivery: Delivery[Any], steps: Generator[None, None, None]) -> None:
        self.delivery = delivery
        self._steps = steps
        self._context = copy_context()
        self._full_since: float | None = None
        self._began_at: float | None = None

    @property
    def step_s(self) -> float:
        """How long the step takes that is being taken; 0 if none is."""
        began = self._began_at
        return 0.0 if began is None else time.monotonic() - began

    def can_go_on(self) -> bool:
        """Whether a step would wait for nobody."""
        if self.delivery.takes:
            self._full_since = None
            return True
        self._full_since = self._full_since or time.monotonic()
        return False

    @property
    def is_stuck(self) -> bool:
        """Whether nobody took from it for longer than others can be asked to wait."""
        since = self._full_since
        return since is not None and time.monotonic() - since > UNTAKEN_S

    def go_on(self) -> bool:
        """Take a step; whether there may be another one. What it raises was handed over."""
        self._began_at = time.monotonic()
        with suppress(BaseException):
            self._context.run(next, self._steps)
            self._began_at = None
            return True
        self._began_at = None
        return False

    def finish(self) -> None:
        """Take all steps, waiting for whoever takes from it."""
        while self.go_on():
            pass

    def give_up(self) -> None:
        """End it for the sake of those who wait."""
        self._context.run(self._end_for_others)
        with suppress(BaseException):
            self._context.run(self._steps.close)

    def _end_for_others(self) -> None:
        self.delivery.put_last(
            EngineError(
                tr("the reply was ended: others waited, and nobody took it"),
                ntr(
                    "while others wait, a reply has to be read within {n} second",
                    "while others wait, a reply has to be read within {n} seconds",
                    UNTAKEN_S,
                ),
                again=True,
            )
        )


class Turns:
    """The streams of one thread, which takes the steps; any thread may ask and count.

    Up to `most()` run at the same time, the others wait in the order they came.
    """

    def __init__(self, most: Callable[[], int]) -> None:
        self._most = most
        self._running: deque[Request] = deque()
        self._waiting: deque[Request] = deque()
        self._aside: deque[Callable[[], None]] = deque()
        self._lock = Lock()

    @property
    def running(self) -> int:
        """How many streams are being made."""
        return len(self._running)

    @property
    def step_s(self) -> float:
        """How long the step takes that is being taken; 0 if none is."""
        return max((request.step_s for request in self._running.copy()), default=0.0)

    @property
    def waiting(self) -> int:
        """How many streams were asked for and not begun."""
        return len(self._waiting)

    def ask(self, request: Request) -> None:
        """Let a stream wait for its turn."""
        with self._lock:
            self._waiting.append(request)

    def put_aside(self, job: Callable[[], None]) -> None:
        """Keep a job for the time when there is no stream."""
        self._aside.append(job)

    def finish_next(self) -> None:
        """Make the first of those that wait, from its beginning to its end."""
        with self._lock:
            request = self._waiting.popleft()
            self._running.append(request)
        request.finish()
        self._running.remove(request)

    def step(self) -> bool:
        """Let the next stream that can take a step; whether anything was done."""
        self._let_in()
        for _ in range(len(self._running)):
            request = self._running[0]
            self._running.rotate(-1)
            if request.can_go_on():
                if not request.go_on():
                    self._running.remove(request)
                return True
            if self._waiting and request.is_stuck:
                self._running.remove(request)
                request.give_up()
                return True
        if not self._running and self._aside:
            with suppress(BaseException):
                self._aside.popleft()()
            return True
        return False

    def finish(self) -> None:
        """Make all streams to their ends."""
        while self._running or self._waiting:
            self.step()

    def _let_in(self) -> None:
        """Begin with those that wait, as far as there is room; those that left wait no more."""
        if not self._waiting:
            return
        with self._lock:
            left = [request for request in self._waiting if request.delivery.is_left]
            for request in left:
                self._waiting.remove(request)
                request.go_on()
            while self._waiting and len(self._running) < max(1, self._most()):
                self._running.append(self._waiting.popleft())


class Meanwhile(Event):
    """Set when `cancel` is, or once there is `other_work`."""

    def __init__(self, cancel: Event, other_work: Callable[[], bool]) -> None:
        super().__init__()
        self._cancel, self._other_work = cancel, other_work

    def is_set(self) -> bool:
        """Whether to stop."""
        return self._cancel.is_set() or self._other_work()


def steps_of(
    begin: Callable[[], Generator[Chunk, None, None]], delivery: Delivery[Item]
) -> Generator[None, None, None]:
    """Put a stream into its delivery, a chunk a step; whatever happens, the last item ends it."""
    try:
        if delivery.is_left:
            delivery.put_last(Chunk(finish_reason="cancelled"))
            return
        with closing(begin()) as stream:
            for chunk in stream:
                if chunk.finish_reason is not None:
                    delivery.put_last(chunk)
                    return
                if not delivery.put(chunk):
                    break
                yield
        raise broken_off()
    except BaseException as exc:  # a library may panic, or try to exit
        delivery.put_last(as_user_error(exc))
