"""Replies that a process left half written when it died: marked at the next start, told of once.

A claim stays beside the database until a chat has told of it. Knows nothing of conversations that
are in use.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import TypeVar

from glmcli.errors import StoreError
from glmcli.store.claims import Claims
from glmcli.store.database import Database
from glmcli.store.results import LISTED
from glmcli.store.rows import keep_settings
from glmcli.store.tables import from_sql, index_text, name_of

ReadResult = TypeVar("ReadResult")


def read_again(database: Database, work: Callable[[sqlite3.Connection], ReadResult]) -> ReadResult:
    """What `work` finds; looked for once more where damage was met that could be read around.

    Raises StoreError.
    """
    try:
        with database.reading() as db:
            return work(db)
    except StoreError as exc:
        if not (database.is_rescued and exc.message == database.notice):
            raise
    with database.reading() as db:
        return work(db)


def recover(database: Database, claims: Claims) -> tuple[int, str]:
    """Mark the replies of processes that died as interrupted; the one to tell of, and its chat.

    0 and "" if there is none. Raises StoreError.
    """
    with database.reading() as db:
        dead = dead_replies(db, claims)
        is_marked = not pending(db) & dead
    if not is_marked:
        # Reading treats them as interrupted anyway: if writing fails now, nothing is wrong.
        with suppress(StoreError), database.writing() as db:
            for reply_id in dead_replies(db, claims):
                interrupt(db, reply_id)
            is_marked = True
    if not (dead and is_marked):
        return 0, ""
    with database.reading() as db:
        told, chat = newest_broken_off(db, dead)
    for reply_id in dead - {told}:
        claims.forget(reply_id)
    if told:
        claims.leave(told)
    return told, chat


def dead_replies(db: sqlite3.Connection, claims: Claims) -> set[int]:
    """The replies that were begun, or claimed, by processes that have ended."""
    return {reply_id for reply_id in pending(db) | claims.all() if not claims.is_alive(reply_id)}


def pending(db: sqlite3.Connection) -> set[int]:
    """The replies that grow, or that nobody writes any more."""
    return {row[0] for row in db.execute("SELECT id FROM message WHERE pending = 1")}


def interrupt(db: sqlite3.Connection, reply_id: int) -> None:
    """Make a reply that nobody writes any more an ordinary message."""
    rows = db.execute(
        "SELECT text, thinking FROM message WHERE id = ? AND pending = 1", (reply_id,)
    ).fetchall()
    for text, thinking in rows:
        db.execute(
            "UPDATE message SET pending = 0, finish_reason = 'interrupted' WHERE id = ?",
            (reply_id,),
        )
        index_text(db, reply_id, from_sql(text))
        if text or thinking:
            keep_settings(db, reply_id)


def newest_broken_off(db: sqlite3.Connection, reply_ids: Iterable[int]) -> tuple[int, str]:
    """Of replies that broke off, the newest with which a chat still ends, and it; or 0 and ""."""
    which = ", ".join(map(str, reply_ids))
    found = db.execute(
        "SELECT message.id, conversation.id FROM conversation JOIN message ON message.id = head"
        f" WHERE head IN ({which}) AND finish_reason = 'interrupted' AND kind <> 'ask'"
        f" AND {LISTED} ORDER BY updated_at DESC LIMIT 1"
    ).fetchone()
    return (found[0], name_of(found[1])) if found else (0, "")
