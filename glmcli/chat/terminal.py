"""The chat on a terminal: live replies, dim notes, red errors, and whose editor it is.

Knows nothing of how rows are painted or keys are read.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from threading import Event
from typing import TYPE_CHECKING

from glmcli.chat.ahead import Ahead, grows, warm
from glmcli.chat.notes import RED, cost_line, write_marked, write_note
from glmcli.chat.shell import Shell
from glmcli.chat.toolbar import status
from glmcli.config import Settings
from glmcli.conversation.typed import NOTHING, Line, untyped_line
from glmcli.engines import Engine, state_of
from glmcli.errors import GlmError, UsageError, told_error
from glmcli.session import Session
from glmcli.terminal.input import PROMPT_HISTORY, Editor, Entry, Source, keeping_unsent, open_editor
from glmcli.terminal.output import Output
from glmcli.terminal.quiet import Queued, Quiet
from glmcli.types import Message

if TYPE_CHECKING:
    from prompt_toolkit.completion import Completer

SHORTCUTS = {"c-g": "/history"}
"""Keys that stand for a command, as prompt-toolkit calls them."""


class TerminalChat(Shell):
    """A chat with a person, and the `Owner` of the editor that reads what they type."""

    def __init__(self, session: Session, settings: Settings, out: Output) -> None:
        super().__init__(session, settings, out, Quiet(out, for_editor=True, collect=self.collect))
        self.has_keys = out.knows_codes
        self._editor = Editor()
        self._ahead = Ahead(self._warm, grows=lambda draft: grows(draft, self.attached))

    def open_editor(self, completer: Completer) -> None:
        """Make the editor ready. The terminal must be quiet."""
        history = self.settings.home / PROMPT_HISTORY if self.settings.history else None
        self._editor = open_editor(
            self.out,
            self,
            history=history,
            own=self.settings.is_home_own,
            completer=completer,
            vi=self.settings.vi,
            shortcuts=SHORTCUTS,
        )
        self._watch(self.session.engine)

    def read(self) -> Line:
        """The next line that is typed. Raises EOFError when the user leaves."""
        self._ahead.begin()
        draft, self.draft = self.draft, NOTHING
        try:
            return self._editor.read(draft)
        finally:
            self._ahead.drop()

    def leave(self) -> None:
        """Leave, unless something is not saved that the user does not know of."""
        try:
            self.check_kept()
        except UsageError as exc:
            self.complain(exc)
        else:
            self.leaving = True

    def remember(self, text: str) -> None:
        """Keep a text that came with the command among those that Up brings back."""
        self._editor.remember(untyped_line(text))

    def keeping_unsent(self) -> AbstractContextManager[None]:
        """Keep what was typed and not sent among those too if a signal ends the chat."""
        return keeping_unsent(lambda: self._editor)

    def failed(self, command: str) -> None:
        """Send by itself no line that waits behind it; suggest a command no more."""
        self._editor.hold_back()
        if command:
            self._editor.refuse(command)

    def begin(self) -> None:
        """Start to load the model, and to read ahead."""
        state_of(self.session.engine).start()
        self._ahead.begin()

    def status(self, columns: int) -> tuple[str, bool]:
        """The toolbar's text, and whether to warn."""
        return status(self.session, attached=len(self.attached), columns=columns)

    def draft_changed(self, draft: str, *, pasted: bool) -> None:
        """Let the engine read ahead."""
        self._ahead.changed(draft, pasted=pasted)

    def collect(self) -> Queued:
        """Take typed keys from the terminal, for the next `read`; returns what they say so far."""
        return self._editor.collect()

    def peek(self) -> None:
        """Show the last reasoning."""
        self.handle(Line("/thinking"))

    def edit_draft(self, text: str) -> str:
        """Open a draft in $EDITOR; it stays as it is if that fails."""
        try:
            return self.edit(text)
        except UsageError as exc:
            self.complain(exc)
            return text

    def stop(self) -> None:
        """Stop the reply."""
        self.session.stop()

    def is_stopped(self) -> bool:
        """Whether Ctrl-C was pressed for this turn."""
        return self.session.is_stopped()

    def rearm(self) -> None:
        """Forget the last Ctrl-C."""
        self.session.rearm()

    def show(self, message: Message, *, with_end: bool = False) -> None:
        """Show a message as it was shown when it arrived; and how it ended."""
        from glmcli.terminal.replies.text import show_message

        settings = self.settings
        show_message(self.out, self.quiet, message, plain=settings.is_plain, columns=settings.width)
        if with_end:
            self.note_end(message)

    def edit(self, text: str) -> str:
        """Open a text in $EDITOR; returns it as it was saved."""
        from glmcli.terminal.input.editor import edit_text

        with self.quiet.lifted():
            return edit_text(text, self.out)

    def copy(self, text: str) -> None:
        """Copy to the clipboard of the terminal, and to the machine's own if there is one."""
        from glmcli.terminal.input.editor import copy_text

        copy_text(text, self.out)

    @property
    def columns(self) -> int:
        """As wide as the terminal."""
        return self.out.size().columns

    @property
    def can_pick(self) -> bool:
        """Not where a terminal only prints, or is read aloud."""
        return self._editor.can_pick

    def pick(self, source: Source) -> Entry | None:
        """Show the list until one is picked, or the list is left."""
        return self._editor.pick(source)

    def confirm(self, question: str) -> bool:
        """Ask; Enter means no."""
        return self._editor.confirm(f"{question} [y/N] ")

    def use(self, engine: Engine, model: str) -> None:
        """Go on with another engine; the toolbar follows it."""
        self._watch(engine)
        super().use(engine, model)

    def after(self, reply: Message) -> None:
        """Add the stats line, and room before the next prompt."""
        super().after(reply)
        if self.settings.stats and reply.usage and reply.text:
            with_place = bool(self.settings.sources.get("stats"))
            self.note(cost_line(self.session, reply.usage, with_place=with_place))
        if self.settings.notify is not None and reply.usage:
            self.out.write("\a" if reply.usage.total_s >= self.settings.notify else "")
        self.out.write("\n")

    def mark(self, head: str, pieces: Sequence[tuple[str, bool]]) -> None:
        """Set pieces off in bold."""
        write_marked(self.out, head, pieces)

    def note(self, text: str) -> None:
        """Dim."""
        write_note(self.out, text)

    def complain(self, error: GlmError) -> None:
        """A red line and a dim hint."""
        line, hint = told_error(error, commands=True)
        write_note(self.out, line, RED)
        write_note(self.out, hint)

    def _watch(self, engine: Engine) -> None:
        state_of(engine).watch(self._editor.redraw)

    def _warm(self, draft: str, cancel: Event) -> None:
        """Let the idle engine read the conversation, and the draft as if it were sent now."""
        line, attached = self._editor.sent(draft), [*self.attached]
        warm(self.session, self.settings.warm, lambda: self.draft_as_sent(line, attached), cancel)
