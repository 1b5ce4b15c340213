"""What the history says of conversations: lines of a list, hits of a search, trees of messages."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, get_args

from glmcli.conversation.reasoning import split_reasoning
from glmcli.errors import UsageError
from glmcli.harmless import quoted
from glmcli.language import tr
from glmcli.store.claims import ID_LETTERS
from glmcli.store.rows import reason_of
from glmcli.store.search import match_expressions, matches
from glmcli.store.tables import from_sql, moment_of, name_of, parent_of, role_of, to_sql
from glmcli.types import Conversation, ConversationKind, FinishReason, Message, Role, as_count

SUMMARY = (
    "conversation.id, conversation.title, conversation.model, conversation.turns,"
    " conversation.tokens, conversation.updated_at, conversation.kind"
)
NEWEST = ("last", "latest", "newest", "recent")
"""What is typed for the id of the newest conversation."""
LISTED = (
    "conversation.deleted_at IS NULL AND"
    " (EXISTS (SELECT 1 FROM message WHERE conversation_id = conversation.id AND role = 'assistant'"
    " AND ((pending = 0 AND coalesce(finish_reason, '') NOT IN ('cancelled', 'interrupted'))"
    " OR text <> '' OR thinking <> ''))"  # last, since a text may be large
    " OR (EXISTS (SELECT 1 FROM message WHERE conversation_id = conversation.id)"
    " AND NOT EXISTS (SELECT 1 FROM message WHERE conversation_id = conversation.id"
    " AND role = 'assistant')))"
)
"""What no model answered, or has no message, is neither listed nor the last; what was imported was
not asked."""
LEAST_LETTERS = 4
"""Of an id that is named: fewer are too easily those of another conversation."""
SHOWN_CANDIDATES, SHOWN_TITLE = 3, 30
MOST_COMPARED = 1_000
"""Conversations whose ids are compared with one that there is not."""
FIRST_BYTES, LAST_BYTES = 400, 2_000
"""Of a text that a list, or a glance at one conversation, shows the beginning of."""


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
    """Seconds since 1970; 0 if unknown."""
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
        " AND deleted_at IS NULL"
        " ORDER BY updated_at DESC"
    ):
        if matches(from_sql(row[-1]), query):
            yield row
    for words in expressions:
        yield from db.execute(
            f"SELECT {SUMMARY}, message.id, message.role, message.text FROM word"
            " CROSS JOIN message ON message.id = word.rowid"
            " CROSS JOIN conversation ON conversation.id = message.conversation_id"
            " WHERE word MATCH ? AND deleted_at IS NULL ORDER BY word.rowid DESC",
            (words,),
        )


def listed(
    db: sqlite3.Connection, limit: int | None, kind: ConversationKind = ""
) -> Sequence[Summary]:
    """The conversations, or those of a kind, the newest first."""
    which = f"{LISTED} AND kind IN ('', '{kind}')" if kind else LISTED
    rows = db.execute(
        f"SELECT {SUMMARY} FROM conversation WHERE {which} ORDER BY updated_at DESC LIMIT ?",
        (-1 if limit is None else limit,),
    )
    return [summary_of(row) for row in rows]


def find_named(db: sqlite3.Connection, name: str, *, deleted: bool = False) -> Summary:
    """The one conversation, or deleted one, whose id begins with `name`. Raises UsageError."""
    start = name.strip().lower()
    if not start or not set(start) <= set(ID_LETTERS):
        raise no_such(name, deleted=deleted, meant=near_id(db, name, deleted=deleted))
    rows = db.execute(
        f"SELECT {SUMMARY}, deleted_at IS NOT NULL AS gone FROM conversation"
        " WHERE id >= ? AND id < ? ORDER BY gone <> ?, updated_at DESC LIMIT ?",
        (start, f"{start}~", deleted, SHOWN_CANDIDATES + 1),
    ).fetchall()
    found = [summary_of(row) for row in rows if row[-1] == deleted]
    if not found and rows and not deleted and len(start) >= LEAST_LETTERS:
        back = tr("glm history undelete {id} brings it back", id=rows[0][0])
        raise UsageError(tr("the conversation {id} was deleted", id=rows[0][0]), back)
    if not found and rows and deleted and len(start) >= LEAST_LETTERS:
        shows = tr("glm history show {id} shows it", id=rows[0][0])
        raise UsageError(tr("the conversation {id} is not deleted", id=rows[0][0]), shows)
    if not found:
        raise no_such(name, deleted=deleted, meant=near_id(db, name, deleted=deleted))
    if len(start) >= LEAST_LETTERS and len(found) == 1:
        return found[0]
    line = tr("more than one conversation begins with {name!r}", name=name)
    if len(start) < LEAST_LETTERS:
        line = tr(
            "{name!r} is too short: type {n} letters of an id at least", name=name, n=LEAST_LETTERS
        )
    shown = [f"{each.id} {quoted(short_title(each.title))}" for each in found[:SHOWN_CANDIDATES]]
    more = ["..."] if len(found) > SHOWN_CANDIDATES else []
    raise UsageError(line, tr("is it one of these: {ids}", ids=", ".join([*shown, *more])))


def short_title(title: str) -> str:
    """A title, short enough to stand beside others."""
    return title if len(title) <= SHOWN_TITLE else f"{title[: SHOWN_TITLE - 1].rstrip()}…"


def nodes(db: sqlite3.Connection, conversation: Conversation) -> Sequence[Node]:
    """All messages of a conversation, on whatever branch, oldest first."""
    current = set(conversation.ids)
    rows = db.execute(
        "SELECT id, parent_id, role, text,"
        " CASE WHEN pending THEN 'interrupted' ELSE finish_reason END"
        " FROM message WHERE conversation_id = ? ORDER BY id",
        (conversation.id,),
    )
    return [
        Node(
            row[0],
            parent_of(row[1], row[0]),
            role_of(row[2]),
            split_reasoning(Message(role_of(row[2]), from_sql(row[3]))).text,
            reason_of(row[4]),
            row[0] in current,
        )
        for row in rows
    ]


def first_beginning(db: sqlite3.Connection, name: str) -> str:
    """The beginning of the first question of a conversation; "" if there is none."""
    row = db.execute(
        "SELECT id FROM message WHERE conversation_id = ? AND parent_id IS NULL AND role = 'user'"
        " ORDER BY id LIMIT 1",
        (name,),
    ).fetchone()
    return beginning(db, row[0], FIRST_BYTES) if row else ""


def last_beginnings(db: sqlite3.Connection, name: str) -> Sequence[Message]:
    """The beginnings of the last two messages of a conversation, on the branch that it is on."""
    rows = db.execute(
        "WITH RECURSIVE branch (id, parent_id, role, height) AS ("
        "  SELECT message.id, parent_id, role, 0 FROM conversation"
        "  JOIN message ON message.id = head WHERE conversation.id = ?"
        "  UNION ALL SELECT message.id, message.parent_id, message.role, height + 1"
        "  FROM branch JOIN message ON message.id = branch.parent_id WHERE height = 0)"
        " SELECT id, role FROM branch ORDER BY height DESC",
        (name,),
    ).fetchall()
    return [
        split_reasoning(Message(role_of(role), beginning(db, row_id, LAST_BYTES)))
        for row_id, role in rows
    ]


def beginning(db: sqlite3.Connection, message_id: int, most: int) -> str:
    """The first `most` bytes of a message's text. No more of it is read, however long it is."""
    found = db.execute("SELECT typeof(text) FROM message WHERE id = ?", (message_id,)).fetchone()
    if found not in (("text",), ("blob",)):  # it is damaged, and no text
        return ""
    with db.blobopen("message", "text", message_id, readonly=True) as text:
        return text.read(most).decode("utf-8", "ignore")


def end_of(db: sqlite3.Connection, conversation: Conversation, message_id: int) -> int:
    """The message of a conversation, or the newest reply to this question. Raises UsageError."""
    row = db.execute(
        "SELECT coalesce(max(reply.id), message.id) FROM message LEFT JOIN message reply"
        " ON reply.conversation_id = message.conversation_id"
        " AND reply.parent_id = message.id AND message.role = 'user'"
        " WHERE message.id = ? AND message.conversation_id = ? GROUP BY message.id",
        (message_id, conversation.id),
    ).fetchone()
    if row is None:
        line = tr("there is no message {id}", id=message_id)
        raise UsageError(line, in_chat=tr("/tree shows them all"))
    return int(row[0])


def near_id(db: sqlite3.Connection, name: str, *, deleted: bool) -> str:
    """The id of the one conversation of this title, the newest for the word `last`, or the one that
    a slip is near; "" if none.
    """
    from difflib import get_close_matches

    gone = "IS NOT NULL" if deleted else "IS NULL"
    if name.lower().lstrip("-@") in NEWEST:
        order = "deleted_at" if deleted else "updated_at"
        newest = db.execute(
            f"SELECT id FROM conversation WHERE {'deleted_at IS NOT NULL' if deleted else LISTED}"
            f" ORDER BY {order} DESC LIMIT 1"
        ).fetchone()
        return str(newest[0]) if newest else ""
    titled = db.execute(
        f"SELECT id FROM conversation WHERE title = ? AND deleted_at {gone} LIMIT 2",
        (to_sql(name),),
    ).fetchall()
    if titled:
        return str(titled[0][0]) if len(titled) == 1 else ""
    newest = db.execute(
        f"SELECT id FROM conversation WHERE deleted_at {gone} ORDER BY updated_at DESC LIMIT ?",
        (MOST_COMPARED,),
    )
    near = get_close_matches(name.lower(), [str(row[0]) for row in newest], n=2, cutoff=0.8)
    return near[0] if len(near) == 1 else ""


def no_such(name: str, *, deleted: bool = False, meant: str = "") -> UsageError:
    """The error for an id that is wrong; `deleted` where one of those was `meant`, if known."""
    word = (name, meant) if meant else None
    if deleted:
        line = tr("there is no deleted conversation {name!r}", name=name)
        hint = "" if meant else tr("glm history undelete lists them with their ids")
        return UsageError(line, hint, meant=word)
    return UsageError(
        tr("there is no conversation {name!r}", name=name),
        "" if meant else tr("glm history list shows them with their ids"),
        in_chat="" if meant else tr("/history lists them with their ids"),
        meant=word,
    )


def summary_of(row: Sequence[Any]) -> Summary:
    """A row of SUMMARY. Raises BrokenTree."""
    kinds: tuple[ConversationKind, ...] = get_args(ConversationKind)
    return Summary(
        id=name_of(row[0]),
        title=from_sql(row[1]),
        model=from_sql(row[2]),
        turns=as_count(row[3]) or 0,
        tokens=as_count(row[4]),
        updated_at=moment_of(row[5]) or 0.0,
        kind=next((kind for kind in kinds if row[6] == kind), ""),
    )
