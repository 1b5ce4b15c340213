"""The routes of a FastChat worker. Knows nothing of sockets, nor of how a reply is made.

What goes wrong is told in a record, with HTTP's 200, as FastChat has it. A prompt that does not fit
loses its beginning, as there.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Mapping
from contextlib import closing
from dataclasses import replace
from typing import Any

from glmcli.errors import ContextFull, EngineError, GlmError
from glmcli.language import tr
from glmcli.serve.hearing import heard, wait_until_open
from glmcli.serve.holder import Holder, NotCounted
from glmcli.serve.http import HttpExchange, Route
from glmcli.serve.notes import ignored_note, tokens_note
from glmcli.serve.pipes import ClientLeft
from glmcli.serve.refusal import Refusal, refusal_of
from glmcli.serve.worker.advertised import Advertised, Proven
from glmcli.serve.worker.records import Records, WorkerRecord, as_message, error_record
from glmcli.serve.worker.requests import AskedText, asked_prompt, prompt_in
from glmcli.types import Message

BINARY = "application/octet-stream"
"""FastChat sends no type at all."""
MOST_COUNTS = 5
"""So often a prompt is counted again that was not in time, because of a long step for one."""


class WorkerRoutes:
    """What a worker answers, over a holder whose engine was `proven`, as the model `name`."""

    def __init__(self, holder: Holder, proven: Proven, name: str) -> None:
        self._holder = holder
        self._proven = proven
        self._name = name

    def all(self) -> Mapping[tuple[str, str], Route]:
        """(method, path) -> what answers."""
        routes: dict[str, Route] = {
            "/worker_generate_stream": self.stream,
            "/worker_generate": self.generate,
            "/worker_get_status": self.tell_status,
            "/count_token": self.count,
            "/worker_get_conv_template": self.tell_template,
            "/model_details": self.tell_details,
        }
        return {("POST", path): route for path, route in routes.items()}

    def status(self) -> dict[str, Any]:
        """What the controller is told."""
        return {"model_names": [self._name], "speed": 1, "queue_length": self._holder.busy}

    def tell_status(self, exchange: HttpExchange) -> None:
        """The names of the model, and how many ask it."""
        read_body(exchange)
        exchange.answer(self.status())

    def tell_template(self, exchange: HttpExchange) -> None:
        """How clients are to write prompts. Raises Refusal, ClientLeft."""
        read_body(exchange)
        exchange.answer({"conv": self._told(exchange).conv})

    def tell_details(self, exchange: HttpExchange) -> None:
        """The window. Raises Refusal, ClientLeft."""
        read_body(exchange)
        self._told(exchange)
        exchange.answer({"context_length": self._holder.engine.context_tokens})

    def count(self, exchange: HttpExchange) -> None:
        """The size of a prompt, in tokens. Raises Refusal, ClientLeft."""
        body = exchange.body()
        try:
            prompt = self._advertised(exchange).as_read(prompt_in(body))
            count = self._size(exchange, prompt)
        except GlmError as exc:
            raise refusal_of(exc, param="prompt") from exc
        exchange.answer({"count": count, "error_code": 0})

    def stream(self, exchange: HttpExchange) -> None:
        """A reply as it comes. Raises Refusal for the body, ClientLeft."""
        body = exchange.body()
        with closing(self._records(exchange, body)) as records:
            for record in records:
                if not exchange.has_begun:  # until then it is noticed if the client leaves
                    exchange.begin(BINARY)
                exchange.piece(as_message(record))
            exchange.end()

    def generate(self, exchange: HttpExchange) -> None:
        """A whole reply: the last record of its stream. Raises Refusal for the body, ClientLeft."""
        body = exchange.body()
        last: WorkerRecord = {}
        with closing(self._records(exchange, body)) as records:
            for record in records:
                last = record
            exchange.answer(last)

    def _advertised(self, exchange: HttpExchange) -> Advertised:
        """The template, once the model is open. Raises GlmError, ClientLeft."""
        wait_until_open(exchange, self._holder)
        if self._proven.advertised is None:
            raise EngineError(tr("the model is not open"))
        return self._proven.advertised

    def _told(self, exchange: HttpExchange) -> Advertised:
        """The template for who asks for nothing else. Raises Refusal, ClientLeft."""
        try:
            return self._advertised(exchange)
        except GlmError as exc:
            raise refusal_of(exc) from exc

    def _size(self, exchange: HttpExchange, prompt: Message) -> int:
        """The size of a prompt, in tokens. Raises NotCounted, other GlmErrors, ClientLeft."""
        for _ in range(MOST_COUNTS):
            if (count := self._holder.count([prompt])) is not None:
                return count
            if exchange.is_gone():
                raise ClientLeft
        raise NotCounted

    def _records(
        self, exchange: HttpExchange, body: Mapping[str, Any]
    ) -> Generator[WorkerRecord, None, None]:
        """The records of a reply, or of why there is none. Raises ClientLeft."""
        try:
            advertised = self._advertised(exchange)
            asked = asked_prompt(body, advertised.controls)
            if asked.ignored:
                note(exchange, ignored_note(asked.ignored))
            records = Records(advertised.without_controls(asked.prompt) if asked.echo else "")
            prompt = advertised.as_read(asked.prompt)
            try:
                yield from self._replied(exchange, records, prompt, asked)
            except ContextFull as exc:
                shorter = self._end_of(exchange, prompt, asked, exc, advertised)
                left_out = len(prompt.text) - len(shorter.text)
                note(exchange, f"left out the first {left_out:,} characters")
                yield from self._replied(exchange, records, shorter, asked)
        except (GlmError, Refusal) as exc:
            record = error_record(exc)
            refusal = exc if isinstance(exc, Refusal) else refusal_of(exc, param="prompt")
            exchange.note = f"{record['error_code']}: {refusal.note}"
            yield record

    def _replied(
        self, exchange: HttpExchange, records: Records, prompt: Message, asked: AskedText
    ) -> Generator[WorkerRecord, None, None]:
        with closing(heard(exchange, self._holder, [prompt], asked.params)) as chunks:
            for chunk in chunks:
                if (record := records.add(chunk)) is not None:
                    if usage := chunk.usage:
                        note(exchange, tokens_note(usage))
                    yield record

    def _end_of(
        self,
        exchange: HttpExchange,
        prompt: Message,
        asked: AskedText,
        full: ContextFull,
        advertised: Advertised,
    ) -> Message:
        """As much of a prompt's end as fits beside the reply.

        Raises ContextFull for none, NotCounted, other GlmErrors, ClientLeft.
        """
        kept = (full.limit or 0) - (asked.params.max_tokens or 0) - 1

        def size(text: str) -> int:
            return self._size(exchange, replace(prompt, text=text))

        end = end_within(prompt.text, kept, size, list(advertised.controls.values()))
        if not end:
            raise full
        return replace(prompt, text=end)


def end_within(prompt: str, most: int, size: Callable[[str], int], names: list[str]) -> str:
    """The longest end of a prompt that has `most` tokens by `size`; "" if there is none.

    It begins within none of the `names` of control tokens.
    """
    first, last = 0, len(prompt)
    while last - first > 1:
        middle = (first + last) // 2
        if size(prompt[middle:]) <= most:
            last = middle
        else:
            first = middle
    for found in re.finditer("|".join(map(re.escape, names)) or "(?!)", prompt):
        if found.start() < last < found.end():
            last = found.end()
    return prompt[last:]


def note(exchange: HttpExchange, line: str) -> None:
    """Say something more of a request in the log."""
    exchange.note = " · ".join(filter(None, [exchange.note, line]))


def read_body(exchange: HttpExchange) -> None:
    """Read what was sent where it does not matter, so that the connection can go on."""
    if exchange.headers.get("Content-Length", "0") != "0":
        exchange.body()
