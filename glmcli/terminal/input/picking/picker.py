"""The picker: a list of conversations on a terminal, to choose from by arrows and typed words.

It has the terminal's other screen, so that a window may change its size and nothing of the list is
left where the chat is. Knows nothing of the store.
"""

from __future__ import annotations

import signal
from asyncio import TimerHandle, get_running_loop
from collections.abc import Callable
from typing import Any

from prompt_toolkit.application import Application, run_in_terminal
from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.input import Input
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.keys import Keys
from prompt_toolkit.layout import FormattedTextControl, Layout, Window
from prompt_toolkit.output import ColorDepth
from prompt_toolkit.output import Output as Screen
from prompt_toolkit.styles import Style

from glmcli.errors import GlmError, told_error
from glmcli.harmless import quoted
from glmcli.language import later, tr
from glmcli.terminal.input.editing import characters
from glmcli.terminal.input.keys.keyboard import SHIFT_SPACE
from glmcli.terminal.input.loop import end_on_failure, ended_by_signals
from glmcli.terminal.input.picking import Entry, Source
from glmcli.terminal.input.picking.choices import Choices
from glmcli.terminal.input.picking.columns import COLUMNS, KIND_COLUMN, ColumnLayout
from glmcli.terminal.input.picking.preview import Fragments, preview_rows
from glmcli.terminal.input.screen import make_screen
from glmcli.terminal.output import Output
from glmcli.terminal.phrases import clipped, fitting
from glmcli.terminal.visible import steady, visible_line

SEARCH_S = 0.15
"""After a pause of this length texts are searched for the words that were typed."""
_ESCAPE_S = 0.05
OTHER_ROWS = 3
"""The words that were typed, the names of the columns, the keys."""
LEAST_ROWS, LEAST_SPACE = 2, 7
"""Rows of the list at least; with fewer than the second there is no preview below it."""
LONGEST_FILTER = 100
QUESTION_CELLS = 20
"""Of the question around a title."""
_STYLE = Style.from_dict(
    {
        "mark": "bold ansicyan",
        "dim": "dim",
        "chosen": "reverse",
        "warning": "ansiyellow",
    }
)
_KEYS = later("Enter opens · Delete deletes · Esc leaves")
_KEYS_WITH_OTHERS = (
    later("Enter opens · Delete deletes · Tab: asks too · Esc leaves"),
    later("Enter · Delete · Tab: asks too · Esc"),
)


class Picker:
    """One list to pick from. `run` shows it."""

    def __init__(
        self, source: Source, out: Output, keys: Input, screen: Screen | None = None
    ) -> None:
        """`keys` is where typing comes from; `screen` is where it is drawn, made of `out` if
        not given.
        """
        self._source = source
        self._out = out
        self._typing = keys
        self._choices = Choices(source.entries, source.kind)
        self._most = len(source.entries)
        self._columns = self._new_columns()
        self._page = LEAST_ROWS
        self._words: dict[str, str] = {}
        self._asked: Entry | None = None
        """What is deleted if the user agrees."""
        self._told: list[str] = []
        """What is said in place of the keys, the longest form first."""
        self._searching: TimerHandle | None = None
        self._app: Application[Entry | None] = Application(
            layout=Layout(Window(FormattedTextControl(self._shown, focusable=True))),
            key_bindings=self._keys(),
            style=_STYLE,
            color_depth=ColorDepth.DEPTH_4_BIT if out.colours else ColorDepth.DEPTH_1_BIT,
            input=keys,
            output=screen or make_screen(out),
            full_screen=True,
        )
        self._app.ttimeoutlen = _ESCAPE_S
        self._stops = signal.getsignal(signal.SIGTSTP)
        """What suspends the process where no list is shown."""

    def run(self) -> Entry | None:
        """What the user picks; None if they leave, or if the input ends."""
        try:
            with ended_by_signals(self._app):
                return self._app.run(pre_run=self._before_run, set_exception_handler=False)
        except EOFError:
            return None
        except BaseException:  # a signal may come in the middle of the first drawing
            self._app.output.quit_alternate_screen()
            self._app.output.flush()
            raise
        finally:
            signal.signal(signal.SIGTSTP, self._stops)

    def _before_run(self) -> None:
        """Take the keys that were typed before, an Escape among them once nothing follows it."""
        loop = get_running_loop()
        end_on_failure(self._app)
        signal.signal(
            signal.SIGTSTP, lambda number, frame: loop.call_soon_threadsafe(self._suspend)
        )
        loop.call_soon(self._feed)
        loop.call_later(_ESCAPE_S, self._flush)

    def _suspend(self) -> None:
        """Stop as Ctrl-Z does, the list off the screen until the process goes on."""

        def stop() -> None:
            after = signal.signal(signal.SIGTSTP, self._stops)
            signal.raise_signal(signal.SIGTSTP)
            signal.signal(signal.SIGTSTP, after)

        run_in_terminal(stop)

    def _feed(self) -> None:
        self._take(self._typing.read_keys())

    def _flush(self) -> None:
        self._take(self._typing.flush_keys())

    def _take(self, keys: list[Any]) -> None:
        if self._app.is_running and not self._app.is_done:
            self._app.key_processor.feed_multiple(keys)
            self._app.key_processor.process_keys()

    # What is shown.

    def _shown(self) -> StyleAndTextTuples:
        """All rows of the screen."""
        size = self._app.output.get_size()
        room = size.columns - 1
        space = max(size.rows - OTHER_ROWS, LEAST_ROWS)
        count = space if space < LEAST_SPACE else min(space * 3 // 5, self._most)
        self._page = count
        below = space - count
        rows = [self._filter_row(room), *self._list_rows(count, room)]
        if below:
            current = self._choices.current
            rows += preview_rows(self._source, current, columns=room, count=below)
        rows.append([self._last_row(room)])
        parts: StyleAndTextTuples = []
        for at, row in enumerate(rows):
            parts += [*row, ("", "\n" if at < len(rows) - 1 else "")]
        return parts

    def _filter_row(self, room: int) -> Fragments:
        shown, total = len(self._choices.shown), self._choices.total
        typed = clipped(self._choices.filter, room // 2, keep_end=True)
        count = f"{total:,}"
        if typed:
            count = tr("{n:,} of {total:,}", n=shown, total=total)
        hint = count if typed else tr("type to filter · {n}", n=count)
        cursor = ("[SetCursorPosition]", "")
        return [("class:mark", "> "), ("", typed), cursor, ("class:dim", f"  {hint}")]

    def _list_rows(self, count: int, room: int) -> list[Fragments]:
        """The names of the columns, and the part of the list around the one that is chosen."""
        choices = self._choices
        start = min(max(choices.at - count // 2, 0), max(len(choices.shown) - count, 0))
        entries = choices.shown[start : start + count]
        words = {each.id: self._first_words(each) for each in entries}
        head, *cells = self._columns.rows(entries, words, room - 2)
        rows: list[Fragments] = [[("class:dim", "  " + "".join(head).rstrip())]]
        for at, row in enumerate(cells, start):
            if at == choices.at:
                rows.append([("class:chosen", "> " + "".join(row))])
            else:
                said = row.pop() if self._ends_in_words(row) else ""
                rows.append([("", "  " + "".join(row)), ("class:dim", said)])
        if not entries:
            rows.append([("class:dim", "  " + clipped(tr("nothing found"), room - 2))])
        return rows + [[] for _ in range(1 + count - len(rows))]

    def _ends_in_words(self, row: list[str]) -> bool:
        return len(row) == len(COLUMNS) and not self._choices.shows_all

    def _first_words(self, entry: Entry) -> str:
        """The words that a search found, or the first ones, read when they are first shown."""
        if found := self._choices.line_around(entry.id):
            return found
        if entry.id not in self._words:
            try:
                self._words[entry.id] = self._source.first_words(entry.id)
            except GlmError as exc:
                self._told = forms_of(exc)
                return ""
        return self._words[entry.id]

    def _last_row(self, room: int) -> tuple[str, str]:
        """A question, what was done, or the keys."""
        if self._asked is not None:
            title = clipped(steady(visible_line(self._asked.title)), max(room - QUESTION_CELLS, 1))
            return "class:warning", clipped(tr("delete {named}? y/n", named=quoted(title)), room)
        if self._told:
            return "class:warning", fitting(self._told, room)
        forms = _KEYS_WITH_OTHERS if self._choices.has_others else (_KEYS,)
        return "class:dim", fitting([tr(each) for each in forms], room)

    def _new_columns(self) -> ColumnLayout:
        return ColumnLayout((*COLUMNS, KIND_COLUMN) if self._choices.shows_all else COLUMNS)

    # What keys do.

    def _keys(self) -> KeyBindings:
        keys = KeyBindings()
        for name, by in (("up", -1), ("c-p", -1), ("down", 1), ("c-n", 1)):
            keys.add(name)(self._moves(by))
        for name, by in (("pageup", -1), ("pagedown", 1)):
            keys.add(name)(self._moves(by, pages=True))
        keys.add("home")(self._moves(-self._most))
        keys.add("end")(self._moves(self._most))
        for name in ("enter", "c-j"):
            keys.add(name)(self._enter)
        for name in ("escape", "c-c", "c-d", "c-g", Keys.SIGINT):
            keys.add(name, eager=True)(self._leave)
        keys.add("delete")(self._ask_to_delete)
        keys.add("c-i")(self._toggle)
        keys.add("c-h")(lambda event: self._narrow("".join(characters(self._filter)[:-1])))
        keys.add("c-u")(lambda event: self._narrow(""))
        keys.add("c-w")(lambda event: self._narrow(" ".join(self._filter.split()[:-1])))
        keys.add(SHIFT_SPACE)(lambda event: self._narrow(self._filter + " "))
        keys.add(Keys.BracketedPaste)(self._paste)
        keys.add(Keys.Any)(self._type)
        keys.add("c-z")(lambda event: self._suspend())
        return keys

    @property
    def _filter(self) -> str:
        return self._choices.filter

    def _moves(self, by: int, *, pages: bool = False) -> Callable[[KeyPressEvent], None]:
        def move(event: KeyPressEvent) -> None:
            if self._asked is None:
                self._told = []
                self._choices.move(by * self._page if pages else by)

        return move

    def _type(self, event: KeyPressEvent) -> None:
        """A letter of the words, or the answer to a question."""
        if self._asked is not None:
            if event.data.lower() in ("y", "n"):
                self._answer(yes=event.data.lower() == "y")
        elif event.data.isprintable():
            self._narrow(self._filter + event.data)

    def _paste(self, event: KeyPressEvent) -> None:
        """A paste is words, and answers nothing."""
        pasted = " ".join(event.data[: 2 * LONGEST_FILTER].split())
        self._narrow(self._filter + "".join(filter(str.isprintable, pasted)))

    def _narrow(self, words: str) -> None:
        """Show those that fit, and search the texts when nothing more is typed for a while."""
        if self._asked is not None:
            return
        self._told = []
        if self._searching is not None:
            self._searching.cancel()
        self._choices.narrow(words[:LONGEST_FILTER])
        self._columns = self._new_columns()
        self._searching = get_running_loop().call_later(SEARCH_S, self._search)

    def _search(self) -> None:
        self._searching = None
        if self._filter.strip():
            try:
                self._choices.add_found(self._source.search(self._filter))
            except GlmError as exc:
                self._told = forms_of(exc)
            self._app.invalidate()

    def _search_now(self) -> None:
        """A key that acts on the list finds it whole."""
        if self._searching is not None:
            self._searching.cancel()
            self._search()

    def _enter(self, event: KeyPressEvent) -> None:
        if self._asked is not None:
            self._answer(yes=False)
            return
        self._search_now()
        if self._choices.current is not None:
            event.app.exit(result=self._choices.current)

    def _leave(self, event: KeyPressEvent) -> None:
        if self._asked is not None:
            self._answer(yes=False)
        else:
            event.app.exit(result=None)

    def _ask_to_delete(self, event: KeyPressEvent) -> None:
        self._search_now()
        self._asked = self._choices.current

    def _answer(self, *, yes: bool) -> None:
        entry, self._asked = self._asked, None
        if entry is None or not yes:
            self._told = [tr("nothing was deleted")]
            return
        try:
            self._told = [self._source.delete(entry.id)]
        except GlmError as exc:
            self._told = forms_of(exc)
        else:
            self._choices.remove(entry.id)

    def _toggle(self, event: KeyPressEvent) -> None:
        """Show asks too, or chats alone again."""
        if self._asked is None and self._choices.has_others:
            self._search_now()
            self._told = []
            self._choices.toggle()
            self._columns = self._new_columns()


def forms_of(error: GlmError) -> list[str]:
    """An error in one row: with its hint, or without."""
    line, hint = told_error(error, commands=True)
    return [f"{line}; {hint}", line] if hint else [line]
