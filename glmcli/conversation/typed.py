"""A text and which of its characters were typed: only those can be a command or name a file.

What was pasted, piped or read from somewhere is data, whatever it looks like. Knows nothing of how
texts come in, nor of what commands there are.
"""

from __future__ import annotations

from dataclasses import dataclass

PASTED_BYTE = b"\1"
TYPED_BYTE = b"\0"


@dataclass(frozen=True, slots=True)
class Line:
    """A text; `pasted` has a byte for each character that is 1 where it was not typed."""

    text: str
    pasted: bytes = b""
    """What lies beyond it was typed."""

    def is_typed(self, start: int, end: int) -> bool:
        """Whether all characters from `start` up to `end` were typed."""
        return PASTED_BYTE not in self.pasted[start:end]

    def mask(self) -> bytes:
        """`pasted` in full length."""
        return self.pasted.ljust(len(self.text), TYPED_BYTE)


NOTHING = Line("")


def untyped_line(text: str) -> Line:
    """A text of which nothing was typed."""
    return Line(text, PASTED_BYTE * len(text))
