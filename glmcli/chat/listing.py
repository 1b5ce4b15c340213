"""The conversations of a history as a list to pick from, in a chat or before one.

Knows nothing of how the list is shown.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from glmcli.language import ntr, tr
from glmcli.store import KEPT_DAYS, Hit, Store, Summary
from glmcli.types import ConversationKind, Message

FOUND = 50
"""How many conversations a search finds."""


class HistoryList:
    """A `Source` of the picker: all stored conversations, but the one that is open."""

    def __init__(self, store: Store, kind: ConversationKind, *, but: str = "") -> None:
        """`kind` is shown at first. Raises StoreError."""
        self._store = store
        self.kind: ConversationKind = kind
        self.entries: Sequence[Summary] = [each for each in store.list(None) if each.id != but]
        self.deleted: list[str] = []
        """The ids of those that were deleted from here."""
        self._open: list[str] = []
        """Of these, those that are open elsewhere."""

    def first_words(self, name: str) -> str:
        """See `Source`."""
        return self._store.first_words(name)

    def last_words(self, name: str) -> Sequence[Message]:
        """See `Source`."""
        return self._store.last_words(name)

    def search(self, words: str) -> Mapping[str, str]:
        """See `Source`."""
        return {hit.conversation.id: found_line(hit) for hit in self._store.search(words, FOUND)}

    def delete(self, name: str) -> str:
        """See `Source`."""
        self._store.delete(name)
        self.deleted.append(name)
        if self._store.is_elsewhere(name):
            self._open.append(name)
            return tr("deleted, and still open in another terminal")
        return tr("deleted: glm history undelete {id} brings it back", id=name)

    @property
    def farewell(self) -> str:
        """How to take back what was deleted from here; "" if nothing was."""
        said = [undeletable(self.deleted) if self.deleted else "", open_elsewhere(self._open)]
        return tr("; ").join(filter(None, said))


def found_line(hit: Hit) -> str:
    """What was found, from its first word on: there is not much room in a list."""
    start = hit.spans[0][0] if hit.spans else 0
    return f"{'…' if start else ''}{hit.excerpt[start:]}"


def open_elsewhere(names: Sequence[str]) -> str:
    """What becomes of deleted chats that are open elsewhere; "" if there is none."""
    return (
        ntr(
            "{ids} is open in another terminal: if it goes on there, it is stored again",
            "{ids} are open in other terminals: those that go on there are stored again",
            len(names),
            ids=" ".join(names),
        )
        if names
        else ""
    )


def undeletable(names: Sequence[str]) -> str:
    """How deletions can be taken back, and made final."""
    return tr(
        "glm history undelete {ids} takes that back for {n} days, then the text goes too; "
        "delete --purge {ids} removes it at once",
        ids=" ".join(names),
        n=KEPT_DAYS,
    )
