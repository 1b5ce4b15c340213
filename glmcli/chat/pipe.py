"""The chat in a pipe: replies go to stdout as they are, all else to stderr.

Knows nothing of engines or of where lines come from.
"""

from __future__ import annotations

from collections.abc import Sequence

from glmcli.chat.notes import cost_line
from glmcli.chat.shell import Shell
from glmcli.config import Settings
from glmcli.errors import GlmError, error_lines
from glmcli.harmless import visible
from glmcli.session import Session
from glmcli.terminal.output import Output
from glmcli.terminal.phrases import no_answer
from glmcli.terminal.quiet import Quiet
from glmcli.terminal.replies.text import BaseView, TextView
from glmcli.terminal.told import on_terminal
from glmcli.types import Message


class PipeChat(Shell):
    """A chat without a person at a terminal."""

    def __init__(self, session: Session, settings: Settings, out: Output, err: Output) -> None:
        super().__init__(session, settings, out, Quiet(out))
        self.err = err
        self.exit_code = 0
        """The exit code of the last failure; 0 if there was none."""

    def view(self, after: str = "") -> BaseView:
        """Plain deltas; on a terminal that only shows the replies, a live view."""
        if self.out.is_tty:
            return super().view(after)
        return TextView(self.out, self.err, thinking=self.settings.thinking)

    def after(self, reply: Message) -> None:
        """A reply without a word is a failure: who reads the pipe waits for one."""
        size, window = self.session.engine.context_tokens, self.settings.window
        if nothing := no_answer(reply, size, window, commands=self.session.commands):
            self.complain(nothing)
        else:
            super().after(reply)
        if self.settings.stats and self.settings.sources.get("stats") and reply.usage:
            self.note(cost_line(self.session, reply.usage, with_place=True))

    def keys(self) -> str:
        """None: lines come from elsewhere."""
        return ""

    def check_kept(self) -> None:
        """A script goes on: each turn that could not be saved has said so."""

    def mark(self, head: str, pieces: Sequence[tuple[str, bool]]) -> None:
        """Plain: what is set off can only be seen on a terminal."""
        self.note(f"{head}  {''.join(text for text, _ in pieces)}")

    def note(self, text: str) -> None:
        """On stderr."""
        if text:
            self.err.say(f"{on_terminal(visible(text), self.err.fd)}\n")

    def complain(self, error: GlmError) -> None:
        """On stderr; the program will end with the error's exit code."""
        self.exit_code = error.exit_code
        lines = error_lines(error, commands=self.session.commands)
        self.err.say(on_terminal(lines, self.err.fd))
