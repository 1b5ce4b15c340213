"""Where the line editor draws: prompt-toolkit's output without the parts that cost time or hang.

Knows nothing of what is drawn.
"""

from __future__ import annotations

import sys
from asyncio import TimerHandle, get_running_loop
from contextlib import suppress
from typing import Any, cast

from prompt_toolkit.application import Application
from prompt_toolkit.data_structures import Point
from prompt_toolkit.layout.containers import Window
from prompt_toolkit.layout.controls import UIContent
from prompt_toolkit.layout.screen import Screen as ScreenRows
from prompt_toolkit.output import Output as Screen
from prompt_toolkit.output.defaults import create_output
from prompt_toolkit.styles import Style

from glmcli.terminal.output import Output
from glmcli.terminal.quiet import SETTLE_S

STYLE = Style.from_dict(
    {
        "bottom-toolbar": "noreverse",
        "warning": "ansiyellow",
        "hint": "bold",
        "mark": "bold ansicyan",
    }
)


def make_screen(out: Output) -> Screen:
    """Where the editor draws.

    A cursor position request costs a second where it is not answered, and its answer can leak into
    the input; "one row below" lets the toolbar be drawn without it. Whether pastes come in brackets
    is not the editor's business, since they may come at any time.
    """
    screen = cast(Any, create_output(sys.stdout))
    screen.stdout = Drawn(out)
    screen.enable_cpr = False
    screen.get_rows_below_cursor_position = lambda: 1
    screen.enable_bracketed_paste = lambda: None
    screen.disable_bracketed_paste = lambda: None
    return cast(Screen, screen)


class Drawn:
    """What prompt-toolkit writes to. On a terminal that is gone it draws nothing, and goes on: an
    error in between would leave its tasks waiting for each other. The keyboard says what happened.
    """

    def __init__(self, out: Output) -> None:
        self._out = out
        self.encoding = out.encoding

    def write(self, text: str) -> None:
        """Write at once."""
        with suppress(OSError):
            self._out.send(text)

    def flush(self) -> None:
        """Nothing is left."""

    def fileno(self) -> int:
        """The terminal."""
        return self._out.fd


def erase_rows(screen: Screen, above: int) -> None:
    """Erase the row of the cursor, so many rows above it, and all below; the cursor goes up there.

    Not at once from the corner of the screen, which would put those rows into tmux's history.
    """
    screen.cursor_up(above)
    screen.write_raw("\r\x1b[K\x1b7\x1b[B\x1b[J\x1b8")


def rows_more(shown: ScreenRows, at: Point, columns: int) -> int:
    """How many rows more there are above the cursor, now that rows are wrapped at `columns`."""
    from glmcli.terminal.rows import fold_count  # it imports Rich

    more = 0
    for y in range(at.y + 1):
        cells = shown.data_buffer[y]
        end = at.x if y == at.y else max(cells, default=0)
        row = "".join(cells[x].char for x in range(end + 1))
        more += fold_count(row.rstrip(), columns) - 1
    return more


def fill_from_above(window: Window) -> None:
    """Have a window show the end of a line that is taller than it above a cursor behind that line.

    prompt-toolkit begins with a whole line, and leaves the rows blank where none fits.
    """
    scroll = window._scroll_when_linewrapping

    def scroll_and_fill(ui_content: UIContent, width: int, height: int) -> None:
        scroll(ui_content, width, height)
        top, room = window.vertical_scroll, height
        if width <= 0 or top == 0 or window.vertical_scroll_2:
            return
        for number in range(top, ui_content.line_count):
            room -= ui_content.get_height_for_line(number, width, window.get_line_prefix)
            if room <= 0:
                return
        above = ui_content.get_height_for_line(top - 1, width, window.get_line_prefix)
        window.vertical_scroll, window.vertical_scroll_2 = top - 1, max(above - room, 0)

    window._scroll_when_linewrapping = scroll_and_fill  # type: ignore[method-assign]


class Settling:
    """Has what is drawn wait until a window keeps its size, and draws it again where it is then.

    Left to itself prompt-toolkit counts rows as they were before the terminal wrapped them again,
    and erases from the corner of the screen.
    """

    def __init__(self, app: Application[Any], out: Output) -> None:
        self._app = app
        self._out = out
        self._waiting: TimerHandle | None = None
        self._redraw_resized = app._on_resize
        app._on_resize = self._resized  # type: ignore[method-assign]

    def begin(self) -> None:
        """Rows are where they are drawn."""
        self._waiting = None

    @property
    def is_over(self) -> bool:
        """Whether something may be drawn: rows are where they were."""
        return self._waiting is None

    def _resized(self) -> None:
        """Wait; some terminals tell of a new size later than they wrap."""
        if self._waiting is not None:
            self._waiting.cancel()
        self._waiting = get_running_loop().call_later(SETTLE_S, self._settled)

    def _settled(self) -> None:
        self._waiting = None
        app, screen = self._app, self._app.output
        shown = app.renderer.last_rendered_screen
        if shown is not None and not app.is_done:
            at = shown.get_cursor_position(app.layout.current_window)
            more = rows_more(shown, at, self._out.size().columns) if self._out.reflows else 0
            erase_rows(screen, at.y + more)
            screen.cursor_down(at.y)
        self._redraw_resized()
