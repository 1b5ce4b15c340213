"""The chat in a pipe: what commands act on where nobody looks.

Knows nothing of engines or of how a reply is painted.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from glmcli.chat.commands import Chat, is_command, literal, run_command
from glmcli.config import Settings, wants_traceback
from glmcli.conversation.attachments import mentioned, missed
from glmcli.conversation.typed import Line
from glmcli.errors import GlmError, error_lines
from glmcli.language import chinese_locale
from glmcli.messages import command_for
from glmcli.session import Session
from glmcli.terminal.output import Output
from glmcli.terminal.phrases import end_note
from glmcli.terminal.quiet import Quiet
from glmcli.terminal.replies.choose import terminal_view
from glmcli.terminal.replies.text import BaseView, TextView
from glmcli.types import Message


class PipeChat(Chat):
    """A chat whose replies go to stdout as they are, and all else to stderr."""

    def __init__(self, session: Session, settings: Settings, out: Output, err: Output) -> None:
        super().__init__(session, settings)
        self.out = out
        self.err = err
        self.exit_code = 0
        """The exit code of the last failure; 0 if there was none."""

    def handle(self, line: Line) -> None:
        """Answer a line, or run it if it is a command. Errors are shown, not raised."""
        try:
            if is_command(line):
                self.note(run_command(self, line.text))
            elif command := self.meant(line):
                self.note(f"{line.text.strip()}: {command}")
            elif line.text.strip():
                self.ask(self._with_files(literal(line)))
        except GlmError as exc:
            self._failed(exc)
        except Exception as exc:  # a bug must not cost the chat
            if wants_traceback():
                raise
            self._failed(GlmError(f"internal error: {exc!r}", "GLM_DEBUG=1 shows where"))

    def _failed(self, error: GlmError) -> None:
        self.exit_code = error.exit_code
        self.complain(error)

    def meant(self, line: Line) -> str:
        """What a word that other programs take as a command is called here; "" for all else.

        Typed on a terminal it is never sent; a script may mean the word itself.
        """
        on_terminal = sys.stdin is not None and sys.stdin.isatty()
        is_typed = line.is_typed(0, len(line.text)) and (on_terminal or chinese_locale())
        return command_for(line.text) if is_typed else ""

    def _with_files(self, line: Line) -> str:
        """A line as it is sent: with the files that it mentions and those attached."""
        files = mentioned(line)
        for file in files:
            self.note(self.weighed(file))
        for name in missed(line):
            self.note(f"@{name} is no file here, so it is sent as these words")
        return joined(line.text, [*files, *self.attached])

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


def joined(text: str, files: Sequence[str]) -> str:
    """A text as it is sent: with the files that go with it."""
    return "\n\n".join(filter(None, [text, *files]))
