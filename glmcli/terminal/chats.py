"""The chats that commands act on: in a pipe, and on a terminal.

Each shows a reply and the program's own words in its way. Knows nothing of where lines come from.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from threading import Event

import wcwidth

from glmcli.attachments import MENTION, mentioned, missed
from glmcli.commands import Chat, is_command, literal, run_command
from glmcli.config import Settings, wants_traceback
from glmcli.engines import whereabouts
from glmcli.engines.machine import has_power_to_spare
from glmcli.engines.thread import EngineThread
from glmcli.errors import GlmError, UsageError, error_lines
from glmcli.language import chinese_locale
from glmcli.messages import command_for
from glmcli.session import Session
from glmcli.terminal.ahead import Ahead
from glmcli.terminal.tty import Output, Quiet
from glmcli.terminal.view import (
    BaseView,
    TextView,
    clipped,
    end_note,
    plural,
    progress_forms,
    stats_line,
    terminal_view,
)
from glmcli.terminal.visible import visible, visible_line
from glmcli.types import Message, Progress

SHORTEST_NAME = 8
"""Cells of a model's name that the toolbar shows at least."""
WARN_SHARE = 0.8
"""From this share of the window on, the toolbar warns."""


class PipeChat(Chat):
    """A chat whose replies go to stdout as they are, and all else to stderr."""

    def __init__(self, session: Session, settings: Settings, out: Output, err: Output) -> None:
        super().__init__(session, settings)
        self.out = out
        self.err = err
        self.exit_code = 0
        """The exit code of the last failure; 0 if there was none."""

    def handle(self, line: str) -> None:
        """Answer a typed line, or run it if it is a command. Errors are shown, not raised."""
        try:
            if is_command(line):
                self.note(run_command(self, line))
            elif command := self.meant(line):
                self.note(f"{line.strip()}: {command}")
            elif line.strip():
                self.ask(self._with_files(line))
        except GlmError as exc:
            self._failed(exc)
        except Exception as exc:  # a bug must not cost the chat
            if wants_traceback():
                raise
            self._failed(GlmError(f"internal error: {exc!r}", "GLM_DEBUG=1 shows where"))

    def _failed(self, error: GlmError) -> None:
        self.exit_code = error.exit_code
        self.complain(error)

    def meant(self, line: str) -> str:
        """What a word that other programs take as a command is called here; "" for all else.

        Typed on a terminal it is never sent; a script may mean the word itself.
        """
        is_typed = sys.stdin is not None and sys.stdin.isatty()
        return command_for(line) if is_typed or chinese_locale() else ""

    def _with_files(self, line: str) -> str:
        """A typed line as it is sent: with the files that it mentions and those attached."""
        files = mentioned(literal(line))
        for file in files:
            self.note(self.weighed(file))
        for name in missed(literal(line)):
            self.note(f"@{name} is no file here, so it is sent as these words")
        return joined(line, [*files, *self.attached])

    def ask(self, text: str, *, after: Message | None = None) -> None:
        """Send a text and show the reply, and what is to be said below it. Raises GlmError."""
        try:
            with self.view(after.text if after else "") as view:
                reply = self.session.ask(text, view, after=after)
        finally:
            self._let_go_of_files(text)
            for line in self.session.news():
                self.note(line)
        if after and reply.finish_reason == "stop" and reply.text == after.text:
            self.note("the model has nothing to add")
        self.after(reply)

    def _let_go_of_files(self, text: str) -> None:
        """Attach what went with a text no longer, once the model has it: see `Conversation`."""
        if any(message.text == text for message in self.session.conversation.prompt()):
            self.attached = [file for file in self.attached if file not in text]

    def view(self, after: str = "") -> BaseView:
        """A view for one reply; for the rest of one that begins with `after`."""
        thinking = self.settings.thinking
        if self.out.is_tty:
            return terminal_view(
                self.out,
                Quiet(self.out),
                thinking=thinking,
                plain=self.settings.plain,
                after=after,
            )
        return TextView(self.out, self.err, thinking=thinking)

    def after(self, reply: Message) -> None:
        """What is said below a reply."""
        self.note(end_note(reply, self.session.engine.context_tokens))

    def mark(self, head: str, pieces: Sequence[tuple[str, bool]]) -> None:
        """Plain: what is set off can only be seen on a terminal."""
        self.note(f"{head}  {''.join(text for text, _ in pieces)}")

    def note(self, text: str) -> None:
        """Show the program's own words."""
        if text:
            self.err.say(f"{text}\n")

    def complain(self, error: GlmError) -> None:
        """Show an error: one line, one hint."""
        self.err.say(error_lines(error))


class TerminalChat(PipeChat):
    """A chat on a terminal: live replies, dim notes, red errors."""

    def __init__(self, session: Session, settings: Settings, out: Output, err: Output) -> None:
        super().__init__(session, settings, out, err)
        self.quiet = Quiet(out, for_editor=True)
        self.redraw: Callable[[], None] = lambda: None
        self.expand: Callable[[str], str] = lambda draft: draft
        """The whole of a draft with placeholders."""
        self.ask_ahead: Callable[[Callable[[str], bool]], bool] = lambda ask: ask("")
        """Asks a question, given what was typed ahead of it."""
        self.ahead = Ahead(self.warm, grows=self.grows)

    def view(self, after: str = "") -> BaseView:
        """A live view, or plain deltas where rows cannot be repainted."""
        thinking, plain = self.settings.thinking, self.settings.plain
        return terminal_view(self.out, self.quiet, thinking=thinking, plain=plain, after=after)

    def show(self, message: Message) -> None:
        """Show a message as it was shown when it arrived."""
        from glmcli.terminal.live import show_message

        show_message(self.out, self.quiet, message, plain=self.settings.plain)

    def edit(self, text: str) -> str:
        """Open a text in $EDITOR; returns what was saved."""
        from glmcli.terminal.desk import edit

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
        from glmcli.terminal.desk import copy

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
        from glmcli.terminal.desk import confirm

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
            if any(wcwidth.width(line) > columns for line in text.split("\n")):
                from glmcli.terminal.wrap import hang  # it brings Rich along

                text = hang(text, columns)
            self.out.write(f"\x1b[{style}m{text}\x1b[0m\n" if self.out.colours else f"{text}\n")

    def warm(self, draft: str, cancel: Event) -> None:
        """Let the idle engine read the conversation, and the draft as if it were sent now.

        Files that the draft mentions are read on the engine's thread, and again when it is sent.
        """
        engine, attached = self.session.engine, [*self.attached]
        if self.settings.warm == "off" or not isinstance(engine, EngineThread):
            return
        history = self.session.conversation.prompt()

        def make() -> tuple[Message, ...] | None:
            if self.settings.warm == "auto" and not has_power_to_spare():
                return None
            line = self.expand(draft)
            if not line.strip() or is_command(line) or self.meant(line):
                return history
            text = joined(line, [*mentioned(literal(line)), *attached])
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


def loading(progress: Progress | None, name: str) -> list[str]:
    """What is being loaded, the longest form first; the name beside it is not said again."""
    if progress is None:
        return ["loading"]
    said = replace(progress, note="" if progress.note == name else progress.note)
    return [*progress_forms(said, None), progress.stage]


def toolbar(name: str, forms: Sequence[Sequence[str]], columns: int) -> str:
    """A name and the first of the forms that fits beside it; at last a form without the name."""
    rests = [visible("".join(f" · {part}" for part in form if part)) for form in forms]
    for rest in rests:
        room = columns - wcwidth.width(rest)
        if room >= min(SHORTEST_NAME, wcwidth.width(name)):
            return clipped(name, room, keep_end=True) + rest
    return clipped(rests[-1].removeprefix(" · ") or name, columns)


def joined(line: str, files: Sequence[str]) -> str:
    """A typed line as it is sent: with the files that go with it."""
    return "\n\n".join([literal(line), *files])
