"""Stored conversations to be picked from: what is listed of them, what is found, what is picked.

The picker itself is imported when it is opened: it is heavy. Knows nothing of how they are stored.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from glmcli.types import ConversationKind, Message


class Entry(Protocol):
    """A conversation of a list."""

    @property
    def id(self) -> str:
        """Its whole id."""
        ...

    @property
    def title(self) -> str:
        """Its title, as it is stored."""
        ...

    @property
    def model(self) -> str:
        """The model that answered last."""
        ...

    @property
    def turns(self) -> int:
        """How many questions there are."""
        ...

    @property
    def updated_at(self) -> float:
        """When it was written to last, in seconds since 1970."""
        ...

    @property
    def kind(self) -> ConversationKind:
        """A chat or an ask; "" if that is unknown."""
        ...


class Source(Protocol):
    """Where the picker's conversations come from. All methods raise GlmError."""

    @property
    def entries(self) -> Sequence[Entry]:
        """All of them, the newest first."""
        ...

    @property
    def kind(self) -> ConversationKind:
        """Which are shown at first; "" for all."""
        ...

    def first_words(self, name: str) -> str:
        """The beginning of the first question of one, given its id."""
        ...

    def last_words(self, name: str) -> Sequence[Message]:
        """The beginnings of the last messages of one, given its id."""
        ...

    def search(self, words: str) -> Mapping[str, str]:
        """The ids of those that hold all words, the best first, and a line around each find."""
        ...

    def delete(self, name: str) -> str:
        """Delete one, given its id; returns how to take that back."""
        ...
