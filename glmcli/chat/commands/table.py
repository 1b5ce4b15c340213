"""The table of slash commands, and the chat that they act on.

A command gets the chat and the rest of its line, and returns a text to show. It prints nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import wcwidth

from glmcli.config import DOTENV, Settings
from glmcli.config.known import BUILT_IN_MODEL
from glmcli.conversation.attachments import heading
from glmcli.conversation.typed import NOTHING
from glmcli.engines import Engine
from glmcli.errors import UsageError
from glmcli.language import tr
from glmcli.session import Session
from glmcli.terminal.input.picking import Entry, Source
from glmcli.terminal.replies.text import BaseView
from glmcli.types import GenerationParams, Message

LIST_COLUMNS = 160
"""How wide a list is where there is no terminal."""

if TYPE_CHECKING:
    from glmcli.conversation.roles import NamedRole
    from glmcli.conversation.several import Several


class BeforeRole(NamedTuple):
    """What was in force when a role was taken."""

    names: Sequence[str]
    """The settings that the role has changed."""
    settings: Settings
    params: GenerationParams
    context: str
    system: str | None


class Chat:
    """What commands act on. Things that only a terminal can do raise UsageError elsewhere."""

    def __init__(self, session: Session, settings: Settings) -> None:
        self.session = session
        self.settings = settings
        self.leaving = False
        self.draft = NOTHING
        """Text for the next prompt to begin with, if a command left some."""
        self.enter_sends = True
        """Off with /multiline: then Enter makes a new line and Alt-Enter sends."""
        self.has_keys = True
        """Whether the prompt has keys of its own; where a terminal only prints it has none."""
        self.attached: list[str] = []
        """Files that go with the next message."""
        self.agrees_to_files = False
        """Whether folders and patterns are sent without a question."""
        self.role: NamedRole | None = None
        """The role that was taken: its text may frame what is sent."""
        self.before_role: BeforeRole | None = None
        """What was in force before /role set it; None if the role came with the command line."""
        self._told_unsaved: Message | None = None
        """The last message when the user was told that it is not saved."""
        self._kept: Message | None = None
        """The last message of the conversation when that was written to a file."""
        self.key = settings.api_key
        given_with = settings.key_url or settings.base_url
        self.key_is_for = {given_with} if is_users_own(settings) else set[str]()
        """Addresses that the key was given with, or that the user let it be sent to."""

    def ask(self, text: str, *, after: Message | None = None) -> None:
        """Send a text and show the reply, as if it had been typed. Raises GlmError."""
        raise NotImplementedError

    def show(self, message: Message, *, with_end: bool = False) -> None:
        """Show a message as it was shown when it arrived; and how it ended."""
        raise UsageError(tr("only a terminal can show that"), tr("start glm chat on a terminal"))

    def view(self, after: str = "") -> BaseView:
        """A view for one reply; for the rest of one that begins with `after`."""
        return BaseView()

    def file_size(self, attached: str) -> str:
        """The name of an attached file, and how much of the window it takes if that is known."""
        size, window = self.session.tokens_of(attached), self.session.engine.context_tokens
        if size is None:
            return heading(attached)
        if window and size > window:  # it was not counted to the end
            return tr("{file}, about {size:,} tokens", file=heading(attached), size=size)
        return tr("{file}, {size:,} tokens", file=heading(attached), size=size)

    def mark(self, head: str, pieces: Sequence[tuple[str, bool]]) -> None:
        """Show a line of a list: its head, and a text of which some pieces are set off."""
        raise NotImplementedError

    @property
    def columns(self) -> int:
        """How wide a list may be."""
        return LIST_COLUMNS

    @property
    def can_pick(self) -> bool:
        """Whether a list can be shown to pick from."""
        return False

    def pick(self, source: Source) -> Entry | None:
        """The conversation that the user picks; None if there is none."""
        return None

    def confirm(self, question: str) -> bool | None:
        """Whether the user agrees; None where nobody can be asked."""
        return None

    def agreed_files(self, several: Several) -> list[str]:
        """The files of a folder or pattern, if the user agrees to send them. Raises UsageError."""
        return several.agreed(self.agrees_to_files or self.confirm(several.question))

    def keys(self) -> str:
        """What the keys of the prompt do; "" where nobody presses any."""
        if not self.has_keys:
            return tr(
                "Enter sends; behind a backslash it makes a new line; Ctrl-C stops a reply; Ctrl-Z "
                "suspends; Ctrl-D leaves."
            )
        return tr(
            "Enter sends; Alt-Enter or Ctrl-J makes a new line; Ctrl-C stops a reply; Tab "
            "completes. Ctrl-R searches earlier texts; Ctrl-X Ctrl-E opens the editor; Ctrl-O "
            "shows a paste or the last reasoning; Ctrl-T makes a paste count as typed; Ctrl-G "
            "picks another chat; Ctrl-Z suspends; Ctrl-D leaves."
        )

    def edit(self, text: str) -> str:
        """Let the user change a text in an editor."""
        raise UsageError(tr("only a terminal has an editor"), tr("start glm chat on a terminal"))

    def copy(self, text: str) -> None:
        """Put a text into the clipboard."""
        raise UsageError(tr("only a terminal has a clipboard"), tr("start glm chat on a terminal"))

    def check_kept(self) -> None:
        """Raise UsageError if a conversation would be left that is not saved; once for each end."""
        last, journal = self._last(), self.session.journal
        if last is self._told_unsaved or self.is_kept():
            return
        journal.save_again(self.session.conversation)
        if not (why := journal.problem):
            return
        self._told_unsaved = last
        raise UsageError(
            tr("the last turns are not saved: {problem}", problem=why),
            tr("/save FILE writes all of them there; the same again leaves without them"),
        )

    def keep(self) -> None:
        """Remember that the whole conversation is in a file."""
        self._kept = self._last()

    def is_kept(self) -> bool:
        """Whether there is nothing in the conversation that is in no file of the user's."""
        return self._last() is self._kept

    def _last(self) -> Message | None:
        messages = self.session.conversation.messages
        return messages[-1] if messages else None

    def use(self, engine: Engine, model: str) -> None:
        """Go on with another engine; the old one is closed."""
        self.session.use(engine, model)


def is_users_own(settings: Settings) -> bool:
    """Whether the key may go to the address: not if only the folder's `.env` names that."""
    sources = settings.sources
    return sources.get("base_url") != DOTENV or sources.get("api_key") == DOTENV


Action = Callable[[Chat, str], str]
Completions = Callable[[Chat, str], Iterable[tuple[str, str]]]


@dataclass(frozen=True, slots=True)
class Command:
    """One entry of the table."""

    name: str
    usage: str
    run: Action
    words: Completions
    """Words that may follow it, each with an explanation, given the text typed so far."""

    @property
    def help(self) -> str:
        """Its help line, in the user's language."""
        return tr((self.run.__doc__ or "").strip().split("\n")[0])


COMMANDS: dict[str, Command] = {}
EVERYTHING = ("last", "all", "list")
"""Words for conversations that /history shows without them."""


def command(usage: str = "", *, words: Completions | None = None) -> Callable[[Action], Action]:
    """Put a function into the table; without `words` its usage says them, as in "[on|off]"."""
    choices = usage.strip("[]").split("|") if usage.islower() else []

    def register(function: Action) -> Action:
        name = function.__name__.rstrip("_")
        known = words or (lambda chat, typed: [(choice, "") for choice in choices])
        COMMANDS[name] = Command(name, usage, function, known)
        return function

    return register


def is_built_in(name: str) -> bool:
    """Whether a name is that of the built-in model."""
    return name == BUILT_IN_MODEL


def columns(rows: Sequence[tuple[str, str]], *, gap: int = 2) -> str:
    """Lines with two columns; the second one begins `gap` cells behind the longest first."""
    width = max((wcwidth.width(first) for first, _ in rows), default=0) + gap
    return "\n".join(
        f"{first}{' ' * (width - wcwidth.width(first))}{second}".rstrip() for first, second in rows
    )
