"""The chats that commands act on: in a pipe, and on a terminal.

Each shows a reply and the program's own words in its way. Knows nothing of where lines come from.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from threading import Event

from glmcli.chat.ahead import Ahead
from glmcli.chat.commands import is_command, literal
from glmcli.chat.pipe import PipeChat, joined
from glmcli.chat.toolbar import WARN_SHARE, loading, toolbar
from glmcli.config import Settings
from glmcli.conversation.attachments import MENTION, mentioned
from glmcli.conversation.typed import Line, foreign
from glmcli.engines import whereabouts
from glmcli.engines.thread import EngineThread
from glmcli.errors import GlmError, UsageError
from glmcli.machine import has_power_to_spare
from glmcli.session import Session
from glmcli.terminal.output import Output
from glmcli.terminal.phrases import fits, plural, stats_line
from glmcli.terminal.quiet import Quiet
from glmcli.terminal.replies.choose import terminal_view
from glmcli.terminal.replies.text import BaseView
from glmcli.terminal.visible import visible, visible_line
from glmcli.types import Message


class TerminalChat(PipeChat):
    """A chat on a terminal: live replies, dim notes, red errors."""

    def __init__(self, session: Session, settings: Settings, out: Output, err: Output) -> None:
        super().__init__(session, settings, out, err)
        self.quiet = Quiet(out, for_editor=True)
        self.redraw: Callable[[], None] = lambda: None
        self.sent: Callable[[str], Line] = foreign
        """What is sent of a draft with placeholders."""
        self.ask_ahead: Callable[[Callable[[str], bool]], bool] = lambda ask: ask("")
        """Asks a question, given what was typed ahead of it."""
        self.ahead = Ahead(self.warm, grows=self.grows)

    def view(self, after: str = "") -> BaseView:
        """A live view, or plain deltas where rows cannot be repainted."""
        thinking, plain = self.settings.thinking, self.settings.plain
        return terminal_view(self.out, self.quiet, thinking=thinking, plain=plain, after=after)

    def show(self, message: Message) -> None:
        """Show a message as it was shown when it arrived."""
        from glmcli.terminal.replies.choose import show_message

        show_message(self.out, self.quiet, message, plain=self.settings.plain)

    def edit(self, text: str) -> str:
        """Open a text in $EDITOR; returns what was saved."""
        from glmcli.terminal.input.editor import edit

        with self.quiet.lifted():
            return edit(text, self.out)

    def edit_draft(self, text: str) -> str:
        """The same for what is not sent yet; it stays as it is if the editor fails."""
        try:
            return self.edit(text)
        except UsageError as exc:
            self.complain(exc)
            return text

    def copy(self, text: str) -> None:
        """Copy to the clipboard of the terminal, and to the machine's own if there is one."""
        from glmcli.terminal.input.editor import copy

        copy(text, self.out)

    def use_engine(self, engine: EngineThread) -> None:
        """Go on with another engine; the toolbar follows it."""
        engine.on_change = self.redraw
        super().use_engine(engine)

    def after(self, reply: Message) -> None:
        """Add the stats line, and room before the next prompt."""
        super().after(reply)
        if self.settings.stats and reply.usage and reply.text:
            line = stats_line(reply.usage, self.session.engine.context_tokens)
            where = whereabouts(self.session.engine) if self.settings.sources.get("stats") else ""
            self.note(" · ".join(filter(None, [line, where])))
        if self.settings.notify is not None and reply.usage:
            self.out.write("\a" if reply.usage.total_s >= self.settings.notify else "")
        self.out.write("\n")

    def mark(self, head: str, pieces: Sequence[tuple[str, bool]]) -> None:
        """What is set off is bold, the rest is dim."""
        if not self.out.colours:
            super().mark(head, pieces)
            return
        styled = (f"\x1b[22;{'1' if found else '2'}m{visible(text)}" for text, found in pieces)
        self.out.write(f"\x1b[2m{head}  {''.join(styled)}\x1b[0m\n")

    def confirm(self, question: str) -> bool:
        """Ask; no is what Enter means."""
        from glmcli.terminal.input.editor import confirm

        question = f"{question} [y/N] "

        def ask(typed: str) -> bool:
            with self.quiet.lifted(lambda: self.out.say(question + typed)):
                return confirm(question, self.out, self.session.is_stopped, typed)

        return self.ask_ahead(ask)

    def note(self, text: str) -> None:
        """Dim."""
        self._write(text, "2")

    def complain(self, error: GlmError) -> None:
        """A red line and a dim hint."""
        self._write(error.message, "31")
        self._write(error.hint, "2")

    def _write(self, text: str, style: str) -> None:
        if text:
            text, columns = visible(text), self.out.size().columns
            if not all(fits(line, columns) for line in text.split("\n")):
                from glmcli.terminal.rows import hang  # it brings Rich along

                text = hang(text, columns)
            self.out.write(f"\x1b[{style}m{text}\x1b[0m\n" if self.out.colours else f"{text}\n")

    def warm(self, draft: str, cancel: Event) -> None:
        """Let the idle engine read the conversation, and the draft as if it were sent now.

        Files that the draft mentions are read on the engine's thread, and again when it is sent.
        """
        engine, attached = self.session.engine, [*self.attached]
        if self.settings.warm == "off" or not isinstance(engine, EngineThread):
            return
        history, line = self.session.conversation.prompt(), self.sent(draft)

        def make() -> tuple[Message, ...] | None:
            if self.settings.warm == "auto" and not has_power_to_spare():
                return None
            if not line.text.strip() or is_command(line) or self.meant(line):
                return history
            as_sent = literal(line)
            text = joined(as_sent.text, [*mentioned(as_sent), *attached])
            return (*history, Message("user", text))

        engine.warm_with(make, self.session.params, cancel)

    def grows(self, draft: str) -> bool:
        """Whether what is typed after a draft is sent after it; files come between the two."""
        return not draft or not (self.attached or MENTION.search(draft))

    def status(self) -> tuple[str, bool]:
        """The toolbar's text: model, device, tokens used of the window; and whether to warn."""
        engine = self.session.engine
        used, window = self.session.used_tokens or 0, engine.context_tokens
        where = [engine.device]
        if isinstance(engine, EngineThread) and not engine.is_open:
            if engine.failure is not None:
                return visible_line(engine.failure.message), True
            where = loading(engine.progress, engine.name)
        size = [f"{used:,} / {window:,}{words}" for words in (" tokens", "")] if window else [""]
        files = f"{plural(len(self.attached), 'file')} attached" if self.attached else ""
        is_saved = self.settings.history and self.session.store_failure is None
        unsaved = "" if is_saved else "not saved"
        forms = [[place, size[0], files, unsaved] for place in [*where, ""]]
        forms += [["", size[-1], shown, unsaved] for shown in (files, "")]
        text = toolbar(visible_line(engine.name), forms, self.out.size().columns - 2)
        return text, bool(window and used >= WARN_SHARE * window)
