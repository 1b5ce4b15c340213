"""Block tokens as a flat list: each paragraph, fence or table with the quotes and items around it.

Also writes the few lines of source that bring the parser back to where a block stood, so that a
long text need not be parsed again. Knows nothing of styles, widths or the screen.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from markdown_it.token import Token

from glmcli.terminal.markdown.parser import STUB
from glmcli.terminal.rows import common

Kind = Literal["text", "fence", "code", "math", "html", "table", "rule", "empty"]
"""`empty` is an item or a quote without content."""

_MARKER = re.compile(r"^ {0,3}([-+*]|\d{1,9}[.)])")
_QUOTE = re.compile(r"^ *> ?")
_TASK = re.compile(r"\[([ xX])\] +(?=\S)")
_LEAVES: dict[str, Kind] = {
    "fence": "fence",
    "code_block": "code",
    "math_block": "math",
    "element": "html",
    "hr": "rule",
    "table": "table",
}


@dataclass(slots=True, eq=False)
class Container:
    """A quote, or an item of a list."""

    opener: str
    """The source that opens it: "> ", "- ", " 12. "."""
    begin: int
    """Its first line in the lines that were parsed; -1 if that was in an earlier call."""
    marker: str = ""
    """What is shown of a numbered item: "12."; "" for others."""
    position: int = 0
    """Place in its list, from 0."""
    number: int = 0
    """As it is written."""
    is_counted: bool = True
    """Whether all items so far have the same number; then they are counted on from it."""
    task: str = ""
    """A blank or an x for an item with a box."""

    @property
    def is_quote(self) -> bool:
        """Whether it is a quote."""
        return self.opener == "> "

    def follow(self, before: Container) -> None:
        """Come after an item of the same list."""
        self.position = before.position + 1
        self.is_counted = before.is_counted and self.number == before.number
        if self.marker and self.is_counted:
            self.marker = f"{self.number + self.position}{self.marker[-1]}"

    def prefix(self) -> str:
        """What continues it on a later line."""
        return self.opener if self.is_quote else " " * len(self.opener)


@dataclass(slots=True, eq=False)
class Block:
    """What has text of its own, and where it stands."""

    kind: Kind
    begin: int
    end: int
    """Lines, the last not included."""
    path: tuple[Container, ...]
    first_of: int
    """How many of the innermost containers begin with this block."""
    shared: int = 0
    """How many of the outermost containers also hold the block before it."""
    spaced: bool = True
    """Whether a blank row goes between the two."""
    content: str = ""
    level: int = 0
    """1 to 6 for a heading."""
    info: str = ""
    """What stands behind the marks of a fence."""
    marks: str = ""
    """The marks of a fence."""
    closed: bool = False
    """Whether no further line can belong to it."""
    cells: list[list[str]] = field(default_factory=list)
    """The rows of a table, its header first. Cells at the end of a row may be missing."""
    aligned: list[str] = field(default_factory=list)
    """left, center, right or "" for each column."""

    @property
    def is_code(self) -> bool:
        """Whether it has a number: whether it is what `code_blocks` counts."""
        return self.kind in ("fence", "code")

    @property
    def is_stub(self) -> bool:
        """Whether it only stands for a block that was parsed before."""
        return self.level > 0 and self.content == STUB


def stub_lines(path: Sequence[Container]) -> list[str]:
    """Lines that open these containers again, with nothing in them to be shown."""
    return [indent(path[:depth]) + c.opener + f"# {STUB}" for depth, c in enumerate(path)]


def indent(path: Sequence[Container]) -> str:
    """What a line begins with that continues these containers."""
    return "".join(container.prefix() for container in path)


class Walk:
    """Turns tokens into blocks. `head` lines at the start repeat what was seen in earlier calls.

    `path` are the containers that the head opens again, as they were then.
    """

    def __init__(self, lines: Sequence[str], head: int, path: tuple[Container, ...]) -> None:
        self._lines = lines
        self._head = head
        self._known = path
        self._path: list[Container] = []
        self._items: list[Container | None] = []
        """The item before, for each list that is open."""
        self._opened: list[Container] = []
        self._before: tuple[Container, ...] = path
        self._before_end = head

    def blocks(self, tokens: Sequence[Token]) -> list[Block]:
        """The blocks, the empty headings of the head left out."""
        found: list[Block] = []
        for index, token in enumerate(tokens):
            block = self._visit(token, tokens, index)
            if block and not (block.begin < self._head and block.is_stub):
                block.shared = common(self._before, block.path)
                block.spaced = self._is_spaced(block)
                self._before, self._before_end = block.path, block.end
                found.append(block)
        for block in found[:-1]:
            block.closed = True
        for block in found[-1:]:
            block.closed |= block.end < len(self._lines) and block.kind not in ("code", "empty")
        return found

    def _visit(self, token: Token, tokens: Sequence[Token], index: int) -> Block | None:
        kind = token.type
        if kind in ("bullet_list_open", "ordered_list_open"):
            self._items.append(None)
        elif kind in ("bullet_list_close", "ordered_list_close"):
            self._items.pop()
        elif kind in ("list_item_open", "blockquote_open"):
            self._open(token)
        elif kind in ("list_item_close", "blockquote_close"):
            return self._close()
        elif kind in ("paragraph_open", "heading_open"):
            return self._text(token, tokens[index + 1].content)
        elif kind in _LEAVES:
            return self._leaf(token)
        return None

    def _open(self, token: Token) -> None:
        begin, depth = (token.map or [0])[0], len(self._path)
        if begin < self._head and depth < len(self._known):
            container = self._known[depth]
            container.begin = -1
        elif token.type == "blockquote_open":
            container = Container("> ", begin)
        else:
            container = self._item(token, begin)
        if token.type == "list_item_open":
            if begin >= self._head and (before := self._items[-1]):
                container.follow(before)
            self._items[-1] = container
        self._path.append(container)
        self._opened.append(container)

    def _item(self, token: Token, begin: int) -> Container:
        line = self._lines[begin]
        for outer in self._path:
            if outer.begin == begin and not outer.is_quote:
                line = line[len(outer.opener) :]
            elif outer.is_quote:
                line = _QUOTE.sub("", line, count=1)
            else:
                line = line.removeprefix(" " * len(outer.opener))
        rest = _MARKER.sub("", line, count=1)
        blanks = len(rest) - len(rest.lstrip(" "))
        if not rest.strip() or blanks > 4:
            blanks = 1
        opener = line[: len(line) - len(rest)] + " " * blanks
        marker = token.info + token.markup if token.info else ""
        return Container(opener, begin, marker, number=int(token.info or 0))

    def _close(self) -> Block | None:
        container = self._path[-1]
        block = None
        if container in self._opened and container.begin >= 0:
            block = self._block("empty", container.begin, container.begin + 1)
        self._path.pop()
        return block

    def _text(self, token: Token, content: str) -> Block:
        begin, end = token.map or [0, 0]
        is_heading = token.type == "heading_open"
        if self._opened and not is_heading and (task := _TASK.match(content)):
            item = self._opened[-1]
            if item is self._path[-1] and not item.is_quote and not item.marker:
                item.task = task[1].lower()
                content = content[task.end() :]
        block = self._block("text", begin, end, content)
        block.level = int(token.tag[1]) if is_heading else 0
        block.closed = is_heading
        return block

    def _leaf(self, token: Token) -> Block:
        begin, end = token.map or [0, 0]
        block = self._block(_LEAVES[token.type], begin, end, token.content)
        if token.type == "fence":
            block.info, block.marks = token.info.strip(), token.markup
            block.closed = end - begin - 1 > token.content.count("\n")
        elif token.type == "table":
            block.cells, block.aligned = token.meta["cells"], token.meta["aligned"]
        else:
            block.closed = token.type == "hr" or bool(token.meta.get("closed"))
        return block

    def _block(self, kind: Kind, begin: int, end: int, content: str = "") -> Block:
        first_of = sum(container in self._opened for container in self._path)
        self._opened.clear()
        return Block(kind, begin, end, tuple(self._path), first_of, content=content)

    def _is_spaced(self, block: Block) -> bool:
        """In lists the source decides; elsewhere a blank row is between two blocks."""
        in_list = block.shared and not block.path[block.shared - 1].is_quote
        is_sibling = block.shared < len(block.path) and block.path[block.shared].position > 0
        if in_list or is_sibling:
            opened = block.path[len(block.path) - block.first_of :]
            return min([block.begin, *(item.begin for item in opened)]) > self._before_end
        return True
