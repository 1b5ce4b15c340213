"""What a list says of each conversation: one set of columns, for tables, pipes and the picker.

Pure functions from conversations to cells and rows. Knows nothing of the terminal.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from glmcli.language import later, tr
from glmcli.paths import short_model
from glmcli.terminal.input.picking import Entry
from glmcli.terminal.phrases import age, clipped
from glmcli.terminal.visible import steady, visible_line

Say = Callable[[str], str]
"""Puts a word into the user's language, or leaves it in English for programs."""
KIND_WORDS = {"chat": later("chat"), "ask": later("ask"), "": later("unknown")}
MOST_MODEL, MOST_WORDS = 20, 60
"""Cells of a model's name, characters of the first words."""
LEAST_TITLE, LEAST_WORDS = 16, 16
"""Cells. Other columns are left out before the title is narrower; the words are left out then."""
_GAP = 2


class Column(NamedTuple):
    """One column: its name in English, and its cell for a conversation with its first words."""

    name: str
    cell: Callable[[Entry, str, Say], str]


def new_words(entry: Entry, words: str, say: Say = tr) -> str:
    """The first words of a conversation, where its title is not just these."""
    line = " ".join(words[: MOST_WORDS * 2].split())
    title = " ".join(entry.title.split()).removesuffix("…")
    if title and line.startswith(title):
        return ""
    return line if len(line) <= MOST_WORDS else f"{line[: MOST_WORDS - 1]}…"


ID_COLUMN = Column(later("id"), lambda entry, words, say: entry.id)
AGE_COLUMN = Column(later("age"), lambda entry, words, say: age(entry.updated_at, say))
TURNS_COLUMN = Column(later("turns"), lambda entry, words, say: str(entry.turns))
MODEL_COLUMN = Column(later("model"), lambda entry, words, say: short_model(entry.model))
TITLE_COLUMN = Column(later("title"), lambda entry, words, say: entry.title)
WORDS_COLUMN = Column(later("first words"), new_words)
KIND_COLUMN = Column(later("kind"), lambda entry, words, say: say(KIND_WORDS[entry.kind]))
COLUMNS = (AGE_COLUMN, TURNS_COLUMN, MODEL_COLUMN, TITLE_COLUMN, WORDS_COLUMN)
"""Of every list of conversations. The id stands before them where nothing is picked, the kind
behind them where asks are listed too.
"""
SPARE = (WORDS_COLUMN, MODEL_COLUMN, TURNS_COLUMN, KIND_COLUMN)
"""What is left out where the window is too narrow, the first at first."""


def list_rows(
    entries: Sequence[Entry], words: Mapping[str, str], *, with_kinds: bool, room: int
) -> list[str]:
    """A row of names, and one for each conversation, of at most `room` cells each."""
    columns = (ID_COLUMN, *COLUMNS, *([KIND_COLUMN] if with_kinds else []))
    return table_rows(entries, words, columns, room=room)


def table_rows(
    entries: Sequence[Entry], words: Mapping[str, str], columns: Sequence[Column], *, room: int
) -> list[str]:
    """The same with other columns; those of the model, the title and the words are among them."""
    shown = ColumnLayout(columns)
    return ["".join(row).rstrip() for row in shown.rows(entries, words, room)]


class ColumnLayout:
    """How wide the columns are: while a list is scrolled they never get narrower again."""

    def __init__(self, columns: Sequence[Column]) -> None:
        self._columns = columns
        self._widest = [0] * len(columns)
        self._room = 0

    def rows(
        self, entries: Sequence[Entry], words: Mapping[str, str], room: int
    ) -> list[list[str]]:
        """The names of the columns, then the cells of each conversation, padded to their widths.

        `words` are those of a conversation to be shown, by its id.
        """
        cells = [[tr(column.name) for column in self._columns]]
        for entry in entries:
            said = words.get(entry.id, "")
            cells.append(
                [steady(visible_line(each.cell(entry, said, tr))) for each in self._columns]
            )
        self._measure(cells, room)
        widths = self._widths(room)
        return [
            [
                f"{padded(text, width)}{' ' * _GAP}"
                for text, width in zip(row, widths, strict=True)
                if width
            ]
            for row in cells
        ]

    def _measure(self, cells: Sequence[Sequence[str]], room: int) -> None:
        if room != self._room:
            self._room, self._widest = room, [0] * len(self._columns)
        for at, column in enumerate(zip(*cells, strict=True)):
            is_empty = self._columns[at] == WORDS_COLUMN and not any(column[1:])
            widest = 0 if is_empty else max(_cells(text, room) for text in column)
            self._widest[at] = max(self._widest[at], widest)

    def _widths(self, room: int) -> list[int]:
        """The width of each column; 0 for those that are left out."""
        widths = dict(zip(self._columns, self._widest, strict=True))
        widths[MODEL_COLUMN] = min(widths[MODEL_COLUMN], MOST_MODEL, room // 4)
        title, said = widths.pop(TITLE_COLUMN), widths.pop(WORDS_COLUMN)
        for spare in SPARE:
            taken = sum(width + _GAP for width in widths.values() if width)
            if room - taken >= min(title, LEAST_TITLE):
                break
            widths[spare] = 0
        left = room - sum(width + _GAP for width in widths.values() if width)
        beside = min(title, max(left * 3 // 5, left - _GAP - said))
        is_room = said > 0 and left - _GAP - beside >= min(said, LEAST_WORDS)
        widths[TITLE_COLUMN] = beside if is_room else max(min(title, left), 1)
        widths[WORDS_COLUMN] = min(said, left - _GAP - beside) if is_room else 0
        return [widths[column] for column in self._columns]


def _cells(text: str, most: int) -> int:
    """Cells that a line takes, `most` at most."""
    if text.isascii():
        return min(len(text), most)
    import wcwidth  # it imports a lot

    return min(wcwidth.width(clipped(text, most)), most)


def padded(text: str, width: int) -> str:
    """A line cut or filled up to so many cells."""
    line = clipped(text, width)
    return line + " " * (width - _cells(line, width))
