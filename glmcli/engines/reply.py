"""How a reply ends and which parts it has: stop strings, reasoning and its marks, what arrived.

Works on text alone, for all engines. Knows nothing of ids or servers.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import compress
from typing import Literal, NamedTuple

from glmcli.conversation.reasoning import BEHIND, BETWEEN, LoneMark, held_back
from glmcli.errors import ConnectionLost
from glmcli.language import later, tr
from glmcli.types import Chunk, FinishReason, Message, Usage

THOUGHT = later(
    "the model's thinking has no opening mark: what came before the closing one is kept as thinking"
)
"""What is said of a reply that began to think without saying so."""


def broken_off() -> ConnectionLost:
    """The error for a stream that stops without a `finish_reason`."""
    return ConnectionLost(tr("the reply stopped without an end"), again=True)


@dataclass(slots=True)
class Growing:
    """A reply while it grows: its text so far, and the clock."""

    started: float = field(default_factory=time.monotonic)
    text: list[str] = field(default_factory=list)
    thinking: list[str] = field(default_factory=list)
    draft: list[str] = field(default_factory=list)
    tokens: int = 0
    first_token_s: float | None = None

    def add(self, chunk: Chunk) -> None:
        """Take in a chunk."""
        if chunk.was_thinking:
            self._turn(chunk.thinking)
            chunk = replace(chunk, thinking="")
        if (chunk.text or chunk.thinking) and self.first_token_s is None:
            self.first_token_s = time.monotonic() - self.started
        if chunk.text:
            self.text.append(chunk.text)
        if chunk.thinking:
            self.thinking.append(chunk.thinking)
        if chunk.draft:
            self.draft.append(chunk.draft)
        self.tokens += chunk.tokens

    def so_far(self) -> tuple[str, str]:
        """What is kept if no more comes: the text behind what it was being made of; thinking."""
        text = "\n\n".join(filter(None, ["".join(self.draft), "".join(self.text)]))
        return text, "".join(self.thinking)

    def kept(self, reply: Message | None) -> Message:
        """What is kept of the reply that was shown; None: of one that broke off."""
        shown = reply or self.message("interrupted")
        if not self.draft or shown.finish_reason not in ("cancelled", "interrupted"):
            return shown
        return replace(shown, text=self.so_far()[0])

    def _turn(self, thinking: str) -> None:
        """Take all text so far for thinking, which `thinking` goes on with."""
        before, text = "".join(self.thinking), "".join([*self.text, thinking]).rstrip()
        if self.text or not before:
            text = text.lstrip()
        between = BETWEEN if self.text and before and text else ""
        self.text, self.thinking = [], [before, between, text]

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


def followed(chunk: Chunk, more: Chunk) -> Chunk:
    """Two chunks of text and thinking as one; the rest is that of the second."""
    if more.was_thinking:
        between = BETWEEN if chunk.thinking and chunk.text else ""
        thinking = chunk.thinking + between + chunk.text + more.thinking
        return replace(more, thinking=thinking)
    thinking = chunk.thinking + more.thinking
    turned = chunk.was_thinking
    return replace(more, text=chunk.text + more.text, thinking=thinking, was_thinking=turned)


@dataclass(frozen=True, slots=True)
class Marks:
    """The marks that a model writes around its reasoning, at the start of a reply only."""

    open: str = "<think>"
    close: str = "</think>"
    open_id: int | None = None
    """The mark as one token; if it is known, the same mark spelled in letters is plain text."""
    close_id: int | None = None


class Parted(NamedTuple):
    """What is certain of a reply now."""

    thinking: str = ""
    text: str = ""
    turned: bool = False
    """All text so far was thinking, which this goes on with: a closing mark came alone."""


class StopStrings:
    """Ends a text before the first of `stops`; which one is first does not depend on the deltas."""

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = [stop for stop in stops if stop]
        self._held = ""
        self._seen: list[bool] = []
        """Which of its letters are shown: names of tokens that show nothing count too."""
        self.hit = False

    def push(self, text: str, *, unseen: str = "") -> str:
        """The text that is certain now; `unseen` follows it, which is looked at and not shown."""
        if self.hit or not self._stops:
            return "" if self.hit else text
        held = self._held + text + unseen
        seen = [*self._seen, *[True] * len(text), *[False] * len(unseen)]
        ends = [(held.find(stop) + len(stop), -len(stop)) for stop in self._stops if stop in held]
        self.hit = bool(ends)
        cut = sum(min(ends)) if ends else len(held) - held_back(held, self._stops)
        self._held, self._seen = held[cut:], seen[cut:]
        return "".join(compress(held[:cut], seen))

    def take(self, parts: Parted) -> Chunk:
        """The chunk that is certain now; in what turned out to be thinking nothing is held back."""
        before = self.flush() if parts.turned else ""
        text = self.push(parts.text)
        return Chunk(text, before + parts.thinking, was_thinking=parts.turned)

    def flush(self) -> str:
        """The text that was held back and is not a stop string after all."""
        held, self._held = "".join(compress(self._held, self._seen)), ""
        self._seen = []
        return "" if self.hit else held


class Reasoning:
    """Splits deltas into thinking and text. Blanks around the marks belong to neither.

    `pairs` are the marks of all families, where it is not known which one a model is of.
    """

    def __init__(
        self, marks: Marks, *, thinking: bool = False, pairs: Sequence[tuple[str, str]] = ()
    ) -> None:
        self._marks = marks
        spelled = pairs or ((marks.open, marks.close),)
        self._openings = dict(spelled) if marks.open_id is None else {}
        self._close = marks.close if marks.close_id is None else ""
        self._closings: tuple[str, ...] = ()
        """What a text may begin with that is left over from thinking sent apart from it."""
        self._signs = f"\ue000{secrets.token_hex(8)}", f"\ue000{secrets.token_hex(8)}"
        """They stand for marks that came as tokens, until it is clear whether these are marks."""
        self._names = dict.fromkeys(self._signs, "")
        self._lone = LoneMark(spelled if marks.close_id is None else [self._signs])
        self._state: Literal["start", "thinking", "after", "text"] = (
            "thinking" if thinking else "start"
        )
        self._held = ""
        """What may be the start of a mark."""
        self._blanks: list[str] = []
        """Those before it: shown with what follows, or never."""
        self._thought = False
        self._has_text = False
        """Whether there was text since the last mark."""

    @property
    def is_thinking(self) -> bool:
        """Whether what comes now is thinking."""
        return self._state == "thinking"

    def awaits(self, token: int) -> bool:
        """Whether an id opens or closes the reasoning now."""
        opens, closes = (token == mark for mark in (self._marks.open_id, self._marks.close_id))
        if self._state == "start":
            return opens or closes
        if self._state == "thinking":
            return closes
        return (opens or closes) and self._marks.close_id is not None and not self._lone.is_off

    def switch(self, token: int, text: str, name: str = "") -> Parted:
        """Like `push`; then the awaited id has come, which shows `name` where it is no mark."""
        opens = token == self._marks.open_id
        if self._state != "thinking" and not (opens and self._state == "start"):
            sign = self._signs[0 if opens else 1]
            self._names[sign] = name
            return self.push(text + sign)
        thinking = self._before_blanks(self._held + text) if self._state == "thinking" else ""
        self._state = "thinking" if opens else "after"
        self._held, self._blanks = "", []
        return Parted(thinking)

    def apart(self) -> None:
        """The server sends thinking apart from the text, so the text has no marks around it.

        But it may begin with the closing one.
        """
        self._lone.is_off = True
        self._closings = tuple(self._openings.values())

    def push(self, text: str, *, final: bool = False) -> Parted:
        """The thinking and the text that are certain now."""
        self._held += text
        thinking = shown = ""
        turned = False
        if self._state == "start":
            self._start(final=final)
        if self._state == "thinking":
            thinking = self._think()
        while self._state in ("after", "text"):
            if self._state == "after" and not self._held.strip():
                break
            piece = self._take() if self._state == "text" else self._take().lstrip()
            self._state = "text"
            said, behind = self._lone.push(piece, final=final)
            if behind is None:
                shown = self._named(said)
                break
            thinking, turned = thinking + self._turned(self._named(said)), True
            self._state, self._held = "after", behind
        self._has_text = self._has_text or bool(shown)
        return Parted(thinking, shown, turned)

    def flush(self) -> Parted:
        """The text that was held back and is not a mark after all."""
        if self._state == "thinking":
            held, self._held = self._held, ""
            return Parted(self._before_blanks(held))
        return self.push("", final=True)

    def _turned(self, text: str) -> str:
        """Text that turned out to be thinking, as it goes on with what was shown."""
        text = text.rstrip() if self._has_text else text.strip()
        between = BETWEEN if self._thought and text and not self._has_text else ""
        self._thought = self._thought or self._has_text or bool(text)
        self._has_text = False
        return between + text

    def _named(self, text: str) -> str:
        for sign in self._signs:
            text = text.replace(sign, self._names[sign])
        return text

    def _take(self) -> str:
        text = "".join([*self._blanks, self._held])
        self._held, self._blanks = "", []
        return text

    def _start(self, *, final: bool) -> None:
        begun = self._held.lstrip()
        self._blanks.append(self._held[: len(self._held) - len(begun)])
        self._held = begun
        mark = next((mark for mark in self._openings if begun.startswith(mark)), "")
        left = next((mark for mark in self._closings if begun.startswith(mark)), "")
        behind = begun[len(left) :]
        if left and not final and not behind.strip(" \t"):
            return
        if left and (not behind.split("\n")[0].strip() or behind[0] not in BEHIND):
            self._state, self._held, self._blanks = "after", behind, []
        elif mark:
            self._state, self._held, self._blanks = "thinking", begun[len(mark) :], []
            self._close = self._openings[mark]
        elif final or not any(
            mark.startswith(begun) for mark in (*self._openings, *self._closings) or ("",)
        ):
            self._state = "text"

    def _think(self) -> str:
        mark = self._close
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
