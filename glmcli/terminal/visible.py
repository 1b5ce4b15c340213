"""Text from outside, made harmless: what would steer a terminal becomes a visible symbol.

Replies, titles, file names, model names and server errors all pass through here on their way to a
terminal; pipes get the raw text, but not where the program itself speaks: see glmcli/harmless.py.
Knows nothing of Markdown or of colours.
"""

from __future__ import annotations

import re

from glmcli.harmless import BIDI_CONTROLS, visible

__all__ = ["BIDI_CONTROLS", "MOST_A_CELL", "steady", "visible", "visible_json", "visible_line"]

MOST_A_CELL = 16
"""Characters. A row has no more of them for each of its cells: many take none."""

_UNSTEADY = re.compile(
    "\u200d(?:[\u2600-\u27bf\u2b00-\u2bff\U0001f000-\U0001faff])?"
    "|[\u20e3\ufe00-\ufe0f\U0001f3fb-\U0001f3ff\U000e0000-\U000e01ef]"
)
_FLAGS = {0x1F1E6 + at: chr(ord("A") + at) for at in range(26)}
_NOT_ESCAPED = re.compile(f"[\x7f-\x9f\u2028\u2029{''.join(map(chr, BIDI_CONTROLS))}]")
"""What JSON lets through of it."""


def visible_line(text: str) -> str:
    """The same on one line: tabs and line ends become spaces."""
    return visible(" ".join(text.split()))


def steady(text: str) -> str:
    """A text without what terminals measure differently, for rows that stand in columns.

    A joined emoji is its first one, one with a sign of its look has none, a flag is two letters.
    """
    return text if text.isascii() else _UNSTEADY.sub("", text).translate(_FLAGS)


def visible_json(text: str) -> str:
    r"""JSON with all of these as \uXXXX: the same value, and harmless."""
    return _NOT_ESCAPED.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
