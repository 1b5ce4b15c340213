"""Whether a history is damaged, and what can still be read of it, row by row.

Knows nothing of files; what a page that cannot be read held is lost, and nothing else.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
from typing import Any

from glmcli.store.rows import new_id, record_of, title_of
from glmcli.store.tables import (
    MIGRATIONS,
    BrokenTree,
    from_sql,
    index_text,
    moment_of,
    name_of,
    to_sql,
)
from glmcli.types import ROLES, GenerationParams, Usage, as_count

HEAD_BYTES, PAGE_SIZE, PAGES = 100, slice(16, 18), slice(28, 32)
"""How long the head of a database is, and what is where in it (SQLite's file format, 1.3)."""
SPAN, LONGEST_S = 1000, 30.0
"""Rows that are read at once, and how long they are looked for."""
LEAST_ROW_BYTES = 32
DELETED_FOR_EACH = 100
"""Rows that were deleted, for each that there may be: a higher id than that makes is damage."""
CONVERSATION_COLUMNS = {
    "id": "",
    "title": "",
    "system": "",
    "model": "",
    "params": "{}",
    "head": None,
    "turns": 0,
    "tokens": None,
    "named": 0,
    "updated_at": 0.0,
    "has_system": 0,
    "kind": "",
    "deleted_at": None,
}
"""The columns of a conversation, and what stands for those of an older version."""
MESSAGE_COLUMNS = {
    "id": 0,
    "conversation_id": "",
    "parent_id": None,
    "role": "",
    "text": "",
    "thinking": "",
    "finish_reason": None,
    "usage": None,
    "name": "",
    "tools": "",
    "model": "",
    "params": "{}",
    "pending": 0,
    "created_at": 0.0,
}
TEXT_NAMES = {"text", "thinking", "name", "tools", "title", "system", "model", "kind"}
COUNT_NAMES = {"turns", "named", "has_system", "pending"}
MOMENT_NAMES = {"updated_at", "created_at", "deleted_at"}
RAISED = (sqlite3.Error, UnicodeDecodeError)
"""What sqlite3 raises over damage; the second where the name of what is wrong is damaged."""
MASTER = "SELECT rowid, type, name, tbl_name, sql FROM sqlite_master ORDER BY rowid"

Columns = dict[str, Any]
Renamed = dict[object, str]


def is_sound(db: sqlite3.Connection) -> bool:
    """Whether a database of ours is as its version made it, and whole. It looks at every page.

    Raises RAISED.
    """
    (version,) = db.execute("PRAGMA user_version").fetchone()
    if version > 1:  # the index of words has a form of its own in its tables
        db.execute("SELECT rowid FROM word WHERE word MATCH 'a' LIMIT 1").fetchall()
    return (
        has_tables(db, version)
        and db.execute("PRAGMA integrity_check (1)").fetchall() == [("ok",)]
        and not db.execute("PRAGMA foreign_key_check").fetchall()
    )


def has_tables(db: sqlite3.Connection, version: int) -> bool:
    """Whether all that a version makes is there, in whatever order and with more beside it: VACUUM
    moves it, and ANALYZE adds to it. Raises RAISED.
    """
    found = {row[1:] for row in db.execute(MASTER)}
    return found.issuperset(row[1:] for row in tables_of(version))


def make_tables(db: sqlite3.Connection, version: int) -> None:
    """Make the tables of a version in an empty database."""
    for migration in MIGRATIONS[:version]:
        migration(db)


def tables_of(version: int) -> list[tuple[Any, ...]]:
    """MASTER of a database of that version."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as db:
        make_tables(db, version)
        return db.execute(MASTER).fetchall()


def with_good_head(damaged: sqlite3.Connection, read: Callable[[], bytes]) -> sqlite3.Connection:
    """The database or, where what the file says of itself is damaged, a copy in memory.

    `read` reads the file. Raises RAISED, OSError.
    """
    try:
        damaged.execute("PRAGMA schema_version").fetchone()
        return damaged
    except RAISED:
        if not hasattr(damaged, "deserialize"):  # SQLite was built without
            return damaged
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as db:
        make_tables(db, len(MIGRATIONS))
        head = db.serialize()[:HEAD_BYTES]
    data = read()
    pages = len(data) // int.from_bytes(head[PAGE_SIZE])
    copy = sqlite3.connect(":memory:", isolation_level=None)
    copy.text_factory = damaged.text_factory
    # How many pages there are; of the free ones nothing is known.
    head = head[: PAGES.start] + pages.to_bytes(4) + bytes(8) + head[PAGES.stop + 8 :]
    copy.deserialize(head + data[HEAD_BYTES:])
    return copy


def with_our_tables(damaged: sqlite3.Connection) -> sqlite3.Connection:
    """The database, or a copy in memory in which the damaged statements that make it are good."""
    ours = tables_of(len(MIGRATIONS))
    with suppress(*RAISED):
        if has_tables(damaged, len(MIGRATIONS)):
            return damaged
    copy = sqlite3.connect(":memory:", isolation_level=None)
    copy.text_factory = damaged.text_factory
    try:
        damaged.backup(copy)
        copy.execute("PRAGMA writable_schema = ON")
        with suppress(*RAISED):  # only the second statement goes on with what there is
            copy.execute(MASTER)
        copy.executemany(
            "UPDATE sqlite_master SET type = ?2, name = ?3, tbl_name = ?4, sql = ?5"
            " WHERE rowid = ?1",
            in_their_rows(ours, copy.execute(MASTER).fetchall()),
        )
        # What a file that was cut has no page of: an index, mostly.
        copy.execute("DELETE FROM sqlite_master WHERE rootpage > (SELECT * FROM pragma_page_count)")
        copy.execute("PRAGMA writable_schema = RESET")
    except RAISED:
        copy.close()
        return damaged
    return copy


def in_their_rows(
    ours: Sequence[tuple[Any, ...]], found: Sequence[tuple[Any, ...]]
) -> list[tuple[Any, ...]]:
    """Our rows of MASTER, each with the id of the one that is `found` in its place.

    A name tells which that is. One whose name is damaged is known by its id as long as the others
    stand where they were made, or if it is the only one.
    """
    ids = {row[1:3]: row[0] for row in found}
    names = {row[1:3] for row in ours}
    unknown = [row[0] for row in found if row[1:3] not in names]
    lost = [row for row in ours if row[1:3] not in ids]
    if all(ids.get(row[1:3], row[0]) == row[0] for row in ours):
        ids |= {row[1:3]: row[0] for row in lost if row[0] in unknown}
    elif len(lost) == len(unknown) == 1:
        ids[lost[0][1:3]] = unknown[0]
    return [(ids[row[1:3]], *row[1:]) for row in ours if row[1:3] in ids]


def rescue(damaged: sqlite3.Connection, db: sqlite3.Connection, size: int) -> tuple[int, int]:
    """Copy what can be read of a `damaged` database of `size` bytes into the tables of `db`.

    Returns how many conversations and messages that were; one without any message is lost. Works
    inside a transaction.
    """
    damaged = with_our_tables(damaged)
    most, until = size // LEAST_ROW_BYTES, time.monotonic() + LONGEST_S
    known: set[str] = set()
    names: Renamed = {}
    for row in readable_rows(damaged, "conversation", CONVERSATION_COLUMNS, most, until):
        row["id"] = good_name(db, row["id"], names)
        known |= {row["id"]} if insert(db, "conversation", row | {"head": None}) else set()
    newest: dict[str, int] = {}
    kept: dict[int, str] = {}
    roles: dict[int, str] = {}
    for row in readable_rows(damaged, "message", MESSAGE_COLUMNS, most, until):
        name = row["conversation_id"] = good_name(db, row["conversation_id"], names)
        if name not in known and insert(db, "conversation", conversation_of(row)):
            known.add(name)
        if kept.get(row["parent_id"]) != name:  # lost: what came before stays on the branch
            row["parent_id"] = newest.get(name)
        if row["role"] not in ROLES:
            row["role"] = "assistant" if roles.get(row["parent_id"]) == "user" else "user"
        if row["pending"]:
            row |= {"pending": 0, "finish_reason": "interrupted"}
        if insert(db, "message", row):
            index_text(db, row["id"], from_sql(row["text"]))
            kept[row["id"]], roles[row["id"]] = name, row["role"]
            newest[name] = row["id"]
    for row in readable_rows(damaged, "conversation", CONVERSATION_COLUMNS, most, until):
        name = good_name(db, row["id"], names)
        if kept.get(row["head"]) == name:
            newest[name] = row["head"]
    rows = [(head, name) for name, head in newest.items()]
    db.executemany("UPDATE conversation SET head = ? WHERE id = ?", rows)
    lost = [(name,) for name in known.difference(kept.values())]
    db.executemany("DELETE FROM conversation WHERE id = ?", lost)
    count_turns(db)
    return len(known) - len(lost), len(kept)


def count_turns(db: sqlite3.Connection) -> None:
    """Let each conversation have the turns of its branch that are there, and no size if some are
    not.
    """
    for name, head, turns in db.execute("SELECT id, head, turns FROM conversation").fetchall():
        (found,) = db.execute(
            "WITH RECURSIVE branch (id, parent_id, role) AS ("
            "  SELECT id, parent_id, role FROM message WHERE id = ?"
            "  UNION ALL SELECT message.id, message.parent_id, message.role FROM branch"
            "  JOIN message ON message.id = branch.parent_id AND message.id < branch.id)"
            " SELECT count(*) FROM branch WHERE role = 'user'",
            (head,),
        ).fetchone()
        if found != turns:
            db.execute(
                "UPDATE conversation SET turns = ?, tokens = NULL WHERE id = ?", (found, name)
            )


def readable_rows(
    db: sqlite3.Connection, table: str, columns: Columns, most: int, until: float
) -> Iterator[Columns]:
    """The rows of a table that can be read, those with the lowest ids first."""
    spans = [(low, low + SPAN - 1) for low in range(1, highest(db, table, most) + 1, SPAN)][::-1]
    while spans and time.monotonic() < until:
        low, high = spans.pop()
        try:
            found = db.execute(
                f"SELECT * FROM {table} WHERE rowid BETWEEN ? AND ? ORDER BY rowid LIMIT ?",
                (low, high, SPAN),  # pages that lead back to themselves have no end
            )
            names = [each[0] for each in found.description]
            rows = [dict(zip(names, row, strict=True)) for row in found]
        except RAISED:
            middle = (low + high) // 2
            spans += [(middle + 1, high), (low, middle)] if low < high else []
            continue
        yield from (with_good_values(columns | row) for row in rows)


def highest(db: sqlite3.Connection, table: str, most: int) -> int:
    """The highest id that a row of a table may have, at most `most` if none can be believed."""
    for sql in (
        f"SELECT max(rowid) FROM {table}",
        f"SELECT seq FROM sqlite_sequence WHERE name = '{table}'",
    ):
        try:
            row = db.execute(sql).fetchone()
        except RAISED:
            continue
        if row and isinstance(row[0], int) and row[0] <= most * DELETED_FOR_EACH:
            return row[0]
    return most


def with_good_values(row: Columns) -> Columns:
    """A row with values of the kinds that its columns have; what cannot be read is left out."""
    for name in row.keys() & TEXT_NAMES:
        row[name] = to_sql(from_sql(row[name]))
    for name in row.keys() & COUNT_NAMES:
        row[name] = as_count(row[name]) or 0
    for name in row.keys() & MOMENT_NAMES:
        row[name] = moment_of(row[name])
        if row[name] is None and name != "deleted_at":
            row[name] = 0.0
    if "params" in row and record_of(GenerationParams, row["params"]) is None:
        row["params"] = "{}"
    if row.get("usage") and record_of(Usage, row["usage"]) is None:
        row["usage"] = None
    return row


def good_name(db: sqlite3.Connection, name: object, names: Renamed) -> str:
    """The id of a conversation; a new one for one that cannot be typed, which `names` remembers."""
    try:
        return name_of(name)
    except BrokenTree:
        return names.get(name) or names.setdefault(name, new_id(db))


def conversation_of(message: Columns) -> Columns:
    """A conversation whose own row is lost, by the first of its messages that is not."""
    title = title_of(from_sql(message["text"]))
    return CONVERSATION_COLUMNS | {
        "id": message["conversation_id"],
        "title": title or message["conversation_id"],
        "updated_at": message["created_at"],
        "turns": 1,
    }


def insert(db: sqlite3.Connection, table: str, row: Columns) -> bool:
    """Insert a row, unless it is there or does not fit the table; whether that was done."""
    names: Sequence[str] = [*(CONVERSATION_COLUMNS if table == "conversation" else MESSAGE_COLUMNS)]
    marks = ", ".join("?" * len(names))
    try:
        db.execute(
            f"INSERT INTO {table} ({', '.join(names)}) VALUES ({marks})",
            [row[name] for name in names],
        )
    except (sqlite3.IntegrityError, sqlite3.InterfaceError):
        return False
    return True
