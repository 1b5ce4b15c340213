"""Text to index words, a query to an FTS5 expression, a message to an excerpt.

Pure functions; knows nothing of databases. Of scripts written without blanks, every character
and every pair of neighbours is a word of the index, so that any part of a text is found.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

UNSPACED = (
    "\u0e00-\u0eff\u1000-\u11ff\u1780-\u17ff"  # Thai, Lao, Burmese, Hangul letters, Khmer
    "\u2e80-\u2fdf\u3005-\u3007\u3040-\u318f\u31a0-\u31ff\u3400-\u4dbf\u4e00-\u9fff"
    "\ua960-\ua97f\uac00-\ud7ff\uf900-\ufaff\U00020000-\U0003ffff"
)
"""Chinese, Japanese, Korean and other scripts without blanks, as a regular expression's range."""
_RUN = f"([{UNSPACED}]+)|([^\\W_{UNSPACED}](?:[^\\W_{UNSPACED}]|[\u0900-\u0963\u0966-\u0dff])*)"
"""Compiled where it is first used, and kept: that takes 5 ms."""
ACCENT = re.compile("[\u0300-\u036f]")
_PIECE = re.compile(r'"([^"]*)"?|([^\s"]+)')
INDEXED_CHARS = 1_000_000
"""How much of one message is indexed; far more than any model's window."""
SHORTEST_PREFIX = 3
"""A word with fewer letters is looked for as a whole: "a" means the word, not a third of all."""


def fold_letters(text: str) -> str:
    """`text` without differences of case, width and accents."""
    if text.isascii():
        return text.lower()
    plain = ACCENT.sub("", unicodedata.normalize("NFKD", text))
    return unicodedata.normalize("NFKC", plain.casefold())


def index_words(text: str) -> str:
    """What goes into the index for `text`: words separated by blanks."""
    runs = re.finditer(_RUN, fold_letters(text[:INDEXED_CHARS]))
    return " ".join(word for run in runs for word in words_of(run))


def words_of(run: re.Match[str]) -> list[str]:
    """The index words of one run of letters: itself, or "abc" as a, ab, b, bc, c."""
    word = run[0]
    if run[2]:
        return [word]
    return [word[at : at + size] for at in range(len(word)) for size in (1, 2)][:-1]


def pieces(query: str) -> list[list[re.Match[str]]]:
    """The runs of each word or "quoted phrase" of `query`."""
    found = (fold_letters(match[1] or match[2] or "") for match in _PIECE.finditer(query))
    return [runs for piece in found if (runs := list(re.finditer(_RUN, piece)))]


def match_expressions(query: str) -> Sequence[str]:
    """FTS5 expressions that find all words and phrases of `query`: as they are, then as beginnings.

    The first is quick; the second may not be, where many words begin alike. Empty if there are no
    words in the query.
    """
    found = pieces(query)
    both = (" AND ".join(phrase(runs, begun=each) for runs in found) for each in (False, True))
    return [each for each in dict.fromkeys(both) if each]


def phrase(runs: list[re.Match[str]], *, begun: bool) -> str:
    """Runs that must stand together, the last of them possibly only begun."""
    words = [word for run in runs for word in words_of(run)]
    # The pairs at either end say all that the single characters beside them say.
    if runs[0][1] and len(runs[0][0]) > 1:
        del words[0]
    end = runs[-1]
    if end[1] and len(end[0]) > 1:
        del words[-1]
    open_end = begun and end[2] and len(end[0]) >= SHORTEST_PREFIX
    return f'"{" ".join(words)}"{"*" if open_end else ""}'


def matches(text: str, query: str) -> bool:
    """Whether a short text holds all words and phrases of `query`."""
    folded = fold_letters(text)
    return all(re.search(expression(runs), folded) for runs in pieces(query))


def excerpt(text: str, query: str, *, width: int = 120) -> tuple[str, tuple[tuple[int, int], ...]]:
    """One line of `text` around the first match, and where in it the matches are.

    `width` is in characters, about as many before the match as after it.
    """
    text = unicodedata.normalize("NFC", text[:INDEXED_CHARS])
    folded, origin = fold_with_origin(text)
    pattern = "|".join(f"({expression(runs)})" for runs in pieces(query))
    first = re.search(pattern, folded) if pattern else None
    middle = origin[first.start()] if first else 0
    start = max(0, middle - width // 3)
    line = re.sub(r"\s", " ", text[start : start + width])
    before, after = "…" if start else "", "…" if start + width < len(text) else ""
    shift = len(before) - start
    spans = tuple(
        (origin[match.start()] + shift, origin[match.end() - 1] + 1 + shift)
        for match in (re.finditer(pattern, folded) if pattern else ())
        if start <= origin[match.start()] and origin[match.end() - 1] < start + width
    )
    return before + line + after, spans


def expression(runs: list[re.Match[str]]) -> str:
    """A regular expression for runs that stand together in folded text."""
    begin = f"(?<![^\\W_{UNSPACED}])" if runs[0][2] else ""
    end = runs[-1]
    close = f"(?![^\\W_{UNSPACED}])" if end[2] and len(end[0]) < SHORTEST_PREFIX else ""
    return begin + r"[\W_]*".join(re.escape(run[0]) for run in runs) + close


def fold_with_origin(text: str) -> tuple[str, list[int]]:
    """`text` folded character by character, and the index each came from."""
    if text.isascii():
        return text.lower(), list(range(len(text)))
    parts = [fold_letters(character) for character in text]
    origin = [at for at, part in enumerate(parts) for _ in part]
    return "".join(parts), origin
