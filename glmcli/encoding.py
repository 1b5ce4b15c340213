"""Characters that the encoding of stdout lacks: JSON has escapes for them, elsewhere they become ?.

That is remembered, since a loss is to be said. The encoding is the user's choice, by their locale
or PYTHONIOENCODING, and other programs of a pipe may count on it. Knows nothing of what is written.
"""

from __future__ import annotations

import codecs
import re

TELLING = "glm.telling"
"""The error handler (see `codecs`) that does as "replace" does, and remembers."""
_IN_JSON = "glm.json"
_NO_TEXT = re.compile("[\ud800-\udfff]+")
"""Halves of surrogate pairs, which no encoding has."""
_LACKED_BY: set[str] = set()


def _replaced(exc: UnicodeError) -> tuple[str | bytes, int]:
    if isinstance(exc, UnicodeEncodeError) and not _NO_TEXT.fullmatch(
        exc.object[exc.start : exc.end]
    ):
        _LACKED_BY.add(exc.encoding)
    return codecs.replace_errors(exc)


def _escaped(exc: UnicodeError) -> tuple[str | bytes, int]:
    if not isinstance(exc, UnicodeEncodeError):
        raise exc
    units = exc.object[exc.start : exc.end].encode("utf-16-be", "surrogatepass")
    pairs = (units[at : at + 2].hex() for at in range(0, len(units), 2))
    return "".join(f"\\u{pair}" for pair in pairs), exc.end


codecs.register_error(TELLING, _replaced)
codecs.register_error(_IN_JSON, _escaped)


def in_json(text: str, encoding: str) -> str:
    """JSON with escapes for what the encoding lacks."""
    return text.encode(encoding, _IN_JSON).decode(encoding)


def lacking() -> str:
    """The encoding that lacked a character of what was written; "" if none was lost."""
    return min(_LACKED_BY, default="")
