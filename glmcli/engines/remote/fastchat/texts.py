"""What FastChat workers stream: NUL-ended messages with the whole text so far in, chunks out.

The text is rewritten as it grows. A chunk cannot be taken back, so what the known workers may
still rewrite is held back for a message. Knows nothing of HTTP or prompts.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from glmcli.engines.remote.faults import Faults
from glmcli.engines.remote.stream import MESSAGE_BYTES, Words, split_at, text_of, whole_number
from glmcli.engines.reply import followed
from glmcli.types import Chunk, FinishReason, Usage

UNSETTLED = re.compile(
    r"(?:\s+(?:no?|n?'|'[vr])?"  # "does n" becomes "doesn't", "it ." becomes "it."
    r"|[,!:;?]+"  # beside a Chinese character they become full-width
    r"|\[\[?(?:训(?:练(?:时(?:间\]?)?)?)?)?"  # "[[训练时间]]" becomes "2023年"
    r")?\ufffd*\Z"  # half a character becomes a whole one
)
"""The end of a text that FastChat's model worker or its ChatGLM worker may still rewrite."""
UNSETTLED_CHARS = 32


class Settled:
    """A text that is sent whole again and again, as deltas.

    The deltas joined are the last text for every rewrite that the known workers do. After one that
    they do not, the reply goes on behind the last words that both texts have: nothing is lost, and
    a rewritten word may stay as it was or show twice. A text that got shorter is not looked at
    until it has grown again, or is the last.
    """

    def __init__(self) -> None:
        self.replaced = False
        """The text is another one: it has nothing of what is out already."""
        self._seen = ""

    def push(self, text: str, *, final: bool = False) -> str:
        """What `text` adds and will not change any more; all of it if it is the last."""
        if not final:
            tail = UNSETTLED.search(text, max(0, len(text) - UNSETTLED_CHARS))
            text = text[: tail.start()] if tail else text
        if self._seen.startswith(text) or (len(text) < len(self._seen) and not final):
            return ""  # it shrank, for now
        start = len(self._seen) if text.startswith(self._seen) else go_on(self._seen, text)
        self.replaced = bool(self._seen) and start == 0
        if self.replaced:
            return ""
        self._seen = text
        return text[start:]


def go_on(seen: str, text: str) -> int:
    """The index in `text` behind the last words that it shares with `seen`, its earlier self.

    0 if it shares nothing.
    """
    differ = (at for at, pair in enumerate(zip(seen, text, strict=False)) if pair[0] != pair[1])
    same = next(differ, min(len(seen), len(text)))
    rest = seen[same:]
    for size in range(len(rest), 0, -1):
        at = text.find(rest[-size:], same, same + len(rest) + 4)
        if at >= 0:
            return at + size
    return same


class WorkerReply:
    """One reply of a worker. `max_tokens` is what was asked for, if "stop" may hide "length"."""

    def __init__(
        self, faults: Faults, stop: Sequence[str], *, max_tokens: int | None = None
    ) -> None:
        self.finished = False
        self.enough = False
        self._faults = faults
        self._max_tokens = max_tokens
        self._words = Words(stop, faults.mask)
        self._settled = Settled()
        self._text = ""
        self._tokens = 0
        self._usage = Usage()
        self._reason: FinishReason | None = None
        self._says_why = False

    def take(self, message: dict[str, Any]) -> Chunk:
        """The chunk of one message. Raises EngineError for one that holds an error, not text."""
        if code := message.get("error_code"):
            raise self._faults.worker(code, text_of(message, "text"))
        self._text = text_of(message, "text")
        before = self._tokens
        self._count(message)
        words = self._words.push(self._settled.push(self._text, final=self.finished))
        if self._settled.replaced:
            raise self._faults.taken_back()
        if self._words.stopped:
            self._reason = "stop"
            self.finished = self.enough = True
        return replace(words, tokens=max(0, self._tokens - before))

    def held(self) -> Chunk:
        """What could still have changed; half a character is left out."""
        return self._rest(self._text.rstrip("\ufffd"))

    def end(self) -> Chunk:
        """The last chunk.

        A worker that never gives reasons ends by ending. One that does and gave none was cut off:
        the end of the text is missing.
        """
        if self._reason is None and (self._says_why or not self._text):
            raise self._faults.cut_off()
        rest = self._rest(self._text)
        if self._settled.replaced:
            raise self._faults.taken_back()
        reason = self._reason or "stop"
        return replace(rest, finish_reason=reason, usage=self._usage)

    def _rest(self, text: str) -> Chunk:
        words = self._words.push(self._settled.push(text, final=True))
        return followed(words, self._words.flush())

    def _count(self, message: dict[str, Any]) -> None:
        """Take in how the reply ended, if it did, and its size."""
        reason = message.get("finish_reason")
        usage = message.get("usage")
        self._says_why = self._says_why or "finish_reason" in message
        tokens = whole_number(usage, "completion_tokens")
        if reason == "abort":
            raise self._faults.broken_off()
        if reason == "length" and tokens is not None and "logprobs" in message:
            tokens += 1  # the model worker counts from 0
        if reason:
            full = self._max_tokens is not None and (tokens or 0) >= self._max_tokens
            self._reason = "length" if reason == "length" or full else "stop"
            self.finished = True
        if tokens is not None:
            self._tokens = tokens
            self._usage = Usage(whole_number(usage, "prompt_tokens"), None, tokens)


def nul_messages(pieces: Iterable[bytes], faults: Faults) -> Iterator[dict[str, Any]]:
    """The JSON of NUL-ended messages. Raises ConnectionLost inside a message, EngineError."""
    blank = 0
    for part in split_at(b"\0", pieces, faults):
        if not part.endswith(b"\0"):
            raise faults.cut_off()
        if message := part[:-1].strip():
            yield faults.message(message)
        else:
            blank += len(part)
            if blank > MESSAGE_BYTES:
                raise faults.endless()
