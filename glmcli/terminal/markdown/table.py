"""Tables as rows. The first rows fix the widths of the columns, so that later rows can be appended.

Knows nothing of Markdown outside its cells or of the screen.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest

from rich.cells import cell_len

from glmcli.terminal import theme
from glmcli.terminal.markdown.blocks import Block
from glmcli.terminal.markdown.inline import preview_of, spans
from glmcli.terminal.markdown.parser import Parser
from glmcli.terminal.rows import Row, Span, fold, plain, trimmed, width, wrap

FIRST_ROWS = 12
"""Rows of the screen. The rows of the body that fill so many give the columns their widths."""
_GAP = "  "

Cell = Sequence[Span]


class Table:
    """A table, drawn without vertical lines."""

    def __init__(self, parser: Parser, columns: int, block: Block, symbol: str) -> None:
        self.columns = columns
        self._parser = parser
        self._symbol = symbol
        self._aligned = tuple(block.aligned)
        self._header = self._cells(block.cells[0], bold=True)
        self._first: tuple[list[Cell], ...] = ()
        """Rows of the body that the widths depend on."""
        self._widths: tuple[int, ...] = ()
        """Of the columns, once they are fixed."""
        self._seen: list[tuple[int, ...]] = []
        """The widths that were tried last, by copies too: what is on the screen."""

    def add(self, block: Block, *, last: bool, preview: bool = False) -> list[Row]:
        """See Element."""
        body = [self._cells(cells) for cells in block.cells[1:-1]]
        body += [self._cells(cells, preview=preview) for cells in block.cells[1:][-1:]]
        rows: list[Row] = []
        for cells in body:
            if self._widths:
                rows += self._lines(cells, self._widths)
            else:
                self._first = (*self._first, cells)
                rows += self._top(FIRST_ROWS if not last or cells is not body[-1] else 0)
        return rows if self._widths or not last else self._top(0)

    def keep(self) -> list[Row]:
        """Fix the widths as they are on the screen, since that is out of reach; the rows so far."""
        if self._widths or not self._seen:
            return []
        return self._top(0, self._seen[0])

    def _top(self, enough: int, widths: tuple[int, ...] = ()) -> list[Row]:
        """The rows so far, if the body has enough of them; that fixes the widths."""
        widths = widths or self._natural()
        self._seen[:] = [widths]
        body = [row for cells in self._first for row in self._lines(cells, widths)]
        if len(body) < enough:
            return []
        self._widths = widths
        line = self._symbol * min(sum(widths) + len(_GAP) * (len(widths) - 1), self.columns)
        return [*self._lines(self._header, widths), ((line, theme.DIM),), *body]

    def _cells(
        self, sources: Sequence[str], *, bold: bool = False, preview: bool = False
    ) -> list[Cell]:
        style = theme.BOLD if bold else theme.PLAIN
        parse = preview_of if preview else Parser.inline
        return [spans(parse(self._parser, source).tokens, style) for source in sources]

    def _natural(self) -> tuple[int, ...]:
        rows = [self._header, *self._first]
        natural = [
            max(max(map(cell_width, column)), 1) for column in zip_longest(*rows, fillvalue=())
        ]
        return shrink(natural, self.columns - len(_GAP) * (len(natural) - 1))

    def _lines(self, cells: Sequence[Cell], widths: Sequence[int]) -> list[Row]:
        """One row of the table, as many rows of the screen as its tallest cell needs."""
        wrapped = [wrap(cell, size) for cell, size in zip(cells, widths, strict=False)]
        rows = [
            self._line([lines[n] if n < len(lines) else () for lines in wrapped], widths)
            for n in range(max(map(len, wrapped), default=1))
        ]
        return [piece for row in rows for piece in fold(row, self.columns)]

    def _line(self, parts: Sequence[Row], widths: Sequence[int]) -> Row:
        row: list[Span] = []
        for part, size, align in zip(parts, widths, self._aligned, strict=False):
            part = trimmed(part)
            free = max(size - cell_len(plain(part)), 0)
            left = {"right": free, "center": free // 2}.get(align, 0)
            gap = _GAP if row else ""
            row += [(gap + " " * left, theme.PLAIN), *part, (" " * (free - left), theme.PLAIN)]
        return tuple(span for span in row if span[0])


def cell_width(cell: Cell) -> int:
    """Cells of the longest line."""
    return max(width([(line, theme.PLAIN)]) for line in plain(cell).split("\n"))


def shrink(widths: Sequence[int], room: int) -> tuple[int, ...]:
    """Take from the widest columns until all fit into `room` cells; no column goes below 2."""
    limit = max(widths)
    while limit > 2 and sum(min(size, limit) for size in widths) > room:
        limit -= 1
    shrunk = [min(size, limit) for size in widths]
    spare = room - sum(shrunk)
    for index, size in enumerate(widths):
        if spare > 0 and shrunk[index] < size:
            shrunk[index] += 1
            spare -= 1
    return tuple(shrunk)
