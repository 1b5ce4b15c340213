"""Replies in channels, as gpt-oss writes them: each part has a header that names its channel.

"analysis" and "commentary" are thinking, "final" is the answer. Headers and the control tokens
around them are shown nowhere. Knows nothing of templates.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Literal, NamedTuple

from glmcli.engines.reply import Parted

_THINKING = ("analysis", "commentary")
LONGEST_HEADER = 200
"""Letters; what is longer was no header."""

Part = Literal["header", "thinking", "text"]


class ChannelIds(NamedTuple):
    """The control tokens between parts."""

    start: int
    channel: int
    message: int
    end: int


def channel_ids(controls: Mapping[str, int], source: str) -> ChannelIds | None:
    """The ids, if a chat template writes channels."""
    names = [f"<|{name}|>" for name in ChannelIds._fields]
    if all(name in controls and name in source for name in names):
        return ChannelIds(*(controls[name] for name in names))
    return None


def opened_part(
    ids: ChannelIds, prompt: Sequence[int], decode: Callable[[Sequence[int]], str]
) -> Part:
    """What a prompt ends within: a header, or a part whose header it has written."""
    at = last(prompt, ids.start)
    message = last(prompt, ids.message)
    if message < at:
        return "header"
    channel = last(prompt, ids.channel)
    return part_of(decode(prompt[max(at, channel) + 1 : message]))


def last(ids: Sequence[int], token: int) -> int:
    """Where a token is last; -1 if it is nowhere."""
    return next((at for at in range(len(ids) - 1, -1, -1) if ids[at] == token), -1)


def part_of(header: str) -> Part:
    """What a part is whose header ends with this: "analysis", "commentary to=functions.f"."""
    return "thinking" if header.split()[:1] and header.split()[0] in _THINKING else "text"


class Channels:
    """Splits deltas into thinking and text, by the control ids between them."""

    def __init__(self, ids: ChannelIds, part: Part = "header") -> None:
        self._ids = ids
        self._part: Part = part
        self._header = ""
        self._is_marked = part != "header"
        """Whether it is known that the reply has channels."""
        self._blanks: list[str] = []
        """Shown with what follows in the same part, or never; at the end only of an answer."""
        self._is_new = False
        """Whether nothing of this part was shown yet; what the prompt began is not new."""
        self._shown: set[Part] = set()

    @property
    def is_thinking(self) -> bool:
        """Whether what comes now is thinking, or the header of a part."""
        return self._part != "text"

    def awaits(self, token: int) -> bool:
        """Whether an id is one of those between parts."""
        return token in self._ids

    def switch(self, token: int, text: str, name: str = "") -> Parted:
        """Like `push`; then an id has come that `awaits` knows."""
        shown = self.push(text)
        self._is_marked = True
        if token == self._ids.message:
            self._part = part_of(self._header)
            self._blanks, self._is_new = [], True
        else:
            self._part = "header"
        self._header = ""
        return shown

    def push(self, text: str) -> Parted:
        """The thinking and the text that are certain now."""
        if self._part == "header":
            self._header += text
            if len(self._header) <= LONGEST_HEADER:
                return Parted()
            text, self._part, self._is_new = self._header, "text", True
        shown = self._without_last_blanks(text)
        return Parted(shown) if self._part == "thinking" else Parted(text=shown)

    def flush(self) -> Parted:
        """Blanks at the end of the answer, and what was taken for a header where there is none."""
        if self._part == "text":
            return Parted(text="".join(self._blanks))
        is_answer = self._part == "header" and not self._is_marked
        return Parted(text=self._header.strip() if is_answer else "")

    def _without_last_blanks(self, text: str) -> str:
        shown = text.rstrip()
        if not shown:
            self._blanks.append(text)
            return ""
        before, self._blanks = "".join(self._blanks), [text[len(shown) :]]
        if self._is_new:
            before, shown = "\n\n" if self._part in self._shown else "", shown.lstrip()
        self._is_new = False
        self._shown.add(self._part)
        return before + shown
