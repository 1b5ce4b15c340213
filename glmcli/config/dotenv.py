"""The lines of a `.env` that are ours, as they are written: nothing is put in for `${NAME}`.

Reads text and knows neither files nor settings. Every line of every text means something or is
passed over, in time that grows with the text and no faster. Imported where there is such a line.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from glmcli.config.values import Malformed

_LINE = re.compile(
    r"""[^\S\n]*+(?:export[^\S\n]++)?+
    (?P<name>[^\s=\#'"]++)[^\S\n]*+=
    (?:[^\S\n]*+(?:'(?P<single>(?:\\.|[^'\\])*+)'|"(?P<double>(?:\\.|[^"\\])*+)")
       [^\S\n]*+(?:\#[^\n]*+)?(?=\n|\Z)
    |(?![^\S\n]*+['"])(?P<bare>[^\n]*+))""",
    re.VERBOSE | re.DOTALL,
)
_OURS = re.compile(r"[^\S\n]*+(?:export[^\S\n]++)?+(GLM_\w*+)", re.ASCII | re.IGNORECASE)
_COMMENT = re.compile(r"\s#")
_ESCAPED = {"single": re.compile(r"\\(['\\])"), "double": re.compile(r"\\([\\'\"abfnrtv])")}
_MEANT = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
_NO_TEXT = re.compile("[\0\ud800-\udfff]")


def assignments(text: str) -> Iterator[tuple[str, str | Malformed]]:
    """Each GLM_ name, in small letters too, and its value."""
    at, line = 0, 1
    while at < len(text):
        found = _LINE.match(text, at)
        if found and found["name"].upper().startswith("GLM_"):
            value = line_value(found)
            yield found["name"], Malformed(line) if _NO_TEXT.search(value) else value
        elif not found and (ours := _OURS.match(text, at)):
            yield ours[1], Malformed(line)
        after = found.end() if found else at
        end = text.find("\n", after) + 1 or len(text)
        line += text.count("\n", at, end)
        at = end


def line_value(found: re.Match[str]) -> str:
    """The value of a line: within quotes with their escapes, else up to a comment."""
    if (bare := found["bare"]) is not None:
        return _COMMENT.split(bare, maxsplit=1)[0].strip()
    kind = "double" if found["single"] is None else "single"
    return _ESCAPED[kind].sub(lambda escape: _MEANT.get(escape[1], escape[1]), found[kind])
