"""Fenced code as rows: highlighted as it comes, and copied from the screen as it was written.

Lines are lexed from a restart line a little above the end, so that the work stays in proportion
to the text for any Pygments lexer. Knows nothing of Markdown around the fence.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

from glmcli.terminal import theme
from glmcli.terminal.markdown.blocks import Block
from glmcli.terminal.markdown.parser import STUB, Parser
from glmcli.terminal.rows import Row, Span, fold, merged, plain
from glmcli.terminal.visible import visible_line

if TYPE_CHECKING:
    from pygments.lexer import Lexer  # type: ignore[import-untyped]

OPEN_LINES = 4
"""Lines at the end whose colours may still change; so many again before they are looked at."""
LONGEST_STRETCH = 160
"""Lines. Lexing restarts after so many even inside what looks like one long string."""
LONGEST_LINE = 500
"""Characters. A longer line is data: not highlighted, and its rows are final as they fill."""


class Fence:
    """A fence and its lines."""

    def __init__(self, parser: Parser, columns: int, block: Block, mark: str = "") -> None:
        self.columns = columns
        self._mark = f"  {mark}" if mark else ""
        self._parser = parser
        self._info = visible_line(block.info)
        self._marks = block.marks
        self._lexer = find_lexer(block.info.split(maxsplit=1)[0] if block.info else "")
        self._lines: tuple[str, ...] = ()
        """Lines from the restart line on."""
        self._shown = 0
        """How many of them are final."""
        self._begun = False
        self._row = ""
        """The end of a line of data that is not complete."""

    def add(self, block: Block, *, last: bool, preview: bool = False) -> list[Row]:
        """See Element."""
        rows: list[Row] = []
        if not self._begun:
            rows += fold([(self._marks + self._info + self._mark, theme.DIM)], self.columns)
            self._begun = True
        for line in block.content.split("\n")[:-1]:
            if STUB in line or len(line) > LONGEST_LINE:
                rows += [*self._flush(), *self._data(line)]
                continue
            self._lines += (line,)
            if len(self._lines) - self._shown >= 2 * OPEN_LINES:
                rows += self._settle()
        if last:
            rows += self._flush()
            if block.closed or not preview:
                rows.append(((self._marks, theme.DIM),))
        return rows

    def _flush(self) -> list[Row]:
        """Make all lines final; what follows is lexed without them."""
        rows = self._rows(self._lex(self._lines)[self._shown :])
        self._lines, self._shown = (), 0
        return rows

    def _data(self, line: str) -> list[Row]:
        """A long line, or the next part of one: a stub stands where there is more of it."""
        *rows, last = fold([(self._row + line.strip(STUB), theme.PLAIN)], self.columns)
        goes_on = line.endswith(STUB) and line != STUB
        self._row = plain(last) if goes_on else ""
        return rows if goes_on else [*rows, last]

    def _settle(self) -> list[Row]:
        """Make all but the last lines final, and lex from further down next time if that is safe.

        A line is a good restart line if lexing from it gives what lexing from above it gave: this
        needs no knowledge of the lexer's states.
        """
        styled = self._lex(self._lines)
        end = len(self._lines) - OPEN_LINES
        rows = self._rows(styled[self._shown : end])
        self._shown = end
        for start in self._restarts(end):
            if self._lex(self._lines[start:]) == styled[start:]:
                break
        else:
            start = end if end >= LONGEST_STRETCH else 0
        self._lines, self._shown = self._lines[start:], self._shown - start
        return rows

    def _restarts(self, end: int) -> list[int]:
        """The two most promising restart lines: least indented, then latest."""
        near = range(max(1, end - OPEN_LINES), end + 1)
        lines = [index for index in near if self._lines[index].strip()]
        lines.sort(key=lambda i: (len(self._lines[i]) - len(self._lines[i].lstrip()), -i))
        return lines[:2]

    def _lex(self, lines: Sequence[str]) -> list[list[Span]]:
        self._parser.parsed += sum(map(len, lines))
        return highlight(self._lexer, lines)

    def _rows(self, lines: Sequence[Sequence[Span]]) -> list[Row]:
        return [row for spans in lines for row in fold(spans, self.columns)]


def code_mark(number: int) -> str:
    """How the number of a block of code is shown."""
    return f"[{number}]"


@lru_cache(maxsize=32)
def find_lexer(language: str) -> Lexer | None:
    """The Pygments lexer of a language, None if it is unknown."""
    from pygments.lexers import get_lexer_by_name  # type: ignore[import-untyped]
    from pygments.util import ClassNotFound  # type: ignore[import-untyped]

    try:
        return get_lexer_by_name(language, stripnl=False) if language else None
    except ClassNotFound:
        return None


def highlight(lexer: Lexer | None, lines: Sequence[str]) -> list[list[Span]]:
    """Styled lines. A line that the lexer does not give back as it was stays plain."""
    if lexer is None:
        return [[(line, theme.PLAIN)] for line in lines]
    styled: list[list[Span]] = [[]]
    for token, text in lexer.get_tokens("\n".join(lines) + "\n"):
        style = theme.token_style(token)
        first, *others = text.split("\n")
        styled[-1].append((first, style))
        styled += [[(other, style)] for other in others]
    styled += [[] for _ in lines]
    return [
        merged(spans) if plain(spans) == line else [(line, theme.PLAIN)]
        for line, spans in zip(lines, styled, strict=False)
    ]
