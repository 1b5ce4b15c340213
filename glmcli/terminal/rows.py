"""Rows: styled text cut to the width of a terminal, between words and between Chinese characters.

Greedy, and stable under growth: text that is added at the end never changes a row that another one
follows. Knows nothing of Markdown or of the screen.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from rich.cells import cell_len
from rich.style import Style
from wcwidth import iter_graphemes

from glmcli.terminal.visible import MOST_A_CELL

Span = tuple[str, Style]
Row = tuple[Span, ...]
"""What stands in one row of the screen; a blank row is ()."""
Cells = list[tuple[str, Style]]
"""A row, character by character."""

BLANKS = " \t\u3000\n"

OPENING = "（【「『《〈〔“‘([{"
"""Marks that open something: they stay with what follows."""
_OPEN = re.escape(OPENING)
_CLOSE = re.escape("，。、；：？！）】」』》〉〕”’…—～·％,.!?:;)]}%々ーっッゃゅょャュョ")
_LATE = "[，。、；：？！）】」』》〉〕％]"
_FIRST_LATE = re.compile(_LATE)
_JOINED = re.compile("[\U0001f1e6-\U0001f1ff\U0001f3fb-\U0001f3ff]")  # flags and skin tones
WIDE_LETTERS = "\u2e80-\uabff\uf900-\ufaff\uff00-\uffef\U00020000-\U0003ffff"
"""Chinese, Japanese and their marks, as they are written in a set of a regular expression."""
_MARKS = "\u0300-\u036f\u3099\u309a\uff9e\uff9f\ufe00-\ufe0f\U000e0100-\U000e01ef"
# One of them, and the marks that are part of it.
_IDEOGRAPH = f"(?![{_OPEN}{_CLOSE}])[{WIDE_LETTERS}][{_MARKS}]*"
_WORD = f"[^ \t\u3000\n{WIDE_LETTERS}]"
# What must not be torn apart: openers, then a character or a word, then closers, Chinese ones also
# after blanks; with the blanks behind it. A word that ends in an opener takes the character after
# it along.
_UNIT = re.compile(
    f"(?:[{_OPEN}]*(?:{_IDEOGRAPH}|{_WORD}+(?:(?<=[{_OPEN}]){_IDEOGRAPH})?)"
    f"[{_CLOSE}]*(?:[ \t\u3000]+{_LATE}+)*|[{_OPEN}{_CLOSE}]+)?[ \t\u3000]{{0,256}}"
)

MOST_MARKS = 16
"""Characters. What is seen as one has no more of them: the longest emoji has ten."""

_COLUMN = re.compile(r"(?: *\S+(?: \S+)*)? {2,}")
_ASCII_WORD = re.compile(r"[!-~]+")


def cells(text: str) -> int:
    """Cells that the text takes at most: many terminals show the parts of joined emoji apart."""
    if text.isascii():
        return len(text)
    parts, joined = _JOINED.subn("", text.replace("\u200d", ""))
    return cell_len(parts) + 2 * joined


def width(spans: Iterable[Span]) -> int:
    """Cells that the spans take."""
    return cells(plain(spans))


def plain(spans: Iterable[Span]) -> str:
    """The text of the spans."""
    return "".join([text for text, _ in spans])


def cells_of(row: Row) -> Cells:
    """The row, character by character."""
    return [(char, style) for text, style in row for char in text]


def merged(spans: Sequence[Span]) -> list[Span]:
    """Neighbours of the same style made one, and none without text."""
    joined: list[Span] = []
    for text, style in spans:
        if text and joined and joined[-1][1] == style:
            text = joined.pop()[0] + text
        if text:
            joined.append((text, style))
    return joined


def wrap(spans: Sequence[Span], columns: int) -> list[Row]:
    """Cut spans into rows of at most `columns` cells; a line end in the text ends its row.

    Blanks and line ends stay at the end of their row, so that the rows joined are the text.
    Always at least one row.
    """
    text = plain(spans)
    fits = len(text) * (1 if text.isascii() else 2) <= columns
    return _cut(spans, _ends(text) if fits else list(_breaks(text, columns)))


def at_stops(text: str, stop: int, *, start: int) -> str:
    """A line that begins `start` cells from the left, its tabs filled up to multiples of `stop`."""
    first, *others = text.split("\t")
    pieces, at = [first], start + cells(first)
    for piece in others:
        gap = stop - at % stop
        pieces += [" " * gap, piece]
        at += gap + cells(piece)
    return "".join(pieces)


def hang(text: str, columns: int) -> str:
    """Cut long lines between words; what stands in a second column stays there, if there is room.

    A line with a word that does not fit is left as it is: it may be a path that will be copied.
    """
    lines = []
    for line in text.split("\n"):
        head = _COLUMN.match(line)
        start = head[0] if head and cells(head[0]) < columns * 2 // 3 else ""
        indent = cells(start)
        widest = max(map(len, _ASCII_WORD.findall(line)), default=0)
        if cells(line) > columns and widest <= columns - indent:
            rows = wrap([(line[len(start) :], Style())], columns - indent)
            line = start + f"\n{' ' * indent}".join(plain(trimmed(row)) for row in rows)
        lines.append(line)
    return "\n".join(lines)


def has_columns(line: str) -> bool:
    """Whether something stands in a second column."""
    return _COLUMN.match(line) is not None


def hung(line: str, columns: int, indent: int) -> str:
    """Cut a long line between words, the rows below the first `indent` cells to the right.

    A word that fits no such row has one of its own, from the left: a path that will be copied. It
    stands behind a mark as wide as the indent, which is never alone.
    """
    rows = [""]
    for match in _UNIT.finditer(line):
        if not (unit := match[0]):
            continue
        is_mark = indent > 0 and not rows[1:] and _size(rows[0]) <= indent
        size = _size(rows[-1]) + _size(unit.rstrip(BLANKS))
        if rows[-1] and not is_mark and size > columns - (indent if rows[1:] else 0):
            rows.append("")
        rows[-1] += unit
    first, *others = (row.rstrip(BLANKS) for row in rows)
    below = [" " * (indent if _size(row) <= columns - indent else 0) + row for row in others]
    return "\n".join([first, *below])


class WordRows:
    """Text as it comes, in rows that end between words: a word waits until the next one begins.

    A word that fits no row, and lines of code in fences, are left to the terminal.
    """

    def __init__(self) -> None:
        self._row = self._held = ""
        """What was given of the row that is being written; what waits behind it."""
        self._is_first = True
        """Whether that row is the first of its line."""
        self._is_code = False

    def feed(self, text: str, columns: int) -> str:
        """What to write now that `text` came."""
        *lines, last = (self._held + text).split("\n")
        self._held = ""
        done = [f"{self._rows(line, columns)}\n" for line in lines]
        return "".join([*done, self._rows(last, columns, grows=True)])

    def finish(self, columns: int) -> str:
        """What waits."""
        text, self._held = self._held, ""
        return self._rows(text, columns)

    def _rows(self, text: str, columns: int, *, grows: bool = False) -> str:
        before, line = self._row, self._row + text
        is_fence = self._is_first and line.lstrip().startswith(("```", "~~~"))
        is_code = self._is_code or is_fence
        shown = line if is_code else hung(line, max(columns, _size(before)), 0)
        if not grows:
            self._row, self._is_first, self._is_code = "", True, self._is_code != is_fence
            return shown[len(before) :]
        row = shown[shown.rfind("\n") + 1 :].rstrip(BLANKS)
        last = max((found.start() for found in _UNIT.finditer(row) if found[0]), default=0)
        self._row = row[:last].rstrip(BLANKS)
        self._is_first = self._is_first and "\n" not in shown
        self._held = line[len(line.rstrip(BLANKS)) - len(row) + len(self._row) :]
        return shown[len(before) : shown.rfind("\n") + 1 + len(self._row)]


def fold(spans: Sequence[Span], columns: int) -> list[Row]:
    """Cut spans at exactly `columns` cells, wherever that is; for code. At least one row."""
    text = plain(spans)
    if _size(text) <= columns:
        return [tuple(spans)]
    return _cut(spans, list(_chop(text, columns)))


def fold_count(text: str, columns: int) -> int:
    """How many rows a text takes that is cut at exactly `columns` cells. At least one."""
    return 1 + sum(1 for _ in _chop(text, columns)) if _size(text) > columns else 1


def trimmed(row: Row) -> Row:
    """The row without blanks at its end."""
    while row and not (text := row[-1][0].rstrip(BLANKS)):
        row = row[:-1]
    return (*row[:-1], (text, row[-1][1])) if row else ()


def common(one: Iterable[object], other: Iterable[object]) -> int:
    """How many elements at the start are equal."""
    count = 0
    for left, right in zip(one, other, strict=False):
        if left != right:
            break
        count += 1
    return count


def graphemes(text: str) -> Iterator[str]:
    """Characters as people see them: emoji, flags, letters with their marks, syllables."""
    start = 0
    while start < len(text):
        grapheme = next(iter_graphemes(text, start, start + MOST_MARKS))
        yield grapheme
        start += len(grapheme)


def _size(text: str) -> int:
    """Cells that the text is given in a row: a few too where it takes none, but is long."""
    return len(text) if text.isascii() else max(cells(text), len(text) // MOST_A_CELL)


def _ends(text: str) -> list[int]:
    return [match.end() for match in re.finditer("\n", text)] if "\n" in text else []


def _breaks(text: str, columns: int) -> Iterator[int]:
    """Offsets at which a new row begins."""
    start = 0
    for end in [*_ends(text), len(text)]:
        column = 0
        for match in _UNIT.finditer(text, start, end):
            unit = match[0]
            body = unit.rstrip(BLANKS)
            size = _size(body)
            # blanks begin a row only where they go on and on
            if column and column + size > columns and (size or column > MOST_A_CELL * columns):
                yield match.start()
                column = 0
            done = 0
            if size > columns:
                for done in _chop_unit(body, columns):
                    yield match.start() + done
            column += _size(unit[done:])
        if text[start:end].endswith("\n"):
            yield end
        start = end


def _chop_unit(unit: str, columns: int) -> Iterator[int]:
    """The same for a unit that is too long; its last character goes to the next row with closers.

    That only where these are Chinese: others may turn out to be inside a word when it goes on.
    """
    closers = _FIRST_LATE.search(unit)
    end = len(unit[: closers.start()].rstrip(BLANKS)) if closers else len(unit)
    start = 0
    for start in _chop(unit[:end], columns):
        yield start
    if start < end < len(unit) and _size(unit[start:]) > columns:
        last = end - len([*graphemes(unit[start:end])][-1])
        if last > start:
            start = last
            yield start
    yield from (start + offset for offset in _chop(unit[start:], columns))


def _chop(text: str, columns: int) -> Iterator[int]:
    """Offsets that cut `text` into pieces of at most `columns` cells, between graphemes."""
    if text.isascii():
        yield from range(columns, len(text), columns)
        return
    begin = offset = column = 0
    for grapheme in graphemes(text):
        size = cells(grapheme)
        if (column and column + size > columns) or offset - begin >= MOST_A_CELL * columns:
            yield offset
            begin, column = offset, 0
        column += size
        offset += len(grapheme)


def _cut(spans: Sequence[Span], offsets: Sequence[int]) -> list[Row]:
    """Cut spans at offsets into their joined text."""
    rows: list[Row] = []
    row: list[Span] = []
    position = 0
    pending = iter([*offsets, -1])
    target = next(pending)
    for text, style in spans:
        while 0 <= target <= position + len(text):
            head, text = text[: target - position], text[target - position :]
            rows.append((*row, (head, style)) if head else tuple(row))
            row, position, target = [], target, next(pending)
        if text:
            row.append((text, style))
            position += len(text)
    rows.append(tuple(row))
    return rows
