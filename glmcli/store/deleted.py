"""Deleted conversations: kept for a month to be brought back, then purged; on a full disk too.

Knows nothing of files but that the database is one.
"""

from __future__ import annotations

import signal
import sqlite3
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress

from glmcli.errors import StoreError
from glmcli.language import tr
from glmcli.store.database import Database
from glmcli.store.results import SUMMARY, Summary, summary_of
from glmcli.store.rows import remove_conversation
from glmcli.store.tables import (
    forget_words,
    moment_of,
    primary_code,
    readable_text,
    transaction,
)

SqlChange = Callable[[sqlite3.Connection], object]
"""What is done inside a transaction."""

KEPT_DAYS = 30
SHRUNK_BYTES = 256_000_000
"""The largest history that is written anew in memory, so that its file gets smaller."""


def mark_deleted(database: Database, names: Iterable[str]) -> None:
    """Delete conversations, given by their ids, in a way that can be taken back. Raises
    StoreError.
    """
    rows, what = [(time.time(), name) for name in names], "UPDATE conversation SET deleted_at = ?"
    despite_full_disk(database, lambda db: db.executemany(f"{what} WHERE id = ?", rows))


def restore(database: Database, names: Iterable[str]) -> None:
    """Bring deleted conversations back, given by their ids. Raises StoreError."""
    rows, what = [(name,) for name in names], "UPDATE conversation SET deleted_at = NULL"
    despite_full_disk(database, lambda db: db.executemany(f"{what} WHERE id = ?", rows))


def purge(database: Database, names: Collection[str]) -> None:
    """Delete conversations for good, given by their ids. Raises StoreError."""
    despite_full_disk(database, lambda db: remove_all(db, names), final=True)


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
        # Another process may have brought one back since.
        despite_full_disk(database, lambda db: remove_all(db, long_deleted(db)), final=True)


def long_deleted(db: sqlite3.Connection) -> list[str]:
    """The ids of conversations that were deleted longer ago than they are kept."""
    until = time.time() - KEPT_DAYS * 86400
    rows = db.execute("SELECT id FROM conversation WHERE deleted_at < ?", (until,))
    return [row[0] for row in rows]


def despite_full_disk(database: Database, change: SqlChange, *, final: bool = False) -> None:
    """Make a change that a user asked for, and that takes no room. Raises StoreError.

    Where the disk is full, or its log cannot be written for another reason, the change is written
    straight into the database; if it is `final`, the file then gives back what it does not need.
    """
    database.check_enabled()
    try:
        with database.writing() as db:
            change(db)
        if final:
            database.empty_log()
        return
    except StoreError as exc:
        if not is_no_room(exc):
            raise
        full = exc
    database.close()
    try:
        with signals_held(), closing(without_log(database)) as db:
            try:
                if final and database_bytes(db) <= SHRUNK_BYTES:
                    change_in_memory(db, change)
                else:
                    with transaction(db, wait_s=0.0):
                        change(db)
            finally:
                db.execute("PRAGMA journal_mode = WAL").fetchall()
    except (sqlite3.Error, MemoryError):  # in use, or even this takes room
        raise full from None
    database.notice = tr(
        "the disk is full: the history was changed without its log; free some space"
    )


def is_no_room(error: StoreError) -> bool:
    """Whether an error of the history comes from a disk on which nothing more can be written."""
    cause = error.__cause__
    code = getattr(cause, "sqlite_errorcode", 0)
    return isinstance(cause, sqlite3.Error) and (
        primary_code(cause) == sqlite3.SQLITE_FULL or code == sqlite3.SQLITE_IOERR_WRITE
    )


def without_log(database: Database) -> sqlite3.Connection:
    """The only connection to a history, which writes no file but that. Raises sqlite3.Error.

    What it undoes is in memory: a process that is killed as it writes may leave damage.
    """
    db = sqlite3.connect(database.path, timeout=0.0, isolation_level=None)
    db.text_factory = readable_text
    try:
        # EXCLUSIVE comes first: it keeps the index of the log in memory, not in a file.
        for setting in (
            "locking_mode = EXCLUSIVE",
            "journal_mode = MEMORY",
            "temp_store = MEMORY",
            "synchronous = FULL",
            "fullfsync = ON",
            "foreign_keys = ON",
            "secure_delete = ON",
        ):
            db.execute(f"PRAGMA {setting}").fetchall()
    except BaseException:
        db.close()
        raise
    return db


def database_bytes(db: sqlite3.Connection) -> int:
    """The bytes of a database."""
    (pages,) = db.execute("PRAGMA page_count").fetchone()
    (size,) = db.execute("PRAGMA page_size").fetchone()
    return int(pages) * int(size)


def change_in_memory(db: sqlite3.Connection, change: SqlChange) -> None:
    """Make a change in a copy in memory, which has room, and write the smaller database back."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as copy:
        copy.text_factory = readable_text
        db.backup(copy)
        copy.execute("PRAGMA foreign_keys = ON")
        with transaction(copy, wait_s=0.0):
            change(copy)
        copy.execute("VACUUM")
        copy.backup(db)


@contextmanager
def signals_held() -> Iterator[None]:
    """Let no signal that can wait end the process meanwhile."""
    held = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, held)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
