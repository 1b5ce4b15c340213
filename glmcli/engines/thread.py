"""The engine thread: one daemon thread that owns an engine, opens it, and streams from it.

`EngineThread` is itself an Engine, with a state, used from other threads: its stream ticks while
there is nothing to show, so that the caller can repaint and notice Ctrl-C. Knows nothing of the
terminal.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, suppress
from functools import partial
from queue import Empty, SimpleQueue
from threading import Event, Lock, Thread
from typing import TypeVar

from glmcli.config import Settings
from glmcli.engines import Asked, BatchItem, Engine, Shares, TellsOwn, Warms, open_kept
from glmcli.engines.batches import batch_of, ends_of_cancelled, is_end, steps_of_batch
from glmcli.engines.delivery import TICK_S, Delivery, Heard, Item, joined
from glmcli.engines.failures import opening_failed, quietly
from glmcli.engines.turns import Meanwhile, Request, Turns, steps_of
from glmcli.errors import GlmError
from glmcli.types import Chunk, GenerationParams, Message, Progress, Report

_Item = TypeVar("_Item")
_GRACE_S = 0.15
"""How long a cancelled engine may take to end its reply before the caller stops waiting for it."""
COUNT_PATIENCE_S = 2.0
TELL_S = 0.2
STUCK_S = 30.0
"""A step that takes longer than this is told of to all who wait; a block of a long prompt may."""


class EngineThread:
    """An engine that another thread runs. Opening is tried again at the next request if it failed.

    `open_it` is called on the thread, with a function for its progress. If it is `shared`, streams
    that are asked for at the same time take turns, chunk by chunk, as many as the engine takes at
    once; the others wait in the order they came. Those that wait while it cannot be opened all hear
    why. Otherwise streams are made one after the other.
    """

    def __init__(
        self, name: str, open_it: Callable[[Report], Engine], *, shared: bool = False
    ) -> None:
        self.name = name
        self._is_shared = shared
        self._heard = None if shared else Heard()
        self._progress: Progress | None = None
        self._failure: GlmError | None = None
        self._on_change: Callable[[], None] = lambda: None
        self._open_it = open_it
        self.opened_in_s = 0.0
        """Seconds that it took to open; 0 until it is."""
        self._engine: Engine | None = None
        self._failures, self._told_at = 0, 0.0
        self._turns = Turns(self._at_once)
        self._jobs: SimpleQueue[Callable[[], object] | None] = SimpleQueue()
        self._thread: Thread | None = None
        self._starting = Lock()
        self._closing = Event()

    @property
    def device(self) -> str:
        """Where the model runs; "" until it is open."""
        return self._engine.device if self._engine else ""

    @property
    def details(self) -> str:
        """How the model runs; "" until it is open."""
        return self._engine.details if self._engine else ""

    @property
    def context_tokens(self) -> int | None:
        """The window; None until the engine is open."""
        return self._engine.context_tokens if self._engine else None

    def filled(self, params: GenerationParams) -> GenerationParams | None:
        """The settings with what the model fills in; None if that is not known, or not yet."""
        return self._engine.filled(params) if isinstance(self._engine, TellsOwn) else None

    def own_system(self) -> str:
        """The system prompt that the model adds; "" if that is not known, or not yet."""
        return self._engine.own_system() if isinstance(self._engine, TellsOwn) else ""

    @property
    def running(self) -> int:
        """How many streams are being made; from any thread, as all that follows."""
        return self._turns.running

    @property
    def waiting(self) -> int:
        """How many streams were asked for and not begun."""
        return self._turns.waiting

    @property
    def slots(self) -> Sequence[int]:
        """Tokens of each conversation that is kept, if the engine is open and tells."""
        return self._engine.slots if isinstance(self._engine, Shares) else ()

    @property
    def slot_bytes(self) -> int:
        """What they take of the memory of the device."""
        return self._engine.slot_bytes if isinstance(self._engine, Shares) else 0

    @property
    def slot_limit(self) -> int | None:
        """What they may take; None if that is not known."""
        return self._engine.slot_limit if isinstance(self._engine, Shares) else None

    @property
    def is_open(self) -> bool:
        """Whether the engine was opened."""
        return self._engine is not None

    @property
    def progress(self) -> Progress | None:
        """What is being done to open the engine, maybe again; None when nothing is."""
        return self._progress

    @property
    def failure(self) -> GlmError | None:
        """Why the engine could not be opened the last time, if it could not."""
        return self._failure

    def watch(self, call: Callable[[], None]) -> None:
        """Have `call` called on the thread: now and then while it opens, and at the end of that."""
        self._on_change = call

    def start(self) -> None:
        """Begin to open the engine; returns at once."""
        if self._start():
            self._jobs.put(self._opened)

    def wait(self, patience_s: float, stop: Event, tick: Callable[[], None] = lambda: None) -> bool:
        """Open the engine; whether it is open before `patience_s` or `stop`. Raises GlmError.

        `tick` is called now and then meanwhile.
        """
        self.start()
        deadline = time.monotonic() + patience_s
        while not self.is_open and time.monotonic() < deadline and not stop.wait(TICK_S):
            if self._failure is not None:
                raise self._failure
            if not self.is_open:
                tick()
        return self.is_open

    def stream(
        self,
        messages: Sequence[Message],
        params: GenerationParams,
        cancel: Event,
        *,
        private: bool = False,
    ) -> Generator[Chunk, None, None]:
        """Yield the reply; an empty chunk, or one with progress, at every tick without news.

        The engine is never far ahead of the caller. After `cancel` the rest that had arrived comes
        at once, in one chunk. Of a `private` one nothing is kept, by engines that keep something.
        """
        self._start()  # the request itself opens the engine, so that it is not tried twice
        delivery = Delivery[Item](cancel, self._closing, self._heard)
        asked = self._failures if self._is_shared else None

        def begin() -> Generator[Chunk, None, None]:
            engine = self._opened(asked)
            if private and isinstance(engine, Shares):
                return self._said(engine.stream_privately(messages, params, cancel))
            return self._said(engine.stream(messages, params, cancel))

        self._ask(Request(delivery, steps_of(begin, delivery)))
        try:
            for item in self._arriving(delivery, cancel):
                if isinstance(item, GlmError):
                    raise item
                yield item
                if item.finish_reason is not None:
                    return
        finally:
            delivery.end()

    def batch(self, prompts: Sequence[Asked], cancel: Event) -> Generator[BatchItem, None, None]:
        """Yield the replies to several prompts, see `Batches.batch`; ticks as `stream` does.

        Ticks are of the first prompt whose reply has no end. Raises GlmError if the engine cannot
        be opened, or ends before the replies do. After `cancel` what had arrived comes at once.
        """
        self._start()
        delivery = Delivery[BatchItem | GlmError](cancel, self._closing, self._heard)
        asked = self._failures if self._is_shared else None

        def begin() -> Generator[BatchItem, None, None]:
            return self._said(batch_of(self._opened(asked), prompts, cancel))

        self._ask(Request(delivery, steps_of_batch(begin, delivery)))
        ended, first = set[int](), 0
        cancelled_at: float | None = None
        try:
            while prompts:
                if cancel.is_set() and cancelled_at is None:
                    cancelled_at = time.monotonic()
                items = delivery.take()
                for item in items:
                    if isinstance(item, GlmError):
                        raise item
                    if is_end(item[1]):
                        ended.add(item[0])
                    yield item
                    if len(ended) == len(prompts):
                        return
                if self._is_late(cancelled_at):
                    yield from ends_of_cancelled(prompts, ended)
                    return
                while first in ended:
                    first += 1
                if not items:
                    yield first, self._tick()
        finally:
            delivery.end()

    def _is_late(self, cancelled_at: float | None) -> bool:
        """Whether the engine had its time to end what was cancelled, or has nothing to end."""
        is_over = not self.is_open or time.monotonic() - (cancelled_at or 0.0) > _GRACE_S
        return cancelled_at is not None and is_over

    def _arriving(self, delivery: Delivery[Item], cancel: Event) -> Iterator[Item]:
        """The items delivered, or a chunk at every tick; our own end if none comes in time."""
        cancelled_at: float | None = None
        while True:
            if cancel.is_set() and cancelled_at is None:
                cancelled_at = time.monotonic()
            items = delivery.take()
            for at, item in enumerate(items):
                if cancel.is_set():
                    yield from joined(items[at:])
                    break
                yield item
            if self._is_late(cancelled_at):
                yield Chunk(finish_reason="cancelled")
            elif not items:
                yield self._tick()

    def _tick(self) -> Chunk:
        """What there is to say of a time without news."""
        stuck_s = self._turns.step_s if self.is_open and self._is_shared else 0.0
        if stuck_s > STUCK_S:
            return Chunk(progress=Progress("stuck", int(stuck_s), unit="s"))
        return Chunk(progress=self._progress)

    def _said(self, items: Generator[_Item, None, None]) -> Generator[_Item, None, None]:
        """What an engine says: one that opens again says nothing until that is over."""
        with closing(items):
            for item in items:
                self._progress = None
                yield item

    def count(
        self, messages: Sequence[Message], cancel: Event | None = None, think: bool | None = None
    ) -> int | None:
        """The size of the prompt; None before the engine is open, or if it does not say in time.

        When `cancel` is set, this returns within a tick, whatever the engine is doing.
        """
        engine, stop = self._engine, cancel or Event()
        if engine is None:
            return None
        answers: SimpleQueue[int | None] = SimpleQueue()

        def job() -> None:
            size = None
            if not stop.is_set():
                with suppress(BaseException):
                    size = engine.count(messages, stop, think)
            answers.put(size)

        self._jobs.put(job)
        deadline = time.monotonic() + COUNT_PATIENCE_S
        while not stop.is_set() and time.monotonic() < deadline:
            with suppress(Empty):
                return answers.get(timeout=TICK_S)
        return None

    def warm(self, messages: Sequence[Message], params: GenerationParams, cancel: Event) -> None:
        """Let the idle engine get ready for a prompt that starts like this; returns at once.

        Before `start` it does nothing.
        """
        self.warm_with(lambda: messages, params, cancel)

    def warm_with(
        self,
        make: Callable[[], Sequence[Message] | None],
        params: GenerationParams,
        cancel: Event,
    ) -> None:
        """Like `warm`, with messages made on the thread; None if there is nothing to do."""
        if self._thread is None:
            return

        def job() -> None:
            if cancel.is_set() or not isinstance(engine := self._engine, Warms):
                return
            if (messages := make()) is not None:
                engine.warm(messages, params, until)

        turns, until = self._turns, cancel
        if self._is_shared:
            until = Meanwhile(cancel, lambda: not self._jobs.empty())
            self._jobs.put(lambda: turns.put_aside(job))
        else:
            self._jobs.put(job)

    def close(self) -> None:
        """Close the engine when it has finished its work; returns at once."""
        if self._thread is not None:
            self._closing.set()
            self._jobs.put(self._close)
            self._jobs.put(None)
            self._thread = None

    def _start(self) -> bool:
        """Start the thread; whether it was not running yet."""
        with self._starting:
            if self._thread is not None:
                return False
            self._closing = Event()
            self._thread = Thread(target=self._run, name="engine", daemon=True)
            self._thread.start()
            return True

    def _run(self) -> None:
        while (job := self._next_job()) is not None:
            quietly(job)

    def _next_job(self) -> Callable[[], object] | None:
        """The next job; until there is one, streams take turns. None: there will be no more."""
        while True:
            while self._is_shared and self._jobs.empty() and self._turns.step():
                pass
            is_busy = self._is_shared and self._turns.running
            with suppress(Empty):
                return self._jobs.get(timeout=TICK_S if is_busy else None)

    def _ask(self, request: Request) -> None:
        self._turns.ask(request)
        self._jobs.put(self._turns.step if self._is_shared else self._turns.finish_next)

    def _at_once(self) -> int:
        return self._engine.at_once if isinstance(self._engine, Shares) else 1

    def _report(self, progress: Progress) -> None:
        self._progress = progress
        if time.monotonic() - self._told_at >= TELL_S:
            self._told_at = time.monotonic()
            self._on_change()

    def _opened(self, asked: int | None = None) -> Engine:
        """The engine, opened if need be, but not again for who `asked` before it failed to be.

        `asked`: the number of failures by then; None: in any case. Raises GlmError.
        """
        if self._engine is None:
            if asked is not None and asked < self._failures and self._failure is not None:
                raise self._failure
            started = time.monotonic()
            try:
                engine = self._open_it(self._report)
                self.opened_in_s = time.monotonic() - started
                if self._is_shared and isinstance(engine, Shares):
                    engine.share(None)
                self._engine, self.name, self._failure = engine, engine.name, None
            except BaseException as exc:
                self._failure = opening_failed(exc)
                self._failures += 1
                raise self._failure from exc
            finally:
                self._progress = None
                self._on_change()
        return self._engine

    def _close(self) -> None:
        if self._is_shared:
            self._turns.finish()
        engine, self._engine = self._engine, None
        if engine is not None:
            quietly(engine.close)


def engine_of(settings: Settings) -> EngineThread:
    """The engine of the model that is chosen, not open yet; it may be one that is kept."""
    return EngineThread(settings.model, partial(open_kept, settings))
