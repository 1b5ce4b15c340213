"""A text as it reads once it is decoded: without escapes, invisible characters and capitals.

It remembers where each character stood, so that what is found in it can be taken out of the
original. Decodes what servers do to a text on its way: percent, HTML and JSON escapes, repeated or
not, and colours of a terminal. Knows nothing of keys.
"""

from __future__ import annotations

import html
import re

ESCAPE_CHARS = 250
"""No escape is longer."""
BEGINNINGS = re.compile(r"[%&\\\x00-\x1f\x7f-\uffff\U00010000-\U0010ffff]")
ESCAPED = re.compile(
    r"%(?:25){0,3}(?P<byte>[0-9a-f]{2})"
    r"|&(?:amp;){0,3}(?P<entity>#[0-9]{1,7}|#x[0-9a-f]{1,6}|amp|lt|gt|quot|apos|sol|plus|equals);?"
    r"|\\{1,8}(?:u(?P<unit>[0-9a-f]{4})|u\{(?P<point>[0-9a-f]{1,6})\}|x(?P<char>[0-9a-f]{2}))"
    r"|\\"
    r"|\x1b\][^\x07\x1b]{0,200}(?:\x07|\x1b\\)"
    r"|(?:\x1b\[|\x9b)[0-?]{0,40}[ -/]{0,4}[@-~]"
    r"|[\x00-\x1f\x7f-\x9f\xad\u0300-\u036f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f"
    r"\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff9-\ufffb"
    r"\U000e0000-\U000e0fff]",
    re.IGNORECASE,
)
"""What stands for another character, or for none that is seen."""
_HALF = re.compile(
    r"(?:%(?:25){0,3}[0-9a-f]?"
    r"|&(?:amp;){0,3}(?:#x?[0-9a-f]{0,7}|[a-z]{0,6})"
    r"|\\{1,8}(?:u\{?[0-9a-f]{0,6}|x[0-9a-f]?)?"
    r"|\x1b\][^\x07\x1b]{0,200}\x1b?|(?:\x1b\[|\x9b)[0-?]{0,40}[ -/]{0,4}|\x1b)\Z",
    re.IGNORECASE,
)
"""The end of a text that may become one of these."""
LOWER = {ord(letter): letter.lower() for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ"}


class Folded:
    """A text in this form; `text` may be shorter than the original."""

    def __init__(self, original: str) -> None:
        self._places: list[tuple[int, int]] = []
        """Where each character begins and ends in the original; nothing if that is the same."""
        self.text = original.translate(LOWER)
        if BEGINNINGS.search(original) and ESCAPED.search(original):
            self.text = self._decoded(self.text)

    def _decoded(self, text: str) -> str:
        parts: list[str] = []
        at = 0
        for found in ESCAPED.finditer(text):
            start, end = found.span()
            parts += [text[at:start], char := meant(found)]
            self._places += [(place, place + 1) for place in range(at, start)]
            self._places += [(start, end)] * len(char)
            at = end
        parts.append(text[at:])
        self._places += [(place, place + 1) for place in range(at, len(text) + 1)]
        return "".join(parts)

    def start(self, at: int) -> int:
        """Where the character `at` begins in the original."""
        return self._places[at][0] if self._places else at

    def end(self, at: int) -> int:
        """Where the one before `at` ends there."""
        return self._places[at - 1][1] if self._places else at


def meant(escape: re.Match[str]) -> str:
    """The character that an escape stands for; "" for one that is not seen."""
    if entity := escape["entity"]:
        char = html.unescape(f"&{entity};")
    else:
        code = escape["byte"] or escape["unit"] or escape["point"] or escape["char"]
        char = chr(min(int(code, 16), 0x10FFFF)) if code else ""
    return "" if ESCAPED.fullmatch(char) else char.translate(LOWER)


def half_escape(text: str) -> int:
    """Where the end of a text could be the start of an escape; its length if it cannot."""
    found = _HALF.search(text, max(0, len(text) - ESCAPE_CHARS))
    return found.start() if found else len(text)
