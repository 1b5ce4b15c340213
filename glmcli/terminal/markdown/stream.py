"""Markdown to rows: one-shot and streamed give the same rows.

A stream parses only the block that is still open. All that was before it is final, and a few stub
lines bring the parser back to where the block stands: in which quotes, lists and fence.
Knows nothing of the screen. Import it when the first reply starts: it brings the parser along.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Sequence
from itertools import groupby

from rich.style import Style

from glmcli.terminal import theme
from glmcli.terminal.markdown.blocks import Block, Container, Kind, Walk, indent, stub_lines
from glmcli.terminal.markdown.elements import PIECE, Element, Nothing, Rule, Text, Verbatim
from glmcli.terminal.markdown.fence import LONGEST_LINE, Fence, code_mark
from glmcli.terminal.markdown.parser import (
    LONG_TEXT,
    STUB,
    Parser,
    is_in_tex,
    is_plain,
    stub_line,
    stub_start,
)
from glmcli.terminal.markdown.shown import ShownBlock
from glmcli.terminal.markdown.table import Table
from glmcli.terminal.rows import Row, Span, at_stops
from glmcli.terminal.visible import visible

__all__ = ["MarkdownStream", "Row", "Span", "render", "warm_up"]

JOINER = "\u200d"
TAB = 8
"""Columns between the stops of tabs within a line, as terminals have them."""
STRETCH = 4096
"""Characters. No more of them are parsed at a time: much that comes at once is like a stream."""
LONGEST_PART = 16_384
"""Characters. A line that cannot be shown before it is complete is cut after so many."""
MOST_LAID = 256
"""Blocks at the end that can be laid out again: more than there are on a screen."""
_VERBATIM = {"code": theme.CODE, "math": theme.MATH, "html": theme.PLAIN}
_MARKS_ONLY = re.compile(r"[-+*_#`~|=:$\\]*|\d{1,9}[.)]?|[-+*] \[[ xX]?\]?")
_LEADING = re.compile(r"[\s>*+\-\d.)]*")


def render(
    text: str,
    *,
    width: int,
    symbols: theme.Symbols = theme.UNICODE,
    style: Style = theme.PLAIN,
    numbered: bool = False,
) -> list[Row]:
    """The rows of a whole text. Parsed once; `width` in cells; see MarkdownStream."""
    stream = MarkdownStream(width=width, symbols=symbols, style=style, numbered=numbered)
    stream.feed(text)
    stream.finish()
    return stream.take()


class MarkdownStream:
    """A text that grows: `take` gives final rows, each once; `live` the rows of the open end.

    Rows have `width` cells, those of prose `prose` at most if that is not 0. `style` goes under all
    others; `numbered` says that blocks of code show their numbers.
    """

    def __init__(
        self,
        *,
        width: int,
        prose: int = 0,
        symbols: theme.Symbols = theme.UNICODE,
        style: Style = theme.PLAIN,
        numbered: bool = False,
    ) -> None:
        self._width = max(width, 8)
        self._prose = prose
        self._symbols = symbols
        self._style = style
        self._numbered = numbered
        self.codes = 0
        """Blocks of code that began in final rows."""
        self._parser = Parser()
        self._carriage_return = ""
        self._partial = ""
        """The line that is being typed."""
        self._head: list[str] = []
        """Stub lines that open `_path` again and, if it is a fence or a table, `_open`."""
        self._path: tuple[Container, ...] = ()
        self._open: ShownBlock | None = None
        """The block that `_pending` goes on with."""
        self._pending: list[str] = []
        """Complete lines that are not shown by a final row yet."""
        self._is_parsed = True
        """Whether `_pending` was looked at since it grew."""
        self._untaken = 0
        """Characters that came since then."""
        self._final: list[Row] = []
        self._laid: list[tuple[ShownBlock, int]] = []
        """The last blocks that gave final rows, with the numbers of code."""
        self._begun = False

    @property
    def parsed(self) -> int:
        """Characters that went through a parser or a lexer so far: the work that was done."""
        return self._parser.parsed

    # 1. Text comes in: complete lines, and the one that is being typed

    def feed(self, delta: str) -> None:
        """Add text. Cheap if it is short: most work is done when rows are asked for."""
        delta = self._carriage_return + delta
        self._carriage_return = "\r" if delta.endswith("\r") else ""
        delta = delta.removesuffix("\r").replace("\r\n", "\n").replace("\r", "\n")
        text, start = visible(delta), 0
        while start < len(text):
            end = start + min(STRETCH, LONGEST_PART - len(self._partial))
            self._take_in(text[start:end])
            start = end

    def _take_in(self, text: str) -> None:
        *lines, self._partial = (self._partial + text).split("\n")
        self._pending += map(_expand_tabs, lines)
        self._is_parsed = self._is_parsed and not lines
        self._untaken += len(text)
        if self._untaken >= STRETCH or len(self._partial) >= LONGEST_PART:
            self._settle()
        if len(self._partial) >= LONGEST_PART:
            self._pending.append(_expand_tabs(self._partial))
            self._partial, self._is_parsed = "", False

    # 2. Rows go out: each final one once, the live ones as often as they are asked for

    def take(self) -> list[Row]:
        """The rows that became final since the last call."""
        self._settle()
        rows, self._final = self._final, []
        return rows

    def live(self) -> list[Row]:
        """The rows after the final ones, as they would be if no more text came."""
        self._settle()
        lines = [*self._pending]
        partial = self._partial.removesuffix(JOINER)  # half of an emoji
        if not _MARKS_ONLY.fullmatch(partial.strip(" \t>")):
            lines.append(_expand_tabs(partial))
        blocks = self._parse(lines)
        rows, number = list[Row](), self.codes
        with self._parser.trial():
            for index, block in enumerate(blocks):
                goes_on = self._open if index == 0 else None
                number += block.is_code and not goes_on
                shown = copy.copy(goes_on or self._shown(block, number))
                is_last = index == len(blocks) - 1
                rows += shown.add(block, spaced=self._begun or bool(rows), preview=is_last)
        return rows

    def finish(self) -> None:
        """End the text: every row is final."""
        self.feed("\n" if self._carriage_return or self._partial else "")
        self._emit(*self._parse(self._pending))
        self._go_on((), [], [])
        self._is_parsed = True

    def resize(self, width: int, *, keep: bool = False) -> None:
        """Change the width of the rows that are not final yet.

        `keep` says that live rows went out of reach: what cannot be laid out anew below them, as
        a table cannot, keeps its width.
        """
        self._width = max(width, 8)
        if self._open:
            self._give(
                self._open.resize(self._columns(self._open.kind), keep=keep, spaced=self._begun)
            )

    def lay_again(self, width: int, reach: int, known: int) -> int:
        """Lay the last blocks out for a new width: those that had at most `reach` of the last rows
        that were taken, and one that had more, but no more than are `known`.

        Returns how many of the rows that were taken are void: `take` gives them again.
        """
        if not reach:
            return 0
        self._width = max(width, 8)
        untaken, start, count = len(self._final), len(self._laid), 0
        while start and count < reach + untaken:
            last = self._laid[start - 1][0]
            more = count + last.count
            # what is above the cursor's reach can be told from what is below, but not in a table
            if more > (reach if last.kind == "table" else known) + untaken:
                break
            start, count = start - 1, more
        if count < untaken:
            return 0
        rows: list[Row] = []
        for at in range(start, len(self._laid)):
            before, number = self._laid[at]
            again = self._shown(before.added[0][0], number)
            for block, spaced, is_end in before.added:
                rows += again.add(block, spaced=spaced, last=is_end)
            self._laid[at] = again, number
            self._open = again if self._open is before else self._open
        self._final = rows
        return count - untaken

    def leave(self) -> None:
        """What is laid out so far stays as it is."""
        self._laid = []

    # 3. Complete lines are parsed, behind the stubs of the block that is open

    def _parse(self, lines: Sequence[str]) -> list[Block]:
        if not lines and not self._open:
            return []
        source = [*self._head, *lines]
        tokens = self._parser.blocks(source)
        return Walk(source, len(self._head), self._path).blocks(tokens)

    def _settle(self) -> None:
        """Make final what can no longer change."""
        self._untaken = 0
        if not self._is_parsed:
            self._is_parsed = True
            if blocks := self._parse(self._pending):
                self._advance(blocks, [*self._head, *self._pending])
            else:  # blank lines
                self._pending = [line for line, _ in groupby(self._pending)] if self._head else []
        if len(self._partial) > (PIECE if STUB in self._partial else LONG_TEXT + PIECE):
            self._take_long_line()

    # 4. Blocks that no line can change any more are final; of the last one, what cannot change

    def _advance(self, blocks: list[Block], lines: list[str]) -> None:
        """Emit the blocks; go on from the last one, or from before it if it is too young."""
        last = blocks.pop()
        # a heading, a rule, or a block with something else below it: no line can belong to it
        if last.closed:
            self._emit(*blocks, last)
            self._go_on_after(last, lines)
        # their lines never change; the first one opens them again, of a table the first two
        elif last.kind in ("fence", "math", "html", "table"):
            self._emit(*blocks)
            self._absorb(last)
            outer = [container for container in last.path if container.begin < last.begin]
            head = lines[last.begin :][: 2 if last.kind == "table" else 1]
            self._go_on(last.path, [*stub_lines(outer), *head], [])
        # the same, with a stub as the first line; blank lines at the end are not part of it yet
        elif last.kind == "code":
            self._emit(*blocks)
            self._absorb(last)
            stub = indent(last.path) + "    " + STUB
            self._go_on(last.path, stub_lines(last.path), [stub, *lines[last.end :]])
        # a paragraph, but for its last line: the next one may make a table of it
        elif last.kind == "text" and "\n" in last.content:
            self._emit(*blocks)
            last.content = last.content.rpartition("\n")[0]
            self._absorb(last)
            stub = indent(last.path) + stub_line(last.content.split("\n"))
            self._go_on(last.path, stub_lines(last.path), [stub, *lines[last.end - 1 :]])
        # one line of text, which may become a heading; an item or a quote that may get content
        else:
            while blocks and blocks[-1].kind == "empty" and blocks[-1].end < last.begin:
                last = blocks.pop()  # stub lines would not tell that it was empty
            if blocks:
                self._emit(*blocks)
                self._go_on_after(blocks[-1], lines)
            if last.kind == "empty":  # one ">" says as much as many; blank lines end items
                runs = groupby(self._pending)
                self._pending = [n for line, run in runs for n in ([line] if line.strip() else run)]

    def _take_long_line(self) -> None:
        """Take what there is of a line that goes on, if it is text and nothing else."""
        line = _expand_tabs(self._partial)
        loose = " #$\\"  # a heading may end in these, and TeX begin
        start = line.rstrip(loose).removesuffix("\\[").rstrip(loose)
        if not is_plain(start):
            return
        blocks = self._parse([*self._pending, start])
        last = blocks[-1] if blocks else None
        if last is None or last.end < len(self._head) + len(self._pending) + 1:
            return
        *before, text = last.content.removesuffix("\n").split("\n")
        if last.kind == "text" and not is_in_tex(text, before):
            self._emit(*blocks[:-1])
            self._absorb(last)
            self._go_on(last.path, stub_lines(last.path), [])
            stub = "#" * last.level + " " * (last.level > 0) + stub_start(text)
        elif last.kind == "fence" and (len(text) > LONGEST_LINE or STUB in text):
            last.content = last.content.removesuffix("\n") + STUB + "\n"
            self._advance(blocks, [*self._head, *self._pending, start])
            stub = STUB
        else:
            return
        self._partial = indent(last.path) + stub + line[len(start) :]

    # 5. The next parse begins behind what is final: containers are opened again by stubs

    def _go_on_after(self, block: Block, lines: list[str]) -> None:
        self._open = None
        self._go_on(block.path, stub_lines(block.path), lines[block.end :])
        if not self._head and not any(self._pending):
            self._pending = []

    def _go_on(self, path: tuple[Container, ...], head: list[str], pending: list[str]) -> None:
        self._path, self._head, self._pending = path, head, pending

    # 6. Blocks become rows

    def _emit(self, *blocks: Block) -> None:
        """The blocks are complete."""
        for block in blocks:
            self._absorb(block, last=True)
            self._open = None

    def _absorb(self, block: Block, *, last: bool = False) -> None:
        """The block is open: take what it has so far."""
        if self._open is None:
            self.codes += block.is_code
            self._open = self._shown(block, self.codes)
            self._laid = [*self._laid[1 - MOST_LAID :], (self._open, self.codes)]
        self._give(self._open.add(block, spaced=self._begun, last=last))

    def _give(self, rows: Sequence[Row]) -> None:
        self._final += rows
        self._begun = self._begun or bool(rows)

    def _shown(self, block: Block, number: int) -> ShownBlock:
        element = self._element(block, code_mark(number) if self._numbered else "")
        columns = self._columns(block.kind)
        return ShownBlock(block, element, columns, self._symbols, self._style)

    def _columns(self, kind: Kind) -> int:
        """Code and tables may have the whole width: cut lines of theirs are hard to read."""
        is_prose = self._prose and kind == "text"
        return min(self._width, max(self._prose, 8)) if is_prose else self._width

    def _element(self, block: Block, mark: str) -> Element:
        if block.kind == "text":
            style = theme.HEADINGS[min(block.level, 3) - 1] if block.level else theme.PLAIN
            return Text(self._parser, 0, style)
        if block.kind == "fence":
            return Fence(self._parser, 0, block, mark)
        if block.kind == "table":
            return Table(self._parser, 0, block, self._symbols.rule)
        if block.kind == "rule":
            return Rule(0, self._symbols.rule)
        if block.kind in _VERBATIM:
            return Verbatim(0, _VERBATIM[block.kind], mark if block.is_code else "")
        return Nothing()


def _expand_tabs(line: str) -> str:
    """Tabs before the text go to the next multiple of 4 columns, others to that of TAB."""
    if "\t" not in line:
        return line
    end = _LEADING.match(line).end()  # type: ignore[union-attr]
    start = line[:end].expandtabs(4)
    if len(line) > LONG_TEXT + PIECE or STUB in line:  # it may come in parts
        return start + line[end:].replace("\t", "    ")
    return start + at_stops(line[end:], TAB, start=len(start))


def warm_up() -> None:
    """Load what the first fence would wait for: the highlighter takes 20 ms. For idle moments."""
    render("```python\npass\n```", width=20)
