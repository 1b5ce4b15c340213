"""Reasoning inside a text: the marks that models write around it, and how it is split off.

Some templates write the opening mark into the prompt, so that a reply begins in its reasoning and
has the closing mark only. Whatever reads a conversation splits here, so that a model's template
finds text and reasoning apart and decides itself what of it is sent again. Knows nothing of ids,
files or servers.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from glmcli.types import Message

PAIRS = (
    ("<think>", "</think>"),
    ("[THINK]", "[/THINK]"),
    ("<|START_THINKING|>", "<|END_THINKING|>"),
    ("<seed:think>", "</seed:think>"),
    ("<mm:think>", "</mm:think>"),
    ("<|begin_of_thought|>", "<|end_of_thought|>"),
    ("◁think▷", "◁/think▷"),
    ("<thinking>", "</thinking>"),
)
"""How model families mark their reasoning; the first is also assumed where nothing says."""
_OPENED = re.compile(
    "|".join(rf"\s*{re.escape(begin)}(.*?){re.escape(end)}" for begin, end in PAIRS), re.DOTALL
)
QUOTES = "\"'`(“‘«„「"
BEHIND = " \t,.;:!?)'\"`”’»」"
"""What stands behind a mark at the start of a line that is talked about."""
SENTENCE_ENDS = ".!?…。！？"
_BLANKS = " \t"
_BULLET = re.compile(r"\s*(?:[-*+]|\d{1,3}[.)])\s*")
_EMPTY_LINE = re.compile(r"[ \t]*\r?\n[ \t]*\r?\n")
_NO_LINE_YET = re.compile(r"[ \t]*\r?(?:\n[ \t]*\r?)?")
FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
INDENTS = ("    ", "\t")
MOST_BLANKS = 200
"""So many blanks behind a mark are waited for, to see what comes after them."""
_LOOKED_AT = MOST_BLANKS + 2
"""Characters behind a mark."""
BETWEEN = "\n\n"
"""Between two pieces of reasoning."""
MOST_CLOSINGS = 100
"""So many closing marks of one text are found; real ones have one or two."""


def split_reasoning(message: Message) -> Message:
    """`message` with the reasoning that its text begins with apart, if it is a reply that has any.

    All that comes before the last closing mark is reasoning. Marks that are merely mentioned stay,
    and an opening one without its end.
    """
    if message.role != "assistant" or message.thinking or message.name:
        return message
    if not any(end in message.text for _, end in PAIRS):
        return message
    text, thoughts = message.text, []
    if found := _OPENED.match(text):
        thoughts = [next(part for part in found.groups() if part is not None)]
        text = text[found.end() :].lstrip()
    lone = LoneMark(PAIRS)
    while (parted := lone.push(text, final=True))[1] is not None:
        thoughts.append(parted[0])
        text = parted[1].lstrip()
    if not thoughts:
        return message
    thinking = BETWEEN.join(filter(None, (thought.strip() for thought in thoughts)))
    return replace(message, text=text, thinking=thinking)


def held_back(text: str, marks: Sequence[str]) -> int:
    """How many characters at the end of `text` could be the start of one of `marks`."""
    longest = max((len(mark) for mark in marks), default=1) - 1
    for size in range(min(longest, len(text)), 0, -1):
        if any(mark.startswith(text[-size:]) for mark in marks):
            return size
    return 0


class Spot:
    """Where in a Markdown text its end is, as far as that matters to a mark."""

    def __init__(self) -> None:
        self._fence = ""
        self._line = ""
        """The start of the line."""
        self._last = self._last_seen = ""
        """The last character of the line, and the last that is not blank."""
        self._ticks = 0
        """Runs of backticks in the line; after an odd number of them there is a span of code."""
        self._is_blank = True

    def go_on(self, text: str) -> None:
        """Go to the end of some more text."""
        *lines, last = text.split("\n")
        for line in lines:
            self._add(line)
            self._end_line()
        self._add(last)

    @property
    def is_start(self) -> bool:
        """Whether only blanks are before it in its line."""
        return self._is_blank

    @property
    def is_quoted(self) -> bool:
        """Whether a mark here is talked about: in code, behind a quotation mark, in a list."""
        if self._fence or self._ticks % 2 or (self._is_blank and self._line.startswith(INDENTS)):
            return True
        return bool(_BULLET.fullmatch(self._line)) or bool(self._last and self._last in QUOTES)

    @property
    def is_after_sentence(self) -> bool:
        """Whether a sentence has ended before it, and a blank followed."""
        ended = bool(self._last_seen) and self._last_seen in SENTENCE_ENDS
        return ended and self.is_after_blank

    @property
    def is_after_blank(self) -> bool:
        """Whether a blank is before it."""
        return bool(self._last) and self._last in _BLANKS

    @property
    def is_after_ideograph(self) -> bool:
        """Whether a letter of a language without blanks is before it."""
        return is_ideograph(self._last)

    def _add(self, part: str) -> None:
        if not part:
            return
        goes_on = self._last == part[0] == "`"
        self._ticks += len(re.findall("`+", part)) - goes_on
        self._line += part[: 8 - len(self._line)] if len(self._line) < 8 else ""
        self._is_blank = self._is_blank and not part.strip()
        self._last = part[-1]
        self._last_seen = part.rstrip(_BLANKS)[-1:] or self._last_seen

    def _end_line(self) -> None:
        if found := FENCE.match(self._line):
            fence = found[1][:3]
            if not self._fence or self._fence == fence:
                self._fence = "" if self._fence else fence
        self._line = self._last = self._last_seen = ""
        self._ticks, self._is_blank = 0, True


class LoneMark:
    """Finds closing marks in a text that has no opening one before them.

    This is the one rule for what is a mark and what is talked about and stays text. Text is a mark
    in code or behind a quotation mark, one behind an opening mark, and one in a sentence: there an
    empty line has to follow. At the start of a line, and where a sentence has ended, it is text if
    it goes on as a sentence would.
    """

    def __init__(self, pairs: Sequence[tuple[str, str]]) -> None:
        self._opening = tuple(pair[0] for pair in pairs)
        self._marks = (*self._opening, *(pair[1] for pair in pairs))
        self._pattern = re.compile("|".join(map(re.escape, self._marks)) or r"(?!)")
        self._spot = Spot()
        self._held = ""
        self._left = MOST_CLOSINGS
        self.is_off = False
        """There can be none any more: everything is text."""

    def push(self, text: str, *, final: bool = False) -> tuple[str, str | None]:
        """What is certain now; if a mark has come, that before it and what is known behind it."""
        text, self._held = self._held + text, ""
        at = 0
        while not self.is_off and (found := self._pattern.search(text, at)):
            self._spot.go_on(text[at : found.start()])
            if found[0] in self._opening:
                self.is_off = True
                break
            ends = final and found.end() + _LOOKED_AT >= len(text)
            kind = self._judge(text[found.end() : found.end() + _LOOKED_AT], final=ends)
            if kind is None:
                self._held = text[found.start() :]
                return text[: found.start()], None
            if kind:
                self._left -= 1
                self.is_off, self._spot = not self._left, Spot()
                return text[: found.start()], text[found.end() :]
            self._spot.go_on(found[0])
            at = found.end()
        if self.is_off or final:
            return text, None
        cut = len(text) - held_back(text[at:], self._marks)
        self._spot.go_on(text[at:cut])
        self._held = text[cut:]
        return text[:cut], None

    def _judge(self, rest: str, *, final: bool) -> bool | None:
        """Whether a mark here, with `rest` behind it, is one; None if that is not certain yet."""
        spot = self._spot
        if spot.is_quoted:
            return False
        is_known = final or len(rest) > MOST_BLANKS
        if spot.is_start or spot.is_after_sentence:
            if not is_known and not rest.strip(_BLANKS):
                return None
            ends = not rest.strip(_BLANKS) or rest.lstrip(_BLANKS)[0] in "\r\n"
            return ends or rest[0] not in BEHIND
        if spot.is_after_blank:
            is_open = not is_known and bool(_NO_LINE_YET.fullmatch(rest))
            return None if is_open else bool(_EMPTY_LINE.match(rest))
        if spot.is_after_ideograph:  # where words have no blanks between them
            return not is_ideograph(rest[:1]) if rest or final else None
        return True


def is_ideograph(char: str) -> bool:
    """Whether a character is a letter of Chinese or Japanese, not punctuation."""
    return char >= "\u2e80" and char.isalpha()
