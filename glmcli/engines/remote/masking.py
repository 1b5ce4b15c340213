"""Keys of servers, kept out of what is shown, stored and logged, however a server spells them.

A key may come back as it is, quoted for an address, as base64 or cut short. A long one is taken out
of replies as well; a short one ("EMPTY") may be a word of the reply. Knows nothing of servers.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Collection, Iterator
from typing import Any
from urllib.parse import quote

MASKED = "[key]"
WORD = 8
"""A key below this length may be part of a word: it is masked only where it stands alone."""
SECRET = 16
"""A key of this length is not a word: no text has it by chance, nor a part of it of `PART`."""
PART = 12


class Mask:
    """Takes keys out of texts. With `keys` that are all empty it changes nothing."""

    def __init__(self, keys: Collection[str] = ()) -> None:
        known = sorted({key for key in keys if key}, key=len, reverse=True)
        self._secrets = [key for key in known if len(key) >= SECRET]
        self.forms = sorted({form for key in self._secrets for form in plain_spellings(key)})
        """How the keys are written that are taken out of replies."""
        starts = (re.escape(form[:3]) for form in self.forms)
        ends = (re.escape(form[:size]) + r"\Z" for form in self.forms for size in (1, 2))
        self.start = re.compile("|".join([*starts, *ends])) if self.forms else None
        """What every delta holds that begins one of them, and few others do."""
        self._secret = pattern_of([form for key in self._secrets for form in spellings(key)])
        short = [rf"(?<!\w){re.escape(key)}(?!\w)" for key in known if len(key) < WORD]
        forms = [form for key in known if len(key) >= WORD for form in spellings(key)]
        self._any = pattern_of(forms, short)

    def __call__(self, text: str) -> str:
        """A text about a server, or of one, without any key or a long part of one."""
        if self._any is not None:
            text = self._any.sub(MASKED, text)
        for key in self._secrets:
            text = without_parts(text, key)
        return text

    def secrets(self, text: str) -> str:
        """A text without the keys that are not words."""
        return text if self._secret is None else self._secret.sub(MASKED, text)

    def value(self, value: Any) -> Any:
        """JSON without the keys that are not words."""
        if self._secret is None:
            return value
        if isinstance(value, str):
            return self.secrets(value)
        if isinstance(value, list):
            return [self.value(item) for item in value]
        if isinstance(value, dict):
            return {self.secrets(name): self.value(item) for name, item in value.items()}
        return value


class MaskedText:
    """A text that comes in deltas, without keys: the start of one is held back."""

    def __init__(self, mask: Mask) -> None:
        self._mask = mask
        self._held = ""

    def push(self, delta: str) -> str:
        """What is certain now."""
        start = self._mask.start
        if start is None or not (self._held or start.search(delta)):
            return delta
        text = self._held + delta
        cut = len(text)
        for form in self._mask.forms:
            if form in text:
                text = text.replace(form, MASKED)
                cut = len(text)
            cut = min(cut, start_of(form, text))
        self._held = text[cut:]
        return text[:cut]

    def flush(self) -> str:
        """The rest, which is not a key; most of one is not shown either."""
        held, self._held = self._held, ""
        return self._mask(held)


def start_of(form: str, text: str) -> int:
    """Where the end of a text could be the start of `form`; its length if it cannot."""
    at = text.find(form[0], max(0, len(text) - len(form) + 1))
    while at >= 0 and not form.startswith(text[at:]):
        at = text.find(form[0], at + 1)
    return len(text) if at < 0 else at


def plain_spellings(key: str) -> tuple[str, ...]:
    """A key as it is, in an address, and in JSON."""
    return key, quote(key, safe=""), json.dumps(key)[1:-1]


def spellings(key: str) -> Iterator[str]:
    """The ways in which a key may come back."""
    yield from plain_spellings(key)
    data = key.encode()
    for before in range(3):  # base64 of a text that has the key in it, at any offset
        start = (8 * before + 5) // 6
        size = (8 * (before + len(data))) // 6
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            yield encode(b"\0" * before + data).decode()[start:size]


def pattern_of(forms: Collection[str], more: Collection[str] = ()) -> re.Pattern[str] | None:
    """What finds each of `forms`, the longest first, and `more` patterns; None if there is none."""
    found = [re.escape(form) for form in sorted(set(forms), key=len, reverse=True)]
    return re.compile("|".join([*found, *more])) if found or more else None


def without_parts(text: str, key: str) -> str:
    """`text` without the parts of `key` that are too long for chance."""
    for at in range(len(key) - PART + 1):
        while (start := text.find(key[at : at + PART])) >= 0:
            size = PART
            while key[at + size : at + size + 1] == text[start + size : start + size + 1] != "":
                size += 1
            text = text[:start] + MASKED + text[start + size :]
    return text
