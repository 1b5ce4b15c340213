"""glm's own door: a line of JSON asks, lines of JSON answer, over a Unix socket of the user's own.

What is said is `Engine`, so that progress, notices and errors pass as they are. A connection may
ask many things, one after the other; it can cancel the one that is being answered. Knows nothing
of how the socket came to be.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from typing import Any

from glmcli.config.values import Seconds
from glmcli.engines.delivery import TICK_S
from glmcli.engines.kept.link import Gone, Link
from glmcli.engines.kept.wire import (
    chunk_object,
    error_object,
    item_object,
    messages_in,
    params_in,
    slim,
)
from glmcli.errors import EngineError, GlmError
from glmcli.language import answer_in, tr
from glmcli.serve.holder import Holder
from glmcli.serve.notes import tokens_note
from glmcli.types import Chunk, GenerationParams, Progress

_PATIENCE_S = 60.0
LIFE_SIGN_S = 2.0
"""How often who waits is given a sign of life: by the thread of the connection, as long as the
process runs, whatever its engine does."""
_MOST_UNSENT = 4 << 20
"""Bytes of a reply that wait for a caller who does not read; then the engine waits as well."""


Answer = Callable[[Mapping[str, Any]], None]


def _unknown(asked: Mapping[str, Any]) -> None:
    """What no version knows of, or only a later one."""
    raise ValueError(asked.get("ask"))


class Lines:
    """One connection of a caller who speaks glm's own protocol."""

    def __init__(self, link: Link, holder: Holder, log: Callable[[str], None]) -> None:
        self._link = link
        self._holder = holder
        self._log = log
        self._stack = ExitStack()
        self._is_attached = False
        self._sent_at = 0.0

    def answer_all(self) -> None:
        """Answer until the caller leaves."""
        answers: Mapping[str, Answer] = {
            "open": self._to_its_end(self._open),
            "stream": self._to_its_end(self._stream),
            "batch": self._to_its_end(self._batch),
            "count": self._count,
            "warm": self._warm,
            "status": lambda _: self._end(self._holder.status()),
            "stop": lambda _: self._stop(),
            "leave": lambda _: self._leave(),
            "cancel": lambda _: None,  # it came after the end of what it was about
        }
        with self._stack, closing(self._link):
            try:
                while True:
                    asked = self._link.receive(_PATIENCE_S)
                    if asked is None:
                        continue
                    self._answer(answers.get(str(asked.get("ask")), _unknown), asked)
            except Gone:
                pass

    def _to_its_end(self, answer: Answer) -> Answer:
        """An answer of which the end, an error too, is sent before the process leaves."""

        def answered(asked: Mapping[str, Any]) -> None:
            with self._holder.answered():
                self._answer(answer, asked)

        return answered

    def _answer(self, answer: Answer, asked: Mapping[str, Any]) -> None:
        """Answer, or tell what is wrong, in the caller's language. Raises Gone."""
        answer_in(asked.get("chinese"))
        try:
            answer(asked)
        except GlmError as exc:
            self._link.send({"error": error_object(exc), "end": True})
        except (ValueError, TypeError, KeyError, AttributeError) as exc:
            self._log(f"a request that cannot be read: {type(exc).__name__}")
            error = EngineError(tr("the process that keeps the model does not know the request"))
            self._link.send({"error": error_object(error), "end": True})

    def _end(self, answer: Mapping[str, Any]) -> None:
        self._link.send({"answer": answer, "end": True})

    def _open(self, asked: Mapping[str, Any]) -> None:
        """Say at once that somebody is here, what is done to load the model, then what it is."""
        self._link.send({"here": self._holder.pid})
        self._holder.keep_for(float(asked.get("keep") or 0))
        if not self._is_attached:
            self._is_attached = True
            self._stack.enter_context(self._holder.attached())
        engine, told = self._holder.engine, list[Progress | None]()

        def tick() -> None:
            if (progress := engine.progress) not in (None, *told[-1:]):
                told.append(progress)
                self._link.send({"progress": slim(progress)})
            self._beat()
            self._check_there()

        self._holder.wait_until_open(tick)
        filled = engine.filled(GenerationParams())
        self._end(
            {
                **self._changing_facts(),
                "name": engine.name,
                "device": engine.device,
                "pid": self._holder.pid,
                "keep": str(Seconds(self._holder.keep_s)) if self._holder.is_kept else "",
                "own_system": engine.own_system(),
                "filled": slim(filled) if filled else None,
            }
        )

    def _beat(self) -> None:
        """Give a sign of life, unless one was given just now, or earlier ones are not taken."""
        if time.monotonic() - self._sent_at > LIFE_SIGN_S and not self._link.unsent:
            self._sent_at = time.monotonic()
            self._link.send_soon({"beat": True})

    def _changing_facts(self) -> dict[str, Any]:
        engine = self._holder.engine
        return {"details": engine.details, "window": engine.context_tokens}

    def _check_there(self) -> None:
        """Raise Gone if the caller has left, or cancels what can only be left."""
        if self._link.has_news() and self._link.receive(0) is not None:
            raise Gone

    def _stream(self, asked: Mapping[str, Any]) -> None:
        """Send the reply. Who does not read keeps nobody else waiting, but for one thread."""
        messages, params, cancel = messages_in(asked), params_in(asked), threading.Event()
        private = bool(asked.get("private"))
        reply = self._holder.stream(messages, params, cancel, private=private)
        with self._logged("reply") as notes, closing(reply) as stream:
            self._send_all((self._line(chunk, notes) for chunk in stream), cancel)

    def _batch(self, asked: Mapping[str, Any]) -> None:
        """Send the replies to several prompts, mixed, and an end behind the last."""
        cancel = threading.Event()
        prompts = [(messages_in(each), params_in(each)) for each in asked["prompts"]]
        batch = self._holder.batch(prompts, cancel)
        with self._logged(f"batch of {len(prompts)}"), closing(batch) as items:
            self._send_all((item_object(*each) for each in items), cancel)
        self._end(self._changing_facts())

    def _send_all(self, lines: Iterable[Mapping[str, Any]], cancel: threading.Event) -> None:
        """Send lines but for ticks; `cancel` is set where the caller cancels, and at the end."""
        try:
            for line in lines:
                self._listen(cancel)
                if line:
                    self._link.send_soon(line)
                else:
                    self._beat()
                while self._link.unsent > _MOST_UNSENT:
                    self._link.flush(TICK_S)
                    self._listen(cancel)
        finally:
            cancel.set()
        while self._link.unsent:
            self._link.flush(TICK_S)
            if self._link.unsent:  # else the caller may have asked something new
                self._listen(cancel)

    @contextmanager
    def _logged(self, what: str) -> Iterator[list[str]]:
        """A line in the log at the end, as of a request over HTTP: never what was said."""
        started, notes = time.monotonic(), list[str]()
        try:
            yield notes
        except Gone:
            notes.append("the caller left")
            raise
        except GlmError as exc:
            notes.append(type(exc).__name__)
            raise
        finally:
            took = time.monotonic() - started
            self._log(" · ".join([f"glm {what} {took:.2f} s", *notes]))

    def _line(self, chunk: Chunk, notes: list[str]) -> dict[str, Any]:
        if chunk == Chunk():
            return {}
        line: dict[str, Any] = {"chunk": chunk_object(chunk)}
        if chunk.finish_reason is not None:
            notes += [tokens_note(chunk.usage)] if chunk.usage else []
            line |= {"end": True, "facts": self._changing_facts()}
        return line

    def _listen(self, cancel: threading.Event) -> None:
        """Hear whether the caller cancels what is being answered. Raises Gone if it has left."""
        if self._link.has_news() and self._link.receive(0) is not None:
            cancel.set()

    def _count(self, asked: Mapping[str, Any]) -> None:
        size = self._holder.count(messages_in(asked), params_in(asked).think)
        self._end({"count": size})

    def _warm(self, asked: Mapping[str, Any]) -> None:
        """Let the engine read ahead, until anybody asks for something."""
        self._holder.warm(messages_in(asked), params_in(asked))
        self._end({})

    def _stop(self) -> None:
        self._holder.stop()
        self._end({"model": self._holder.name, "busy": self._holder.busy})

    def _leave(self) -> None:
        """Leave if nobody needs the model; whoever asks hears the end of the connection."""
        is_needed, is_served = self._holder.is_needed, not self._holder.is_kept
        if is_needed or is_served:
            answer = {"leaving": False, "model": self._holder.name}
            self._end({**answer, "served": is_served and not is_needed})
            return
        self._link.send({"answer": {"leaving": True}})
        self._holder.in_the_way.set()
        while self._holder.in_the_way.is_set():
            self._check_there()
            threading.Event().wait(TICK_S)
        self._end({"leaving": False, "model": self._holder.name})
