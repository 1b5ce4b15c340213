"""One engine for many callers: who is answered, who is refused, and how long nobody has asked.

Knows nothing of sockets, nor of how a request is written.
"""

from __future__ import annotations

import math
import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from typing import Any, Literal

from glmcli import __version__
from glmcli.engines import Asked, BatchItem
from glmcli.engines.delivery import TICK_S, Heard, chunk_of
from glmcli.engines.thread import EngineThread
from glmcli.errors import EngineError
from glmcli.language import tr
from glmcli.machine import resident_bytes
from glmcli.types import Chunk, GenerationParams, Message

RETRY_S = 5
"""After so many seconds it is worth asking again where too many wait."""
COUNT_AGAIN_S = 2
"""So where a prompt was not counted in time."""

State = Literal["loading", "failed", "idle", "busy", "leaving"]


class Full(EngineError):
    """Too many wait already; `wait_s` says in how many seconds to ask again."""

    def __init__(self, name: str) -> None:
        super().__init__(
            tr("too many wait for {model} already", model=name),
            tr("ask again in {n} seconds", n=RETRY_S),
        )
        self.wait_s = RETRY_S


class NotCounted(EngineError):
    """The size of a prompt cannot be known, or not now; `wait_s` as in `Full`."""

    def __init__(self) -> None:
        super().__init__(tr("the prompt cannot be counted, or not now"))
        self.wait_s = COUNT_AGAIN_S


class LetGo(EngineError):
    """It was told to leave before its model was loaded, for which nobody waits any more."""

    def __init__(self, name: str) -> None:
        super().__init__(
            tr("the process that was loading {model} was told to stop", model=name),
            tr("glm stop does that; ask again to load it"),
        )


class Holder:
    """An engine that is held for whoever asks. Its methods may be called on any thread."""

    def __init__(
        self,
        engine: EngineThread,
        name: str,
        *,
        keep_s: float = math.inf,
        most_waiting: int = 64,
        full_name: str = "",
        address: str = "",
        say: Callable[[str], None] = lambda line: None,
    ) -> None:
        """`name` is the model as callers name it; after `keep_s` idle seconds its time is over.

        `full_name` is a folder's whole path; `address` where it is served, if it is; `say` gets
        what there is to say beside replies, which not all who ask can be told.
        """
        self.engine = engine
        self._say, self._said = say, Heard()
        self.name = name
        self.full_name = full_name or name
        self.address = address
        self.keep_s = keep_s
        self.stopping = threading.Event()
        """Set when it was told to leave."""
        self.in_the_way = threading.Event()
        """Set while somebody waits for it to leave if it is idle."""
        self._most_waiting = most_waiting
        self._changing = threading.Lock()
        self._busy = 0
        self._others = Counter[str]()
        self._never = threading.Event()
        self._reading_ahead = threading.Event()
        self._last_used = time.monotonic()

    @property
    def pid(self) -> int:
        """The process that holds it."""
        return os.getpid()

    @property
    def is_kept(self) -> bool:
        """Whether it ends by itself some time after its last use."""
        return not math.isinf(self.keep_s)

    @property
    def busy(self) -> int:
        """How many requests are answered or wait."""
        return self._busy

    @property
    def waiting(self) -> int:
        """How many of them have not begun."""
        return max(0, self._busy - max(1, self.engine.running))  # one begins in no time

    @property
    def is_needed(self) -> bool:
        """Whether somebody is answered, waits, or will go on to ask."""
        return bool(self.unanswered or self._others["attached"])

    @property
    def unanswered(self) -> int:
        """How many requests have no answer that was sent to its end."""
        return max(self._busy, self._others["answered"])

    @property
    def idle_s(self) -> float:
        """Seconds since it was needed last; 0 while it is."""
        return 0.0 if self.is_needed else time.monotonic() - self._last_used

    @property
    def state(self) -> State:
        """What it is doing."""
        if self.stopping.is_set():
            return "leaving"
        if self.engine.failure is not None:
            return "failed"
        if not self.engine.is_open:
            return "loading"
        return "busy" if self._busy else "idle"

    def stream(
        self,
        messages: Sequence[Message],
        params: GenerationParams,
        cancel: threading.Event,
        *,
        private: bool = False,
    ) -> Generator[Chunk, None, None]:
        """The reply, as EngineThread streams it, ticks and progress of loading included.

        Of a `private` one nothing is kept. Raises Full before the first chunk, GlmError.
        """
        reply = self.engine.stream(messages, params, cancel, private=private)
        with ExitStack() as use, closing(reply) as stream:
            use.enter_context(self.used())
            for chunk in stream:
                self._let_by(chunk)
                if chunk.finish_reason is not None:
                    use.close()  # whoever has the whole reply is to find it counted as over
                yield chunk

    def batch(
        self, prompts: Sequence[Asked], cancel: threading.Event
    ) -> Generator[BatchItem, None, None]:
        """The replies to several prompts, which count as one request; see `EngineThread.batch`."""
        with self.used(), closing(self.engine.batch(prompts, cancel)) as items:
            for item in items:
                self._let_by(item)
                yield item

    def _let_by(self, item: Chunk | BatchItem) -> None:
        """Say what there is to say beside it, too. Raises LetGo as `_check_loading` does."""
        self._check_loading()
        chunk = chunk_of(item)
        if chunk is not None and chunk.notice and self._said.is_new(chunk):
            self._say(chunk.notice)

    def wait_until_open(self, tick: Callable[[], None]) -> None:
        """Wait until the model is loaded; `tick` is called meanwhile. Raises GlmError."""
        while not self.engine.wait(TICK_S, self._never):
            self._check_loading()
            tick()

    def _check_loading(self) -> None:
        """Raise LetGo if the model is not loaded, and nobody is to wait for that any more."""
        if self.stopping.is_set() and not self.engine.is_open:
            raise LetGo(self.name)

    def count(self, messages: Sequence[Message], think: bool | None = None) -> int | None:
        """The size of a prompt in tokens; None if it cannot be known, or not yet."""
        with self.used():
            return self.engine.count(messages, think=think)

    def warm(self, messages: Sequence[Message], params: GenerationParams) -> None:
        """Read ahead for a prompt that starts like this, until somebody asks; returns at once."""
        with self._changing:
            self._reading_ahead.set()
            self._reading_ahead = ahead = threading.Event()
            if not self._busy:
                self.engine.warm(messages, params, ahead)

    @contextmanager
    def used(self) -> Iterator[None]:
        """Count a request as long as it lasts. Raises Full."""
        with self._changing:
            if self.waiting >= self._most_waiting:
                raise Full(self.name)
            self._busy += 1
            self._reading_ahead.set()
        try:
            yield
        finally:
            with self._changing:
                self._busy -= 1
                self._last_used = time.monotonic()

    def attached(self) -> AbstractContextManager[None]:
        """Count whoever will go on to ask, a chat for one, as long as they are there."""
        return self._counted("attached")

    def answered(self) -> AbstractContextManager[None]:
        """Count a request until its answer is sent: who reads slowly may be behind the engine."""
        return self._counted("answered")

    @contextmanager
    def answered_client(self) -> Iterator[None]:
        """The same for a client that is one only as long as it waits: over HTTP."""
        with self._counted("answered"), self._counted("asking"):
            yield

    @contextmanager
    def _counted(self, what: str) -> Iterator[None]:
        with self._changing:
            self._others[what] += 1
        try:
            yield
        finally:
            with self._changing:
                self._others[what] -= 1
                self._last_used = time.monotonic()

    def left_after(self, seconds: float) -> int:
        """Wait so long until all is answered; how many requests are not."""
        until = time.monotonic() + seconds
        while self.unanswered and time.monotonic() < until:
            time.sleep(TICK_S)
        return self.unanswered

    def keep_for(self, seconds: float) -> None:
        """Stay so long after the last use, as the last said who asked; 0 changes nothing."""
        if self.is_kept and 0 < seconds < math.inf:
            self.keep_s = seconds

    def stop(self) -> None:
        """Leave once those are answered who ask now; returns at once."""
        self.stopping.set()

    def status(self) -> dict[str, Any]:
        """What it is and does, as JSON has it; None is unknown. Looking does not count as use.

        Times are seconds, sizes bytes, `slots` the tokens that each of them keeps.
        """
        engine, idle_s = self.engine, self.idle_s
        left_s = self.keep_s - idle_s
        return {
            "model": self.name,
            "full_name": self.full_name,
            "address": self.address,
            "device": engine.device,
            "details": engine.details,
            "window": engine.context_tokens,
            "version": __version__,
            "pid": self.pid,
            "state": self.state,
            "busy": self._busy,
            "waiting": self.waiting,
            "clients": self._others["attached"] + self._others["asking"],
            "idle_s": round(idle_s, 1),
            "keep_s": float(self.keep_s) if self.is_kept else None,
            "ends_in_s": None if self.is_needed or not self.is_kept else max(0.0, round(left_s, 1)),
            "memory_bytes": resident_bytes()[0],
            "slots": list(engine.slots),
            "slot_bytes": engine.slot_bytes,
            "slot_limit": engine.slot_limit,
        }
