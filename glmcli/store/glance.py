"""The newest conversations at a glance: for a shell that waits for the ids that may come next.

Reads at once or not at all, and writes nothing: no file is made, no tables are brought up to date.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from glmcli.errors import StoreError
from glmcli.paths import is_file
from glmcli.store import FILE
from glmcli.store.database import check_version, connect_read_only
from glmcli.store.results import LISTED, SUMMARY, Summary, summary_of


def newest(
    home: Path, start: str = "", limit: int = 20, *, deleted: bool = False
) -> Sequence[Summary]:
    """The conversations, or deleted ones, whose ids begin with `start`, newest first.

    None of them if they cannot be read.
    """
    path = home / FILE
    if not is_file(path):
        return []
    try:
        with closing(connect_read_only(path, wait_s=0.0)) as db:
            check_version(db, path)
            among = "deleted_at IS NOT NULL" if deleted else LISTED
            which = "AND id >= :start AND id < :end" if start else ""
            rows = db.execute(
                f"SELECT {SUMMARY} FROM conversation WHERE {among} {which}"
                " ORDER BY updated_at DESC LIMIT :limit",
                {"start": start, "end": f"{start}~", "limit": limit},
            )
            return [summary_of(row) for row in rows]
    except (sqlite3.Error, StoreError, OSError, ValueError):
        return []
