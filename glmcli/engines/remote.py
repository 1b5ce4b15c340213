"""How remote engines read a reply: bytes to messages, messages to chunks, to whatever end.

Knows no protocol: an engine brings the function that finds its messages and the Reply that
understands them.
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from typing import Any, Protocol, TypeVar

from glmcli.engines.faults import Cancelled, garbled
from glmcli.engines.http import Exchange
from glmcli.engines.text import Marks, Reasoning, StopStrings
from glmcli.errors import ConnectionLost, EngineError
from glmcli.types import Chunk, Progress

M = TypeVar("M")
M_contra = TypeVar("M_contra", contravariant=True)
LAST_S = 2.0
"""How long a server may take to close a stream when the reply has ended."""
MESSAGE_BYTES = 16_000_000
HALF_PAIR = re.compile("[\ud800-\udfff]")
"""JSON can hold half of a surrogate pair; no text can."""


class Reply(Protocol[M_contra]):
    """What makes chunks of a server's messages."""

    finished: bool
    """The server has said how the reply ended; counts may follow."""
    enough: bool
    """Nothing more is wanted, whatever the server may still send."""

    def take(self, message: M_contra) -> Chunk:
        """The chunk that a message makes, maybe an empty one. Raises EngineError."""
        ...

    def held(self) -> Chunk:
        """What was held back and is certain if nothing follows."""
        ...

    def end(self) -> Chunk:
        """The last chunk. Raises ConnectionLost if the server never said how the reply ended."""
        ...


def read_reply(
    exchange: Exchange,
    split: Callable[[Iterable[bytes]], Iterator[M | None]],
    reply: Reply[M],
    cancel: threading.Event,
) -> Generator[Chunk, None, None]:
    """Yield the chunks of a reply until it ends, breaks off or is cancelled. Raises EngineError."""
    try:
        yield from _chunks(exchange, split, reply, cancel)
        last = reply.end()
    except Cancelled:
        held = reply.held()
        last = Chunk(held.text, held.thinking, finish_reason="cancelled")
    except EngineError as exc:
        if not (isinstance(exc, ConnectionLost) and reply.finished):
            if (held := reply.held()) != Chunk():
                yield held
            raise
        last = reply.end()
    finally:
        exchange.close()
    yield last


def _chunks(
    exchange: Exchange,
    split: Callable[[Iterable[bytes]], Iterator[M | None]],
    reply: Reply[M],
    cancel: threading.Event,
) -> Generator[Chunk, None, None]:
    talking = False
    for message in split(exchange.pieces(cancel)):
        if message is None:
            yield Chunk() if talking else waiting(time.monotonic() - exchange.started)
            continue
        chunk = reply.take(message)
        if (chunk.text or chunk.thinking) and not talking:
            talking = True
            exchange.limit_s = exchange.server.silence_s / 2
        if reply.finished:
            exchange.limit_s = LAST_S
        if chunk != Chunk():
            yield chunk
        if reply.enough:
            return


def waiting(seconds: float) -> Chunk:
    """A sign of life before the reply begins."""
    return Chunk(progress=Progress("waiting", int(seconds), unit="s"))


def to_message(data: bytes | str) -> dict[str, Any]:
    """A message of a stream. Raises EngineError if it is no JSON object."""
    try:
        message = json.loads(data)
    except (ValueError, RecursionError):
        message = None
    if not isinstance(message, dict):
        text = data if isinstance(data, str) else data.decode("utf-8", "replace")
        raise garbled("the server", text)
    return message


def text_of(fields: object, name: str) -> str:
    """A field if it is text, else ""; it can be saved and shown."""
    value = fields.get(name) if isinstance(fields, dict) else None
    return HALF_PAIR.sub("\ufffd", value) if isinstance(value, str) else ""


def whole_number(fields: object, name: str) -> int | None:
    """A field if it is a count."""
    value = fields.get(name) if isinstance(fields, dict) else None
    return value if type(value) is int else None


def split_at(end: bytes, pieces: Iterable[bytes]) -> Iterator[bytes | None]:
    """What ends in `end`, with it, and what is left after the last one; None for a tick."""
    rest = b""
    for piece in pieces:
        if not piece:
            yield None
            continue
        *whole, rest = (rest + piece).split(end)
        for part in whole:
            yield part + end
        if len(rest) > MESSAGE_BYTES:
            raise EngineError("the server sent a message without an end", "is it a model server?")
    if rest:
        yield rest


class Words:
    """Deltas as a server sends them, parted into thinking and text, up to a stop string.

    Servers that know nothing of reasoning send <think> as text; some send the stop string too.
    """

    def __init__(self, stop: Sequence[str]) -> None:
        self._stops = StopStrings(stop)
        self._reasoning = Reasoning(Marks())

    @property
    def stopped(self) -> bool:
        """Whether a stop string has come."""
        return self._stops.hit

    def push(self, text: str) -> Chunk:
        """What is certain now."""
        if not text:
            return Chunk()
        thinking, text = self._reasoning.push(text)
        return Chunk(self._stops.push(text), thinking)

    def flush(self) -> Chunk:
        """What was held back."""
        thinking, text = self._reasoning.flush()
        return Chunk(self._stops.push(text) + self._stops.flush(), thinking)
