"""What the history says of conversations: lines of a list, hits of a search, trees of messages."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from glmcli.errors import UsageError
from glmcli.language import tr
from glmcli.store.search import match_expressions, matches
from glmcli.store.tables import from_sql
from glmcli.types import ConversationKind, FinishReason, Role

SUMMARY = (
    "conversation.id, conversation.title, conversation.model, conversation.turns,"
    " conversation.tokens, conversation.updated_at, conversation.kind"
)
ANSWERED = (
    "(EXISTS (SELECT 1 FROM message WHERE conversation_id = conversation.id AND role = 'assistant'"
    " AND ((pending = 0 AND coalesce(finish_reason, '') NOT IN ('cancelled', 'interrupted'))"
    " OR text <> '' OR thinking <> ''))"  # last, since a text may be large
    " OR NOT EXISTS (SELECT 1 FROM message WHERE conversation_id = conversation.id"
    " AND role = 'assistant'))"
)
"""What no model answered is neither listed nor the last; what was imported was not asked."""


@dataclass(frozen=True, slots=True)
class Summary:
    """A conversation as a list shows it."""

    id: str
    title: str
    model: str
    turns: int
    tokens: int | None
    """The size of the last turn, prompt and reply; None if unknown."""
    updated_at: float
    """Seconds since 1970."""
    kind: ConversationKind


@dataclass(frozen=True, slots=True)
class Hit:
    """A conversation in which a search found something, and where."""

    conversation: Summary
    message_id: int
    role: Role
    excerpt: str
    """One line around the match."""
    spans: tuple[tuple[int, int], ...]
    """The parts of `excerpt` that match, as start and end."""

    def pieces(self) -> list[tuple[str, bool]]:
        """`excerpt` in pieces, each with whether it matches."""
        found, done = [], 0
        for start, end in self.spans:
            found += [(self.excerpt[done:start], False), (self.excerpt[start:end], True)]
            done = end
        return [*found, (self.excerpt[done:], False)]


@dataclass(frozen=True, slots=True)
class Node:
    """A message of a conversation's tree."""

    id: int
    parent_id: int | None
    role: Role
    text: str
    finish_reason: FinishReason | None
    current: bool
    """Whether it is on the branch that the conversation is on now."""


def candidates(db: sqlite3.Connection, query: str) -> Iterator[Sequence[Any]]:
    """SUMMARY, message id, role and text of what a search finds, the best first."""
    expressions = match_expressions(query)
    if not expressions:
        return
    for row in db.execute(
        f"SELECT {SUMMARY}, head, 'user', title FROM conversation WHERE named = 1"
        " ORDER BY updated_at DESC"
    ):
        if matches(from_sql(row[-1]), query):
            yield row
    for words in expressions:
        yield from db.execute(
            f"SELECT {SUMMARY}, message.id, message.role, message.text FROM word"
            " CROSS JOIN message ON message.id = word.rowid"
            " CROSS JOIN conversation ON conversation.id = message.conversation_id"
            " WHERE word MATCH ? ORDER BY word.rowid DESC",
            (words,),
        )


def no_such(name: str) -> UsageError:
    """The error for an id that is wrong."""
    return UsageError(
        tr("there is no conversation {name!r}", name=name),
        tr("glm history list shows them with their ids"),
        in_chat=tr("/history lists them with their ids"),
    )


def summary_of(row: Sequence[Any]) -> Summary:
    """A row of SUMMARY."""
    return Summary(row[0], from_sql(row[1]), from_sql(row[2]), row[3], *row[4:7])
