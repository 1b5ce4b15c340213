"""Work before Enter: the idle engine reads the certain beginning of the next prompt.

Knows when, not what: the chat says how a draft would be sent. Runs on the event loop of the editor,
so work that takes time is left to the engine's thread.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from threading import Event

from glmcli.conversation.attachments import MENTION
from glmcli.engines import state_of
from glmcli.machine import has_power_to_spare
from glmcli.session import Session
from glmcli.types import Message

PAUSE_S = 0.3
"""A draft that has not changed for this long is read."""


def call_later(seconds: float, call: Callable[[], None]) -> Callable[[], None]:
    """Call on the running event loop; returns what calls that off."""
    return asyncio.get_running_loop().call_later(seconds, call).cancel


class Ahead:
    """Has one draft at a time read: the empty one is the conversation so far.

    `warm` is given a draft and the event that calls it off, and must return at once. `grows` says
    of a draft whether text typed after it comes after it in the prompt too; with files it does not.
    """

    def __init__(
        self,
        warm: Callable[[str, Event], None],
        *,
        grows: Callable[[str], bool],
        later: Callable[[float, Callable[[], None]], Callable[[], None]] = call_later,
    ) -> None:
        self._warm = warm
        self._grows = grows
        self._later = later
        self._draft = ""
        self._cancel = Event()
        self._wait_no_more: Callable[[], None] = lambda: None

    def begin(self, draft: str = "") -> None:
        """Have `draft` read now, in place of another, whose read part stays read."""
        self.drop()
        self._draft, self._cancel = draft, Event()
        self._warm(draft, self._cancel)

    def changed(self, draft: str, *, pasted: bool = False) -> None:
        """Have a new draft read after a pause, a paste at once; one that grew is read on."""
        self._wait_no_more()
        if draft == self._draft and not self._cancel.is_set():
            return
        if not (draft.startswith(self._draft) and self._grows(self._draft)):
            self._cancel.set()
        if pasted:
            self.begin(draft)
        else:
            self._wait_no_more = self._later(PAUSE_S, lambda: self.begin(draft))

    def drop(self) -> None:
        """Let the engine stop: the prompt is sent, or there will be none."""
        self._wait_no_more()
        self._cancel.set()


def warm(session: Session, when: str, draft_as_sent: Callable[[], str], cancel: Event) -> None:
    """Let the idle engine read the conversation and a draft; returns at once.

    `when` is the setting `warm`. `draft_as_sent` is called on the engine's thread; "" is no draft.
    """
    if when == "off":
        return
    history = session.conversation.prompt()

    def make() -> tuple[Message, ...] | None:
        if when == "auto" and not has_power_to_spare():
            return None
        text = draft_as_sent()
        return (*history, Message("user", text)) if text else history

    state_of(session.engine).warm_with(make, session.params, cancel)


def grows(draft: str, attached: Sequence[str]) -> bool:
    """Whether text typed after a draft is sent right after it; files come between the two."""
    return not draft or not (attached or MENTION.search(draft))
