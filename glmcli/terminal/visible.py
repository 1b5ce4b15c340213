"""Text from outside, made harmless: what would steer a terminal becomes a visible symbol.

Replies, titles, file names, model names and server errors all pass through here on their way to a
terminal; pipes get the raw text. Knows nothing of Markdown or of colours.
"""

from __future__ import annotations

import re

BIDI_CONTROLS = (0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A))
"""Unicode property Bidi_Control: they reorder what is read without changing what is run."""
MOST_A_CELL = 16
"""Characters. A row has no more of them for each of its cells: many take none."""

_C0 = {code: chr(0x2400 + code) for code in range(0x20) if chr(code) not in "\t\n"}
_C1 = {code: f"<U+{code:04X}>" for code in range(0x80, 0xA0)}
_BREAKS = {code: f"<U+{code:04X}>" for code in (0x2028, 0x2029, *BIDI_CONTROLS)}
_SURROGATES = dict.fromkeys(range(0xD800, 0xE000), "\N{REPLACEMENT CHARACTER}")
_SYMBOLS = {**_C0, 0x7F: "\N{SYMBOL FOR DELETE}", **_C1, **_BREAKS, **_SURROGATES}


_NOT_ESCAPED = re.compile(f"[\x7f-\x9f\u2028\u2029{''.join(map(chr, BIDI_CONTROLS))}]")
"""What JSON lets through of it."""


def visible(text: str) -> str:
    """Replace control characters, ESC, C1 and bidi controls; tabs and newlines stay.

    C0 and DEL become control pictures (ESC is ␛), the others their code (`<U+202E>`). Each
    character is replaced by itself, so the parts of a text may be given one after the other.
    """
    return text if text.isascii() and text.isprintable() else text.translate(_SYMBOLS)


def visible_line(text: str) -> str:
    """The same on one line: tabs and line ends become spaces."""
    return visible(" ".join(text.split()))


def visible_json(text: str) -> str:
    r"""JSON with all of these as \uXXXX: the same value, and harmless."""
    return _NOT_ESCAPED.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
