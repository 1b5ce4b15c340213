"""Words that stand for control strings in messages while a chat template is rendered.

A template may measure, wrap or change texts. So a word has the length of what it stands for where
that can be, and the template is tried twice, with other words: the renderings differ in the words
alone, or it does more with them than carry them. Knows nothing of ids.
"""

from __future__ import annotations

import re
import secrets
import string
from bisect import bisect_right
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace

from glmcli.errors import UsageError
from glmcli.language import tr
from glmcli.types import Message

ALPHABETS = (string.ascii_lowercase + string.digits, string.digits, string.ascii_lowercase)
"""What words are made of, one after another: a template may replace a letter."""
LONG = 10
"""Letters of a word that cannot be as long as what it stands for."""
GUESSABLE = 8
"""Words with fewer letters might be in a text by chance, or be guessed."""
WORDS_TRIED = 50


def make_words(
    controls: Collection[str], taken: str, *, letters: str = ALPHABETS[0], spare: int = 0
) -> dict[str, str]:
    """Control string -> a word for it that nobody could guess, and that is not in `taken`.

    A word that cannot be as long as its control string has `spare` letters more than LONG.
    """
    words: dict[str, str] = {}
    used: set[str] = set()
    for control in sorted(controls):
        sizes = [len(control)] * WORDS_TRIED if len(control) > 2 else []
        candidates = (
            random_word(size, letters) for size in [*sizes, *[LONG + spare] * WORDS_TRIED]
        )
        free = (word for word in candidates if len(word) >= GUESSABLE or word not in taken)
        words[control] = next(word for word in free if word not in used)
        used.add(words[control])
    return words


def random_word(size: int, letters: str) -> str:
    """A word of so many letters; its ends make no other word with what is beside it."""
    return f"x{''.join(secrets.choice(letters) for _ in range(size - 2))}x"


def check_carried(rendered: str, again: str, words: dict[str, str], others: dict[str, str]) -> None:
    """Raise UsageError unless renderings with `words` and with `others` differ in them alone."""
    swapped = swapper({word: others[text] for text, word in words.items()})
    if swapped(rendered) == again:
        return
    changed = (text for text in words if rendered.count(words[text]) != again.count(others[text]))
    text = next(changed, next(iter(words)))
    raise UsageError(
        tr("the model's chat template cannot carry {text!r} as plain text", text=text),
        tr("write it in another way"),
    )


def cannot_spell() -> UsageError:
    """The error for a tokenizer that has no ids for the letters of a control string."""
    return UsageError(
        tr("the model's tokenizer cannot spell its own control tokens as text"),
        tr("leave them out of the message"),
    )


def any_of(texts: Collection[str]) -> re.Pattern[str] | None:
    """A pattern that finds any of `texts`, the longest first."""
    ordered = sorted(texts, key=len, reverse=True)
    return re.compile("|".join(map(re.escape, ordered))) if ordered else None


def covered_by(spans: Sequence[tuple[int, int]]) -> Callable[[int, int], bool]:
    """Tells whether a part of a text reaches into one of `spans`, which are in order."""
    ends = [end for _, end in spans]

    def is_within(begin: int, end: int) -> bool:
        at = bisect_right(ends, begin)
        return at < len(spans) and spans[at][0] < end

    return is_within


def swapper(words: dict[str, str]) -> Callable[[str], str]:
    """Replaces every key of `words` in a text by its value."""
    pattern = any_of(words)
    return lambda text: text if pattern is None else pattern.sub(lambda at: words[at[0]], text)


def swap_texts(messages: Sequence[Message], words: dict[str, str]) -> list[Message]:
    """`messages` with every key of `words` in what they say replaced by its value."""
    swapped = swapper(words)
    return [
        replace(
            item,
            text=swapped(item.text),
            thinking=swapped(item.thinking),
            name=swapped(item.name),
        )
        for item in messages
    ]
