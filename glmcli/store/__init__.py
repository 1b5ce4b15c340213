"""The history: conversations in an SQLite database, journaled as they happen, and searched.

A message is a row that names its parent, so that the branches of a conversation share their
beginning and nothing is ever overwritten. Knows nothing of engines or terminals.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from glmcli.errors import StoreError
from glmcli.language import tr
from glmcli.store.claims import Claims
from glmcli.store.database import Busy, Database
from glmcli.store.deleted import KEPT_DAYS, deleted, mark_deleted, purge, purge_old, restore
from glmcli.store.recovery import read_again, recover
from glmcli.store.results import (
    Hit,
    Node,
    Summary,
    candidates,
    end_of,
    find_named,
    first_beginning,
    last_beginnings,
    listed,
    no_such,
    nodes,
    summary_of,
)
from glmcli.store.rows import (
    add,
    add_missing,
    branch,
    find_or_add,
    find_summary,
    finish,
    first_text,
    forget_summaries,
    is_deleted,
    keep_summary,
    remove_leaves,
    title_of,
    update_conversation,
)
from glmcli.store.search import excerpt
from glmcli.store.tables import from_sql, role_of, to_sql
from glmcli.store.whole import asked_only, in_portions, other_messages, read_conversation
from glmcli.types import Conversation, ConversationKind, GenerationParams, Message, as_count

__all__ = ["KEPT_DAYS", "Hit", "Node", "Store", "Summary", "open_store"]

FILE = "history.db"
TURN_WAIT_S = 0.5
"""A person who chats does not wait longer for another process; the rest is stored later."""


def open_store(home: Path, *, enabled: bool = True) -> Store:
    """Open the history in the folder `home`; it is created with the first message.

    With `enabled` off nothing is ever written, but an old history can be read. A damaged database
    is moved aside, which `Store.notice` tells. Never fails: the first use raises the error.
    """
    store = Store(home / FILE, enabled=enabled)
    if enabled:
        with suppress(StoreError):
            store.recover()
    return store


class Store:
    """The history of all conversations. Several processes may use one at the same time."""

    def __init__(self, path: Path, *, enabled: bool = True, wait_s: float = 5.0) -> None:
        """`wait_s` is how long another process that is writing is waited for."""
        self.path = path
        self.enabled = enabled
        self._database = Database(path, enabled=enabled, wait_s=wait_s)
        self._turn_wait_s = min(wait_s, TURN_WAIT_S)
        self._claims = Claims(path)
        self._broken_off = 0, ""
        """The reply that was found broken off when the history was opened, and its chat."""

    @property
    def notice(self) -> str:
        """A line to show the user, if something had to be repaired; else empty."""
        return self._database.notice

    def take_notice(self) -> str:
        """The notice, for whoever tells it; empty from then on."""
        notice, self._database.notice = self._database.notice, ""
        return notice

    def close(self) -> None:
        """Let go of the database."""
        self._claims.release_all()
        self._database.close()

    # One turn: begin, progress, progress ..., complete.

    def begin(
        self,
        conversation: Conversation,
        question: Message | str,
        *,
        params: GenerationParams,
        model: str,
    ) -> int:
        """Journal a question at once, and an empty reply to it; returns the id of the reply.

        A question is the user's, or a tool's result; `conversation` does not hold it yet. Its
        messages are stored too where they are not. Its `id`, `title`, `model`, `params` and `ids`
        are brought up to date. Raises StoreError.
        """
        asked = Message("user", question) if isinstance(question, str) else question
        text = asked.text
        conversation.model, conversation.params = model, params
        conversation.title = conversation.title or title_of(first_text(conversation) or text)
        if not self.enabled:
            return 0
        reply_id, is_new = 0, not conversation.id
        try:
            with self._database.writing(wait_s=self._turn_wait_s) as db:
                if not is_new and is_deleted(db, conversation.id):
                    self._database.notice = tr(
                        "this chat had been deleted elsewhere: it is stored again"
                    )
                # 1. What came before, if some of it is not stored: the disk may have been full.
                ids = add_missing(db, conversation, unfinished=self._claims, question=text)
                # 2. The question; one that was asked here before is not stored twice.
                ids.append(find_or_add(db, conversation, ids, asked))
                # 3. The reply, empty, and claimed before any other process can see it.
                reply_id = add(db, conversation, ids, Message("assistant", ""), pending=True)
                self._claims.take(reply_id)
                ids.append(reply_id)
                # 4. The conversation ends there now.
                update_conversation(db, conversation, ids, asking=True, is_new=is_new)
        except BaseException:
            self._claims.release(reply_id)
            raise
        # 5. All of it is on the disk: replies before this one are no longer ours to finish.
        self._settle(conversation, ids)
        if conversation.kind == "chat":
            self.occupy(conversation)
        return reply_id

    def progress(self, reply_id: int, text: str, thinking: str) -> bool:
        """Journal a reply that is still growing; False if another process is writing just now."""
        if not self.enabled:
            return True
        with suppress(Busy), self._database.writing(wait_s=0.05) as db:
            row = (to_sql(text), to_sql(thinking), reply_id)
            db.execute(
                "UPDATE message SET text = ?, thinking = ? WHERE id = ? AND pending = 1", row
            )
            return True
        return False

    def complete(self, reply_id: int, reply: Message) -> None:
        """Store a reply that has ended, one way or another. Raises StoreError."""
        if not self.enabled:
            return
        with self._database.writing(wait_s=self._turn_wait_s) as db:
            finish(db, reply_id, reply)
        self._claims.release(reply_id)

    def give_up(self, reply_id: int, conversation: Conversation) -> None:
        """Forget a reply that came to nothing; the branch ends as before. Raises StoreError."""
        if not self.enabled:
            return
        conversation.ids[:] = [each for each in conversation.ids if each != reply_id]
        self.save(conversation)
        with self._database.writing(wait_s=self._turn_wait_s) as db:
            db.execute("DELETE FROM message WHERE id = ? AND pending = 1", (reply_id,))
        self._claims.release(reply_id)

    # Conversations, and moving about in them.

    def save(self, *conversations: Conversation, without: Sequence[int] = ()) -> None:
        """Store the messages that are not stored yet, and where a conversation now ends.

        After its messages were cut short, replaced, loaded or imported. Those that were stored
        before stay, as another branch; none is stored twice. Raises StoreError.
        """
        worth = [each for each in conversations if each.messages or each.id]
        if not self.enabled or not worth:
            return
        stored: list[list[int]] = []
        with self._database.writing() as db:
            for conversation in worth:
                stored.append(add_missing(db, conversation, unfinished=self._claims))
                update_conversation(db, conversation, stored[-1])
            remove_leaves(db, without)
        for conversation, ids in zip(worth, stored, strict=True):
            self._settle(conversation, ids)

    def take_in(self, *conversations: Conversation) -> Sequence[Conversation]:
        """Store conversations from a file, with their dates; what is stored stays as it is.

        In portions, so that other processes can write meanwhile. Returns those of which something
        was not there. Raises StoreError.
        """
        added = in_portions(self._changing, conversations, self._claims)
        for each, ids in added:
            self._settle(each, ids)
        return [each for each, _ in added]

    def rewind(self, conversation: Conversation, keep: int, *, forget: bool = False) -> None:
        """Go back to the first messages; others stay as a branch, or go. Raises StoreError."""
        gone = conversation.ids[keep:] if forget else []
        conversation.cut(keep)
        if conversation.id:
            self.save(conversation, without=gone)
            self._recall(conversation)

    def fork(self, conversation: Conversation) -> Conversation:
        """A copy that goes its own way, so that either can be deleted. Raises StoreError."""
        self.save(copy := replace(conversation, id="", ids=[], messages=[*conversation.messages]))
        return copy

    def load(self, name: str) -> Conversation:
        """The conversation whose id begins with `name`, on the branch that it is on.

        A reply that was never completed comes back as interrupted. Raises UsageError if there is
        no such conversation, or more than one; StoreError.
        """
        summary = self.find(name)
        found = read_again(self._database, lambda db: read_conversation(db, summary))
        if found is None:  # deleted since it was found
            raise no_such(name)
        return found

    def whole(self, conversation: Conversation) -> Conversation:
        """A conversation with the messages of its other branches. Raises StoreError."""
        if not conversation.id:
            return conversation
        others = read_again(self._database, lambda db: other_messages(db, conversation))
        return replace(conversation, others=others)

    def last(self, kind: ConversationKind = "") -> Conversation | None:
        """The conversation, or that of a kind, written to last. Raises StoreError."""
        newest = self.list(1, kind)
        return self.load(newest[0].id) if newest else None

    def tree(self, conversation: Conversation) -> Sequence[Node]:
        """All messages of a conversation, on whatever branch, oldest first. Raises StoreError."""
        return read_again(self._database, lambda db: nodes(db, conversation))

    def goto(self, conversation: Conversation, message_id: int) -> None:
        """Put `conversation` on the branch that ends with a message of its tree.

        A question stands for its newest reply. Raises UsageError, StoreError.
        """
        with self._database.reading() as db:
            ids, messages = branch(db, end_of(db, conversation, message_id))
        conversation.ids[:], conversation.messages[:] = ids, messages
        conversation.omitted = None
        self.save(conversation)
        self._recall(conversation)

    def occupy(self, conversation: Conversation) -> bool:
        """Say that this process is on a conversation; False if another that is alive is too."""
        if not self.enabled or not conversation.id:
            return True
        try:
            return self._claims.occupy(conversation.id)
        except OSError:  # some network disks know no locks, and a folder may be read only
            return True

    def is_elsewhere(self, name: str) -> bool:
        """Whether another process that is alive is on a conversation, given its whole id."""
        return self._claims.is_elsewhere(name)

    def summarise(self, conversation: Conversation) -> None:
        """Store the summary that stands for the first messages, for the branches that hold them.

        Without one, forget those that were made. The messages stay as they are. Raises StoreError.
        """
        if not self.enabled or not conversation.id:
            return
        with self._database.writing() as db:
            if conversation.omitted is None:
                forget_summaries(db, conversation.ids)
            else:
                keep_summary(db, conversation.ids, conversation.omitted)

    def rename(self, name: str, title: str) -> None:
        """Give a conversation another title. Raises UsageError, StoreError."""
        found = self.find(name)
        with self._changing() as db:
            row = (to_sql(title), found.id)
            db.execute("UPDATE conversation SET named = 1, title = ? WHERE id = ?", row)

    def delete(self, *names: str) -> None:
        """Delete conversations with all their branches, which `undelete` takes back until they are
        purged. Raises UsageError, StoreError.
        """
        found = [self.find(name).id for name in names]
        mark_deleted(self._database, found)

    def undelete(self, *names: str) -> None:
        """Bring deleted conversations back as they were. Raises UsageError, StoreError."""
        found = [self.find(name, deleted=True).id for name in names]
        restore(self._database, found)

    def purge(self, *names: str) -> None:
        """Delete conversations for good, deleted or not, by whole ids. Raises StoreError."""
        purge(self._database, names)

    def asked_only(self, *names: str) -> Sequence[str]:
        """The questions that only these conversations hold, by whole ids. Raises StoreError."""
        return read_again(self._database, lambda db: asked_only(db, names))

    def deleted(self) -> Sequence[tuple[Summary, float]]:
        """What can be brought back, and when it was deleted; newest first. Raises StoreError."""
        return read_again(self._database, lambda db: deleted(db))

    # Finding conversations.

    def list(self, limit: int | None = 20, kind: ConversationKind = "") -> Sequence[Summary]:
        """The conversations, or those of a kind, the newest first. Raises StoreError."""
        return read_again(self._database, lambda db: listed(db, limit, kind))

    def first_words(self, name: str) -> str:
        """The beginning of a conversation's first question, given its whole id. Raises
        StoreError.
        """
        return read_again(self._database, lambda db: first_beginning(db, name))

    def last_words(self, name: str) -> Sequence[Message]:
        """The beginnings of the last two messages, given the whole id. Raises StoreError."""
        return read_again(self._database, lambda db: last_beginnings(db, name))

    def find(self, name: str, *, deleted: bool = False) -> Summary:
        """The one conversation, or deleted one, whose id begins with the four letters or more of
        `name`. Raises UsageError, StoreError.
        """
        return read_again(self._database, lambda db: find_named(db, name, deleted=deleted))

    def search(self, query: str, limit: int = 20) -> Sequence[Hit]:
        """The conversations that hold all words of `query`, or "a phrase", in one message.

        One hit for each: titles that people chose, then whole words, then words that only begin so,
        and of each the newest first. In scripts without blanks any characters that stand together
        are found. Raises StoreError.
        """

        def found(db: sqlite3.Connection) -> Sequence[Hit]:
            hits: dict[str, Hit] = {}
            for row in candidates(db, query):
                if len(hits) == limit:
                    break
                if row[0] not in hits:
                    line, spans = excerpt(from_sql(row[-1]), query)
                    hits[row[0]] = Hit(
                        summary_of(row), as_count(row[-3]) or 0, role_of(row[-2]), line, spans
                    )
            return [*hits.values()]

        return read_again(self._database, found)

    # Parts of the above.

    def recover(self) -> None:
        """Mark the replies of processes that died as interrupted, and purge what was deleted long
        ago. Raises StoreError.
        """
        self._broken_off = recover(self._database, self._claims)
        purge_old(self._database)

    def broken_off(self) -> str:
        """The last chat that was found broken off, since its process died; "" once it was told."""
        reply_id, name = self._broken_off
        self._claims.forget(reply_id)
        return name

    def _recall(self, conversation: Conversation) -> None:
        """Bring back the summary of a branch on which the conversation is now."""
        if conversation.omitted is None:
            name, ids = conversation.id, conversation.ids
            conversation.omitted = read_again(
                self._database, lambda db: find_summary(db, name, ids)
            )

    def _settle(self, conversation: Conversation, ids: Sequence[int]) -> None:
        """Note where the messages are, now that they are stored."""
        conversation.ids[:] = ids
        for done in ids[: len(conversation.messages)]:
            self._claims.release(done)

    @contextmanager
    def _changing(self) -> Iterator[sqlite3.Connection]:
        """A transaction that the user asked for, which cannot be left out quietly."""
        self._database.check_enabled()
        with self._database.writing() as db:
            yield db
