"""What OpenAI-compatible servers stream: server-sent events in, chunks out.

Written for what seven kinds of servers really send, which is less regular than the documents say:
fields may be missing, null or empty, errors are objects or strings, counts come anywhere or never.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from glmcli.engines.remote.faults import Faults
from glmcli.engines.remote.stream import MESSAGE_BYTES, Words, split_at, text_of, whole_number
from glmcli.errors import EngineError
from glmcli.types import Chunk, FinishReason, Usage

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
LENGTH = ("length", "model_length", "max_tokens")
"""Why a reply ends that was cut at its limit."""
BROKEN_OFF = ("abort", "error", "cancelled")


def sse_messages(pieces: Iterable[bytes], faults: Faults) -> Iterator[dict[str, Any]]:
    """The JSON of server-sent events. An answer that is not a stream is one message.

    Source: the event stream format of the HTML standard; `[DONE]` is OpenAI's.
    """
    data: list[bytes] = []
    stray: list[bytes] = []
    size = 0
    for line in sse_lines(pieces, faults):
        size += len(line) + 1
        if size > MESSAGE_BYTES:
            raise faults.endless()
        if line.startswith(b"data:"):
            data.append(line[5:].removeprefix(b" "))
        elif line and not line.startswith((b":", b"event:", b"id:", b"retry:")):
            stray.append(line)
        elif not line and data:
            event = b"\n".join(data).strip()
            if event == b"[DONE]":
                return
            if event:
                yield faults.message(event)
            data.clear()
            size = 0
    if rest := b"\n".join(data or stray):
        try:
            last = faults.message(rest)
        except EngineError:
            return  # cut off: a reply without an end says so itself
        yield last


def sse_lines(pieces: Iterable[bytes], faults: Faults) -> Iterator[bytes]:
    """Lines without their ends. A byte order mark is not part of the first line."""
    first = True
    for part in split_at(b"\n", with_newlines(pieces), faults):
        yield part.removeprefix(BYTE_ORDER_MARK if first else b"").removesuffix(b"\n")
        first = False


def with_newlines(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes with every line ended by LF; the standard allows CR LF and CR as well."""
    cr = False
    for piece in pieces:
        rest = piece.removeprefix(b"\n") if cr else piece
        cr = piece.endswith(b"\r")
        if rest:
            yield rest.replace(b"\r\n", b"\n").replace(b"\r", b"\n")


class OpenAIReply:
    """One reply: the events of a stream in, chunks out."""

    def __init__(self, faults: Faults, stop: Sequence[str]) -> None:
        self.finished = False
        self.enough = False
        self._faults = faults
        self._words = Words(stop, faults.mask)
        self._reason: FinishReason | None = None
        self._usage = Usage()

    def take(self, message: dict[str, Any]) -> Chunk:
        """The chunk of one event. Raises EngineError for an error that the server sent as one."""
        self._raise_error(message)
        self._usage = read_usage(message) or self._usage
        choices = message.get("choices")
        if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
            return Chunk()
        self._finish(choices[0].get("finish_reason"))
        # Some servers repeat the whole message in the last event of a stream.
        delta = choices[0].get("delta" if "delta" in choices[0] else "message")
        thinking = text_of(delta, "reasoning") or text_of(delta, "reasoning_content")
        words = self._words.push(content_of(delta), thinking)
        if self._words.stopped:
            self._reason = "stop"
            self.finished = self.enough = True
        return words

    def held(self) -> Chunk:
        """What could have been half a stop string or half a mark."""
        return self._words.flush()

    def end(self) -> Chunk:
        """The last chunk. The end of the stream alone is not the end of the reply."""
        if self._reason is None:
            raise self._faults.cut_off()
        held = self._words.flush()
        return Chunk(held.text, held.thinking, finish_reason=self._reason, usage=self._usage)

    def _finish(self, reason: object) -> None:
        if not isinstance(reason, str) or not reason:
            return
        if reason == "content_filter":
            raise self._faults.filtered()
        if reason in BROKEN_OFF:
            raise self._faults.broken_off(reason)
        self._reason = "length" if reason in LENGTH else "stop"
        self.finished = True

    def _raise_error(self, message: dict[str, Any]) -> None:
        if code := message.get("error_code"):
            raise self._faults.worker(code, text_of(message, "text"))
        if message.get("error") or message.get("object") == "error":
            raise self._faults.failed(message)


def content_of(delta: object) -> str:
    """The text of a delta, which may come as a list of parts."""
    content = delta.get("content") if isinstance(delta, dict) else None
    if isinstance(content, list):
        return "".join(text_of(part, "text") for part in content)
    return text_of(delta, "content")


def read_usage(message: dict[str, Any]) -> Usage | None:
    """The counts of a message, wherever the server puts them; None if it has none."""
    usage, timings = message.get("usage"), message.get("timings")
    if isinstance(usage, dict) and usage:
        return Usage(
            prompt_tokens=whole_number(usage, "prompt_tokens"),
            cached_tokens=whole_number(usage.get("prompt_tokens_details"), "cached_tokens"),
            completion_tokens=whole_number(usage, "completion_tokens"),
        )
    if isinstance(timings, dict):
        cached, read = whole_number(timings, "cache_n"), whole_number(timings, "prompt_n")
        return Usage(
            prompt_tokens=None if read is None else (cached or 0) + read,
            cached_tokens=None if read is None else cached or 0,
            completion_tokens=whole_number(timings, "predicted_n"),
        )
    return None
