"""Rows to the screen: final rows are written once, of the others only the cells that changed.

The rows below the final ones are live; the queue and the status row are the last of them. The
painter owns no more than what the cursor can reach. Knows nothing of Markdown or of replies, and
asks the terminal nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import lru_cache

from rich.color import ColorSystem
from rich.style import Style

from glmcli.terminal.replies.stuck import not_said, said_by
from glmcli.terminal.rows import (
    Cells,
    Row,
    Span,
    cells,
    cells_of,
    common,
    fold,
    merged,
    plain,
    width,
)

_SURE = re.compile(
    "[\x20-\x7e\u2e80-\u303e\u3041-\u33ff\u3400-\ua4cf\uac00-\ud7a3\uff01-\uff60·•▌─☐☑]*"
)
"""Characters whose width is known, and those that are drawn here: columns can be counted."""

GAP: Row = (("…", Style(dim=True)),)
"""Stands for rows that are hidden."""


class Painter:
    """Writes rows below the cursor, which must be at the start of an empty line at first.

    `write` gets all of a frame in one call, and writes what `encoding` lacks as "?". `colours` is 0
    for attributes only (NO_COLOR), else the 16 of the terminal's palette are used. After `finish`
    it can be used again.
    """

    def __init__(
        self,
        write: Callable[[str], object],
        *,
        columns: int,
        lines: int,
        colours: int = 16,
        encoding: str = "utf-8",
    ) -> None:
        self._write = write
        self._encoding = encoding
        self._columns = columns
        self._lines = lines
        self._colours = colours
        self._shown: list[Row] = []
        """The live rows on the screen, the status row last; the cursor is in the last one."""
        self._below = 0
        """Rows of the queue and of the status, which comes last. With a status the cursor is at its
        start, else at the end of the last row."""
        self._is_fresh = True
        """Without live rows: whether the cursor is at the start of an empty line."""
        self._above = 0
        """Rows known to be on the screen, or scrolled off it, above the live ones."""
        self._whole = 0
        """Live rows on the screen before the first one that is hidden for want of room."""
        self._stuck = ""
        """Text of live rows that are above, out of reach."""
        self._done: list[Row] = []
        """The last final rows, as far as each stands there as it was given."""

    @property
    def width(self) -> int:
        """Cells that a row may have: one is left free, so that terminals never wrap a row."""
        return max(self._columns - 1, 1)

    def paint(
        self,
        final: Sequence[Row] = (),
        live: Sequence[Row] = (),
        status: Row | None = None,
        queue: Sequence[Row] = (),
    ) -> None:
        """Show final rows, which are never changed again, then the live ones; below them, with the
        status row, the queue and that row.

        All rows that were live before are replaced: by the same cells where nothing changed.
        """
        # 1. The rows of the frame: final ones, live ones as far as they stay in reach, the others.
        below = (
            [] if status is None else [crop(self._said(it), self.width) for it in (*queue, status)]
        )
        fitted, was_stuck = self._fit(final), bool(self._stuck)
        rows, count = self._reachable(fitted, self._fit(live), len(below))
        rows += below
        frame = _Frame(self._shown, self._colours, is_at_end=not self._below)
        # 2. Room for them: a new line if the cursor is behind a final row, rows above the queue.
        if not self._shown and not self._is_fresh and rows:
            frame.out.append("\r\n")
        more = len(rows) - len(below) - len(self._shown) + self._below
        if below and self._below and max(len(rows), len(self._shown) + more) < self._lines:
            frame.insert(more, above=self._below)
        # 3. What differs from the rows on the screen, from top to bottom.
        frame.draw(rows)
        # 4. The cursor, to where the next frame begins; then all of it is written at once.
        if below:
            frame.go_to_start(len(rows) - 1)
        elif rows:
            frame.go_to_end(len(rows) - 1, rows[-1])
        if frame.out:
            self._write("".join(frame.out))
        # 5. What is on the screen now; final rows are only counted.
        if rows or self._shown:
            self._is_fresh = not rows
        self._shown, self._below = rows[count:], len(below)
        self._above += count
        is_as_given = len(fitted) == len(final) and not was_stuck
        self._done = [*self._done, *rows[:count]][-self._lines :] if is_as_given else []

    def reach(self, columns: int, lines: int, *, reflow: bool, row: int = 0) -> tuple[int, int]:
        """How many of the last final rows `resize` could take off in a window of that size; and how
        many it could take for rows that are shown again, as far as they can be taken off.
        """
        if self._stuck or not self._shown:
            return 0, 0
        heights = [len(fold(it, columns)) if reflow else 1 for it in (*self._done, *self._shown)]
        below = heights[-1] - 1 if self._below else 0
        room = self._room(lines, row, below) - sum(heights[len(self._done) :]) + 1 + below
        count = 0
        for height in reversed(heights[: len(self._done)]):
            room -= height
            if room < 0:
                break
            count += 1
        return count, len(self._done)

    def resize(
        self, columns: int, lines: int, *, reflow: bool, back: int = 0, row: int = 0
    ) -> bool:
        """The window changed its size: take the live rows off; the next frame shows them again.

        `reflow` says whether this terminal wraps its rows again, `row` in which row of the window
        the cursor is now, from 1; 0: nobody knows. `back` of the final rows, see
        `reach`, are taken off too: they will be given again. Rows that may have gone out of
        reach stay; the next frames leave out what they say. Returns whether there are such rows.
        """
        # 1. The terminal may have wrapped the live rows again: how many are above the cursor, and
        # how many of them can it reach?
        if back:
            self._shown[:0], self._done = self._done[-back:], self._done[:-back]
            self._above -= back  # less than 0: some of them were out of reach already
            self._whole += back
        pieces = [fold(it, columns) if reflow else [it] for it in self._shown]
        below = len(pieces[-1]) - 1 if self._below else 0
        reach = self._room(lines, row, below)
        self._columns, self._lines = columns, lines
        if not self._shown:
            return bool(self._stuck)
        rows = [part for parts in pieces for part in parts]
        above = len(rows) - 1 - below
        stuck = max(above - reach, 0)
        # 2. The others stay, and are left out later; but what comes after a hidden row has to be
        # shown again, below that.
        whole = sum(map(len, pieces[: self._whole]))
        self.leave_out(rows[: min(stuck, whole)])
        # 3. Those in reach are erased.
        erase = "\r\x1b[K" + ("\x1b[B\x1b[J\x1b[A" if above + below > stuck else "")
        self._write(up(above - stuck) + erase)
        self._shown, self._is_fresh, self._below = [], True, 0
        left = reach - (above - stuck)
        self._above = max(min(self._above, left), 0) if row else left
        return bool(self._stuck)

    def _room(self, lines: int, row: int, below: int) -> int:
        """How many rows above the cursor it can reach. Where nobody knows, tmux is assumed: it
        keeps the cursor where it is and pushes what does not fit above it into its history.
        """
        known = min(self._above + len(self._shown), self._lines, lines) - 1
        return row - 1 if row else max(known - below, 0)

    def know(self, rows: Sequence[Row]) -> None:
        """These rows stand right above, and may be taken off as if they had been painted here."""
        self._done = [*rows][-self._lines :]

    def leave_out(self, rows: Sequence[Row]) -> None:
        """Take live rows as shown before: the next frames leave out what they say."""
        self._stuck += "".join(map(said_by, rows))

    def take_back(self) -> None:
        """Take off the screen all that was painted, as far as the cursor can go back."""
        self.paint()
        if not self._is_fresh:
            self._write("\r\n")
        count = min(self._above, self._lines - 1)
        if count:
            # not all at once: erasing from the corner would put it into tmux's history
            self._write(up(count) + "\r\x1b[K\x1b[B\x1b[J\x1b[A")
        self._is_fresh = True
        self._above, self._stuck, self._done = 0, "", []

    def freeze(self) -> None:
        """Leave the live rows as they are on the screen; "…" below them in place of the status."""
        self._stuck = ""  # it was left out of them
        self.paint([*self._shown[: len(self._shown) - self._below], GAP])

    def finish(self) -> None:
        """Take live rows off the screen and end the line."""
        self.paint()
        if not self._is_fresh:
            self._write("\r\n")
        self._is_fresh = True
        self._above, self._stuck, self._done = 0, "", []

    def _fit(self, rows: Sequence[Row]) -> list[Row]:
        """Rows made for a wider window are cut."""
        return [part for row in rows for part in fold(self._said(row), self.width)]

    def _said(self, row: Row) -> Row:
        if self._encoding.lower().startswith("utf"):
            return row
        return tuple([(said(text, self._encoding), style) for text, style in row])

    def _reachable(self, final: list[Row], live: list[Row], reserved: int) -> tuple[list[Row], int]:
        """The rows to show, and how many of them are final.

        When there are too many live rows to be reached again, some are hidden: of the first ones
        as many stay as a smaller window may push out of reach, and of the last ones a third of the
        window, since they must stay in reach. That third moves in steps, not in every frame.
        """
        # what is stuck above already is left out; of the live rows later frames have to do it too
        final, self._stuck = not_said(final, self._stuck)
        live, _ = not_said(live, self._stuck)
        room = max(self._lines - 1 - reserved, 1)
        self._whole = len(live)
        if len(live) > room:
            most, step = max(room // 3, 1), max(room // 6, 1)
            newest = live[-((most - len(live)) // step) * step :]
            self._whole = max(room - most - 1, 0)
            live = [*live[: self._whole], *[GAP] * (self._whole > 0), *newest]
        return [*final, *live], len(final)


class _Frame:
    """What must be written to turn the rows on the screen into others."""

    def __init__(self, shown: Sequence[Row], colours: int, *, is_at_end: bool) -> None:
        self.out: list[str] = []
        self._shown = list(shown) or [()]
        self._colours = colours
        self._row = len(self._shown) - 1
        self._is_at_end = is_at_end
        """Whether the cursor stands behind the last character of its row."""

    def insert(self, count: int, *, above: int) -> None:
        """Move so many of the last rows down to make room for new ones; the cursor is in the last,
        at its start.
        """
        if count > 0:
            self._row -= above - 1
            self.out.append("\n" * count + up(count + above - 1) + f"\x1b[{count}L")
            self._shown[self._row : self._row] = [()] * count

    def draw(self, rows: Sequence[Row]) -> None:
        """Go from top to bottom."""
        for index, row in enumerate(rows):
            if index >= len(self._shown):
                self._go_to_row(index - 1)
                self._put("\r\n", row)
                self._row = index
            elif row != self._shown[index]:
                self._change(index, row)
        # erasing downwards from the corner of the screen would put it into tmux's history
        if len(self._shown) > max(len(rows), 1):
            self._go_to_row(max(len(rows), 1))
            self.out.append("\r\x1b[J")
        if not rows and self._shown != [()]:
            self._go_to_row(0)
            self.out.append("\r\x1b[K")

    def go_to_start(self, index: int) -> None:
        """Put the cursor at the start of a row, if anything was written."""
        if self.out:
            self._go_to_row(index)
            if not self.out[-1].endswith("\n"):
                self.out.append("\r")

    def go_to_end(self, index: int, row: Row) -> None:
        """Put the cursor behind the last character of a row."""
        self._go_to_row(index)
        if not self._is_at_end:
            if _is_sure(row):
                self._put(f"\x1b[{width(row) + 1}G", ())
            else:
                self._put("\r", row)

    def _change(self, index: int, row: Row) -> None:
        """Write the cells of one row that differ."""
        # 1. Both rows may begin with the same; at the end of one that only grew, just write on.
        old, new = cells_of(self._shown[index]), cells_of(row)
        start = _common_start(old, new)
        if start == len(old) and index == self._row and self._is_at_end:
            self._put("", new[start:])
            return
        # 2. They may end with the same too. Where columns cannot be counted, begin at the first.
        if not _is_sure(new[:start]):
            start = 0
        end = _common_end(old[start:], new[start:])
        # 3. If it became shorter, or may have, it is erased first: all of it, since tmux wraps a
        # row again at the last cell that was used since it was empty.
        erase = not end and (width(new) < width(old) or not _is_sure(old + new))
        if erase:
            start = 0
        # 4. Write what is in between.
        self._go_to_row(index)
        column = width(new[:start])
        move = f"\x1b[{column + 1}G" if column else "\r"
        self._put(move + "\x1b[K" * erase, new[start : len(new) - end])
        self._is_at_end = not end

    def _go_to_row(self, index: int) -> None:
        distance = index - self._row
        if distance:
            self.out.append("\r\n" * distance if distance > 0 else up(-distance))
            self._is_at_end = False
        self._row = index

    def _put(self, move: str, spans: Sequence[Span]) -> None:
        self.out.append(move)
        self._is_at_end = True
        for text, style in merged(spans):
            self.out.append(sgr(text, style, self._colours))


def said(text: str, encoding: str) -> str:
    """The text as it is written in an encoding: a wide character that it lacks is a narrow "?"."""
    if text.isascii() or encoding.lower().startswith("utf"):
        return text
    return text.encode(encoding, "replace").decode(encoding)


def up(count: int) -> str:
    """The escape sequence that moves the cursor up."""
    return f"\x1b[{count}A" if count > 1 else "\x1b[A" * count


def crop(row: Row, columns: int) -> Row:
    """The row, cut with … if it has more than `columns` cells."""
    if width(row) <= columns:
        return row
    return (*fold(row, max(columns - 1, 1))[0], ("…", row[-1][1])) if columns > 1 else ()


def _common_start(old: Cells, new: Cells) -> int:
    """How many characters at the start are equal; none of them is joined by one that differs."""
    count = common(old, new)
    while count and (_joins(new[count : count + 1]) or _joins(old[count : count + 1])):
        count -= 1
    return count


def _common_end(old: Cells, new: Cells) -> int:
    """How many characters at the end are equal and stay where they are."""
    count = common(reversed(old), reversed(new))
    if count and _joins(new[len(new) - count :]):
        return 0
    before, after = old[: len(old) - count], new[: len(new) - count]
    return count if width(before) == width(after) and _is_sure(before + after) else 0


def _is_sure(spans: Sequence[Span]) -> bool:
    return _SURE.fullmatch(plain(spans)) is not None


def _joins(after: Cells) -> bool:
    """Whether the first character is a mark that joins the one before it."""
    return bool(after) and not cells(after[0][0])


@lru_cache(maxsize=1024)
def _codes(style: Style, colours: int) -> tuple[str, str]:
    style = style if colours else style.without_color
    begin, _, end = style.render("\0", color_system=ColorSystem.STANDARD).partition("\0")
    return begin, end


def sgr(text: str, style: Style, colours: int) -> str:
    """Text with the escape sequences of its style around it."""
    begin, end = _codes(style, colours)
    return begin + text + end
