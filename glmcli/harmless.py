"""Text from outside, made harmless: what would steer a terminal becomes a visible symbol.

What the program says of its own is a line, whatever names stand in it: `tr` makes its fields so,
and each door that tells an error or a note lets nothing else out (`as_told`). Knows nothing of
terminals or languages.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

BIDI_CONTROLS = (0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A))
"""Unicode property Bidi_Control: they reorder what is read without changing what is run."""
LONGEST_TOLD = 2_000
"""Characters of an error or a note; longer than any that the program makes."""
_TOLD_END = 500
"""How many of them are the end of a longer one, which often says what is wrong."""


@cache  # made when the first text needs it
def symbols(*, in_a_line: bool) -> dict[int, str]:
    """What stands for each character that would steer a terminal, or break a line."""
    kept = "" if in_a_line else "\t\n"
    c0 = {code: chr(0x2400 + code) for code in range(0x20) if chr(code) not in kept}
    codes = (*range(0x80, 0xA0), 0x2028, 0x2029, *BIDI_CONTROLS)
    named = {code: f"<U+{code:04X}>" for code in codes}
    surrogates = dict.fromkeys(range(0xD800, 0xE000), "\N{REPLACEMENT CHARACTER}")
    return {**c0, 0x7F: "\N{SYMBOL FOR DELETE}", **named, **surrogates}


def visible(text: str) -> str:
    """Replace control characters, ESC, C1 and bidi controls; tabs and newlines stay.

    C0 and DEL become control pictures (ESC is ␛), the others their code (`<U+202E>`). Each
    character is replaced by itself, so the parts of a text may be given one after the other.
    """
    return (
        text if text.isascii() and text.isprintable() else text.translate(symbols(in_a_line=False))
    )


def in_a_line(text: str) -> str:
    """The same for a line: tabs and newlines become symbols too."""
    return (
        text if text.isascii() and text.isprintable() else text.translate(symbols(in_a_line=True))
    )


def quoted(text: str) -> str:
    """A text between quotation marks, in a line: letters of all scripts and emoji as they are.

    For what a person, or another program, has written; `repr` is for programmers.
    """
    mark = '"' if "'" in text and '"' not in text else "'"
    return f"{mark}{in_a_line(text)}{mark}"


class _Quotable(str):
    """A text that a sentence puts between quotation marks with `{name!r}`."""

    __slots__ = ()

    def __repr__(self) -> str:
        return quoted(str(self))


def with_fields(sentence: str, values: Mapping[str, object]) -> str:
    """A sentence with its fields; `{name!r}` is what `quoted` makes of a text."""
    fields = {
        name: _Quotable(value) if type(value) is str else value for name, value in values.items()
    }
    return sentence.format(**fields)


def as_told(text: str) -> str:
    """An error, a hint or a note as it is told: one line, harmless, its middle cut if it is long.

    For people and programs alike: nothing that a name holds can look like a line of this program.
    """
    if len(text) > LONGEST_TOLD:
        text = f"{text[: LONGEST_TOLD - _TOLD_END - 1]}…{text[-_TOLD_END:]}"
    return in_a_line(text)
