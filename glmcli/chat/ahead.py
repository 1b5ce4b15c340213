"""Work before Enter: when the idle engine reads what the next prompt is certain to begin with.

Knows when, not what: the chat makes messages of a draft, and what is sent decides what was of use.
Runs on the event loop of the editor, so whatever takes time is left to the engine's thread.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from threading import Event
from typing import Protocol

PAUSE_S = 0.3
"""A draft that has not changed for so long is read."""


class Timer(Protocol):
    """A call to come."""

    def cancel(self) -> None:
        """Do not call."""
        ...


def call_later(seconds: float, call: Callable[[], None]) -> Timer:
    """Call on the running event loop."""
    return asyncio.get_running_loop().call_later(seconds, call)


class Ahead:
    """Has one draft at a time read: the empty one is the conversation so far.

    `warm` is given a draft and what calls it off, and must return at once. `grows` says of a draft
    whether what is typed after it comes after it in the prompt too; with files it does not.
    """

    def __init__(
        self,
        warm: Callable[[str, Event], None],
        *,
        grows: Callable[[str], bool],
        later: Callable[[float, Callable[[], None]], Timer] = call_later,
    ) -> None:
        self._warm = warm
        self._grows = grows
        self._later = later
        self._draft = ""
        self._cancel = Event()
        self._timer: Timer | None = None

    def begin(self, draft: str = "") -> None:
        """Have `draft` read now, in place of what is being read; what was read of that stays."""
        self.drop()
        self._draft, self._cancel = draft, Event()
        self._warm(draft, self._cancel)

    def changed(self, draft: str, *, pasted: bool = False) -> None:
        """Have a new draft read after a pause, or now if it was pasted.

        What is being read goes on if the draft only grew, for then it is as certain as before.
        """
        self._wait_no_more()
        if self._is_read(draft):
            return
        if not (draft.startswith(self._draft) and self._grows(self._draft)):
            self._cancel.set()
        if pasted:
            self.begin(draft)
        else:
            self._timer = self._later(PAUSE_S, lambda: self.begin(draft))

    def drop(self) -> None:
        """Let the engine stop: the prompt is sent, or there will be none."""
        self._wait_no_more()
        self._cancel.set()

    def _is_read(self, draft: str) -> bool:
        return draft == self._draft and not self._cancel.is_set()

    def _wait_no_more(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
