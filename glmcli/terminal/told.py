"""What the program says of its own, as it stands on a terminal: in rows, cut between words.

The one home of that rule, for errors, hints and notes. Knows nothing of what is said.
"""

from __future__ import annotations

import os
import re
from contextlib import suppress

from glmcli.language import tr

NARROWEST = 20
"""Columns below which nothing stands to the right of a mark."""
ALWAYS_FITS = 40
"""A text with no more characters fits wherever anybody reads."""
_COMMAND = re.compile(
    r"glm(?: (?:-\S+|[a-z]+))?(?: [a-z]+)?(?: [a-z_]+(?= [A-Z]{2}))?"
    r"(?: (?:-[^\s;,]+(?: [\w./:@~+-]*[\w/])?|[A-Z][A-Z_/@]*\b|'[^']*'|\"[^\"]*\"))*"
)
"""A command line, as far as it can be told from the words behind it."""
_KEPT = "\u00a0"
"""Stands for a blank at which no row ends."""


def on_terminal(text: str, fd: int) -> str:
    """Lines as they are told, in rows that fit if `fd` is a terminal; -1 is none."""
    if len(text) <= ALWAYS_FITS or fd < 0 or not os.isatty(fd):
        return text
    columns = 80
    with suppress(OSError):
        columns = os.get_terminal_size(fd).columns or columns
    return in_rows(text, columns)


def in_rows(text: str, columns: int) -> str:
    """Lines in rows of so many cells; behind `glm:` and `hint:` they stay to the right of it."""
    return "\n".join(_rows_of(line, columns) for line in text.split("\n"))


def _rows_of(line: str, columns: int) -> str:
    if len(line) * (1 if line.isascii() else 2) <= columns:
        return line
    from glmcli.terminal.rows import cells, hang, has_columns, hung  # it imports Rich

    if cells(line) <= columns:
        return line
    if has_columns(line):
        return hang(line, columns)
    marks = ("glm: ", tr("hint: {hint}", hint=""))
    mark = next((mark for mark in marks if line.startswith(mark)), "")
    indent = cells(mark) if columns >= NARROWEST + cells(mark) else 0
    most = columns - indent
    if _KEPT in line:
        return hung(line, columns, indent)

    def joined(found: re.Match[str]) -> str:
        return found[0].replace(" ", _KEPT) if cells(found[0]) <= most else found[0]

    return hung(_COMMAND.sub(joined, line), columns, indent).replace(_KEPT, " ")
