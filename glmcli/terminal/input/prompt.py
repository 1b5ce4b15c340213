"""The line editor: prompt-toolkit with this program's keys, completion, history and toolbar.

Knows nothing of replies; it returns a text. Never asks the terminal where its cursor is.
"""

from __future__ import annotations

import signal
from asyncio import get_running_loop
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import wcwidth
from prompt_toolkit import PromptSession
from prompt_toolkit.application import Application
from prompt_toolkit.completion import Completer
from prompt_toolkit.filters import (
    emacs_insert_mode,
    emacs_mode,
    is_searching,
    vi_insert_mode,
    vi_navigation_mode,
)
from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.key_binding import (
    ConditionalKeyBindings,
    KeyBindings,
    KeyBindingsBase,
    KeyPress,
    KeyPressEvent,
    merge_key_bindings,
)
from prompt_toolkit.keys import Keys
from prompt_toolkit.layout.processors import TabsProcessor
from prompt_toolkit.output import ColorDepth

from glmcli.conversation.typed import NOTHING, Line
from glmcli.language import tr
from glmcli.terminal.asked import write_question
from glmcli.terminal.input import Editor, Entry, Owner, Presses, Source, editing, screen
from glmcli.terminal.input.draft import Draft
from glmcli.terminal.input.history import Suggestions, make_history
from glmcli.terminal.input.keys.keyboard import SHIFT_SPACE, Keyboard, know_modified_keys
from glmcli.terminal.input.keys.question import yes_or_no
from glmcli.terminal.input.keys.queue import Queue, lines_of
from glmcli.terminal.input.loop import end_on_failure, ended_by_signals, in_terminal
from glmcli.terminal.input.pastes import STAND_IN, Pastes, Placeholders, pasted_text
from glmcli.terminal.output import Output
from glmcli.terminal.phrases import clipped, fits
from glmcli.terminal.quiet import Queued

LOAD_DELAY_S = 0.05
"""The engine starts to load this long after the first draw, so that the prompt comes first."""
MENU_ROWS = 6
LEAST_STATUS, LEAST_HINT = 20, 14
"""Cells of the toolbar that are kept for the status, and for a hint before it."""
ESCAPE_S = 0.05
"""With vi's keys, an Escape that nothing follows within this time is a key of its own."""


class LineEditor(Editor):
    """See `Editor`; with keys, completion, a history in `history` and a toolbar."""

    def __init__(
        self,
        out: Output,
        owner: Owner,
        *,
        history: Path | None,
        own: bool,
        completer: Completer,
        vi: bool,
        shortcuts: Mapping[str, str],
    ) -> None:
        self._out = out
        self._owner = owner
        self._has_begun = self._is_reading = False
        """The second: whether there is a draft. A signal that ends the prompt leaves it."""
        self._hint: list[str] = []
        """What to say beside the status, the longest form first."""
        self._shortcuts = shortcuts
        self._set_aside: Line | None = None
        """The draft in whose place the line of a shortcut was sent."""
        self._presses = Presses(owner)
        self._pastes = Pastes()
        self._queue = Queue(self._pastes, owner.runs)
        know_modified_keys()
        self._keyboard = Keyboard(pasted=STAND_IN)
        self._remembered = remembered = make_history(history, self._pastes, sent=self.sent, own=own)
        self._session: PromptSession[str] = PromptSession(
            message=[("class:mark", "> ")],
            color_depth=ColorDepth.DEPTH_4_BIT if out.colours else ColorDepth.DEPTH_1_BIT,
            input=self._keyboard,
            output=screen.make_screen(out),
            multiline=True,
            prompt_continuation="  ",
            history=remembered,
            auto_suggest=Suggestions(remembered),
            completer=completer,
            complete_while_typing=True,
            key_bindings=self._keys(),
            input_processors=[Placeholders(self._pastes), TabsProcessor(char1=" ", char2=" ")],
            bottom_toolbar=self._toolbar,
            style=screen.STYLE,
            enable_suspend=True,
            erase_when_done=True,
            search_ignore_case=True,
            vi_mode=vi,
        )
        buffer = self._session.default_buffer
        self._draft = Draft(buffer, self._pastes, remembered.recalled)
        buffer.on_text_changed += lambda buffer: self._changed(buffer.text)
        self._session.app.ttimeoutlen = ESCAPE_S if vi else self._session.app.ttimeoutlen
        self._session.app.before_render += self._fit_rows
        self._settling = screen.Settling(self._session.app, out)
        screen.fill_from_above(self._session.layout.current_window)

    def read(self, draft: Line = NOTHING) -> Line:
        """The next text, which begins with `draft`. Raises EOFError when the user leaves.

        The text stays on the screen, with placeholders for long pastes. Raises Killed if the
        terminal is gone.
        """
        self._hint = []
        self._settling.begin()
        self._keyboard.hold()
        self._settle_queue()
        self._owner.note(self._queue.about_draft(self._keyboard.waiting))
        self._queue = Queue(self._pastes, self._owner.runs)
        draft, self._set_aside = draft if draft.text else self._set_aside or NOTHING, None
        self._is_reading = True
        try:
            with ended_by_signals(self._session.app):
                text = self._session.prompt(
                    default=self._draft.begin(draft),
                    pre_run=self._before_run,
                    set_exception_handler=False,
                )
            self._is_reading = False
        except EOFError:
            self._keyboard.end_if_gone()
            self._is_reading = False
            raise
        finally:
            self._begin()  # if this was sooner than the delay
        self._show_sent(self._pastes.shown(text))
        return self.sent(text) if self._set_aside is None else Line(text)

    def _show_sent(self, text: str) -> None:
        """Have what was sent stay on the screen."""
        write_question(self._out, text)

    def collect(self) -> Queued:
        """Take typed keys from the terminal, for the next `read`; returns what they say so far.

        A Ctrl-C or Ctrl-Z typed right behind Enter is a key among others, meant for the reply.
        """
        pressed = {key.key for key in self._keyboard.hold()}
        self._keyboard.end_if_gone()
        for key in (Keys.ControlC, Keys.ControlZ):
            self._keyboard.drop(key)
        if Keys.ControlC in pressed:
            self._owner.stop()
        self._settle_queue()
        if Keys.ControlZ in pressed:
            signal.raise_signal(signal.SIGTSTP)
        return self._queue.said(self._keyboard.waiting)._replace(cursor=self._keyboard.cursor)

    def hold_back(self) -> None:
        """See `Editor`."""
        self._keyboard.hold()
        self._queue.has_failed = True
        self._settle_queue()

    def _settle_queue(self) -> None:
        """Act on the keys that change what waits; a kill loses no line that does."""
        self._keyboard.waiting = self._queue.settled(
            self._keyboard.waiting,
            enter_sends=self._owner.enter_sends,
            is_held_back=self._queue.has_failed or self._owner.is_stopped(),
        )
        self._remember_early(self._queue.lines)

    def unsent(self) -> list[Line]:
        """See `Editor`."""
        keys, draft = self._keyboard.waiting, self._session.default_buffer.text
        lines = lines_of(keys, enter_sends=self._owner.enter_sends, paste=str)
        return [*([self.sent(draft)] if self._is_reading else []), *lines]

    def confirm(self, question: str) -> bool:
        """Whether the user agrees. The answer may be typed ahead; a line typed after it is sent."""
        self.collect()
        asked = yes_or_no(question, self._out)
        with self._owner.quiet.shown_again(asked.show):
            asked.show()
            agreed = self._keyboard.answer(asked, self._owner.is_stopped)
        self._out.write("\n")
        return agreed

    @property
    def can_pick(self) -> bool:
        """See `Editor`."""
        return True

    def pick(self, source: Source) -> Entry | None:
        """See `Editor`. Keys typed ahead count; raises Killed if the terminal is gone."""
        from glmcli.terminal.input.picking.picker import Picker

        self._keyboard.hold()
        picked = Picker(source, self._out, self._keyboard).run()
        self._keyboard.end_if_gone()
        return picked

    def sent(self, draft: str) -> Line:
        """A draft as it would be sent: with the pastes whole."""
        return self._draft.sent(draft)

    def redraw(self) -> None:
        """Draw the toolbar again. Safe from any thread."""
        if self._settling.is_over:
            self._session.app.invalidate()

    def _before_run(self) -> None:
        """Called when Ctrl-C, as a signal too, has come to be a key."""
        self._presses.begin()
        loop, buffer = get_running_loop(), self._session.default_buffer
        end_on_failure(self._session.app)
        loop.call_later(LOAD_DELAY_S, self._begin)
        # an Escape typed before the prompt was there is a key, if nothing follows it
        loop.call_later(self._session.app.ttimeoutlen, self._feed, self._keyboard.flush_keys)
        buffer.load_history_if_not_yet_loaded()
        loaded = buffer._load_history_task
        assert loaded is not None
        loaded.add_done_callback(lambda done: self._feed(self._keyboard.read_keys))

    def _feed(self, take: Callable[[], list[KeyPress]]) -> None:
        app = self._session.app
        if app.is_running and not app.is_done:
            app.key_processor.feed_multiple(take())
            app.key_processor.process_keys()

    def _in_terminal(self, call: Callable[[], None]) -> None:
        """Call with the prompt taken off."""
        in_terminal(self._session.app, call)

    def _begin(self) -> None:
        if not self._has_begun:
            self._has_begun = True
            self._owner.begin()

    def _fit_rows(self, app: Application[str]) -> None:
        """Keep rows for a menu while there is one, and none above the toolbar after that.

        prompt-toolkit draws nothing where a menu's rows are not there, and keeps what it once had.
        """
        size, state = self._out.size(), app.current_buffer.complete_state
        rows = min(1 + len(state.completions), MENU_ROWS, size.lines - 3) if state else 0
        self._session.reserve_space_for_menu = max(0, rows)
        shown = app.renderer.last_rendered_screen
        wanted = app.layout.container.preferred_height(size.columns, size.lines)
        if shown is not None and not app.is_done and wanted.preferred < shown.height:
            y = shown.get_cursor_position(app.layout.current_window).y
            screen.erase_rows(app.output, y)
            app.output.cursor_down(y)
            app.renderer.erase(leave_alternate_screen=False)
            app.renderer.request_absolute_cursor_position()

    def _toolbar(self) -> StyleAndTextTuples:
        """The status, which a hint leaves room for: the tokens and "not saved" stay in sight."""
        columns, hint = self._out.size().columns - 2, ""
        if self._hint:
            room = max(columns - LEAST_STATUS, LEAST_HINT)
            forms = (form for form in self._hint if fits(form, room))
            hint = f" {next(forms, clipped(self._hint[-1], room))} "
        text, warning = self._owner.status(columns - wcwidth.width(hint))
        shown: StyleAndTextTuples = [("class:hint", hint)] if hint else []
        return [*shown, ("class:warning" if warning else "", f" {text}")]

    def _changed(self, draft: str) -> None:
        self._hint = [*filter(None, [self._draft.hint])]
        self._owner.draft_changed(draft, pasted=False)

    def _keys(self) -> KeyBindingsBase:
        """The keys of the draft; while Ctrl-R searches most are prompt-toolkit's own."""
        keys = KeyBindings()
        keys.add(
            Keys.Any,
            filter=vi_insert_mode | emacs_insert_mode,
            save_before=lambda e: not e.is_repeat,
        )(lambda event: self._draft.type(event.data * event.arg))
        keys.add("enter")(self._enter)
        keys.add("enter", filter=vi_navigation_mode)(editing.send_draft)
        keys.add("escape", "enter", filter=emacs_mode)(self._other_enter)
        keys.add("escape", "/", filter=emacs_mode)(lambda event: self._draft.type("/"))
        keys.add("escape", filter=vi_insert_mode, eager=True)(self._escape)
        keys.add("c-i")(lambda event: editing.complete(event, self._draft.insert_completion))
        keys.add("c-j")(self._new_line)
        keys.add("c-@")(lambda event: None)  # toggles input methods; the mark would stop the typing
        keys.add(SHIFT_SPACE)(lambda event: self._draft.type(" "))
        keys.add("c-x", "c-e", filter=emacs_mode)(self._edit)
        keys.add("v", filter=vi_navigation_mode)(self._edit)
        keys.add("c-c")(self._interrupt)
        keys.add(Keys.SIGINT)(self._interrupt)
        keys.add("c-d")(self._leave_or_delete)
        keys.add("delete")(editing.delete_under)
        keys.add("c-h", filter=emacs_mode | vi_insert_mode)(editing.delete_before)
        for key, line in self._shortcuts.items():
            keys.add(key)(partial(self._send_instead, line))
        keys.add(Keys.BracketedPaste)(self._paste)
        keys.add("c-o")(self._expand)
        keys.add("c-t")(self._make_typed)
        searching = KeyBindings()
        searching.add("c-g", filter=is_searching)(editing.leave_search)
        searching.add("c-c", filter=is_searching)(editing.leave_search)
        return merge_key_bindings([ConditionalKeyBindings(keys, ~is_searching), searching])

    def _enter(self, event: KeyPressEvent) -> None:
        """Enter takes the chosen completion, or sends; after a backslash it makes a new line.

        With /multiline it makes a new line and Alt-Enter sends.
        """
        is_open = event.current_buffer.document.text_before_cursor.endswith("\\")
        if not editing.takes_completion(event):
            sends = self._owner.enter_sends and not is_open
            (editing.send_draft if sends else self._new_line)(event)

    def _other_enter(self, event: KeyPressEvent) -> None:
        (self._new_line if self._owner.enter_sends else editing.send_draft)(event)

    def _new_line(self, event: KeyPressEvent) -> None:
        editing.new_line(event, self._draft.type)

    def _send_instead(self, line: str, event: KeyPressEvent) -> None:
        """Send a line in place of the draft, which comes back after it."""
        self._set_aside = self.sent(event.current_buffer.text)
        event.app.exit(result=line)

    def _escape(self, event: KeyPressEvent) -> None:
        """In vi's insert mode: the beginning of Alt-Enter, or the way out."""
        if editing.is_alt_enter(event):
            self._other_enter(event)
        else:
            editing.leave_insert_mode(event)

    def _paste(self, event: KeyPressEvent) -> None:
        """Insert a paste; a long one as a placeholder that Ctrl-O expands."""
        text = pasted_text(event.data)
        shown = self._draft.paste(text)
        self._owner.draft_changed(event.current_buffer.text, pasted=True)
        if shown != text:
            self._hint = [tr("Ctrl-O shows the whole paste")]

    def _edit(self, event: KeyPressEvent) -> None:
        """Open the draft in the editor, and come back to it without sending."""
        self._in_terminal(lambda: self._draft.edit(self._owner.edit_draft))

    def _expand(self, event: KeyPressEvent) -> None:
        """Show the whole of the pastes in the draft; without one, the last reasoning."""
        if not self._draft.expand():
            self._in_terminal(self._owner.peek)

    def _make_typed(self, event: KeyPressEvent) -> None:
        """Have the pastes count as typed, so that they may be commands and name files."""
        self._hint = [tr("the draft counts as typed")] if self._draft.make_typed() else []
        if self._draft.is_folded:
            self._hint = [tr("Ctrl-O first shows the whole paste")]

    def _leave_or_delete(self, event: KeyPressEvent) -> None:
        """Leave if the line is empty; else delete the character under the cursor."""
        if event.current_buffer.text:
            editing.delete_under(event)
        else:
            event.app.exit(exception=EOFError)

    def _interrupt(self, event: KeyPressEvent) -> None:
        """Clear the draft; on an empty line say how to leave, and leave at the second press."""
        buffer = event.current_buffer
        if self._presses.is_same():
            return
        editing.enter_insert_mode(event)
        if buffer.text:
            buffer.reset()
            self._draft.begin(NOTHING)
            self._changed("")
        elif self._presses.leaves():
            event.app.exit(exception=EOFError)
        else:
            self._hint = [tr("Ctrl-C again or Ctrl-D leaves"), tr("Ctrl-D leaves")]
