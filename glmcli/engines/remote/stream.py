"""How remote engines read a reply: bytes to messages, messages to chunks, to whatever end.

Knows no protocol: an engine brings the function that finds its messages and the ServerReply that
understands them.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Protocol, TypeVar

from glmcli.conversation.reasoning import PAIRS
from glmcli.engines.remote.faults import Cancelled, Faults
from glmcli.engines.remote.http import ALIVE, Exchange
from glmcli.engines.remote.masking import Mask, MaskedText
from glmcli.engines.reply import Marks, Reasoning, StopStrings, followed
from glmcli.errors import ConnectionLost, EngineError, NoText
from glmcli.language import tr
from glmcli.types import Chunk, Progress, as_count

M = TypeVar("M")
M_contra = TypeVar("M_contra", contravariant=True)
LAST_S = 2.0
"""How long a server may take to close a stream when the reply has ended."""
EMPTY_MESSAGES = 50_000
"""How many messages may come without text, whatever they cost."""
EMPTY_PIECES = 50_000
"""In how many pieces an answer may come without text; each of them costs, however small it is."""
MESSAGE_BYTES = 4_000_000
REPLY_BYTES = 1_000_000_000
"""Of all messages of a reply: where each is the whole text so far, 30,000 tokens take less."""
_REPLY_CHARS = 2_000_000
"""Text and thinking of one reply: some 500,000 tokens, more than any model writes at once."""
HALF_PAIR = re.compile("[\ud800-\udfff]")
"""JSON can hold half of a surrogate pair; no text can."""


class ServerReply(Protocol[M_contra]):
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


Split = Callable[[Iterable[bytes], Faults], Iterator[M]]
"""What finds the messages in a body."""


def read_reply(
    exchange: Exchange, split: Split[M], reply: ServerReply[M], cancel: threading.Event
) -> Generator[Chunk, None, None]:
    """Yield the chunks of a reply until it ends, breaks off or is cancelled.

    Raises EngineError, NoText.
    """
    try:
        yield Chunk(progress=Progress("waiting", unit="s"))
        yield from _chunks(exchange, split, reply, cancel)
        last = reply.end()
    except Cancelled:
        held = reply.held()
        last = replace(held, finish_reason="cancelled")
    except (EngineError, NoText) as exc:
        if not (isinstance(exc, ConnectionLost) and reply.finished):
            if (held := reply.held()) != Chunk():
                yield held
            raise
        last = reply.end()
    finally:
        exchange.close()
    yield last


def _chunks(
    exchange: Exchange, split: Split[M], reply: ServerReply[M], cancel: threading.Event
) -> Generator[Chunk, None, None]:
    faults = exchange.server.faults
    talking, ending, size, empty, pieces = False, False, 0, 0, Pieces(faults)
    exchange.expect(ALIVE * exchange.limit_s)
    for message in split(pieces.counted(exchange.pieces(cancel)), faults):
        chunk = reply.take(message)
        if chunk.text or chunk.thinking:
            empty = pieces.count = 0
            size += len(chunk.text) + len(chunk.thinking)
            if not talking:
                talking = True
                exchange.limit_s = exchange.server.silence_s / 2
            if not ending:
                exchange.expect(ALIVE * exchange.limit_s)
        else:
            empty += 1
        if size > _REPLY_CHARS:
            raise faults.too_much(tr("{n:,} characters", n=_REPLY_CHARS))
        if empty > EMPTY_MESSAGES:
            raise faults.too_much(tr("{n:,} messages without text", n=EMPTY_MESSAGES))
        if reply.finished and not ending:
            ending = True
            exchange.limit_s = LAST_S
            exchange.expect(LAST_S)
        if chunk != Chunk():
            yield chunk
        if reply.enough:
            return


class Pieces:
    """Counts the pieces of an answer since something good came of one, and the bytes of all.

    Bears not too many.
    """

    def __init__(self, faults: Faults) -> None:
        self.count = 0
        self._bytes = 0
        self._faults = faults

    def counted(self, pieces: Iterable[bytes]) -> Iterator[bytes]:
        """The same pieces. Raises EngineError."""
        for piece in pieces:
            self.count += 1
            if self.count > EMPTY_PIECES:
                raise self._faults.too_much(tr("{n:,} pieces without text", n=EMPTY_PIECES))
            self._bytes += len(piece)
            if self._bytes > REPLY_BYTES:
                raise self._faults.too_much(tr("{n:,} bytes for one reply", n=REPLY_BYTES))
            yield piece


def text_of(fields: object, name: str) -> str:
    """A field if it is text, else ""; it can be saved and shown."""
    return HALF_PAIR.sub("\ufffd", delta_of(fields, name))


def delta_of(fields: object, name: str) -> str:
    """A field if it is text, else ""; it may begin or end with half of a surrogate pair."""
    value = fields.get(name) if isinstance(fields, dict) else None
    return value if isinstance(value, str) else ""


class WholeLetters:
    """Deltas of a text, put together where one ends with half of a surrogate pair."""

    def __init__(self) -> None:
        self._half = ""

    def push(self, text: str) -> str:
        """What is certain now; half a pair that stays alone becomes U+FFFD."""
        text = self._half + text
        self._half = text[-1:] if "\ud800" <= text[-1:] <= "\udbff" else ""
        whole = text[: len(text) - len(self._half)]
        if HALF_PAIR.search(whole) is None:
            return whole
        return whole.encode("utf-16", "surrogatepass").decode("utf-16", "replace")

    def flush(self) -> str:
        """U+FFFD for half a pair that was held back."""
        half, self._half = self._half, ""
        return "\ufffd" if half else ""


def whole_number(fields: object, name: str) -> int | None:
    """A field if it is a count."""
    return as_count(fields.get(name)) if isinstance(fields, dict) else None


def window_of(fields: object, name: str) -> int | None:
    """A field if it can be the size of a window."""
    return whole_number(fields, name) or None


def split_at(end: bytes, pieces: Iterable[bytes], faults: Faults) -> Iterator[bytes]:
    """Parts that end in the byte `end`, with it, and the rest after it. Raises EngineError."""
    rest: list[bytes] = []
    size = 0
    for piece in pieces:
        *whole, last = piece.split(end)
        if whole:
            yield b"".join([*rest, whole[0], end])
            for part in whole[1:]:
                yield part + end
            rest, size = [], 0
        rest.append(last)
        size += len(last) + 1
        if size > MESSAGE_BYTES:
            raise faults.endless()
    if left := b"".join(rest):
        yield left


class Words:
    """Deltas as a server sends them, parted into thinking and text, up to a stop string.

    Servers that know nothing of reasoning send <think> as text; some send the stop string too.
    """

    def __init__(self, stop: Sequence[str], mask: Mask | None = None) -> None:
        self._letters, self._letters_of_thinking = WholeLetters(), WholeLetters()
        self._masked = MaskedText(mask or Mask())
        self._masked_thinking = MaskedText(mask or Mask())
        self._stops = StopStrings(stop)
        self._reasoning = Reasoning(Marks(), pairs=PAIRS)

    @property
    def stopped(self) -> bool:
        """Whether a stop string has come."""
        return self._stops.hit

    def push(self, text: str, reasoning: str = "") -> Chunk:
        """What is certain now. `reasoning` is what the server itself calls thinking."""
        if reasoning:
            self._reasoning.apart()
            reasoning = self._masked_thinking.push(self._letters_of_thinking.push(reasoning))
        if not text:
            return Chunk(thinking=reasoning)
        return followed(
            Chunk(thinking=reasoning),
            self._stops.take(self._reasoning.push(self._masked.push(self._letters.push(text)))),
        )

    def flush(self) -> Chunk:
        """What was held back."""
        last = self._masked.push(self._letters.flush()) + self._masked.flush()
        thought = self._masked_thinking.push(self._letters_of_thinking.flush())
        first = self._stops.take(self._reasoning.push(last))
        rest = self._stops.take(self._reasoning.flush())
        held = Chunk(self._stops.flush(), thought + self._masked_thinking.flush())
        return followed(followed(first, rest), held)
