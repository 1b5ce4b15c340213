"""A block on its way to the screen: the rows of its element behind the marks of quotes and lists.

Knows nothing of the blocks around it, nor of when its rows are painted.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

from rich.style import Style

from glmcli.terminal import theme
from glmcli.terminal.markdown.blocks import Block, Container
from glmcli.terminal.markdown.elements import Element
from glmcli.terminal.markdown.table import Table
from glmcli.terminal.rows import Row, Span, trimmed, width


class ShownBlock:
    """A block on its way to the screen: its element, and what its containers put before rows."""

    def __init__(
        self, block: Block, element: Element, columns: int, symbols: theme.Symbols, style: Style
    ) -> None:
        self._element = element
        self.kind = block.kind
        self._path, self._first_of = block.path, block.first_of
        self._symbols = symbols
        self._style = style
        self._marks: list[Span] = []
        self._indent: list[Span] = []
        self._blank = block.shared if block.spaced else -1
        """How many containers go on through the blank row before it; -1: no blank row."""
        self._is_first = True
        """Whether its first row is still to come."""
        self.added: list[tuple[Block, bool, bool]] = []
        """What was added: the block, whether it was spaced, whether it was the last of it."""
        self.count = 0
        """Final rows that it gave."""
        self.place(columns)

    def __copy__(self) -> ShownBlock:
        clone = object.__new__(ShownBlock)
        clone.__dict__.update(self.__dict__, _element=copy.copy(self._element), added=[])
        return clone

    def place(self, columns: int) -> None:
        """Fit prefix and element into so many cells; the prefix gets half of them at most."""
        first = len(self._path) - self._first_of
        pairs = [_prefix(container, self._symbols) for container in self._path]
        self._indent = [rest for _, rest in pairs]
        self._marks = [marks if n >= first else rest for n, (marks, rest) in enumerate(pairs)]
        room = max(columns - width(self._indent), columns // 2)
        self._marks = _last_cells(self._marks, columns - room)
        self._indent = _last_cells(self._indent, columns - room)
        self._element.columns = room

    def add(
        self, block: Block, *, spaced: bool, last: bool = True, preview: bool = False
    ) -> list[Row]:
        """The rows that are final now; the first ever follows a blank row if `spaced`."""
        rows = self._dress(self._element.add(block, last=last, preview=preview), spaced)
        if not preview:
            self.added.append((block, spaced, last))
            self.count += len(rows)
        return rows

    def resize(self, columns: int, *, keep: bool, spaced: bool) -> list[Row]:
        """Fit what follows into so many cells, unless rows must be kept; the rows final by that."""
        if keep and isinstance(self._element, Table):
            rows = self._dress(self._element.keep(), spaced)
            self.count += len(rows)
            return rows
        self.place(columns)
        return []

    def _dress(self, contents: Sequence[Row], spaced: bool) -> list[Row]:
        rows = []
        for content in contents:
            if self._is_first and spaced and self._blank >= 0:
                rows.append(self._row(self._indent[: self._blank]))
            rows.append(self._row([*(self._marks if self._is_first else self._indent), *content]))
            self._is_first = False
        return rows

    def _row(self, spans: Sequence[Span]) -> Row:
        row = trimmed(tuple(spans))
        return tuple((text, self._style + style) for text, style in row) if self._style else row


def _prefix(container: Container, symbols: theme.Symbols) -> tuple[Span, Span]:
    """What stands before the first row of a container, and before the others."""
    if container.is_quote:
        bar = (f"{symbols.quote} ", theme.DIM)
        return bar, bar
    boxes = {" ": symbols.todo, "x": symbols.done}
    marker = container.marker or boxes.get(container.task, symbols.bullet)
    size = max(4, len(marker) + 1) if container.marker else 3
    mark = f"{marker} " if container.marker else f" {marker} "
    return (mark.rjust(size), theme.MARK), (" " * size, theme.PLAIN)


def _last_cells(spans: list[Span], columns: int) -> list[Span]:
    """The end of a prefix: as much as fits."""
    extra = width(spans) - columns
    if extra <= 0:
        return spans
    text, style = spans[0]
    return _last_cells(
        [(text[extra:], style), *spans[1:]] if extra < len(text) else spans[1:], columns
    )
