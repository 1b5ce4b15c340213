"""Whole conversations: read out of the tables, and those of files taken into them.

Most functions work inside a transaction of their caller's; they know nothing of files or processes.
"""

from __future__ import annotations

import hashlib
import sqlite3
import time
from collections.abc import Callable, Container, Sequence
from contextlib import AbstractContextManager

from glmcli.store.claims import ID_LETTERS
from glmcli.store.results import Summary
from glmcli.store.rows import (
    ID,
    ID_LENGTH,
    MESSAGE,
    add_missing,
    add_others,
    branch,
    columns_of,
    find_summary,
    read_message,
    record_of,
    update_conversation,
)
from glmcli.store.tables import from_sql
from glmcli.types import Conversation, GenerationParams, Message

PORTION_S, PAUSE_S = 0.2, 0.02
"""How long an import keeps other processes from writing at once, and lets them."""


def read_conversation(db: sqlite3.Connection, summary: Summary) -> Conversation | None:
    """A conversation on the branch that it is on; None if it is not there any more.

    One whose end is lost is at its newest message. Raises BrokenTree.
    """
    row = db.execute(
        "SELECT title, system, model, params, has_system, coalesce("
        "  (SELECT id FROM message WHERE id = head AND conversation_id = conversation.id),"
        "  (SELECT max(id) FROM message WHERE conversation_id = conversation.id"
        "   AND head IS NOT NULL))"
        " FROM conversation WHERE id = ?",
        (summary.id,),
    ).fetchone()
    if row is None:
        return None
    ids, messages = branch(db, row[5])
    title, system, model = map(from_sql, row[:3])
    return Conversation(
        id=summary.id,
        system=system if row[4] else None,
        messages=messages,
        title=title,
        model=model,
        params=record_of(GenerationParams, row[3]) or GenerationParams(),
        ids=ids,
        updated=summary.updated_at,
        omitted=find_summary(db, summary.id, ids),
        kind=summary.kind,
    )


def other_messages(db: sqlite3.Connection, conversation: Conversation) -> list[tuple[int, Message]]:
    """The messages of a conversation that are not on its branch, as `Conversation.others`."""
    places = {row_id: at for at, row_id in enumerate(conversation.ids, 1)}
    found: list[tuple[int, Message]] = []
    for row in db.execute(
        f"SELECT id, parent_id, {MESSAGE} FROM message WHERE conversation_id = ? ORDER BY id",
        (conversation.id,),
    ):
        if row[0] not in places:
            found.append((places.get(row[1], 0), read_message(row[2:])))
            places[row[0]] = -len(found)
    return found


def asked_only(db: sqlite3.Connection, names: Sequence[str]) -> Sequence[str]:
    """The questions of conversations, given by their ids, that no other holds; deleted ones too."""
    which = f"conversation_id IN ({', '.join('?' * len(names))})"
    rows = db.execute(
        f"SELECT text FROM message WHERE role = 'user' AND {which}"
        f" EXCEPT SELECT text FROM message WHERE role = 'user' AND NOT {which}",
        (*names, *names),
    )
    return [from_sql(row[0]) for row in rows]


def take_in(
    db: sqlite3.Connection, conversation: Conversation, *, unfinished: Container[int]
) -> list[int] | None:
    """Store a conversation from a file with its date; the ids of its messages.

    Of one that is stored only what is missing: branches, and that it was not deleted; None if
    nothing is.
    """
    updated, changes = conversation.updated, db.total_changes
    if is_stored(db, conversation):
        db.execute(
            "UPDATE conversation SET deleted_at = NULL WHERE id = ? AND deleted_at IS NOT NULL",
            (conversation.id,),
        )
        ids = add_missing(db, conversation, unfinished=unfinished)
        add_others(db, conversation, ids)
        return ids if db.total_changes > changes else None
    ids = add_missing(db, conversation, unfinished=unfinished)
    update_conversation(db, conversation, ids, updated=updated)
    return ids


def in_portions(
    changing: Callable[[], AbstractContextManager[sqlite3.Connection]],
    conversations: Sequence[Conversation],
    unfinished: Container[int],
) -> list[tuple[Conversation, list[int]]]:
    """`take_in` for many, in transactions so short that other processes can write in between.

    Returns those of which something was not there, with the ids of their messages.
    """
    added: list[tuple[Conversation, list[int]]] = []
    waiting = list(reversed(conversations))
    while waiting:
        with changing() as db:
            until = time.monotonic() + PORTION_S
            while waiting:
                each = waiting.pop()
                ids = take_in(db, each, unfinished=unfinished)
                added += [] if ids is None else [(each, ids)]
                if time.monotonic() >= until:
                    break
        time.sleep(PAUSE_S if waiting else 0.0)
    return added


def is_stored(db: sqlite3.Connection, conversation: Conversation) -> bool:
    """Whether a conversation from a file is stored, where it may have gone on since.

    It gets the id of that. If not it gets one that is free: its own, or else one that its content
    alone decides, so that the same file is known again.
    """
    for name in (conversation.id, content_id(conversation)):
        if not ID.fullmatch(name):
            continue
        row = db.execute(
            "SELECT system, has_system, head FROM conversation WHERE id = ?", (name,)
        ).fetchone()
        if row is None:
            conversation.id = name
            return False
        messages = branch(db, row[2])[1]
        system = from_sql(row[0]) if row[1] else None
        begins = messages[: len(conversation.messages)] == conversation.messages
        if begins and system == conversation.system:
            conversation.id = name
            return True
    conversation.id = ""
    return False


def content_id(conversation: Conversation) -> str:
    """An id that conversations with other messages have hardly ever."""
    digest = hashlib.sha256(f"({conversation.system!r}, [".encode("utf-8", "replace"))
    for n, message in enumerate(conversation.messages):  # one at a time: they may be large
        digest.update(f"{', ' if n else ''}{columns_of(message)!r}".encode("utf-8", "replace"))
    digest.update(b"])")
    return "".join(ID_LETTERS[byte % len(ID_LETTERS)] for byte in digest.digest()[:ID_LENGTH])
