"""The history as one chat keeps it: what cannot be saved is remembered and told, and stops nothing.

Knows nothing of engines, or of how replies are shown.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from glmcli.errors import StoreError
from glmcli.language import tr
from glmcli.store import Store
from glmcli.types import Conversation, GenerationParams, Message

_T = TypeVar("_T")


class Journal:
    """Writes turns to a store. Raises nothing."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._turn: int | None = None
        """The store's number for the turn that was begun; None if it was not stored."""
        self._failure: StoreError | None = None
        self._has_told_failure = False

    @property
    def is_saved(self) -> bool:
        """Whether the last change was saved."""
        return self._store.enabled and self._failure is None

    @property
    def problem(self) -> str:
        """Why the last change was not saved; "" if it was, or if nothing is to be."""
        return self._failure.message if self._failure else ""

    def forget(self) -> None:
        """Begin with another conversation, of which nothing is unsaved."""
        self._turn = self._failure = None

    def begin(
        self, conversation: Conversation, asked: Message, *, params: GenerationParams, model: str
    ) -> None:
        """Store a question: a turn begins."""
        self._turn = self.attempt(
            lambda: self._store.begin(conversation, asked, params=params, model=model)
        )

    def keep(self, text: str, thinking: str) -> bool:
        """Store the reply so far; False if another process is writing, so that it can wait."""
        turn = self._turn
        return turn is None or (
            self.attempt(lambda: self._store.progress(turn, text, thinking)) is not False
        )

    def complete(self, reply: Message) -> None:
        """Store a reply that has ended, one way or another."""
        turn = self._turn
        if turn is not None:
            self.attempt(lambda: self._store.complete(turn, reply))

    def give_up(self, conversation: Conversation) -> None:
        """Forget a turn to which nothing was added: the branch ends like this already."""
        turn = self._turn
        if turn is not None:
            self.attempt(lambda: self._store.give_up(turn, conversation))

    def attempt(self, action: Callable[[], _T]) -> _T | None:
        """Change the store; None if that failed."""
        try:
            result = action()
        except StoreError as exc:
            self._failure, self._has_told_failure = exc, False
            return None
        self._failure = None
        return result

    def save_again(self, conversation: Conversation) -> None:
        """Store what could not be stored; this waits longer, for no other turn may come."""
        if self._failure is not None:
            self.attempt(lambda: self._store.save(conversation))

    def news(self) -> list[str]:
        """Messages for the user about the store, since the last call."""
        news = []
        if notice := self._store.take_notice():
            news.append(notice)
        if self._failure is not None and not self._has_told_failure:
            news.append(tr("not saved: {problem}", problem=self._failure.message))
        self._has_told_failure = True
        return news
