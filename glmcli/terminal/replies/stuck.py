"""Rows that say again what is out of the cursor's reach, without it; however wide they are.

Knows nothing of the screen.
"""

from __future__ import annotations

from itertools import dropwhile

from glmcli.terminal.rows import BLANKS, Row, cells_of, plain

_UNSAID = BLANKS + "▌*`"
"""What a width changes, or what is left out as long as a mark of Markdown may still be closed."""


def not_said(rows: list[Row], text: str) -> tuple[list[Row], str]:
    """Rows without the `text` they start with, and the rest of it; all rows if it differs."""
    left = text
    for index, row in enumerate(rows):
        visible = said_by(row)
        if not left:
            return rows[index:], ""
        if not left.startswith(visible[: len(left)]):
            return rows, ""
        if len(visible) > len(left):
            if _is_ruler(left) and not (index and _is_ruler(said_by(rows[index - 1]))):
                return rows, ""  # a longer one: the table is laid out again
            characters = iter(cells_of(row))
            while left:
                left = left.removeprefix(next(characters)[0])
            rest = dropwhile(lambda cell: cell[0] in BLANKS, characters)
            return [tuple(rest), *rows[index + 1 :]], ""
        left = left[len(visible) :]
    return [], left


def _is_ruler(text: str) -> bool:
    return not text.strip("─-")


def said_by(row: Row) -> str:
    """What a row says, however wide it is."""
    return "".join(char for char in plain(row) if char not in _UNSAID)
