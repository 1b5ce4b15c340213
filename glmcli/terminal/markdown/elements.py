"""Blocks as rows: each kind takes its content as it comes and gives rows that never change again.

An element knows its own width, and nothing of the quotes and lists around it or of the screen.
"""

from __future__ import annotations

import re
from typing import Protocol

from rich.style import Style

from glmcli.terminal import theme
from glmcli.terminal.markdown.blocks import Block
from glmcli.terminal.markdown.inline import preview_of, spans
from glmcli.terminal.markdown.parser import Inline, Parser, without_stub
from glmcli.terminal.rows import Row, fold, merged, wrap

PIECE = 64
"""Characters. A paragraph is parsed in pieces of so many, cut where nothing is open."""
LONGEST_PIECE = 1024
"""Characters. What is still open after so many is cut all the same: it is hardly ever closed."""
TRIES = 8
"""Places for that cut: where the least is open, which is the mark that is never closed.

Fewer after each such piece, since what is open in all of so many is just text.
"""
_MARKS = "*_~`[<&$\\"
_LETTERS = re.compile(rf"[A-Za-z0-9]{{{PIECE + 1},}}")
_IN_WORD = re.compile(r".*[^\W_](?=[^\W_])", re.DOTALL)
_MARK = re.compile(rf"[{re.escape(_MARKS)}]+")


class Element(Protocol):
    """One block that is being shown. It changes in `add` only, so a shallow copy is independent."""

    columns: int
    """Cells for its rows; may change between calls."""

    def add(self, block: Block, *, last: bool, preview: bool = False) -> list[Row]:
        """Take the new content of a block; the rows that are final now: all of them if `last`.

        `preview` is for a copy: the block is still being typed.
        """
        ...


class Text:
    """A paragraph or a heading."""

    def __init__(self, parser: Parser, columns: int, style: Style) -> None:
        self.columns = columns
        self._parser = parser
        self._style = style
        self._source = ""
        """What is not parsed yet."""
        self._size = PIECE
        """Characters of the next piece: twice as many when something was open in fewer."""
        self._row: Row = ()
        """The row that is not full yet."""
        self._cut = 0
        """How many pieces in a row were cut though something was open in them."""

    def add(self, block: Block, *, last: bool, preview: bool = False) -> list[Row]:
        """See Element."""
        self._source += without_stub(block.content)
        rows: list[Row] = []
        while len(self._source) > self._size:
            rows += self._next_piece()
        if last:
            parse = preview_of if preview else Parser.inline
            rows += self._wrapped(parse(self._parser, self._source))
        return rows

    def _next_piece(self) -> list[Row]:
        """Parse one more piece. Where it ends depends on the text alone, not on when it came."""
        found = self._closed_piece() if self._cut < TRIES else None
        if found is None and self._size < LONGEST_PIECE:
            self._size *= 2
            return []
        end, inline = found or self._least_open()
        self._cut = 0 if found or inline.is_closed else self._cut + 1
        self._source = self._source[end:]
        self._size = PIECE if self._cut < TRIES else LONGEST_PIECE
        *rows, self._row = self._wrapped(inline)
        return rows

    def _closed_piece(self) -> tuple[int, Inline] | None:
        """Where to cut so that nothing stays open, and the piece; or many, of one long word."""
        source, limit = self._source, self._size
        if limit == PIECE and (letters := _LETTERS.match(source)):
            limit = (letters.end() - 1) // PIECE * PIECE  # what comes of one piece after the other
        for _ in range(2):
            end = word_end(source, limit)
            inline = self._parser.inline(source[:end])
            if end and inline.is_closed:
                return end, inline
            limit = max(source.rfind(mark, 0, limit) for mark in _MARKS)
        return None

    def _least_open(self) -> tuple[int, Inline]:
        """Where to cut a piece in which something stays open, and the piece."""
        source, size = self._source, self._size
        tries = max(TRIES - self._cut, 1)
        marks = [mark.start() for mark in _MARK.finditer(source, size // 2, size)]
        ends = [word_end(source, limit) for limit in (size, *reversed(marks[-tries:]))]
        ends = [*dict.fromkeys(end for end in ends if end)] or [size]
        pieces = [(end, self._parser.inline(source[:end])) for end in ends]
        return min(pieces, key=lambda piece: piece[1].open_marks)

    def _wrapped(self, inline: Inline) -> list[Row]:
        self._parser.define(inline.tokens)
        return wrap(merged([*self._row, *spans(inline.tokens, self._style)]), self.columns)


def word_end(text: str, limit: int) -> int:
    """The last offset up to `limit`, and not far below, within a word or between ideographs, or 0.

    A mark of Markdown on either side means the same, wherever the text is cut there.
    """
    found = _IN_WORD.match(text, limit // 2, limit + 1)
    return found.end() if found else 0


class Verbatim:
    """Lines as they are: TeX, HTML, indented code."""

    def __init__(self, columns: int, style: Style, mark: str = "") -> None:
        """`mark` goes above it."""
        self.columns = columns
        self._style = style
        self._mark: list[Row] = [((mark, theme.DIM),)] if mark else []
        self._begun = False

    def add(self, block: Block, *, last: bool, preview: bool = False) -> list[Row]:
        """See Element. From the second time on, the first line is one that was shown."""
        del last, preview
        lines = block.content.removesuffix("\n").split("\n")[self._begun :]
        rows = [row for line in lines for row in fold([(line, self._style)], self.columns)]
        rows = rows if self._begun else [*self._mark, *rows]
        self._begun = True
        return rows


class Rule:
    """A thematic break."""

    def __init__(self, columns: int, symbol: str) -> None:
        self.columns = columns
        self._symbol = symbol

    def add(self, block: Block, *, last: bool, preview: bool = False) -> list[Row]:
        """See Element."""
        del block, last, preview
        return [((self._symbol * min(self.columns, 40), theme.DIM),)]


class Nothing:
    """An empty item or quote."""

    columns = 0

    def add(self, block: Block, *, last: bool, preview: bool = False) -> list[Row]:
        """See Element."""
        del last, preview
        return [()] if block.first_of else []
