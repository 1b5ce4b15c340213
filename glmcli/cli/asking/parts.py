"""A long text as parts that fit, joined again the same text. Knows nothing of models.

A part ends with a paragraph if it can; else with a sentence or a line, else with a word.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

PARAGRAPH = re.compile(r"\n[ \t\r]*\n\s*")
SENTENCE = re.compile(r"(?<=[.!?…])[\"'”’)\]]*\s+|[。！？；…][”’」』）]*\s*|\n\s*")
BLANK = re.compile(r"\s+")
SHARE = 2
"""An end in the first of so many shares of what fits would make too small a part."""
WIDER = 1.25
PRECISION = 64
"""What fits is looked for to one of so many shares."""


def cut_text(text: str, fits: Callable[[str], bool], guess: int) -> Iterator[str]:
    """The parts of a text, in order; each fits if one character does.

    `fits` says so of a piece, and of any piece at the start of one that fits. `guess` is about how
    many characters will; each part is the guess for the next one.
    """
    start = 0
    while start < len(text):
        end = start + longest(text[start:], fits, guess)
        guess = end - start
        end = last_end(text, start, end)
        yield text[start:end]
        start = end


def longest(text: str, fits: Callable[[str], bool], guess: int) -> int:
    """About how many of the first characters of a text fit, never more, but for one."""
    low, high, size = 0, len(text) + 1, max(1, min(guess, len(text)))
    while high - low > max(1, high // PRECISION):
        if fits(text[:size]):
            low = size
            if low == len(text):
                break
        else:
            high = size
        grown = min(len(text), int(low * WIDER) + 1)
        size = grown if low and grown < high else (low + high) // 2
    return max(low, 1)


def last_end(text: str, start: int, end: int) -> int:
    """Where to end a part that starts and may end there: the best place that is not early."""
    if end >= len(text):
        return len(text)
    least = start + (end - start) // SHARE
    for pattern in (PARAGRAPH, SENTENCE, BLANK):
        ends = [found.end() for found in pattern.finditer(text, least, end)]
        if ends:
            return ends[-1]
    return end
