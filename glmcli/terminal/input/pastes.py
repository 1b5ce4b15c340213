"""Long pastes: one character in the draft that is shown as a placeholder, and sent as it was.

Knows nothing of keys: the placeholder is deleted, moved and undone like any other character. Text
from outside that holds such a character of its own becomes a paste as well (see `plain`).
"""

from __future__ import annotations

import re
from bisect import bisect_right

from prompt_toolkit.layout.processors import Processor, Transformation, TransformationInput
from prompt_toolkit.layout.utils import explode_text_fragments

from glmcli.conversation.typed import PASTED_BYTE, Line
from glmcli.language import ntr, tr
from glmcli.terminal.visible import visible

LONG_LINES = 10
LONG_CHARS = 1_000
FIRST, LAST = 0x10FE00, 0x10FFFD
"""The characters that stand for pastes: the end of the last private use area of Unicode."""
STAND_IN = re.compile(f"[{chr(FIRST)}-{chr(LAST)}]")


def pasted_text(data: str) -> str:
    """What a terminal sent as a paste, with the line ends of this program."""
    return data.replace("\r\n", "\n").replace("\r", "\n")


def line_count(text: str) -> int:
    """How many lines a text has; a line end at its end begins no other."""
    return text.removesuffix("\n").count("\n") + 1


class Pastes:
    """The pastes of a session, each with a character that stands for it."""

    def __init__(self) -> None:
        self._texts: list[str] = []
        self._characters: dict[str, str] = {}

    def fold(self, text: str) -> str:
        """`text`, or the character that stands for it if it is long."""
        lines = line_count(text)
        is_long = lines >= LONG_LINES or len(text) >= LONG_CHARS
        return (self._stand_in(text) if is_long else "") or self.plain(text)

    def plain(self, text: str) -> str:
        """`text` for a draft: a character of it that would stand for a paste becomes a paste."""
        return STAND_IN.sub(lambda found: self._character(found[0]), text)

    def _character(self, char: str) -> str:
        return self._stand_in(char) or "\N{REPLACEMENT CHARACTER}"

    def _stand_in(self, text: str) -> str:
        """The character that stands for a text from now on; "" if there is none left."""
        if text not in self._characters:
            if FIRST + len(self._texts) > LAST:
                return ""
            self._characters[text] = chr(FIRST + len(self._texts))
            self._texts.append(text)
        return self._characters[text]

    def expand(self, draft: str) -> str:
        """The draft with every paste whole."""
        return STAND_IN.sub(lambda found: self._text(found[0]), draft)

    def whole(self, line: Line) -> Line:
        """A draft with its pastes whole; the same object if it has none. Safe from any thread."""
        if not STAND_IN.search(line.text):
            return line
        mask, pasted, done = line.mask(), [], 0
        for found in STAND_IN.finditer(line.text):
            pasted += [mask[done : found.start()], PASTED_BYTE * len(self._text(found[0]))]
            done = found.end()
        return Line(self.expand(line.text), b"".join([*pasted, mask[done:]]))

    def shown(self, draft: str) -> str:
        """The draft with placeholders: "[paste 1: 40 lines]"."""
        return STAND_IN.sub(lambda found: self.placeholder(found[0]), draft)

    def placeholder(self, char: str) -> str:
        """A character as it is shown: itself, if it does not stand for a paste."""
        text = self._text(char)
        if text == char:
            return char
        lines = line_count(text)
        if lines >= LONG_LINES:
            size = ntr("{n:,} line", "{n:,} lines", lines)
        else:
            size = ntr("{n:,} character", "{n:,} characters", len(text))
        return tr("[paste {number}: {size}]", number=ord(char) - FIRST + 1, size=size)

    def _text(self, char: str) -> str:
        number = ord(char) - FIRST
        return self._texts[number] if 0 <= number < len(self._texts) else char


class Placeholders(Processor):
    """Shows a draft in prompt-toolkit's window: with placeholders, and with control characters made
    visible, as it is shown when it was sent.
    """

    def __init__(self, pastes: Pastes) -> None:
        self._pastes = pastes

    def apply_transformation(self, transformation_input: TransformationInput) -> Transformation:
        """See Processor."""
        fragments = transformation_input.fragments
        text = "".join(fragment[1] for fragment in fragments)
        if not STAND_IN.search(text) and visible(text) == text:
            return Transformation(fragments)
        starts, shown = [0], []
        for style, char, *handler in explode_text_fragments(fragments):
            placeholder = visible(self._pastes.placeholder(char))
            shown.append((style, placeholder, *handler))
            starts.append(starts[-1] + len(placeholder))

        def to_display(index: int) -> int:
            beyond = max(index + 1 - len(starts), 0)
            return starts[index - beyond] + beyond

        def to_source(column: int) -> int:
            return bisect_right(starts, column) - 1

        return Transformation(shown, to_display, to_source)  # type: ignore[arg-type]
