"""What every chat does with a line: run it if it is a command, else send it and show the reply.

How the program's own words are shown is up to the chats in a pipe and on a terminal. Knows nothing
of where lines come from.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from glmcli.chat.bugs import internal_error
from glmcli.chat.commands import Chat, command_for, run_command
from glmcli.config import Settings, wants_traceback
from glmcli.conversation.attachments import (
    attach_mentioned,
    join_files,
    mention_of,
    missing_mentions,
    path_near,
    wide_mentions,
)
from glmcli.conversation.lines import is_command, literal
from glmcli.conversation.typed import Line
from glmcli.errors import ContextFull, GlmError
from glmcli.language import chinese_locale, tr
from glmcli.session import Session
from glmcli.terminal.output import Output
from glmcli.terminal.phrases import end_note
from glmcli.terminal.quiet import Quiet
from glmcli.terminal.replies.text import BaseView, terminal_view
from glmcli.types import Message


class Shell(Chat):
    """A chat that answers lines."""

    def __init__(self, session: Session, settings: Settings, out: Output, quiet: Quiet) -> None:
        super().__init__(session, settings)
        self.out = out
        self.quiet = quiet

    def note(self, text: str) -> None:
        """Show the program's own words."""
        raise NotImplementedError

    def complain(self, error: GlmError) -> None:
        """Show an error: one line, one hint."""
        raise NotImplementedError

    def view(self, after: str = "") -> BaseView:
        """A live view, or plain deltas where rows cannot be repainted."""
        settings = self.settings
        return terminal_view(
            self.out,
            self.quiet,
            thinking=settings.thinking,
            plain=settings.is_plain,
            columns=settings.width,
            after=after,
        )

    def handle(self, line: Line) -> None:
        """Answer a line, or run it if it is a command. Errors are shown, not raised."""
        try:
            if is_command(line):
                self.note(run_command(self, line.text))
            elif command := self.other_command(line):
                self.note(tr(": ").join([line.text.strip(), command]))
            elif line.text.strip():
                self._send(line)
        except GlmError as exc:
            self.failed(line.text if is_command(line) else "")
            self.complain(exc)
        except Exception as exc:  # a bug must not cost the chat
            if wants_traceback():
                raise
            self.failed(line.text if is_command(line) else "")
            self.complain(internal_error(exc))

    def failed(self, command: str) -> None:
        """Take note that a line failed: a command, or "" for any other."""

    def runs(self, line: Line) -> bool:
        """Whether a line is run, and not sent."""
        return is_command(line) or bool(self.other_command(line))

    def other_command(self, line: Line) -> str:
        """The command here for a word that other programs take as one; "" for all else.

        Typed on a terminal it is never sent; a script may mean the word itself.
        """
        on_terminal = sys.stdin is not None and sys.stdin.isatty()
        is_typed = line.is_typed(0, len(line.text)) and (on_terminal or chinese_locale())
        return command_for(line.text) if is_typed else ""

    def ask(self, text: str, *, after: Message | None = None) -> None:
        """Send a text and show the reply, and the notes below it. Raises GlmError."""
        try:
            with self.view(after.text if after else "") as view:
                reply = self.session.ask(text, view, after=after)
        except ContextFull as exc:
            if any(file in text for file in self.attached):
                off = tr("/attach off takes the attached files back")
                exc.hint = tr("; ").join([off, exc.hint])
            raise
        finally:
            self._detach_files(text)
            for line in self.session.news():
                self.note(line)
        if after and reply.finish_reason == "stop" and reply.text == after.text:
            self.note(tr("the model has nothing to add"))
        self.after(reply)

    def note_end(self, message: Message) -> None:
        """Say how a reply from earlier ended, if that is known and was not as usual."""
        self.note(end_note(message) if message.finish_reason else "")

    def after(self, reply: Message) -> None:
        """Say how a reply ended, if not as usual."""
        size, session = self.session.engine.context_tokens, self.session
        self.note(end_note(reply, size, self.settings.window, commands=session.commands))

    def draft_as_sent(self, line: Line, attached: Sequence[str]) -> str:
        """A draft as it would be sent now, "" if it would not be; may be called on any thread.

        Reads the files that it mentions. Raises UsageError.
        """
        if not line.text.strip() or self.runs(line):
            return ""
        sent = literal(line)
        return join_files(self._framed(sent.text), [*attach_mentioned(sent), *attached])

    def _send(self, line: Line) -> None:
        """Send a line with its files; it becomes a draft again if the user does not agree to them.

        Those are the files that it mentions, alone or as a folder or pattern, and those attached.
        """
        from glmcli.conversation.several import several_mentioned

        sent = literal(line)
        files, several = attach_mentioned(sent), several_mentioned(sent)
        for file in files:
            self.note(self.file_size(file))
        for name in missing_mentions(sent):
            if name not in several:
                self.note(sent_as_words(name))
        for name in wide_mentions(sent):
            near = mention_of(Path(name)) or name
            self.note(
                tr("＠{name} is sent as these words; did you mean {near}?", name=name, near=near)
            )
        for each in several.values():
            if not (agreed := self.agreed_files(each)):
                self.draft = line
                return
            if self.agrees_to_files:
                self.note(each.summary)
            files += agreed
        text = self._framed(sent.text)
        self.ask(join_files(text, [*dict.fromkeys(files), *self.attached]))

    def _framed(self, text: str) -> str:
        """What the user says, in the words of the role if it has some around it."""
        return self.role.framed(text) if self.role else text

    def _detach_files(self, text: str) -> None:
        """Forget the files that went with a text, once the model has it: see `Conversation`."""
        if any(message.text == text for message in self.session.conversation.prompt()):
            self.attached = [file for file in self.attached if file not in text]


def sent_as_words(name: str) -> str:
    """The note on what stands behind an `@` and is no file."""
    if near := path_near(name):
        return tr(
            "@{name} is not a file here, so it is sent as these words; did you mean {near}?",
            name=name,
            near=mention_of(Path(near)) or near,
        )
    return tr("@{name} is not a file here, so it is sent as these words", name=name)
