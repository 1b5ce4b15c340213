"""The loop: read a line, answer it, repeat; with an editor on a terminal, else from stdin.

Knows nothing of models. The main thread reads and paints; the engine has a thread of its own.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from threading import Event
from typing import TYPE_CHECKING

from glmcli.attachments import MENTION, mentioned
from glmcli.commands import Chat, is_command, literal, run_command
from glmcli.config import DEMONSTRATION, Settings, chinese_locale, wants_traceback
from glmcli.engines import whereabouts
from glmcli.engines.machine import has_power_to_spare
from glmcli.engines.thread import EngineThread
from glmcli.errors import GlmError, error_lines
from glmcli.session import Session
from glmcli.terminal.ahead import Ahead
from glmcli.terminal.tty import Output, Quiet
from glmcli.terminal.view import (
    BaseView,
    TextView,
    end_note,
    progress_line,
    stats_line,
    terminal_view,
)
from glmcli.terminal.visible import visible
from glmcli.types import Message

if TYPE_CHECKING:
    from glmcli.terminal.prompt import Prompt

WARN_SHARE = 0.8
"""From this share of the window on, the toolbar warns."""


WORDS = {
    "exit": "/exit leaves",
    "quit": "/exit leaves",
    "clear": "/reset starts a new conversation",
    "stop": "Ctrl-C stops a reply, /exit leaves",
    "退出": "/exit 退出",
    "清空": "/reset 开始新的对话",
    "停止": "Ctrl-C 停止回答，/exit 退出",
}
"""Words that other chats take as commands, and what does it here. They are never sent."""


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
        """What a word that other programs take as a command is called here; "" for all else."""
        return WORDS.get(line.strip().lower(), "") if chinese_locale() else ""

    def _with_files(self, line: str) -> str:
        """A typed line as it is sent: with the files that it mentions and those attached."""
        files = mentioned(literal(line))
        for file in files:
            self.note(self.weighed(file))
        text = joined(line, [*files, *self.attached])
        self.attached.clear()
        return text

    def ask(self, text: str, *, after: Message | None = None) -> None:
        """Send a text and show the reply, and what is to be said below it. Raises GlmError."""
        try:
            with self.view() as view:
                reply = self.session.ask(text, view, after=after)
        finally:
            for line in self.session.news():
                self.note(line)
        self.after(reply)

    def view(self) -> BaseView:
        """A view for one reply."""
        return TextView(self.out, self.err, thinking=self.settings.thinking)

    def after(self, reply: Message) -> None:
        """What is said below a reply."""
        self.note(end_note(reply, self.session.engine.context_tokens))

    def mark(self, head: str, pieces: Sequence[tuple[str, bool]]) -> None:
        """Plain: what is set off can only be seen on a terminal."""
        self.note(f"{head}  {''.join(text for text, _ in pieces)}")

    def note(self, text: str) -> None:
        """Show the program's own words."""
        if text:
            self.err.write(f"{text}\n")

    def complain(self, error: GlmError) -> None:
        """Show an error: one line, one hint."""
        self.err.write(error_lines(error))


class TerminalChat(PipeChat):
    """A chat on a terminal: live replies, dim notes, red errors."""

    def __init__(self, session: Session, settings: Settings, out: Output, err: Output) -> None:
        super().__init__(session, settings, out, err)
        self.quiet = Quiet(out)
        self.redraw: Callable[[], None] = lambda: None
        self.expand: Callable[[str], str] = lambda draft: draft
        """The whole of a draft with placeholders."""
        self.ahead = Ahead(self.warm, grows=self.grows)

    def meant(self, line: str) -> str:
        """The same in every language: on a terminal nobody sends such a word alone."""
        return WORDS.get(line.strip().lower(), "")

    def view(self) -> BaseView:
        """A live view, or plain deltas where rows cannot be repainted."""
        thinking, plain = self.settings.thinking, self.settings.plain
        return terminal_view(self.out, self.quiet, thinking=thinking, plain=plain)

    def show(self, message: Message) -> None:
        """Show a message as it was shown when it arrived."""
        from glmcli.terminal.live import show_message

        show_message(self.out, message, plain=self.settings.plain)

    def edit(self, text: str) -> str:
        """Open a text in $EDITOR; returns what was saved."""
        from glmcli.terminal.desk import edit

        with self.quiet.lifted():
            return edit(text)

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

        with self.quiet.lifted():
            return confirm(question, self.out)

    def note(self, text: str) -> None:
        """Dim."""
        self._write(text, "2")

    def complain(self, error: GlmError) -> None:
        """A red line and a dim hint."""
        self._write(error.message, "31")
        self._write(error.hint, "2")

    def _write(self, text: str, style: str) -> None:
        if text:
            from glmcli.terminal.wrap import hang

            text = hang(visible(text), self.out.size().columns)
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

    def models(self) -> Iterator[str]:
        """Names that /model takes without the network."""
        from glmcli.engines.names import known_names

        return known_names(self.settings)

    def status(self) -> tuple[str, bool]:
        """The toolbar's text: model, device, tokens used of the window; and whether to warn."""
        session = self.session
        engine = session.engine
        parts = [engine.name]
        if isinstance(engine, EngineThread) and not engine.is_open:
            if engine.failure is not None:
                return f"{visible(engine.name)} · {visible(engine.failure.message)}", True
            parts.append(progress_line(engine.progress, None) if engine.progress else "loading")
        elif engine.device:
            parts.append(engine.device)
        used, window = session.used_tokens or 0, engine.context_tokens
        if window:
            parts.append(f"{used:,} / {window:,} tokens")
        if not self.settings.history:
            parts.append("not saved")
        return visible(" · ".join(parts)), bool(window and used >= WARN_SHARE * window)


def joined(line: str, files: Sequence[str]) -> str:
    """A typed line as it is sent: with the files that go with it."""
    return "\n\n".join([literal(line), *files])


def chat_in_pipe(chat: PipeChat, *, first: str | None = None) -> int:
    """Answer every line of stdin; returns the exit code of the last failure, or 0."""
    for line in lines_of_stdin(first):
        chat.handle(line)
        if chat.leaving or chat.session.cancel.is_set():
            break
    return chat.exit_code


def lines_of_stdin(first: str | None) -> Iterator[str]:
    """The first turn, if one was given, and the lines of stdin without their ends."""
    if first is not None:
        yield first
    if sys.stdin is not None:
        for data in sys.stdin.buffer:
            yield data.decode("utf-8", "surrogateescape").rstrip("\r\n")


def chat_in_terminal(chat: TerminalChat, *, first: str | None = None) -> None:
    """The REPL. Returns when the user leaves."""
    with chat.quiet:
        if first is not None:
            chat.out.write(f"> {visible(first)}\n")
            chat.handle(first)
        prompt = open_prompt(chat)
        while not chat.leaving:
            chat.ahead.begin()
            try:
                line = prompt.read()
            except (EOFError, KeyboardInterrupt):
                break
            finally:
                chat.ahead.drop()
            chat.handle(line)


def open_prompt(chat: TerminalChat) -> Prompt:
    """The line editor of a chat; the engine starts to load when it was drawn."""
    from glmcli.terminal.prompt import Prompt

    engine = chat.session.engine
    assert isinstance(engine, EngineThread)

    def begin() -> None:
        engine.start()
        chat.ahead.begin()

    prompt = Prompt(
        history=chat.settings.home / "prompt_history" if chat.settings.history else None,
        status=chat.status,
        on_first_draw=begin,
        models=chat.models,
        enter_sends=lambda: chat.enter_sends,
        on_peek=lambda: chat.handle("/thinking"),
        on_draft=lambda draft, pasted: chat.ahead.changed(draft, pasted=pasted),
        vi=chat.settings.vi,
    )
    chat.expand = prompt.expand
    engine.on_change = chat.redraw = prompt.redraw
    return prompt


def banner(settings: Settings, recovered: Sequence[str]) -> str:
    """What is said at the start: how to get help, what the model is, what had broken off."""
    lines = ["/help lists the commands, Ctrl-D leaves."]
    if "model" not in settings.sources:
        lines.append(DEMONSTRATION)
    if recovered:
        lines.append(f"the last chat broke off: /resume {recovered[-1]} goes on with it.")
    return "\n".join(lines)
