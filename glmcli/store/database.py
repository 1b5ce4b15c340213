"""The database file of the history: opening, migrating, and what can go wrong.

Does not know what a conversation is. Everything that SQLite or the disk throws leaves here as a
StoreError.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import NoReturn
from urllib.parse import quote

from glmcli.errors import StoreError
from glmcli.language import later, tr
from glmcli.ours import check_place, make_private, open_private
from glmcli.store.rescue import RAISED, is_sound, rescue, with_good_head
from glmcli.store.tables import (
    APPLICATION_ID,
    MIGRATIONS,
    Migration,
    execute_when_free,
    primary_code,
    readable_text,
    transaction,
)

SHARED_FIRST, SHARED_SIZE = 0x40000002, 510
"""The bytes of the file that SQLite locks while a connection is open (its os.h)."""

HEAD_BYTES, APPLICATION_ID_AT = 72, 68
"""Where a database says whose it is (SQLite's file format, 1.3)."""

RESCUE = later("sqlite3's .recover command may rescue what is in it")
UNWRITABLE = (
    later("the history cannot be read or written"),
    later("check the folder, or set GLM_HOME"),
)
REASONS = {
    sqlite3.SQLITE_FULL: (
        later("the disk is full: the history cannot be written"),
        later("free some space"),
    ),
    sqlite3.SQLITE_IOERR: (
        later("the disk that holds the history failed"),
        later("is it full, or broken?"),
    ),
    sqlite3.SQLITE_READONLY: UNWRITABLE,
    sqlite3.SQLITE_CANTOPEN: UNWRITABLE,
    sqlite3.SQLITE_PERM: UNWRITABLE,
    sqlite3.SQLITE_TOOBIG: (later("the text is too large for the history"), later("split it")),
    sqlite3.SQLITE_CORRUPT: (later("the history is damaged"), RESCUE),
    sqlite3.SQLITE_NOTADB: (later("the history is not a database"), later("move the file away")),
}
"""SQLite's primary result code -> what happened, and what to do about it."""
_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_IN_USE = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


class Busy(StoreError):
    """Another process kept writing for as long as we waited."""


class Database:
    """A connection that opens itself when it is needed, and again if the file was replaced."""

    def __init__(self, path: Path, *, enabled: bool, wait_s: float) -> None:
        self.path = path
        self.enabled = enabled
        self.wait_s = wait_s
        """How long to wait for another process that is writing."""
        self.notice = ""
        self.is_rescued = False
        """Whether the notice is of a history of which something could be read."""
        self._db: sqlite3.Connection | None = None
        self._inode = 0
        self._aside: Path | None = None
        """A damaged database that was moved there, and was not looked into yet."""

    def check_enabled(self) -> None:
        """Raise StoreError if nothing is to be written."""
        if not self.enabled:
            raise StoreError(tr("the history is switched off"), tr("set GLM_HISTORY=on"))

    def close(self) -> None:
        """Close the connection, if it is open."""
        if self._db is not None:
            with suppress(sqlite3.Error):
                self._db.close()
            self._db = None

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """A connection to read from; an empty database if there is none. Raises StoreError."""
        with self._translated():
            if not self.path.exists():
                check_place(self.path)
                with closing(sqlite3.connect(":memory:", isolation_level=None)) as db:
                    migrate(db)
                    yield db
            elif (opened := self._opened_to_read()) is not None:
                try:
                    yield opened
                except RAISED as exc:
                    self._begin_anew(exc)
            else:
                with closing(open_read_only(self.path)) as db:
                    yield db

    @contextmanager
    def writing(self, *, wait_s: float | None = None) -> Iterator[sqlite3.Connection]:
        """A transaction: all of it or, after an exception, nothing. Raises StoreError, Busy."""
        with self._translated():
            db = self._opened()
            try:
                with transaction(db, wait_s=self.wait_s if wait_s is None else wait_s):
                    yield db
            except RAISED as exc:
                self._begin_anew(exc)

    def _begin_anew(self, exc: Exception) -> NoReturn:
        """Go on with what can be read of a database in which damage was met. Raises `exc` if that
        is something else, StoreError.
        """
        if not is_damage(exc, self.path):
            raise exc
        self._set_aside()
        self._opened()
        hint = tr("try again: what could be read is there") if self.is_rescued else tr(RESCUE)
        raise StoreError(self.notice, hint) from exc

    def empty_log(self) -> None:
        """Write the log into the database and empty it, if nobody is reading it just now."""
        with self._translated():
            db = self._opened()
            db.execute("PRAGMA wal_checkpoint (TRUNCATE)").fetchall()

    def _opened_to_read(self) -> sqlite3.Connection | None:
        """The connection; None if one that writes nothing has to do, as on a full disk."""
        if not self.enabled or not is_writable(self.path):
            return None
        try:
            return self._opened()
        except sqlite3.OperationalError as exc:
            if primary_code(exc) not in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR):
                raise
        return None

    def _opened(self) -> sqlite3.Connection:
        """The connection, made again if the file is not there any more."""
        if self._db is not None:
            with suppress(FileNotFoundError):
                if self.path.stat().st_ino == self._inode:
                    return self._db
            self.close()
        prepare(self.path)
        self._inode = self.path.stat().st_ino
        try:
            self._db = open_database(self.path, wait_s=self.wait_s)
        except RAISED as exc:
            if not is_damage(exc, self.path):
                raise
            self._set_aside()
            return self._opened()
        aside, self._aside = self._aside, None
        if aside is not None:
            self._rescue(self._db, aside)
        return self._db

    def _rescue(self, db: sqlite3.Connection, aside: Path) -> None:
        """Copy what can be read of a damaged database, and say how much that was."""
        found = 0, 0
        with (
            suppress(OSError, *RAISED),
            closing(connect_read_only(aside)) as moved,
            closing(with_good_head(moved, aside.read_bytes)) as damaged,
            transaction(db, wait_s=self.wait_s),
        ):
            found = rescue(damaged, db, aside.stat().st_size)
        self.is_rescued = found[0] > 0
        if self.is_rescued:
            self.notice = tr(
                "the history was damaged: it was moved to {name}; {n:,} conversations with "
                "{messages:,} messages could be read and are in a new one",
                name=aside,
                n=found[0],
                messages=found[1],
            )

    def _set_aside(self) -> None:
        """Move a damaged database away, with the files that belong to it, and note where to."""
        self.close()
        with suppress(FileNotFoundError), only_user(self.path):
            # Another process may have moved it already: the file that is there now is its new one.
            if self.path.stat().st_ino == self._inode:
                aside = unused_name(self.path)
                for suffix in ("-shm", "-wal", ""):
                    with suppress(FileNotFoundError):
                        Path(f"{self.path}{suffix}").rename(f"{aside}{suffix}")
                self._aside = aside
                self.notice = tr(
                    "the history was damaged: it was moved to {name}, and a new one begins",
                    name=aside,
                )

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """Turn what SQLite and the disk throw into StoreErrors."""
        try:
            yield
        except OSError as exc:
            check_place(self.path)
            message, hint = map(tr, UNWRITABLE)
            raise StoreError(f"{message}: {exc.strerror}: {self.path}", hint) from exc
        except RAISED as exc:
            code = primary_code(exc)
            if code in _IN_USE:
                raise Busy(
                    tr("another program is writing to the history: {name}", name=self.path),
                    tr("try again"),
                ) from exc
            if code not in REASONS and not is_damage(exc, self.path):
                raise
            message, hint = map(tr, REASONS.get(code, REASONS[sqlite3.SQLITE_CORRUPT]))
            if (message, hint) == tuple(map(tr, UNWRITABLE)) and (why := why_unreadable(self.path)):
                message = f"{message}: {why}"
            raise StoreError(f"{message}: {self.path}", hint) from exc


def why_unreadable(path: Path) -> str:
    """What the system says of a file that SQLite cannot open, and says nothing of; "" if it can."""
    try:
        os.close(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK))
    except OSError as exc:
        return exc.strerror or ""
    return ""


def is_damage(exc: Exception, path: Path) -> bool:
    """Whether an error that SQLite raised comes from a damaged database.

    A damaged table may raise any: one that does not tell its cause has it looked for.
    """
    for_sure = says_damage(exc)
    if for_sure is not None:
        return for_sure
    try:
        with closing(connect_read_only(path)) as db:
            return not is_sound(db)
    except RAISED as found:
        return says_damage(found) is not False


def says_damage(exc: Exception) -> bool | None:
    """Whether an error is about damage; None if it does not say."""
    code = primary_code(exc)
    return code in _DAMAGED if code in REASONS or code in _IN_USE else None


def check_version(db: sqlite3.Connection, path: Path) -> int:
    """The version of the tables. Raises StoreError if they are not ours, or from the future."""
    version: int = db.execute("PRAGMA user_version").fetchone()[0]
    (tables,) = db.execute("SELECT count(*) FROM sqlite_master").fetchone()
    (owner,) = db.execute("PRAGMA application_id").fetchone()
    if owner != APPLICATION_ID and (version or tables):
        raise StoreError(
            tr("{name} is another program's database", name=path),
            tr("move it away, or set GLM_HOME"),
        )
    if version > len(MIGRATIONS):
        raise StoreError(
            tr(
                "{name} was written by a newer glm (version {version}; this one knows {known})",
                name=path,
                version=version,
                known=len(MIGRATIONS),
            ),
            tr("upgrade glm, or set GLM_HOME, or use --no-save"),
        )
    return version


def migrate(
    db: sqlite3.Connection, migrations: Sequence[Migration] = MIGRATIONS, *, wait_s: float = 0.0
) -> None:
    """Bring the tables up to date, in one transaction."""
    with transaction(db, wait_s=wait_s):
        (version,) = db.execute("PRAGMA user_version").fetchone()
        for migration in migrations[version:]:
            migration(db)
        if version < len(migrations):
            db.execute(f"PRAGMA user_version = {len(migrations)}")


def open_database(path: Path, *, wait_s: float) -> sqlite3.Connection:
    """A connection to the tables as they are now. Raises StoreError, sqlite3.DatabaseError."""
    db = sqlite3.connect(path, timeout=wait_s, isolation_level=None)
    db.text_factory = readable_text
    try:
        is_older = check_version(db, path) < len(MIGRATIONS)
        if is_older:
            execute_when_free(db, "PRAGMA journal_mode = WAL", wait_s)
        # FULL: a transaction is on the disk when COMMIT returns, one fsync a second at most.
        db.execute("PRAGMA synchronous = FULL")
        db.execute("PRAGMA fullfsync = ON")
        db.execute("PRAGMA foreign_keys = ON")
        db.execute("PRAGMA secure_delete = ON")  # deleted text is overwritten with zeros
        if is_older:  # else opening need not wait for a process that writes
            migrate(db, wait_s=wait_s)
        # Whether the last pages are whole; a text may be large, and is not looked at.
        for table in ("conversation", "message", "word_data"):
            db.execute(f"SELECT rowid FROM {table} ORDER BY rowid DESC LIMIT 1").fetchall()
    except BaseException:
        db.close()
        raise
    return db


def prepare(path: Path) -> None:
    """Make the file if it is missing, and see to it that only its owner reads it.

    Another program's database, where a link may lead, is left as it is. Raises StoreError, OSError.
    """
    handle = open_private(path)
    try:
        # SQLite gives its -wal and -shm files the mode of the database.
        head = os.pread(handle, HEAD_BYTES, 0)
        if not head or head[APPLICATION_ID_AT:] == APPLICATION_ID.to_bytes(4):
            make_private(handle)
    finally:
        os.close(handle)


@contextmanager
def only_user(path: Path) -> Iterator[None]:
    """Keep other processes from opening the database. Raises StoreError if one has it open.

    Closing a connection deletes its log by name: that of a new database, if one took its place.
    """
    with path.open("rb+") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, SHARED_SIZE, SHARED_FIRST)
        except OSError as exc:
            raise StoreError(
                tr("the history is damaged, and another glm is using it: {name}", name=path),
                tr("end the other one, then start again"),
            ) from exc
        yield


def unused_name(path: Path) -> Path:
    """A name that tells that the file is damaged, and since when."""
    name = f"{path.name}.corrupt-{time.strftime('%Y-%m-%d-%H%M%S')}"
    names = (path.with_name(f"{name}{f'-{n}' if n > 1 else ''}") for n in count(1))
    return next(each for each in names if not each.exists())


def is_writable(path: Path) -> bool:
    """Whether the file, and the files that SQLite puts beside it, can be written."""
    return os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)


def connect_read_only(path: Path, *, wait_s: float = 5.0) -> sqlite3.Connection:
    """A connection that writes nothing, not even the files that readers share with writers."""
    in_use = Path(f"{path}-wal").exists()
    how = "mode=ro&readonly_shm=1" if in_use else "mode=ro&immutable=1"
    uri = f"file:{quote(str(path))}?{how}"
    db = sqlite3.connect(uri, uri=True, timeout=wait_s, isolation_level=None)
    db.text_factory = readable_text
    return db


def open_read_only(path: Path) -> sqlite3.Connection:
    """A connection to the tables as they are now that writes nothing. Raises StoreError."""
    db = connect_read_only(path)
    if check_version(db, path) == len(MIGRATIONS):
        return db
    copy = sqlite3.connect(":memory:", isolation_level=None)
    copy.text_factory = readable_text
    with closing(db):
        db.backup(copy)
    migrate(copy)
    return copy
