"""The routes of OpenAI's interface, and two of those that servers of models have beside it.

Knows nothing of sockets, nor of how a reply is made.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from typing import Any

from glmcli.errors import GlmError
from glmcli.serve.hearing import heard, wait_until_open
from glmcli.serve.holder import Holder, NotCounted
from glmcli.serve.http import STAR, HttpExchange, Route
from glmcli.serve.notes import ignored_note, tokens_note
from glmcli.serve.openai.fields import Fields
from glmcli.serve.openai.replies import WAITING, Written, as_event
from glmcli.serve.openai.requests import AskedReply, asked_chat, asked_size, asked_text
from glmcli.serve.refusal import Refusal, refusal_of
from glmcli.types import Chunk, Usage

OWNER = "glm"
"""What a server of ours says of its model's owner; our own client knows it by that."""
HEAD_AFTER_S = 1.0
"""So long the head of a stream waits for the first text: an error that comes first has a status."""
WAITING_S = 5.0


class OpenAIRoutes:
    """OpenAI's interface over a holder. The `names` are all that the model goes by, best first."""

    def __init__(self, holder: Holder, *names: str) -> None:
        self._holder = holder
        self._names = names
        self._created = int(time.time())
        self._told_state = ""

    def all(self) -> Mapping[tuple[str, str], Route]:
        """(method, path) -> what answers."""
        return {
            ("POST", "/v1/chat/completions"): self.chat,
            ("POST", "/v1/completions"): self.complete,
            ("POST", "/tokenize"): self.tokenize,
            ("GET", "/v1/models"): self.models,
            ("GET", f"/v1/models/{STAR}"): self.model,
            ("GET", "/health"): self.health,
        }

    def health(self, exchange: HttpExchange) -> None:
        """How it is; loads nothing, and is no use of the model."""
        status = self._holder.status()
        is_well = status["state"] in ("idle", "busy")
        fields = {"status": "ok" if is_well else status["state"], "queue": status["waiting"]}
        # Who waits for the model asks again and again: the log tells of the same state once.
        exchange.is_logged = is_well or status["state"] != self._told_state
        self._told_state = status["state"]
        exchange.answer(fields | status, 200 if is_well else 503)

    def models(self, exchange: HttpExchange) -> None:
        """The one model."""
        exchange.answer({"object": "list", "data": [self._entry()]})

    def model(self, exchange: HttpExchange) -> None:
        """The model that the path names. Raises Refusal."""
        self._check_name(exchange.path_left or "/")
        exchange.answer(self._entry())

    def tokenize(self, exchange: HttpExchange) -> None:
        """The size of a prompt, in tokens. Raises Refusal."""
        body = exchange.body()
        self._check_name(body.get("model"))
        asked = asked_size(body)
        try:
            wait_until_open(exchange, self._holder)
            count = self._holder.count(asked.messages, asked.params.think)
            if count is None:
                raise NotCounted
        except GlmError as exc:
            raise refusal_of(exc) from exc
        exchange.note = " · ".join([f"{count:,} tokens", *ignored_notes(asked)])
        exchange.answer({"count": count, "max_model_len": self._holder.engine.context_tokens})

    def chat(self, exchange: HttpExchange) -> None:
        """A reply to messages. Raises Refusal, ClientLeft."""
        self._reply(exchange, asked_chat, param="messages")

    def complete(self, exchange: HttpExchange) -> None:
        """A text that goes on from another one. Raises Refusal, ClientLeft."""
        self._reply(exchange, asked_text, param="prompt")

    def _entry(self) -> dict[str, Any]:
        fields = {"id": self._names[0], "object": "model", "created": self._created}
        window = self._holder.engine.context_tokens
        return fields | {"owned_by": OWNER} | ({"max_model_len": window} if window else {})

    def _check_name(self, name: Any) -> None:
        """Raise Refusal if another model is asked for."""
        if name is None or name == "" or name in (*self._names, self._holder.engine.name):
            return
        if not isinstance(name, str):
            raise Refusal(400, "model is a text", param="model")
        line = f"the model {name[:200]!r} is not here; this is {self._names[0]!r}"
        raise Refusal(404, line, code="model_not_found", param="model")

    def _reply(
        self, exchange: HttpExchange, read: Callable[[Fields], AskedReply], *, param: str
    ) -> None:
        body = exchange.body()
        self._check_name(body.get("model"))
        asked = read(body)
        written = Written(self._names[0], is_chat=param == "messages")
        answer = streamed if asked.streams else at_once
        exchange.note = log_note(asked)
        try:
            reply = heard(exchange, self._holder, asked.messages, asked.params)
            with closing(reply) as chunks:
                last = answer(exchange, written, chunks, counts=asked.counts)
        except GlmError as exc:
            refusal = refusal_of(exc, param=param)
            if not exchange.has_begun:
                raise refusal from exc
            exchange.note = refusal.note
            exchange.piece(as_event(refusal.as_json()))
            exchange.end()
        else:
            exchange.note = log_note(asked, last.usage)


def at_once(
    exchange: HttpExchange, written: Written, chunks: Iterable[Chunk], *, counts: bool
) -> Chunk:
    """Answer with the whole reply; returns its last chunk."""
    del counts  # they are always there
    last = Chunk()
    for last in chunks:
        written.add(last)
    exchange.answer(written.whole(last))
    return last


def streamed(
    exchange: HttpExchange, written: Written, chunks: Iterable[Chunk], *, counts: bool
) -> Chunk:
    """Answer with the reply as it comes; returns its last chunk."""
    last, said_at = Chunk(), time.monotonic()
    for last in chunks:
        event, now = written.event(last), time.monotonic()
        if last.finish_reason is not None:
            event += written.ending(last, counts=counts)
        if not exchange.has_begun and (event or now - said_at > HEAD_AFTER_S):
            exchange.begin("text/event-stream")
            event = (written.opening() or WAITING) + event
        elif not event and exchange.has_begun:
            wait_s = HEAD_AFTER_S if exchange.has_said_all() else WAITING_S
            event = WAITING if now - said_at > wait_s else b""
        if event:
            exchange.piece(event)
            said_at = now
    exchange.end()
    return last


def log_note(asked: AskedReply, usage: Usage | None = None) -> str:
    """What the log says of a reply: its tokens, and what of the request was ignored."""
    notes = []
    if usage is not None:
        notes.append(tokens_note(usage))
    return " · ".join([*notes, *ignored_notes(asked)])


def ignored_notes(asked: AskedReply) -> list[str]:
    """What of a request was ignored, as the log says it."""
    return [ignored_note(asked.ignored)] if asked.ignored else []
