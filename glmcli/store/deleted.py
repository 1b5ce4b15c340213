"""Deleted conversations: kept for a month to be brought back, then purged.

Knows nothing of files but that the database is one.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress

from glmcli.errors import StoreError
from glmcli.store.database import Database
from glmcli.store.results import SUMMARY, Summary, summary_of
from glmcli.store.rows import remove_conversation
from glmcli.store.tables import forget_words, moment_of

KEPT_DAYS = 30


def mark_deleted(db: sqlite3.Connection, names: Iterable[str]) -> None:
    """Delete conversations, given by their ids, in a way that can be taken back."""
    rows = [(time.time(), name) for name in names]
    db.executemany("UPDATE conversation SET deleted_at = ? WHERE id = ?", rows)


def restore(db: sqlite3.Connection, name: str) -> bool:
    """Bring a deleted conversation back; whether it was deleted."""
    which = "id = ? AND deleted_at IS NOT NULL"
    changed = db.execute(f"UPDATE conversation SET deleted_at = NULL WHERE {which}", (name,))
    return changed.rowcount > 0


def deleted(db: sqlite3.Connection) -> Sequence[tuple[Summary, float]]:
    """What can be brought back, and when it was deleted, in seconds since 1970; newest first."""
    rows = db.execute(
        f"SELECT {SUMMARY}, deleted_at FROM conversation WHERE deleted_at IS NOT NULL"
        " ORDER BY deleted_at DESC, updated_at DESC"
    )
    return [(summary_of(row), moment_of(row[-1]) or 0.0) for row in rows]


def remove_all(db: sqlite3.Connection, names: Iterable[str]) -> None:
    """Delete conversations for good, with their words."""
    for name in names:
        remove_conversation(db, name)
    forget_words(db)


def purge_old(database: Database) -> None:
    """Remove what was deleted longer ago than it is kept; later, if that cannot be done now.

    Raises StoreError if the history cannot be read.
    """
    with database.reading() as db:
        old = long_deleted(db)
    if not old:
        return
    with suppress(StoreError):
        with database.writing() as db:
            remove_all(db, long_deleted(db))  # one may have been brought back since
        database.empty_log()


def long_deleted(db: sqlite3.Connection) -> list[str]:
    """The ids of conversations that were deleted longer ago than they are kept."""
    until = time.time() - KEPT_DAYS * 86400
    rows = db.execute("SELECT id FROM conversation WHERE deleted_at < ?", (until,))
    return [row[0] for row in rows]
