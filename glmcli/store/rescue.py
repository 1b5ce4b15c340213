"""What can still be read of a damaged history, row by row.

Knows nothing of files; what a page that cannot be read held is lost, and nothing else.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterator, Sequence
from typing import Any, get_args

from glmcli.store.rows import title_of
from glmcli.store.tables import from_sql, index_text
from glmcli.types import Role

SPAN, LONGEST_S = 1000, 30.0
"""Rows that are read at once, and how long they are looked for."""
LEAST_ROW_BYTES = 32
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
TEXT_NAMES = (
    "id",
    "conversation_id",
    "role",
    "text",
    "thinking",
    "name",
    "tools",
    "title",
    "system",
)

Columns = dict[str, Any]


def rescue(damaged: sqlite3.Connection, db: sqlite3.Connection, size: int) -> tuple[int, int]:
    """Copy what can be read of a `damaged` database of `size` bytes into the tables of `db`.

    Returns how many conversations and messages that were; works inside a transaction.
    """
    most, until = size // LEAST_ROW_BYTES, time.monotonic() + LONGEST_S
    known: set[str] = set()
    for row in readable_rows(damaged, "conversation", CONVERSATION_COLUMNS, most, until):
        known |= {row["id"]} if insert(db, "conversation", row | {"head": None}) else set()
    newest: dict[str, int] = {}
    kept: set[int] = set()
    for row in readable_rows(damaged, "message", MESSAGE_COLUMNS, most, until):
        name = row["conversation_id"]
        if row["role"] not in get_args(Role) or not isinstance(name, str):
            continue
        if name not in known and insert(db, "conversation", conversation_of(row)):
            known.add(name)
        if row["parent_id"] not in kept:  # it is lost: what came before it stays on the branch
            row["parent_id"] = newest.get(name)
        if row["pending"]:
            row |= {"pending": 0, "finish_reason": "interrupted"}
        if insert(db, "message", row):
            index_text(db, row["id"], from_sql(row["text"]))
            kept.add(row["id"])
            newest[name] = row["id"]
    for row in readable_rows(damaged, "conversation", CONVERSATION_COLUMNS, most, until):
        if row["head"] in kept:
            newest[row["id"]] = row["head"]
    rows = [(head, name) for name, head in newest.items()]
    db.executemany("UPDATE conversation SET head = ? WHERE id = ?", rows)
    return len(known), len(kept)


def readable_rows(
    db: sqlite3.Connection, table: str, columns: Columns, most: int, until: float
) -> Iterator[Columns]:
    """The rows of a table that can be read, those with the lowest ids first."""
    spans = [(low, low + SPAN - 1) for low in range(1, highest(db, table, most) + 1, SPAN)][::-1]
    while spans and time.monotonic() < until:
        low, high = spans.pop()
        try:
            found = db.execute(
                f"SELECT * FROM {table} WHERE rowid BETWEEN ? AND ? ORDER BY rowid", (low, high)
            )
            names = [each[0] for each in found.description]
            rows = [dict(zip(names, row, strict=True)) for row in found]
        except sqlite3.Error:
            middle = (low + high) // 2
            spans += [(middle + 1, high), (low, middle)] if low < high else []
            continue
        yield from (with_good_json(columns | row) for row in rows if is_ours(row))


def highest(db: sqlite3.Connection, table: str, most: int) -> int:
    """The highest id that a row of a table may have, at most `most` if it is not known."""
    for sql in (
        f"SELECT max(rowid) FROM {table}",
        f"SELECT seq FROM sqlite_sequence WHERE name = '{table}'",
    ):
        try:
            row = db.execute(sql).fetchone()
        except sqlite3.Error:
            continue
        if row and isinstance(row[0], int):
            return row[0]
    return most


def is_ours(row: Columns) -> bool:
    """Whether the texts of a row are texts."""
    return all(
        isinstance(row[name], str | bytes) for name in TEXT_NAMES if name in row and name != "id"
    )


def with_good_json(row: Columns) -> Columns:
    """A row whose JSON can be read; what cannot is left out."""
    for name, instead in (("params", "{}"), ("usage", None)):
        try:
            json.loads(row.get(name) or "{}")
        except (ValueError, TypeError, RecursionError):
            row[name] = instead
    return row


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
