"""A model that another process of the user keeps, as an engine.

If that process is killed before the first word of a reply, or gives no sign of life any more,
another one answers: a new one, or this process itself. Knows nothing of how one is found or
started.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from threading import Event
from typing import Any

from glmcli.engines import Asked, BatchItem, Engine, TellsOwn, Warms
from glmcli.engines.batches import batch_of, is_end
from glmcli.engines.delivery import TICK_S
from glmcli.engines.kept.link import Deaf, Gone, Link
from glmcli.engines.kept.wire import (
    checked_answer,
    chunk_in,
    error_in,
    item_in,
    known,
    params_in,
    possible,
    request_of,
    slim,
)
from glmcli.errors import ConnectionLost
from glmcli.language import is_chinese, tr
from glmcli.machine import is_stopped
from glmcli.types import Chunk, GenerationParams, Message, Progress, Report

ATTEMPTS = 3
QUIET_S = 1.0
"""After so long it is told what is waited for."""
DEAF_TICKS = 20
"""After so many without an answer to a cancel the connection is closed."""
STOPPED_S, SILENT_S = 5.0, 120.0
"""How long nothing may come: from a process that was stopped, as by SIGSTOP, and from any other.
It gives a sign of life every two seconds, be the model as slow as it is, unless a library holds all
of its threads, which may last while a model is loaded."""


class KeptEngine:
    """See the module; used by one thread at a time."""

    def __init__(
        self,
        link: Link,
        find: Callable[[], Engine],
        *,
        private: bool = False,
        keep_s: float = 0.0,
    ) -> None:
        """`find` finds the model again where the process is gone: an engine like this, or another.

        Of what a `private` one is asked nothing is kept. The process is to stay `keep_s` seconds
        after its last use, unless that is 0. Call `open` first.
        """
        self._link = link
        self._find = find
        self._private = private
        self._keep_s = keep_s
        self._instead: Engine | None = None
        self._is_there = False
        """Whether the connection was closed, and not since the process had ended."""
        self._facts: dict[str, Any] = {}

    def open(self, report: Report, within_s: float = math.inf) -> None:
        """Wait until the model is loaded. Raises Gone, GlmError, Deaf.

        Deaf says that `within_s` there was no sign of life: one comes at once, whatever is done.
        """
        request = {"ask": "open", "keep": self._keep_s}
        with closing(self._asked(request, Event(), first_s=within_s)) as answers:
            for data in answers:
                if data and "here" in data:
                    self._facts["pid"] = data["here"]
                elif data and "progress" in data:
                    report(known(Progress, data["progress"]))
                elif data and "answer" in data:
                    self._facts = possible(data["answer"])

    @property
    def name(self) -> str:
        """As the process calls it."""
        return self._instead.name if self._instead else str(self._facts.get("name", ""))

    @property
    def device(self) -> str:
        """Where it runs."""
        return self._instead.device if self._instead else str(self._facts.get("device", ""))

    @property
    def details(self) -> str:
        """How it runs there, and how long it is kept."""
        if self._instead:
            return self._instead.details
        return tr(", ").join(filter(None, [str(self._facts.get("details", "")), self._kept()]))

    @property
    def context_tokens(self) -> int | None:
        """The window."""
        return self._instead.context_tokens if self._instead else self._facts.get("window")

    def _kept(self) -> str:
        pid, keep = self._facts.get("pid"), self._facts.get("keep")
        if not keep:
            return tr("kept by process {pid}", pid=pid)
        return tr("kept by process {pid}, which ends {keep} after its last use", pid=pid, keep=keep)

    def filled(self, params: GenerationParams) -> GenerationParams | None:
        """The settings with what each comes to that is not set."""
        if self._instead:
            return self._instead.filled(params) if isinstance(self._instead, TellsOwn) else None
        if not self._facts.get("filled"):
            return None
        own = params_in({"params": self._facts["filled"]})
        names = ("max_tokens", "temperature", "top_p", "top_k", "repetition_penalty")
        unset = [name for name in names if getattr(params, name) is None]
        changes: dict[str, Any] = {name: getattr(own, name) for name in unset}
        return params.merged({**changes, "stop": params.stop or own.stop})

    def own_system(self) -> str:
        """The system prompt that the model's template adds."""
        if self._instead:
            return self._instead.own_system() if isinstance(self._instead, TellsOwn) else ""
        return str(self._facts.get("own_system", ""))

    def stream(
        self, messages: Sequence[Message], params: GenerationParams, cancel: Event
    ) -> Generator[Chunk, None, None]:
        """Yield the reply. Raises ConnectionLost if the process ends in the middle of it."""
        request = {"ask": "stream", "private": self._private, **request_of(messages, params)}
        for attempt in range(1, ATTEMPTS + 1):
            if cancel.is_set():
                yield Chunk(finish_reason="cancelled")
                return
            if self._instead:
                yield from self._instead.stream(messages, params, cancel)
                return
            has_begun = False
            try:
                for chunk in self._chunks(request, cancel):
                    has_begun = has_begun or bool(chunk.text or chunk.thinking)
                    yield chunk
                return
            except (Gone, Deaf) as exc:
                if has_begun or attempt == ATTEMPTS:
                    raise lost_by(exc) from None
                yield opened_again(exc)
                self._open_again()

    def batch(self, prompts: Sequence[Asked], cancel: Event) -> Generator[BatchItem, None, None]:
        """Yield the replies to several prompts, see `Batches.batch`.

        If some had begun when the process ended, all that have no end are lost, whether they had
        begun or not: who asks knows which is to be asked first. Else another one answers them.
        """
        left, begun = [*range(len(prompts))], set[int]()
        for attempt in range(1, ATTEMPTS + 1):
            asked = [*left]
            try:
                for at, item in self._items([prompts[index] for index in asked], cancel):
                    index = asked[at]
                    if is_end(item):
                        left.remove(index)
                    elif isinstance(item, Chunk) and (item.text or item.thinking):
                        begun.add(index)
                    yield index, item
                break
            except (Gone, Deaf) as exc:
                if attempt == ATTEMPTS or not left or not begun.isdisjoint(left):
                    yield from ((index, lost_by(exc)) for index in left)
                    return
                yield left[0], opened_again(exc)
                self._open_again()
        yield from ((index, Chunk(finish_reason="cancelled")) for index in left)

    def _items(self, prompts: Sequence[Asked], cancel: Event) -> Iterator[BatchItem]:
        """The items of one attempt. Raises Gone, GlmError."""
        if self._instead:
            yield from batch_of(self._instead, prompts, cancel)
            return
        request = {"ask": "batch", "prompts": [request_of(*each) for each in prompts]}
        with closing(self._asked(request, cancel)) as answers:
            for data in answers:
                if data and "index" in data:
                    yield item_in(data)
                elif data and "progress" in data:
                    yield 0, Chunk(progress=known(Progress, data["progress"]))

    def _chunks(self, request: dict[str, Any], cancel: Event) -> Iterator[Chunk]:
        """The chunks of one attempt. Raises Gone, GlmError."""
        with closing(self._asked(request, cancel)) as answers:
            for data in answers:
                if data and "chunk" in data:
                    self._facts |= data.get("facts") or {}
                    chunk = chunk_in(data["chunk"])
                    yield chunk
                    if chunk.finish_reason is not None:
                        return
                elif data and "progress" in data:
                    yield Chunk(progress=known(Progress, data["progress"]))
        yield Chunk(finish_reason="cancelled")

    def count(
        self, messages: Sequence[Message], cancel: Event | None = None, think: bool | None = None
    ) -> int | None:
        """The size of a prompt."""
        if self._instead:
            return self._instead.count(messages, cancel, think)
        request = {"ask": "count", **request_of(messages, GenerationParams(think=think))}
        size = None
        try:
            for data in self._asked(request, cancel or Event()):
                size = data["answer"].get("count") if data and "answer" in data else size
        except (Gone, Deaf):  # told when it is asked
            return None
        return size

    def warm(self, messages: Sequence[Message], params: GenerationParams, cancel: Event) -> None:
        """Let it get ready for a prompt that starts like this, unless nothing is to be kept."""
        if self._instead:
            if isinstance(self._instead, Warms):
                self._instead.warm(messages, params, cancel)
            return
        if self._private:  # what it reads ahead for would stay among what others ask
            return
        try:
            for _ in self._asked({"ask": "warm", **request_of(messages, params)}, cancel):
                pass
        except (Gone, Deaf):  # told when it is asked
            return

    def close(self) -> None:
        """Let go of it: nobody needs it on our account any more."""
        self._link.close()
        if self._instead:
            self._instead.close()

    def _open_again(self) -> None:
        """Find the model again. Raises GlmError."""
        self._link.close()
        self._is_there = False
        found = self._find()
        if isinstance(found, KeptEngine):
            self._link, self._facts = found._link, found._facts
        else:
            self._instead = found

    def _asked(
        self, request: dict[str, Any], cancel: Event, *, first_s: float = math.inf
    ) -> Generator[dict[str, Any] | None, None, None]:
        """What is answered to a request, up to its end; None at a tick.

        Silence is among the answers, as progress; `first_s` is how long the first may take. One
        that is left in the middle closes the connection: its rest would answer another. Raises
        Gone, Deaf, GlmError.
        """
        is_over, is_gone, cancelled_for = False, False, 0
        silence = Silence(first_s)
        try:
            if self._is_there:
                raise Deaf
            self._link.send_soon({**request, "chinese": is_chinese()})
            while not is_over:
                data = self._next(silence)
                if cancel.is_set():
                    cancelled_for += 1
                    if cancelled_for == 1:
                        self._link.send_soon({"ask": "cancel"})
                    if data is None and cancelled_for > DEAF_TICKS:
                        return
                if data and "error" in data:
                    is_over = True
                    raise error_in(data["error"])
                if silence.is_long:
                    note = tr("the process that keeps the model")
                    data = {"progress": slim(Progress("waiting", note=note))}
                # Before it is handed on: who has the end of a reply asks no more.
                is_over = bool(data and data.get("end"))
                yield data
        except Gone:
            is_gone = True
            raise
        finally:
            if not is_over:
                self._link.close()
                self._is_there = not is_gone

    def _next(self, silence: Silence) -> dict[str, Any] | None:
        """The next answer; None if there is none within a tick. Raises Gone, Deaf."""
        data, unsent = None, self._link.unsent
        if unsent:
            self._link.flush(TICK_S)
        else:
            data = self._link.receive(TICK_S)
            try:
                checked_answer(data or {})
            except ValueError as exc:
                raise Gone from exc
        if data is None and self._link.unsent == unsent:
            silence.go_on(self._facts.get("pid") or self._link.process)
        else:
            silence.end(is_answer=data is not None)
        return data


class Silence:
    """How long nothing has come from a process, by ticks: who was stopped itself has not waited."""

    def __init__(self, first_s: float) -> None:
        """So long the first answer may take, none longer than `SILENT_S`."""
        self._first_s = first_s
        self._has_begun = False
        self.seconds = 0.0

    @property
    def is_long(self) -> bool:
        """Whether it is to be told of."""
        return self.seconds > (STOPPED_S if self._has_begun else QUIET_S)

    def go_on(self, pid: int | None) -> None:
        """Another tick without an answer. Raises Deaf if none is to be waited for any more."""
        self.seconds += TICK_S
        if self.seconds > (SILENT_S if self._has_begun else min(self._first_s, SILENT_S)):
            raise Deaf
        if pid and self.seconds > STOPPED_S and is_stopped(pid):
            raise Deaf

    def end(self, *, is_answer: bool) -> None:
        """Something came, or something more of the request was taken."""
        self.seconds = 0.0
        self._has_begun = self._has_begun or is_answer


def opened_again(cause: Gone | Deaf) -> Chunk:
    """What is said before another engine is found; of one that is deaf, that engine tells."""
    if isinstance(cause, Deaf):
        return Chunk(progress=Progress("loading"))
    return Chunk(notice=tr("the process that kept the model has ended: the model is opened again"))


def lost_by(cause: Gone | Deaf) -> ConnectionLost:
    """The error for a reply of which the rest will not come."""
    if isinstance(cause, Deaf):
        return ConnectionLost(
            tr("the process that keeps the model does not answer any more"),
            tr("what had arrived is kept; glm stop ends that process"),
            again=True,
        )
    return ConnectionLost(
        tr("the process that kept the model has ended"), tr("what had arrived is kept"), again=True
    )
