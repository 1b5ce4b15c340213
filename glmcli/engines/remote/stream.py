"""How remote engines read a reply: bytes to messages, messages to chunks, to whatever end.

Knows no protocol: an engine brings the function that finds its messages and the Reply that
understands them.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from typing import Protocol, TypeVar

from glmcli.engines.remote.faults import Cancelled, Faults, as_count
from glmcli.engines.remote.http import Exchange
from glmcli.engines.remote.masking import Mask, MaskedText
from glmcli.engines.reply import Marks, Reasoning, StopStrings
from glmcli.errors import ConnectionLost, EngineError
from glmcli.types import Chunk, Progress

M = TypeVar("M")
M_contra = TypeVar("M_contra", contravariant=True)
LAST_S = 2.0
"""How long a server may take to close a stream when the reply has ended."""
KEPT_ALIVE = 4
"""How many times longer a server may be without text as long as it sends signs of life."""
EMPTY_MESSAGES = 50_000
"""How many messages may come without text, whatever they cost."""
MESSAGE_BYTES = 4_000_000
REPLY_CHARS = 2_000_000
"""Text and thinking of one reply: some 500,000 tokens, more than any model writes at once."""
NAME_CHARS = 1000
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
    split: Callable[[Iterable[bytes], Faults], Iterator[M | None]],
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
    split: Callable[[Iterable[bytes], Faults], Iterator[M | None]],
    reply: Reply[M],
    cancel: threading.Event,
) -> Generator[Chunk, None, None]:
    faults = exchange.server.faults
    talking, size, empty, finished_at = False, 0, 0, 0.0
    heard = time.monotonic()
    for message in split(exchange.pieces(cancel), faults):
        if reply.finished and time.monotonic() - finished_at > LAST_S:
            return
        if message is None:
            check_alive(faults, heard, exchange.limit_s)
            yield Chunk() if talking else waiting(time.monotonic() - exchange.started)
            continue
        chunk = reply.take(message)
        if chunk.text or chunk.thinking:
            heard, empty = time.monotonic(), 0
            size += len(chunk.text) + len(chunk.thinking)
            if not talking:
                talking = True
                exchange.limit_s = exchange.server.silence_s / 2
        else:
            empty += 1
        if size > REPLY_CHARS or empty > EMPTY_MESSAGES:
            counted = f"{EMPTY_MESSAGES:,} messages without text"
            raise faults.too_much(f"{REPLY_CHARS:,} characters" if size > REPLY_CHARS else counted)
        if reply.finished and not finished_at:
            exchange.limit_s, finished_at = LAST_S, time.monotonic()
        if chunk != Chunk():
            yield chunk
        if reply.enough:
            return


def check_alive(faults: Faults, heard: float, limit_s: float) -> None:
    """Raise ConnectionLost for a server that has long sent nothing but signs of life."""
    if time.monotonic() - heard > KEPT_ALIVE * limit_s:
        raise faults.idle(KEPT_ALIVE * limit_s)


def waiting(seconds: float) -> Chunk:
    """A sign of life before the reply begins."""
    return Chunk(progress=Progress("waiting", int(seconds), unit="s"))


def text_of(fields: object, name: str) -> str:
    """A field if it is text, else ""; it can be saved and shown."""
    value = fields.get(name) if isinstance(fields, dict) else None
    return HALF_PAIR.sub("\ufffd", value) if isinstance(value, str) else ""


def whole_number(fields: object, name: str) -> int | None:
    """A field if it is a count."""
    return as_count(fields.get(name)) if isinstance(fields, dict) else None


def is_name(name: str) -> bool:
    """Whether a text can name a model: in one line, of characters that can be seen and typed."""
    return bool(name.strip()) and len(name) <= NAME_CHARS and name.isprintable()


def window_of(fields: object, name: str) -> int | None:
    """A field if it can be the size of a window."""
    return whole_number(fields, name) or None


def split_at(end: bytes, pieces: Iterable[bytes]) -> Iterator[bytes | None]:
    """What ends in `end`, one byte, with it, and what is left after the last; None for a tick."""
    rest: list[bytes] = []
    size = 0
    for piece in pieces:
        if not piece:
            yield None
            continue
        *whole, last = piece.split(end)
        if whole:
            yield b"".join([*rest, whole[0], end])
            for part in whole[1:]:
                yield part + end
            rest, size = [], 0
        rest.append(last)
        size += len(last) + 1
        if size > MESSAGE_BYTES:
            raise EngineError("the server sent a message without an end", "is it a model server?")
    if left := b"".join(rest):
        yield left


class Words:
    """Deltas as a server sends them, parted into thinking and text, up to a stop string.

    Servers that know nothing of reasoning send <think> as text; some send the stop string too.
    """

    def __init__(self, stop: Sequence[str], mask: Mask | None = None) -> None:
        self._masked = MaskedText(mask or Mask())
        self._masked_thinking = MaskedText(mask or Mask())
        self._stops = StopStrings(stop)
        self._reasoning = Reasoning(Marks())

    @property
    def stopped(self) -> bool:
        """Whether a stop string has come."""
        return self._stops.hit

    def push(self, text: str, reasoning: str = "") -> Chunk:
        """What is certain now. `reasoning` is what the server itself calls thinking."""
        if reasoning:
            reasoning = self._masked_thinking.push(reasoning)
        if not text:
            return Chunk(thinking=reasoning)
        thinking, text = self._reasoning.push(self._masked.push(text))
        return Chunk(self._stops.push(text), reasoning + thinking)

    def flush(self) -> Chunk:
        """What was held back."""
        thinking, text = self._reasoning.push(self._masked.flush())
        more, rest = self._reasoning.flush()
        thinking = self._masked_thinking.flush() + thinking + more
        return Chunk(self._stops.push(text + rest) + self._stops.flush(), thinking)
