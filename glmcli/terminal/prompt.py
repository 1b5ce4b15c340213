"""The line editor: prompt-toolkit with this program's keys, completion, history and toolbar.

Knows nothing of replies; it returns a text. Never asks the terminal where its cursor is.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from prompt_toolkit import PromptSession
from prompt_toolkit.application import get_app, run_in_terminal
from prompt_toolkit.auto_suggest import AutoSuggestFromHistory
from prompt_toolkit.completion import CompleteEvent, Completer, Completion, PathCompleter
from prompt_toolkit.document import Document
from prompt_toolkit.filters import (
    emacs_mode,
    is_searching,
    vi_insert_mode,
    vi_navigation_mode,
)
from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.history import FileHistory, History, InMemoryHistory
from prompt_toolkit.key_binding import (
    ConditionalKeyBindings,
    KeyBindings,
    KeyBindingsBase,
    KeyPressEvent,
)
from prompt_toolkit.keys import Keys
from prompt_toolkit.output import Output
from prompt_toolkit.output.defaults import create_output
from prompt_toolkit.styles import Style
from prompt_toolkit.utils import is_dumb_terminal

from glmcli.commands import COMMANDS
from glmcli.terminal.keys import ask_with_paste, know_modified_keys, tells_keys_apart
from glmcli.terminal.pastes import Pastes

LEAVE_S = 2.0
"""Two Ctrl-C on an empty line within this time leave the chat."""
LOAD_DELAY_S = 0.05
"""The engine starts to load this long after the first draw, so that the prompt comes first."""
LONGEST_CHARACTER = 64
"""More code points than what people see as one character has."""
PATH_COMMANDS = ("/save", "/load", "/attach", "/export")
MENTION = re.compile(r"(?:^|\s)@(\"[^\"\n]*|\S*)$")
STYLE = Style.from_dict({"bottom-toolbar": "noreverse", "warning": "ansiyellow", "hint": "bold"})


class Prompt:
    """Reads one text at a time. Raises EOFError when the user leaves."""

    def __init__(
        self,
        *,
        history: Path | None,
        status: Callable[[], tuple[str, bool]],
        on_first_draw: Callable[[], None],
        models: Callable[[], Iterable[str]] = tuple,
        enter_sends: Callable[[], bool] = lambda: True,
        on_peek: Callable[[], None] = lambda: None,
        on_draft: Callable[[str, bool], None] = lambda draft, pasted: None,
        vi: bool = False,
    ) -> None:
        """`models` are completed after /model; `on_peek` shows the last reasoning (Ctrl-O).

        `on_draft` is told of every change, with placeholders for long pastes (see `expand`), and of
        a paste a second time, as such.
        """
        self._status = status
        self._enter_sends = enter_sends
        self._on_peek = on_peek
        self._on_draft = on_draft
        self._on_first_draw: Callable[[], None] | None = on_first_draw
        self._hint = ""
        self._interrupted_at = 0.0
        self._pastes = Pastes()
        know_modified_keys()
        self._session: PromptSession[str] = PromptSession(
            message="> ",
            output=make_output(),
            multiline=True,
            prompt_continuation="  ",
            history=make_history(history, self._pastes),
            auto_suggest=AutoSuggestFromHistory(),
            completer=CommandCompleter(models),
            complete_while_typing=True,
            key_bindings=self._keys(),
            bottom_toolbar=self._toolbar,
            reserve_space_for_menu=6,
            style=STYLE,
            enable_suspend=True,
            search_ignore_case=True,
            tempfile_suffix=".md",
            vi_mode=vi,
        )
        self._session.default_buffer.on_text_changed += lambda buffer: on_draft(buffer.text, False)

    def read(self, draft: str = "") -> str:
        """The next text, as typed; `draft` is there to begin with."""
        self._hint = ""
        text = self._session.prompt(default=draft, pre_run=self._before_run)
        return self.expand(text)

    def expand(self, text: str) -> str:
        """A draft as it would be sent: with the pastes whole. Safe from any thread."""
        return self._pastes.expand(text)

    def redraw(self) -> None:
        """Draw the toolbar anew. Safe from any thread."""
        self._session.app.invalidate()

    def _before_run(self) -> None:
        if self._on_first_draw is not None:
            start, self._on_first_draw = self._on_first_draw, None
            loop = get_app().loop
            if loop is not None:
                loop.call_later(LOAD_DELAY_S, start)

    def _toolbar(self) -> StyleAndTextTuples:
        text, warning = self._status()
        parts: StyleAndTextTuples = [("class:warning" if warning else "", f" {text}")]
        if self._hint:
            parts.append(("class:hint", f"  {self._hint}"))
        return parts

    def _keys(self) -> KeyBindingsBase:
        """The keys of the draft; while Ctrl-R searches they are prompt-toolkit's own."""
        keys = KeyBindings()
        keys.add("enter")(self._enter)
        keys.add("c-i")(complete)
        keys.add("c-j")(new_line)
        keys.add("escape", "enter", filter=emacs_mode)(self._other_enter)
        keys.add("c-x", "c-e", filter=emacs_mode)(edit_in_editor)
        keys.add("v", filter=vi_navigation_mode)(edit_in_editor)
        keys.add("c-c")(self._interrupt)
        keys.add(Keys.SIGINT)(self._interrupt)
        keys.add("c-d")(leave_or_delete)
        keys.add("c-h", filter=emacs_mode | vi_insert_mode)(delete_character)
        keys.add(Keys.BracketedPaste)(self._paste)
        keys.add("c-o")(self._expand)
        return ConditionalKeyBindings(keys, ~is_searching)

    def _paste(self, event: KeyPressEvent) -> None:
        """Insert what was pasted; a long paste as a placeholder that Ctrl-O expands."""
        text = event.data.replace("\r\n", "\n").replace("\r", "\n")
        shown = self._pastes.fold(text)
        event.current_buffer.insert_text(shown)
        self._on_draft(event.current_buffer.text, True)
        self._hint = "Ctrl-O shows the whole paste" if shown != text else ""

    def _enter(self, event: KeyPressEvent) -> None:
        """Enter sends; with /multiline it makes a new line and Alt-Enter sends."""
        (send_or_complete if self._enter_sends() else new_line)(event)

    def _other_enter(self, event: KeyPressEvent) -> None:
        (new_line if self._enter_sends() else send_or_complete)(event)

    def _expand(self, event: KeyPressEvent) -> None:
        """Show the whole of the pastes in the draft; without one, the last reasoning."""
        buffer = event.current_buffer
        if self._pastes.expand(buffer.text) == buffer.text:
            run_in_terminal(self._on_peek)
            return
        before = self._pastes.expand(buffer.document.text_before_cursor)
        after = self._pastes.expand(buffer.document.text_after_cursor)
        buffer.document = Document(before + after, len(before))

    def _interrupt(self, event: KeyPressEvent) -> None:
        """Clear the draft; on an empty line say how to leave, and leave at the second press."""
        buffer = event.current_buffer
        now = time.monotonic()
        if buffer.text:
            buffer.reset()
            self._on_draft("", False)
            self._hint = ""
        elif now - self._interrupted_at < LEAVE_S:
            event.app.exit(exception=EOFError)
        else:
            self._interrupted_at = now
            self._hint = "Ctrl-C again or Ctrl-D leaves"


def make_output() -> Output | None:
    """Where the editor draws; None, its own choice, on a dumb terminal.

    A cursor position request costs a second where it is not answered, and its answer can leak into
    the input; "one row below" lets the toolbar be drawn without it.
    """
    if is_dumb_terminal():
        return None
    output = create_output()
    output.enable_cpr = False  # type: ignore[attr-defined]
    output.get_rows_below_cursor_position = lambda: 1  # type: ignore[method-assign]
    if tells_keys_apart():
        ask_with_paste(output)
    return output


def send_or_complete(event: KeyPressEvent) -> None:
    """Take the chosen completion; else a new line after a backslash; else send."""
    buffer = event.current_buffer
    if buffer.complete_state and buffer.complete_state.current_completion:
        buffer.apply_completion(buffer.complete_state.current_completion)
    elif buffer.document.is_cursor_at_the_end and buffer.text.endswith("\\"):
        buffer.delete_before_cursor(1)
        buffer.insert_text("\n")
    elif buffer.text.strip():
        buffer.validate_and_handle()


def complete(event: KeyPressEvent) -> None:
    """Tab: the next entry of the menu; else the only completion at once, or the menu."""
    buffer = event.current_buffer
    if buffer.complete_state:
        buffer.complete_next()
        return
    asked = CompleteEvent(completion_requested=True)
    found = list(buffer.completer.get_completions(buffer.document, asked))
    if len(found) == 1:
        buffer.apply_completion(found[0])
    else:
        buffer.start_completion(insert_common_part=True)


def new_line(event: KeyPressEvent) -> None:
    """Insert a line end."""
    event.current_buffer.insert_text("\n")


def edit_in_editor(event: KeyPressEvent) -> None:
    """Open the draft in $EDITOR, and come back to it without sending."""
    event.current_buffer.open_in_editor(validate_and_handle=False)


def leave_or_delete(event: KeyPressEvent) -> None:
    """Leave if the line is empty; else delete the character under the cursor."""
    if event.current_buffer.text:
        event.current_buffer.delete(1)
    else:
        event.app.exit(exception=EOFError)


def delete_character(event: KeyPressEvent) -> None:
    """Delete what people see as one character before the cursor, an emoji of several parts too."""
    buffer = event.current_buffer
    before = buffer.document.text_before_cursor[-LONGEST_CHARACTER:]
    if before.isascii():
        buffer.delete_before_cursor(event.arg)
        return
    from glmcli.terminal.wrap import graphemes

    buffer.delete_before_cursor(sum(map(len, [*graphemes(before)][-event.arg :])))


class CommandCompleter(Completer):
    """Completes commands with their help lines, models after /model, and paths after `@` or so."""

    def __init__(self, models: Callable[[], Iterable[str]] = tuple) -> None:
        self._models = models
        self._paths = PathCompleter(expanduser=True)

    def get_completions(self, document: Document, event: CompleteEvent) -> Iterable[Completion]:
        """Completions for the word before the cursor; paths and models only when asked for."""
        text = document.text_before_cursor
        word, space, rest = text.partition(" ")
        if text.startswith("/") and not space and "/" not in text[1:] and "\n" not in text:
            for name, item in sorted(COMMANDS.items()):
                if name.startswith(word[1:]):
                    yield Completion(f"/{name}", start_position=-len(word), display_meta=item.help)
        elif not event.completion_requested:
            return
        elif word in PATH_COMMANDS:
            yield from self._paths.get_completions(Document(rest), event)
        elif word == "/model":
            for name in self._models():
                if name.startswith(rest):
                    yield Completion(name, start_position=-len(rest))
        elif mention := MENTION.search(text):
            yield from self._mentions(mention[1], event)

    def _mentions(self, typed: str, event: CompleteEvent) -> Iterable[Completion]:
        """Paths after `@`, between quotes if they have blanks."""
        start = typed.lstrip('"')
        for found in self._paths.get_completions(Document(start), event):
            path = start + found.text
            end = "" if Path(path).expanduser().is_dir() else '"'
            text = f'"{path}{end}' if " " in path or typed != start else path
            yield Completion(text, start_position=-len(typed), display=found.display)


class PrivateHistory(FileHistory):
    """Prompt history that only its owner can read; it holds pastes whole, and breaks no chat."""

    def __init__(self, path: Path, pastes: Pastes) -> None:
        self._pastes = pastes
        super().__init__(path)

    def append_string(self, string: str) -> None:
        """Remember an entry, in memory and at once in the file, so that a kill loses nothing."""
        super().append_string(self._pastes.expand(string))

    def store_string(self, string: str) -> None:
        """Append an entry to the file."""
        try:
            os.close(os.open(os.fspath(self.filename), os.O_CREAT | os.O_APPEND, 0o600))
            super().store_string(string.encode("utf-8", "replace").decode("utf-8"))
        except OSError:
            return  # a full or read-only disk: the entry is still there for this session


def make_history(path: Path | None, pastes: Pastes) -> History:
    """The history in a file, or in memory alone if there is no file or it cannot be read."""
    if path is None:
        return InMemoryHistory()
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(path, os.O_CREAT | os.O_APPEND | os.O_RDWR, 0o600))
    except OSError:
        return InMemoryHistory()
    return PrivateHistory(path, pastes)
