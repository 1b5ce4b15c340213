"""Lists as tables on a terminal, as lines of tabs in a pipe, as JSON with --json.

Knows nothing of what is listed.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from glmcli.cli.dialog import print_line
from glmcli.encoding import in_json
from glmcli.errors import UsageError
from glmcli.files import json_text
from glmcli.language import tr
from glmcli.terminal.visible import visible, visible_json, visible_line

if TYPE_CHECKING:
    from rich.text import Text as RichText

AsJson = Annotated[bool, typer.Option("--json", help=tr("print JSON"))]


@dataclass(frozen=True, slots=True)
class Marked:
    """A cell of which some pieces are set off on a terminal."""

    pieces: Sequence[tuple[str, bool]]

    def __str__(self) -> str:
        return "".join(text for text, _ in self.pieces)


_LONGEST_CELL = 400
"""Letters of a cell on a terminal: laying out more takes time, and nobody reads it in a table."""


TableColumn = tuple[str, Sequence["RichText"]]
"""What a column is called here, and its cells, the head first."""

_LINE_ENDS = re.compile(r"[\t\r\n]+")
LEAST_CELLS = 12
"""A column whose cells may be folded gets so many cells, before others are left out for it."""


def print_rows(
    head: Sequence[str],
    rows: Sequence[Sequence[Any]],
    *,
    none: str = "",
    whole: Collection[str] = (),
    spare: Sequence[str] = (),
) -> None:
    """A table on a terminal, or what to say if it is empty; elsewhere lines of cells and tabs.

    Harmless in a pipe too, which may end on a terminal; --json has every character.

    Columns named in `whole` are never folded. Where the window is too narrow for all, columns with
    nothing in them and those in `spare` are left out, the first at first; if that is not enough,
    each row is a block of lines.
    """
    if not sys.stdout.isatty():
        for row in rows:
            print("\t".join(visible_line(str(cell)) for cell in row))
        return
    if not rows:
        print_line(none)
        return
    from rich.console import Console
    from rich.table import Table

    from glmcli.terminal.output import outputs

    console = Console(width=outputs()[0].size().columns)
    table = Table(box=None, pad_edge=False, header_style="bold")
    rows = [[tr(name) if name else "" for name in head], *rows]
    columns = [(name, [*map(styled, column)]) for name, *column in zip(head, *rows, strict=True)]
    empty = [name for name, (_, *column) in columns if not any(column)]
    for name in (*empty, *spare) if whole else ():
        if least_width(columns, whole) <= console.width:
            break
        columns = [each for each in columns if each[0] != name]
    if whole and least_width(columns, whole) > console.width:
        print_blocks(columns, console.width)
        return
    for name, column in columns:
        table.add_column(column[0], overflow="fold", no_wrap=name in whole)
    for row in zip(*(column[1:] for _, column in columns), strict=True):
        table.add_row(*row)
    console.print(table)


def least_width(columns: Sequence[TableColumn], whole: Collection[str]) -> int:
    """What columns need to be readable, beside each other."""
    widest = [(name in whole, max(each.cell_len for each in column)) for name, column in columns]
    return sum((cells if it else min(LEAST_CELLS, cells)) + 2 for it, cells in widest) - 2


def print_blocks(columns: Sequence[TableColumn], width: int) -> None:
    """Each row as lines of a name and a cell; what is too long for a line is cut between words."""
    from glmcli.terminal.rows import hang

    widest = max(column[0].cell_len for _, column in columns)
    blocks = []
    for row in zip(*(column[1:] for _, column in columns), strict=True):
        lines = [
            f"{head.plain}{' ' * (widest - head.cell_len)}  {cell.plain}"
            for (_, (head, *_)), cell in zip(columns, row, strict=True)
            if cell
        ]
        blocks.append(hang("\n".join(lines), width))
    print("\n\n".join(blocks))


def cell(english: str, /, **values: Any) -> str:
    """A word of a table: in the user's language on a terminal, in English for programs."""
    return tr(english, **values) if sys.stdout.isatty() else english.format(**values)


def print_facts(rows: Sequence[tuple[str, Any]]) -> None:
    """What is known of one thing, a row each: its name, in the user's language on a terminal."""
    print_rows(("", ""), [(cell(name), value) for name, value in rows])


def styled(cell: object) -> RichText:
    """A cell for a terminal: made harmless, what was found in bold."""
    from rich.text import Text

    text = Text()
    if not isinstance(cell, Marked):
        shown = visible_line(str(cell)[: _LONGEST_CELL + 1])
        return text.append(f"{shown[:_LONGEST_CELL]}…" if len(shown) > _LONGEST_CELL else shown)
    for piece, found in cell.pieces:
        text.append(visible(_LINE_ENDS.sub(" ", piece)), "bold" if found else None)
    return text


def print_json(value: object) -> None:
    """Indented JSON, every character as itself unless it would steer a terminal."""
    print_text(json_text(value, indent=2), visible_json)


def print_text(text: str, harmless: Callable[[str], str] = visible) -> None:
    """A text that ends in one newline; on a terminal what `harmless` makes of it."""
    if harmless is visible_json:
        text = in_json(text, sys.stdout.encoding)
    if text := text.rstrip("\n"):
        print(harmless(text) if sys.stdout.isatty() else text)


def confirmed(question: str, *, yes: bool) -> bool:
    """Whether the user agrees; --yes does so beforehand. Raises UsageError without a terminal."""
    if yes:
        return True
    if sys.stdin is None or not sys.stdin.isatty():
        raise UsageError(tr("nothing was removed"), tr("add --yes to remove without being asked"))
    from glmcli.cli.dialog import is_agreed, on_stderr, tell

    agreed = bool(is_agreed(f"{on_stderr(f'{question} [y/N]')} "))
    if not agreed:
        tell(tr("nothing was removed"))
    return agreed
