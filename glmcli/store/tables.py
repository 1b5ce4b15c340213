"""The tables of the history: what they were in each version, and how text gets into them.

Knows nothing of files; `transaction` aside, all functions work inside one of their caller's.
"""

from __future__ import annotations

import random
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from glmcli.store.claims import ID_LETTERS
from glmcli.store.search import index_words
from glmcli.types import ROLES, Role

APPLICATION_ID = 0x676C6D31
"""Written into the file's header, so that no other program's database is taken for ours."""
QUICK_MESSAGES = 100_000
"""With at most this many messages words are forgotten within two seconds."""

LAST_MOMENT = 253_402_300_800
"""The year 10000 begins, which calendars do not have."""

Migration = Callable[[sqlite3.Connection], None]


def create_tables(db: sqlite3.Connection) -> None:
    """Migration 1: conversations, and their messages as trees."""
    db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    db.execute(
        """CREATE TABLE conversation (
            id TEXT PRIMARY KEY,
            title TEXT NOT NULL,
            system TEXT NOT NULL,
            model TEXT NOT NULL,
            params TEXT NOT NULL,    -- GenerationParams as JSON, without what is unset
            head INTEGER,            -- the message that the conversation is at
            turns INTEGER NOT NULL,  -- questions up to there
            tokens INTEGER,          -- size of the last turn, prompt and reply
            named INTEGER NOT NULL,  -- 1 if the title is not the beginning of the first question
            updated_at REAL NOT NULL -- seconds since 1970
        )"""
    )
    db.execute("CREATE INDEX conversation_updated ON conversation (updated_at)")
    db.execute("CREATE INDEX conversation_named ON conversation (updated_at) WHERE named = 1")
    # AUTOINCREMENT: a process must never complete a reply whose number has a new owner.
    db.execute(
        """CREATE TABLE message (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            conversation_id TEXT NOT NULL REFERENCES conversation (id) ON DELETE CASCADE,
            parent_id INTEGER,       -- what it follows; NULL for a first message
            role TEXT NOT NULL,
            text TEXT NOT NULL,
            thinking TEXT NOT NULL,
            finish_reason TEXT,
            usage TEXT,              -- Usage as JSON
            name TEXT NOT NULL,
            tools TEXT NOT NULL,
            model TEXT NOT NULL,     -- what answered, and how it was set
            params TEXT NOT NULL,
            pending INTEGER NOT NULL, -- 1 while the reply grows
            created_at REAL NOT NULL,
            UNIQUE (conversation_id, id),
            FOREIGN KEY (conversation_id, parent_id) REFERENCES message (conversation_id, id)
        )"""
    )
    db.execute("CREATE INDEX message_parent ON message (conversation_id, parent_id)")
    db.execute("CREATE INDEX message_pending ON message (id) WHERE pending = 1")


def create_search_index(db: sqlite3.Connection) -> None:
    """Migration 2: an index of words. It holds no text: search.py makes its words."""
    db.execute(
        "CREATE VIRTUAL TABLE word"
        " USING fts5 (text, content = '', columnsize = 0, tokenize = ascii)"
    )
    for row_id, text in db.execute("SELECT id, text FROM message WHERE pending = 0"):
        index_text(db, row_id, from_sql(text))


def create_summaries(db: sqlite3.Connection) -> None:
    """Migration 3: summaries that are sent in place of the beginnings of conversations."""
    db.execute(
        """CREATE TABLE summary (
            message_id INTEGER PRIMARY KEY  -- the last of the messages that it stands for
                REFERENCES message (id) ON DELETE CASCADE,
            text TEXT NOT NULL,
            created_at REAL NOT NULL
        )"""
    )


def tell_empty_from_none(db: sqlite3.Connection) -> None:
    """Migration 4: an empty system prompt is another thing than none."""
    db.execute("ALTER TABLE conversation ADD COLUMN has_system INTEGER NOT NULL DEFAULT 0")
    db.execute("UPDATE conversation SET has_system = 1 WHERE system <> ''")


def tell_chats_from_asks(db: sqlite3.Connection) -> None:
    """Migration 5: whether a conversation is a chat or an ask; "" if that is unknown."""
    db.execute("ALTER TABLE conversation ADD COLUMN kind TEXT NOT NULL DEFAULT ''")


def keep_deleted(db: sqlite3.Connection) -> None:
    """Migration 6: when a conversation was deleted; NULL if it was not."""
    db.execute("ALTER TABLE conversation ADD COLUMN deleted_at REAL")
    db.execute(
        "CREATE INDEX conversation_deleted ON conversation (deleted_at)"
        " WHERE deleted_at IS NOT NULL"
    )


MIGRATIONS: tuple[Migration, ...] = (
    create_tables,
    create_search_index,
    create_summaries,
    tell_empty_from_none,
    tell_chats_from_asks,
    keep_deleted,
)
"""Each brings a database from the version that is its index to the next (PRAGMA user_version)."""


@contextmanager
def transaction(db: sqlite3.Connection, *, wait_s: float) -> Iterator[None]:
    """All of what is done inside or, after an exception, nothing."""
    execute_when_free(db, "BEGIN IMMEDIATE", wait_s)
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


def execute_when_free(db: sqlite3.Connection, statement: str, wait_s: float) -> None:
    """Execute a statement as soon as no other process is in the way.

    SQLite itself would look only ten times a second: too seldom beside one that writes on and on.
    And a change to WAL it does not wait for at all.
    """
    (before,) = db.execute("PRAGMA busy_timeout").fetchone()
    db.execute("PRAGMA busy_timeout = 0")
    until = time.monotonic() + wait_s
    try:
        while True:
            try:
                db.execute(statement)
                return
            except sqlite3.OperationalError as exc:
                if primary_code(exc) != sqlite3.SQLITE_BUSY or time.monotonic() >= until:
                    raise
            time.sleep(random.uniform(0.0005, 0.0015))
    finally:
        db.execute(f"PRAGMA busy_timeout = {before}")


def primary_code(exc: Exception) -> int:
    """SQLite's result code without its details; 0 if Python itself raised.

    That the file shared by readers and writers has no room is SQLITE_FULL here, as for the others.
    """
    code: int = getattr(exc, "sqlite_errorcode", 0)
    return sqlite3.SQLITE_FULL if code == sqlite3.SQLITE_IOERR_SHMSIZE else code & 0xFF


def index_text(db: sqlite3.Connection, row_id: int, text: str) -> None:
    """Make the words of a message findable."""
    db.execute("INSERT INTO word (rowid, text) VALUES (?, ?)", (row_id, index_words(text)))


def unindex_text(db: sqlite3.Connection, row_id: int, text: str) -> None:
    """Undo `index_text`, which must have been given the same text."""
    values = (row_id, index_words(text))
    db.execute("INSERT INTO word (word, rowid, text) VALUES ('delete', ?, ?)", values)


def forget_words(db: sqlite3.Connection) -> None:
    """Take the words of deleted messages out of the index's pages, where that is quick.

    Otherwise they stay there, unfindable, until SQLite merges these pages.
    """
    (newest,) = db.execute("SELECT coalesce(max(id), 0) FROM message").fetchone()
    if newest <= QUICK_MESSAGES:
        db.execute("INSERT INTO word (word) VALUES ('optimize')")


def to_sql(text: str) -> str | bytes:
    """Text as SQLite can hold it: bytes if it has lone surrogates, which are not Unicode."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")
    return text


# What stands in a row is foreign: any column of any row may hold any value of SQLite.


class BrokenTree(sqlite3.DatabaseError):
    """A row that no conversation can be read from until the history has been rescued."""

    sqlite_errorcode = sqlite3.SQLITE_CORRUPT


def readable_text(data: bytes) -> str:
    """A text as SQLite has it, for `text_factory`; what is not UTF-8 is replaced."""
    return data.decode("utf-8", "replace")


def from_sql(value: object) -> str:
    """Undo `to_sql`; of what is no text, what can be read."""
    if isinstance(value, bytes):
        try:
            return value.decode("utf-8", "surrogatepass")
        except UnicodeDecodeError:
            return readable_text(value)
    return "" if value is None else str(value)


def moment_of(value: object) -> float | None:
    """Seconds since 1970, in a year that a calendar has; else None: unknown."""
    if isinstance(value, int | float) and 0 <= value < LAST_MOMENT:
        return float(value)
    return None


def role_of(value: object) -> Role:
    """Who said a message. Raises BrokenTree."""
    for role in ROLES:
        if value == role:
            return role
    raise BrokenTree(f"a role: {value!r:.40}")


def name_of(value: object) -> str:
    """The id of a conversation: some letters that can be typed. Raises BrokenTree."""
    if isinstance(value, str) and value and set(value) <= set(ID_LETTERS):
        return value
    raise BrokenTree(f"an id: {value!r:.40}")


def parent_of(value: object, row_id: int) -> int | None:
    """What a message follows: one before it, so that no walk goes in circles. Raises BrokenTree."""
    if value is None or (isinstance(value, int) and value < row_id):
        return value
    raise BrokenTree(f"a parent: {value!r:.40}")
