"""Conversations and messages as rows of the tables: writing them, reading them back.

All functions work inside a transaction of their caller's and know nothing of files or processes.
"""

from __future__ import annotations

import json
import re
import sqlite3
import time
from collections.abc import Container, Sequence
from dataclasses import asdict
from itertools import takewhile
from typing import Any, TypeVar, get_args

from glmcli.conversation.messages import value_of
from glmcli.conversation.reasoning import split_reasoning
from glmcli.conversation.transcript import params_record
from glmcli.errors import UsageError
from glmcli.files import json_text
from glmcli.store.claims import ID_LETTERS
from glmcli.store.tables import (
    BrokenTree,
    from_sql,
    index_text,
    moment_of,
    role_of,
    to_sql,
    unindex_text,
)
from glmcli.types import (
    Conversation,
    FinishReason,
    GenerationParams,
    Message,
    Omission,
    Usage,
    is_answer,
)

Record = TypeVar("Record", GenerationParams, Usage)
TITLE_COLUMNS = 60
MESSAGE = (
    "role, text, thinking, name, tools,"
    " CASE WHEN pending THEN 'interrupted' ELSE finish_reason END, usage, created_at"
)
"""The columns that `read_message` reads."""
ID_LENGTH = 8
ID = re.compile(f"[{ID_LETTERS}]{{{ID_LENGTH}}}")


def add_missing(
    db: sqlite3.Connection,
    conversation: Conversation,
    *,
    unfinished: Container[int],
    question: str = "",
) -> list[int]:
    """Store the conversation and its messages that are not stored yet; returns the ids of all.

    `question` comes after them; `unfinished` are replies whose completion failed.
    """
    messages = conversation.messages
    if not ID.fullmatch(conversation.id):  # a new one, or one that was imported
        conversation.id = new_id(db)
    known = db.execute("SELECT 1 FROM conversation WHERE id = ?", (conversation.id,)).fetchone()
    stored = {
        row[0]
        for row in db.execute(
            "SELECT id FROM message WHERE conversation_id = ?", (conversation.id,)
        )
    }
    ids = list(takewhile(stored.__contains__, conversation.ids[: len(messages)]))
    if not known:
        add_conversation(db, conversation, question)
    for message_id, message in zip(ids, messages, strict=False):
        if message_id in unfinished:
            finish(db, message_id, message)
    for message in messages[len(ids) :]:
        ids.append(find_or_add(db, conversation, ids, message))
    if not known:
        add_others(db, conversation, ids)
    return ids


def add_others(db: sqlite3.Connection, conversation: Conversation, ids: Sequence[int]) -> None:
    """Store the messages on other branches that are not stored yet; `ids` are those of its own."""
    others: list[int] = []
    for at, message in conversation.others:
        parent = [ids[at - 1]] if at > 0 else [others[-at - 1]] if at else []
        others.append(find_or_add(db, conversation, parent, message))


def add_conversation(db: sqlite3.Connection, conversation: Conversation, question: str) -> None:
    """Insert the row of a conversation; `update_conversation` fills it."""
    beginning = title_of(first_text(conversation) or question)
    conversation.title = conversation.title or beginning
    db.execute(
        "INSERT INTO conversation VALUES (?, ?, '', '', '{}', NULL, 0, NULL, ?, 0, 0, '', NULL)",
        (conversation.id, to_sql(conversation.title), conversation.title != beginning),
    )


def is_deleted(db: sqlite3.Connection, conversation_id: str) -> bool:
    """Whether a conversation that was stored is in the history no more."""
    found = db.execute("SELECT deleted_at FROM conversation WHERE id = ?", (conversation_id,))
    return bool(found.fetchone() != (None,))


def update_conversation(
    db: sqlite3.Connection,
    conversation: Conversation,
    ids: Sequence[int],
    *,
    asking: bool = False,
    is_new: bool = True,
    updated: float | None = None,
) -> None:
    """Bring the row of a conversation up to date; the last of `ids` is where it is at.

    `asking` says that one more question follows its messages; one that is not `is_new` goes on with
    the model and the settings that answered last, see `finish`, if this one does not answer.
    `updated` is when it was written to, None for now. One that was deleted meanwhile is back.
    """
    conversation.updated = time.time() if updated is None else updated
    turns = asking + sum(message.role == "user" for message in conversation.messages)
    usages = [message.usage for message in conversation.messages if message.usage]
    db.execute(
        "UPDATE conversation SET system = ?, has_system = ?, head = ?, turns = ?, tokens = ?,"
        " updated_at = ?, kind = ?, deleted_at = NULL WHERE id = ?",
        (
            to_sql(conversation.system or ""),
            conversation.system is not None,
            ids[-1] if ids else None,
            turns,
            usages[-1].total_tokens if usages else None,
            conversation.updated,
            conversation.kind,
            conversation.id,
        ),
    )
    if is_new or not asking:
        db.execute(
            "UPDATE conversation SET model = ?, params = ? WHERE id = ?",
            (
                to_sql(conversation.model),
                json.dumps(params_record(conversation.params)),
                conversation.id,
            ),
        )
    if conversation.omitted is not None:
        keep_summary(db, ids, conversation.omitted)


def keep_summary(db: sqlite3.Connection, ids: Sequence[int], omitted: Omission) -> None:
    """Store what stands for the first messages, of which `ids` are the rows, if anything does."""
    if omitted.summary and len(ids) >= omitted.messages:
        db.execute(
            "INSERT INTO summary VALUES (?, ?, ?) ON CONFLICT (message_id)"
            " DO UPDATE SET text = excluded.text, created_at = excluded.created_at"
            " WHERE text <> excluded.text",
            (ids[omitted.messages - 1], to_sql(omitted.summary), time.time()),
        )


def find_summary(db: sqlite3.Connection, name: str, ids: Sequence[int]) -> Omission | None:
    """The summary that stands for the most of the messages `ids` of a conversation."""
    rows = db.execute(
        "SELECT message_id, summary.text FROM message JOIN summary ON message_id = message.id"
        " WHERE conversation_id = ?",
        (name,),
    )
    places = {row_id: at for at, row_id in enumerate(ids, 1)}
    found = [(places[row_id], from_sql(text)) for row_id, text in rows if row_id in places]
    return Omission(*max(found)) if found else None


def forget_summaries(db: sqlite3.Connection, ids: Sequence[int]) -> None:
    """Delete the summaries that stand for beginnings of the messages `ids`."""
    db.executemany("DELETE FROM summary WHERE message_id = ?", [(each,) for each in ids])


def find_or_add(
    db: sqlite3.Connection, conversation: Conversation, ids: Sequence[int], message: Message
) -> int:
    """The row of `message` after the last of `ids`; an equal one there is not stored twice."""
    parent = ids[-1] if ids else None
    found = db.execute(
        "SELECT id FROM message WHERE conversation_id = ? AND parent_id IS ? AND pending = 0"
        " AND (role, text, thinking, name, tools) = (?, ?, ?, ?, ?)"
        " AND finish_reason IS ? AND usage IS ?",
        (conversation.id, parent, *columns_of(message)),
    ).fetchone()
    return found[0] if found else add(db, conversation, ids, message)


def add(
    db: sqlite3.Connection,
    conversation: Conversation,
    ids: Sequence[int],
    message: Message,
    *,
    pending: bool = False,
) -> int:
    """Insert a message after the last of `ids`; returns its id."""
    answer = message.role == "assistant"
    cursor = db.execute(
        "INSERT INTO message (conversation_id, parent_id, role, text, thinking, name, tools,"
        " finish_reason, usage, model, params, pending, created_at)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            conversation.id,
            ids[-1] if ids else None,
            *columns_of(message),
            to_sql(conversation.model if answer else ""),
            json.dumps(params_record(conversation.params) if answer else {}),
            pending,
            time.time() if message.created is None else message.created,
        ),
    )
    added = cursor.lastrowid
    assert added is not None
    if not pending:
        index_text(db, added, message.text)
    return added


def finish(db: sqlite3.Connection, reply_id: int, reply: Message) -> None:
    """Put a whole reply in the place of the growing one; nothing if it was deleted meanwhile."""
    row = db.execute("SELECT pending, text FROM message WHERE id = ?", (reply_id,)).fetchone()
    if row is None:
        return
    if not row[0]:
        unindex_text(db, reply_id, from_sql(row[1]))
    db.execute(
        "UPDATE message SET pending = 0, (role, text, thinking, name, tools) = (?, ?, ?, ?, ?),"
        " finish_reason = ?, usage = ? WHERE id = ?",
        (*columns_of(reply), reply_id),
    )
    index_text(db, reply_id, reply.text)
    tokens = reply.usage.total_tokens if reply.usage else None
    db.execute(
        "UPDATE conversation SET updated_at = ?, tokens = coalesce(?, tokens) WHERE head = ?"
        " AND id = (SELECT conversation_id FROM message WHERE id = ?)",
        (time.time(), tokens, reply_id, reply_id),
    )
    if is_answer(reply):
        keep_settings(db, reply_id)


def keep_settings(db: sqlite3.Connection, reply_id: int) -> None:
    """Let a conversation that is at a reply go on with what made it: the model and its settings."""
    db.execute(
        "UPDATE conversation SET (model, params) = (SELECT model, params FROM message WHERE id = ?)"
        " WHERE head = ? AND id = (SELECT conversation_id FROM message WHERE id = ?)",
        (reply_id, reply_id, reply_id),
    )


def remove_conversation(db: sqlite3.Connection, name: str) -> None:
    """Delete a conversation and all its messages."""
    rows = db.execute(
        "SELECT id, text FROM message WHERE conversation_id = ? AND pending = 0", (name,)
    )
    for message_id, text in rows.fetchall():
        unindex_text(db, message_id, from_sql(text))
    db.execute("DELETE FROM conversation WHERE id = ?", (name,))


def remove_leaves(db: sqlite3.Connection, ids: Sequence[int]) -> None:
    """Delete messages, the last one first, as far as none follows that is not among them."""
    for message_id in reversed(ids):
        row = db.execute(
            "SELECT text FROM message WHERE id = ? AND pending = 0 AND NOT EXISTS"
            " (SELECT 1 FROM message AS next WHERE next.parent_id = message.id)",
            (message_id,),
        ).fetchone()
        if row is None:
            return
        unindex_text(db, message_id, from_sql(row[0]))
        db.execute("DELETE FROM message WHERE id = ?", (message_id,))


def branch(db: sqlite3.Connection, head: int | None) -> tuple[list[int], list[Message]]:
    """The messages from the first to `head`, and their ids. Raises BrokenTree."""
    rows = db.execute(
        "WITH RECURSIVE branch (id, parent_id, height) AS ("
        "  SELECT id, parent_id, 0 FROM message WHERE id = ?"
        "  UNION ALL SELECT message.id, message.parent_id, height + 1 FROM branch"
        "  JOIN message ON message.id = branch.parent_id AND message.id < branch.id)"
        f" SELECT message.id, message.parent_id, {MESSAGE}"
        " FROM branch JOIN message USING (id) ORDER BY height DESC",
        (head,),
    ).fetchall()
    if rows and rows[0][1] is not None:  # a circle, or a message that is gone
        raise BrokenTree(f"a parent: {rows[0][1]!r:.40}")
    return [row[0] for row in rows], [read_message(row[2:]) for row in rows]


def columns_of(message: Message) -> tuple[str | bytes | None, ...]:
    """role, text, thinking, name, tools, finish_reason, usage as they are stored."""
    texts = (message.role, message.text, message.thinking, message.name, message.tools)
    usage = json_text(asdict(message.usage)) if message.usage else None
    return *map(to_sql, texts), message.finish_reason, usage


def read_message(row: Sequence[Any]) -> Message:
    """Undo `columns_of`, with the date behind them.

    Replies that were stored by older versions may hold their reasoning. Raises BrokenTree.
    """
    text, thinking, name, tools = map(from_sql, row[1:5])
    message = Message(
        role_of(row[0]),
        text,
        thinking=thinking,
        name=name,
        tools=tools,
        finish_reason=reason_of(row[5]),
        usage=(record_of(Usage, row[6]) or Usage()).believed() if row[6] else None,
        created=moment_of(row[7]),
    )
    return split_reasoning(message)


def reason_of(value: object) -> FinishReason | None:
    """Why a reply ended; None if that is unknown."""
    known: tuple[FinishReason, ...] = get_args(FinishReason)
    return next((each for each in known if value == each), None)


def record_of(kind: type[Record], value: object) -> Record | None:
    """Settings or counts from their JSON; None if it cannot be read."""
    try:
        return value_of(kind, json.loads(from_sql(value)))
    except (ValueError, RecursionError, UsageError):
        return None


def new_id(db: sqlite3.Connection) -> str:
    """A short name that no conversation has."""
    import secrets  # it takes a while

    while True:
        name = "".join(secrets.choice(ID_LETTERS) for _ in range(ID_LENGTH))
        if not db.execute("SELECT 1 FROM conversation WHERE id = ?", (name,)).fetchone():
            return name


def first_text(conversation: Conversation) -> str:
    """The text of the first user message; "" if there is none."""
    return next((each.text for each in conversation.messages if each.role == "user"), "")


def title_of(text: str) -> str:
    """The first line with letters in it, at most TITLE_COLUMNS wide on a terminal."""
    line = next((line for line in text.splitlines() if line.strip()), "").strip()
    if line.isascii() and len(line) <= TITLE_COLUMNS:
        return line
    from wcwidth import wcwidth  # it imports a lot

    width = 0
    for at, character in enumerate(line):
        width += max(0, wcwidth(character))
        if width > TITLE_COLUMNS:
            return line[: at - 1].rstrip() + "…"
    return line
