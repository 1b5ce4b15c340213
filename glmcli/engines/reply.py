"""How a reply ends and which parts it has: stop strings, reasoning and its marks, what arrived.

Works on text alone, for all engines. Knows nothing of ids or servers.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from glmcli.errors import ConnectionLost
from glmcli.language import tr
from glmcli.types import Chunk, FinishReason, Message, Usage


def broken_off() -> ConnectionLost:
    """The error for a stream that stops without a `finish_reason`."""
    return ConnectionLost(tr("the reply stopped without an end"), tr("/retry asks again"))


@dataclass(slots=True)
class Growing:
    """A reply while it grows: its text so far, and the clock."""

    started: float = field(default_factory=time.monotonic)
    text: list[str] = field(default_factory=list)
    thinking: list[str] = field(default_factory=list)
    tokens: int = 0
    first_token_s: float | None = None

    def add(self, chunk: Chunk) -> None:
        """Take in a chunk."""
        if (chunk.text or chunk.thinking) and self.first_token_s is None:
            self.first_token_s = time.monotonic() - self.started
        if chunk.text:
            self.text.append(chunk.text)
        if chunk.thinking:
            self.thinking.append(chunk.thinking)
        self.tokens += chunk.tokens

    def message(self, reason: FinishReason, usage: Usage | None = None) -> Message:
        """The reply as it is now."""
        counted = usage or Usage(completion_tokens=self.tokens or None)
        return Message(
            "assistant",
            "".join(self.text),
            thinking="".join(self.thinking),
            finish_reason=reason,
            usage=replace(
                counted,
                first_token_s=self.first_token_s,
                total_s=time.monotonic() - self.started,
            ),
        )


@dataclass(frozen=True, slots=True)
class Marks:
    """The marks that a model writes around its reasoning, at the start of a reply only."""

    open: str = "<think>"
    close: str = "</think>"
    open_id: int | None = None
    """The mark as one token; if it is known, the same mark spelled in letters is plain text."""
    close_id: int | None = None


def held_back(text: str, marks: Sequence[str]) -> int:
    """How many characters at the end of `text` could be the start of one of `marks`."""
    longest = max((len(mark) for mark in marks), default=1) - 1
    for size in range(min(longest, len(text)), 0, -1):
        if any(mark.startswith(text[-size:]) for mark in marks):
            return size
    return 0


class StopStrings:
    """Ends a text before the first of `stops`; which one is first does not depend on the deltas."""

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = [stop for stop in stops if stop]
        self._held = ""
        self.hit = False

    def push(self, text: str) -> str:
        """The text that is certain now."""
        if self.hit or not self._stops:
            return "" if self.hit else text
        text = self._held + text
        ends = [(text.find(stop) + len(stop), -len(stop)) for stop in self._stops if stop in text]
        if ends:
            end, size = min(ends)
            self.hit = True
            return text[: end + size]
        cut = len(text) - held_back(text, self._stops)
        self._held = text[cut:]
        return text[:cut]

    def flush(self) -> str:
        """The text that was held back and is not a stop string after all."""
        return "" if self.hit else self._held


class Reasoning:
    """Splits deltas into (thinking, text). Blanks around the marks belong to neither."""

    def __init__(self, marks: Marks, *, thinking: bool = False) -> None:
        self._marks = marks
        self._state: Literal["start", "thinking", "after", "text"] = (
            "thinking" if thinking else "start"
        )
        self._held = ""
        """What may be the start of a mark."""
        self._blanks: list[str] = []
        """Those before it: shown with what follows, or never."""
        self._thought = False

    def awaits(self, token: int) -> bool:
        """Whether an id would open or close the reasoning now."""
        waiting = {"start": self._marks.open_id, "thinking": self._marks.close_id}
        return token == waiting.get(self._state)

    def switch(self, token: int, text: str) -> tuple[str, str]:
        """Like `push`; then the awaited id has come."""
        del token
        thinking = self._before_blanks(self._held + text) if self._state == "thinking" else ""
        self._state = "after" if self._state == "thinking" else "thinking"
        self._held, self._blanks = "", []
        return thinking, ""

    def push(self, text: str) -> tuple[str, str]:
        """The thinking and the text that are certain now."""
        self._held += text
        thinking = ""
        if self._state == "start":
            self._start()
        if self._state == "thinking":
            thinking = self._think()
        if self._state == "after":
            self._held = self._held.lstrip()
            self._state = "text" if self._held else "after"
        return thinking, self._take() if self._state == "text" else ""

    def flush(self) -> tuple[str, str]:
        """The text that was held back and is not a mark after all."""
        if self._state == "thinking":
            held, self._held = self._held, ""
            return self._before_blanks(held), ""
        return "", self._take()

    def _take(self) -> str:
        text = "".join([*self._blanks, self._held])
        self._held, self._blanks = "", []
        return text

    def _start(self) -> None:
        begun = self._held.lstrip()
        mark = self._marks.open if self._marks.open_id is None else ""
        self._blanks.append(self._held[: len(self._held) - len(begun)])
        self._held = begun
        if mark and begun.startswith(mark):
            self._state, self._held, self._blanks = "thinking", begun[len(mark) :], []
        elif not mark.startswith(begun):
            self._state = "text"

    def _think(self) -> str:
        mark = self._marks.close if self._marks.close_id is None else ""
        if mark and mark in self._held:
            thinking, _, self._held = self._held.partition(mark)
            self._state = "after"
            thinking = self._before_blanks(thinking)
            self._blanks = []
            return thinking
        cut = len(self._held) - (held_back(self._held, (mark,)) if mark else 0)
        thinking, self._held = self._held[:cut], self._held[cut:]
        return self._before_blanks(thinking)

    def _before_blanks(self, text: str) -> str:
        """Thinking that is shown now: without the blanks at its end, and those at the start."""
        thinking = text.rstrip()
        if not thinking:
            self._blanks.append(text)
            return ""
        blanks, self._blanks = self._blanks, [text[len(thinking) :]]
        if self._thought:
            return "".join(blanks) + thinking
        self._thought = True
        return thinking.lstrip()
