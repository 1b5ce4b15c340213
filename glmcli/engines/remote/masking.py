"""Keys of servers, kept out of what is shown, stored and logged, in each spelling of `spellings`.

Looks for them in the text as it reads once it is decoded (folding.py), and takes out of the
original all that stands for one. A long key is taken out of replies as well; a short one ("EMPTY")
may be a word of the reply. Knows nothing of servers.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Collection, Iterable, Iterator
from typing import Any

from glmcli.engines.remote.folding import Folded, half_escape

MASKED = "[key]"
WORD = 8
"""A key below this length may be part of a word: it is masked only where it stands alone."""
SECRET = 16
"""A key of this length is not a word: no text has it by chance, nor a part of it of `_PART`."""
_PART = 12
INNER = 4
"""A delta that ends in so much of the middle of a key may go on with it."""
MOST_HELD = 2000
"""A key takes less in each of its spellings, so no more is held back for one."""

_Span = tuple[int, int]


class Mask:
    """Takes keys out of texts. With `keys` that are all empty it changes nothing."""

    def __init__(self, keys: Collection[str] = ()) -> None:
        known = sorted({key for key in keys if key}, key=len, reverse=True)
        self.parts = Parts(form for key in known if len(key) >= SECRET for form in spellings(key))
        """What is taken out of replies as well."""
        self._forms = pattern_of(
            re.escape(form) for key in known if WORD <= len(key) < SECRET for form in spellings(key)
        )
        self._words = pattern_of(
            rf"(?<!\w){re.escape(key)}(?!\w)" for key in known if len(key) < WORD
        )

    def __call__(self, text: str) -> str:
        """A text about a server, or of one, without any key or a long part of one."""
        text = self.secrets(text)
        if self._forms is not None:
            folded = Folded(text)
            found = [match.span() for match in self._forms.finditer(folded.text)]
            text = without(text, folded, found)
        return text if self._words is None else self._words.sub(MASKED, text)

    def secrets(self, text: str) -> str:
        """A text without the keys that are not words, and without long parts of them."""
        if not self.parts:
            return text
        folded = Folded(text)
        return without(text, folded, self.parts.find(folded.text))

    def value(self, value: Any) -> Any:
        """JSON without the keys that are not words."""
        if not self.parts:
            return value
        if isinstance(value, str):
            return self.secrets(value)
        if isinstance(value, list):
            return [self.value(item) for item in value]
        if isinstance(value, dict):
            return {self.secrets(name): self.value(item) for name, item in value.items()}
        return value


class Parts:
    """The parts of secrets that are too long for chance. Texts are folded ones."""

    def __init__(self, forms: Iterable[str]) -> None:
        forms = sorted(set(forms), key=len, reverse=True)
        self._longest = max(map(len, forms), default=0)
        self._all = "".join(f"\0{form}" for form in forms)
        self._places = {form[at : at + _PART]: form[at:] for form in forms for at in starts(form)}

    def __bool__(self) -> bool:
        return bool(self._places)

    def find(self, text: str) -> list[_Span]:
        """Where they are in a text, each as long as it goes."""
        found: list[_Span] = []
        at = 0
        while at <= len(text) - _PART:
            form = self._places.get(text[at : at + _PART])
            if form is None:
                at += 1
                continue
            size = _PART
            while form[size : size + 1] == text[at + size : at + size + 1] != "":
                size += 1
            found.append((at, at + size))
            at += size
        return found

    def begins(self, text: str) -> int:
        """Where the end of a text could go on as one; its length if it cannot."""
        for size in range(min(self._longest, len(text)), 0, -1):
            end = text[-size:]
            if f"\0{end}" in self._all or (size >= INNER and end in self._all):
                return len(text) - size
        return len(text)


class MaskedText:
    """A text that comes in deltas, without keys: what may be the start of one is held back."""

    def __init__(self, mask: Mask) -> None:
        self._mask = mask
        self._held = ""
        self._past = ""
        """The last of what is out, folded: too little to be told from any word."""

    def push(self, delta: str) -> str:
        """What is certain now."""
        parts = self._mask.parts
        if not parts or not delta:
            return delta
        text = self._held + delta
        cut = half_escape(text)
        folded = Folded(text[:cut])
        read = self._past + folded.text
        found = parts.find(read)
        begin = parts.begins(read)
        begin = next((start for start, end in found if start < begin < end), begin)
        begin = max(begin - len(self._past), 0)
        if begin < len(folded.text):
            cut = folded.start(begin)
        if len(text) - cut > MOST_HELD:
            cut = len(text)
        self._held = text[cut:]
        return self._out(text[:cut])

    def flush(self) -> str:
        """The rest, which is not a key; most of one is not shown either."""
        held, self._held = self._held, ""
        return self._mask(self._out(held))

    def _out(self, text: str) -> str:
        """A text that goes out now, without the parts that end in it."""
        if not text:
            return text
        folded, before = Folded(text), len(self._past)
        read = self._past + folded.text
        self._past = read[1 - INNER :]
        found = self._mask.parts.find(read)
        inside = [(max(start - before, 0), end - before) for start, end in found]
        return without(text, folded, inside)


def spellings(key: str) -> Iterator[str]:
    """The ways in which a key may come back, as folded text: as it is, backwards, encoded."""
    data = key.encode("utf-8", "surrogatepass")
    forms = [key, key[::-1], data.hex()]
    for before in range(3):  # base64 of a text that has the key in it, at any offset
        start = (8 * before + 5) // 6
        size = (8 * (before + len(data))) // 6
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            forms.append(encode(b"\0" * before + data).decode()[start:size])
    return (Folded(form).text for form in forms)


def starts(form: str) -> range:
    """Where a part of a form can begin, the first one last: it is the longest of equal ones."""
    return range(len(form) - _PART, -1, -1)


def pattern_of(patterns: Iterable[str]) -> re.Pattern[str] | None:
    """What finds each of some patterns, the longest first; None if there is none."""
    found = sorted(set(patterns), key=len, reverse=True)
    return re.compile("|".join(found)) if found else None


def without(text: str, folded: Folded, spans: Iterable[_Span]) -> str:
    """A text with a mark in place of what stands at `spans` of its folded form."""
    pieces: list[str] = []
    at = -1
    for start, end in spans:
        first, last = folded.start(start), folded.end(end)
        if first != at:
            pieces += [text[max(at, 0) : first], MASKED]
        at = last
    return "".join([*pieces, text[max(at, 0) :]])
