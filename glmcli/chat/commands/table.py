"""The table of slash commands, and how a typed line becomes one.

A command gets the chat and the rest of its line, and returns what to show. It prints nothing.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from glmcli.config import Settings
from glmcli.conversation.attachments import heading
from glmcli.conversation.typed import NOTHING
from glmcli.engines.thread import EngineThread
from glmcli.errors import UsageError
from glmcli.messages import command_help, slash_command_for
from glmcli.session import Session
from glmcli.terminal.replies.text import BaseView
from glmcli.types import Message


class Chat:
    """What commands act on. What only a terminal can do raises UsageError elsewhere."""

    def __init__(self, session: Session, settings: Settings) -> None:
        self.session = session
        self.settings = settings
        self.leaving = False
        self.draft = NOTHING
        """What the next prompt begins with, if a command left something there."""
        self.enter_sends = True
        """Off with /multiline: then Enter makes a new line and Alt-Enter sends."""
        self.attached: list[str] = []
        """Files that go with the next message."""
        self.key = settings.api_key
        self.key_is_for = {settings.key_url or settings.base_url}
        """Addresses that the key was given with, or that the user let it be sent to."""

    def ask(self, text: str, *, after: Message | None = None) -> None:
        """Send a text and show the reply, as if it had been typed. Raises GlmError."""
        raise NotImplementedError

    def show(self, message: Message) -> None:
        """Show a message as it was shown when it arrived."""
        raise UsageError("only a terminal can show that", "start glm chat on a terminal")

    def view(self, after: str = "") -> BaseView:
        """A view for one reply; for the rest of one that begins with `after`."""
        return BaseView()

    def weighed(self, attached: str) -> str:
        """What an attached file is, and how much of the window it takes if that is known."""
        size, window = self.session.tokens_of(attached), self.session.engine.context_tokens
        if size is None:
            return heading(attached)
        about = "about " if window and size > window else ""  # nobody counts it to the end
        return f"{heading(attached)}, {about}{size:,} tokens"

    def mark(self, head: str, pieces: Sequence[tuple[str, bool]]) -> None:
        """Show a line of a list: its head, and a text of which some pieces are set off."""
        raise NotImplementedError

    def confirm(self, question: str) -> bool | None:
        """Whether the user agrees; None where nobody can be asked."""
        return None

    def edit(self, text: str) -> str:
        """Let the user change a text in an editor."""
        raise UsageError("only a terminal has an editor", "start glm chat on a terminal")

    def copy(self, text: str) -> None:
        """Put a text into the clipboard."""
        raise UsageError("only a terminal has a clipboard", "start glm chat on a terminal")

    def use_engine(self, engine: EngineThread) -> None:
        """Go on with another engine; the old one is closed."""
        self.session.use_engine(engine)


Run = Callable[[Chat, str], str]
Words = Callable[[Chat, str], Iterable[tuple[str, str]]]


@dataclass(frozen=True, slots=True)
class Command:
    """One entry of the table."""

    name: str
    usage: str
    run: Run
    words: Words
    """What may follow it, for completion: of what is typed already, and with an explanation."""

    @property
    def help(self) -> str:
        """Its help line, in Chinese where the locale is."""
        return command_help(self.name, (self.run.__doc__ or "").strip().split("\n")[0])


COMMANDS: dict[str, Command] = {}
HELP = "?"
"""Another name for /help."""


def command(usage: str = "", *, words: Words | None = None) -> Callable[[Run], Run]:
    """Put a function into the table under its own name.

    Without `words` it is the alternatives in the usage that may follow: "[on|off]".
    """
    choices = usage.strip("[]").split("|") if usage.islower() else []

    def register(function: Run) -> Run:
        name = function.__name__.rstrip("_")
        known = words or (lambda chat, typed: [(choice, "") for choice in choices])
        COMMANDS[name] = Command(name, usage, function, known)
        return function

    return register


def meant(word: str) -> str:
    """What a word that is no command may mean."""
    if known := slash_command_for(word):
        return f"{known};"
    near = difflib.get_close_matches(word, COMMANDS, n=1)
    return f"did you mean /{near[0]}?" if near else "/help lists the commands;"


def run_command(chat: Chat, line: str) -> str:
    """Run a `/word` line; returns what to show. Raises UsageError, and what the command raises."""
    word, *rest = line.strip()[1:].split(maxsplit=1)
    word = "help" if word == HELP else word
    if word not in COMMANDS:
        raise UsageError(f"there is no command /{word}", f"{meant(word)} //{word} sends it as text")
    found = COMMANDS[word]
    if rest and not found.usage:
        raise UsageError(f"/{word} takes nothing after it", f"/{word} alone: {found.help}")
    return found.run(chat, rest[0] if rest else "")
