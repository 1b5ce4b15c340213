"""Which characters of a draft were typed, kept while the draft is edited in whatever way.

Follows the texts of the draft, one after the other, and compares each with the one before. In doubt
a character counts as pasted. Knows nothing of keys.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import reduce

from glmcli.conversation.typed import PASTED_BYTE, TYPED_BYTE, Line, untyped_line

REMEMBERED = 4_000_000
"""Characters of earlier texts of a draft; a text that comes back from before counts as pasted."""


class Origins:
    """The draft as a `Line`. `recalled` tells of an earlier text, or None if there was no such."""

    def __init__(self, recalled: Callable[[str], Line | None]) -> None:
        self.line = Line("")
        self._recalled = recalled
        self._entry = self._size = 0
        self._seen: dict[str, bytes] = {}
        """The texts of this draft, for undo and redo."""
        self._killed: dict[str, bytes] = {}
        """Deleted texts, for the keys that bring them back."""
        self._arriving: bytes | None = None

    def begin(self, line: Line) -> None:
        """Start with a new draft."""
        self._seen.clear()
        self._size = self._entry = 0
        self.put(line)

    def put(self, line: Line) -> None:
        """Go on with a draft whose origins are known."""
        self.line = line
        seen = self._seen.pop(line.text, None)
        self._size += len(line.text) * (seen is None)
        self._seen[line.text] = line.pasted if seen is None else union(seen, line.pasted)
        while self._size > REMEMBERED and len(self._seen) > 1:
            oldest = next(iter(self._seen))
            self._size -= len(oldest)
            del self._seen[oldest]

    @contextmanager
    def arriving(self, *, typed: bool) -> Iterator[None]:
        """Text inserted meanwhile was typed, or was not; without this it must be known."""
        before, self._arriving = self._arriving, TYPED_BYTE if typed else PASTED_BYTE
        try:
            yield
        finally:
            self._arriving = before

    def follow(self, text: str, *, entry: int = 0) -> None:
        """The draft is `text` now; `entry` says as which one of the history it began."""
        entry, self._entry = self._entry, entry
        if text == self.line.text:
            return
        if self._entry != entry and self._arriving is None:
            self.put(Line(text, self._known(text)))
        else:
            self.put(Line(text, self._edited(text)))

    def _known(self, text: str) -> bytes:
        """The origins of a text that came back as a whole."""
        recalled = self._recalled(text)
        known = [self._seen.get(text), recalled.pasted if recalled else None]
        found = [origins for origins in known if origins is not None]
        return reduce(union, found) if found else untyped_line(text).pasted

    def _edited(self, text: str) -> bytes:
        """The origins in a text in which a part of the draft was replaced."""
        old, mask = self.line.text, self.line.mask()
        shorter, more = min(len(old), len(text)), len(text) - len(old)
        end = common_end(old, text)
        first, last = shorter - end, common_start(old, text)
        if first <= last:  # a part was inserted or deleted, anywhere from `first` to `last`
            inserted, removed = max(more, 0), max(-more, 0)
        else:  # one part was replaced by another
            first = last
            inserted, removed = len(text) - end - first, len(old) - end - first
        self._kill(first, last, removed)
        new = self._inserted(text, first, last, inserted)
        before, after = mask[:last], mask[first + removed :]
        shifted = TYPED_BYTE * first + new, TYPED_BYTE * (first + inserted) + after
        return reduce(union, shifted, before)

    def _inserted(self, text: str, first: int, last: int, size: int) -> bytes:
        """The origins of inserted text, over all places where it may be."""
        room = (last + size - first) if size else 0
        if self._arriving is not None:
            return self._arriving * room
        whole = self._recalled(text)
        for known in (self._seen.get(text), whole.pasted if whole else None):
            if known is not None:
                return known[first : first + room]
        part = self._killed.get(text[first : first + size])
        return (PASTED_BYTE if part is None or PASTED_BYTE in part else TYPED_BYTE) * room

    def _kill(self, first: int, last: int, size: int) -> None:
        """Remember deleted text, at the first and at the last place where it may have been."""
        pasted = self.line.pasted[first : last + size]
        for at in {first, last} if size else ():
            killed = self.line.text[at : at + size]
            self._killed[killed] = union(self._killed.get(killed, b""), pasted)


def union(one: bytes, other: bytes) -> bytes:
    """Pasted where either says so; the shorter one is filled up as typed."""
    length = max(len(one), len(other))
    if PASTED_BYTE not in one or PASTED_BYTE not in other:
        return (other if PASTED_BYTE in other else one).ljust(length, TYPED_BYTE)
    one, other = one.ljust(length, TYPED_BYTE), other.ljust(length, TYPED_BYTE)
    return (int.from_bytes(one) | int.from_bytes(other)).to_bytes(length)


def common_start(one: str, other: str) -> int:
    """How many characters two texts share at their beginning."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if one[low:middle] == other[low:middle] else (low, middle - 1)
    return low


def common_end(one: str, other: str) -> int:
    """How many characters two texts share at their end."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        same = (
            one[len(one) - middle : len(one) - low] == other[len(other) - middle : len(other) - low]
        )
        low, high = (middle, high) if same else (low, middle - 1)
    return low
