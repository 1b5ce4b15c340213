"""Deleting where nothing can be written but the history itself."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from glmcli.errors import StoreError
from glmcli.store import open_store
from glmcli.store.database import Database
from glmcli.store.deleted import despite_full_disk
from glmcli.types import Conversation
from tests.support.turns import ask

MARK = "a text that nobody is to read"


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A folder on a disk of two megabytes."""
    folder = tmp_path / "small"
    folder.mkdir()
    line = ["mount", "-t", "tmpfs", "-o", "size=2m", "none", str(folder)]
    if not shutil.which("mount") or subprocess.run(line, capture_output=True).returncode:
        pytest.skip("only root can mount a small disk, where mounting is allowed")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def two_stored(home: Path) -> list[str]:
    """The ids of two conversations, the second with `MARK`."""
    found = [Conversation(), Conversation()]
    with closing(open_store(home)) as store:
        ask(store, found[0], "stays", "S" * 1000)
        ask(
            store,
            found[1],
            MARK,
            f"{MARK} " * 5_000 + " ".join(f"w{n * 7919:x}" for n in range(8_000)),
        )
    return [each.id for each in found]


def fill(folder: Path) -> None:
    """Take all room that there is."""
    with pytest.raises(OSError, match="No space"), (folder / "filling").open("wb", 0) as file:
        while True:
            file.write(bytes(4096))


def test_on_a_full_disk_deleting_works_can_be_taken_back_and_is_told(small):
    kept, gone = two_stored(small)
    fill(small)
    with closing(open_store(small)) as store:
        store.delete(gone)
        assert "full" in store.take_notice() and store.notice == ""
        assert [each.id for each in store.list()] == [kept]
        store.undelete(gone)
        assert {each.id for each in store.list()} == {kept, gone}
        assert store.load(gone).messages[0].text == MARK
    (small / "filling").unlink()
    with closing(sqlite3.connect(small / "history.db")) as db:
        assert db.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_on_a_full_disk_purging_makes_room_so_that_the_history_goes_on(small):
    kept, gone = two_stored(small)
    fill(small)
    before = (small / "history.db").stat().st_size
    with closing(open_store(small)) as store:
        store.purge(gone)
        assert [each.id for each in store.list()] == [kept]
    assert (small / "history.db").stat().st_size < before - 200_000
    assert MARK.encode() not in (small / "history.db").read_bytes()
    with closing(open_store(small)) as store:
        again = store.load(kept)
        ask(store, again, "and", "on")
        assert store.load(kept) == again and not store.notice


def test_on_a_full_disk_a_history_that_another_process_has_open_stays_as_it_is(small):
    kept, gone = two_stored(small)
    with closing(sqlite3.connect(small / "history.db", isolation_level=None)) as other:
        other.execute("SELECT count(*) FROM message").fetchall()
        fill(small)
        with closing(open_store(small)) as store:
            for change in (store.delete, store.purge):
                with pytest.raises(StoreError, match="full"):
                    change(gone)
            assert {each.id for each in store.list()} == {kept, gone}


def failing_once(code: int) -> Callable[[sqlite3.Connection], None]:
    """A change that deletes all, at the second attempt."""
    attempts: list[int] = []

    def change(db: sqlite3.Connection) -> None:
        attempts.append(code)
        db.execute("UPDATE conversation SET deleted_at = 1e9")
        if len(attempts) == 1:
            error = sqlite3.OperationalError("as SQLite raises it")
            error.sqlite_errorcode = code
            raise error

    return change


@pytest.mark.parametrize(
    "code", [sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_SHMSIZE, sqlite3.SQLITE_IOERR_WRITE]
)
@pytest.mark.parametrize("final", [False, True])
def test_a_change_for_which_there_is_no_room_is_made_without_the_log(home, code, final):
    two_stored(home)
    database = Database(home / "history.db", enabled=True, wait_s=1.0)
    with closing(database):
        despite_full_disk(database, failing_once(code), final=final)
        assert database.notice
        with database.reading() as db:
            assert db.execute("SELECT DISTINCT deleted_at FROM conversation").fetchall() == [(1e9,)]
            assert db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
            assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)


@pytest.mark.parametrize("code", [sqlite3.SQLITE_IOERR_READ, sqlite3.SQLITE_READONLY])
def test_a_change_that_fails_for_another_reason_is_not_made_again(home, code):
    two_stored(home)
    database = Database(home / "history.db", enabled=True, wait_s=1.0)
    with closing(database):
        with pytest.raises(StoreError):
            despite_full_disk(database, failing_once(code))
        with database.reading() as db:
            assert db.execute("SELECT DISTINCT deleted_at FROM conversation").fetchall() == [
                (None,)
            ]


def test_the_questions_that_others_do_not_hold_are_told_apart(home):
    one, two, other = (Conversation() for _ in range(3))
    with closing(open_store(home)) as store:
        ask(store, one, "of one", "r")
        ask(store, one, "of one and two", "r")
        ask(store, one, "of all", "r")
        ask(store, two, "of one and two", "r")
        ask(store, other, "of all", "of one")
        assert sorted(store.asked_only(one.id)) == ["of one"]
        assert sorted(store.asked_only(one.id, two.id)) == ["of one", "of one and two"]
        assert store.asked_only() == []
        store.delete(other.id)  # it can still be brought back
        assert sorted(store.asked_only(one.id)) == ["of one"]


def test_a_history_that_is_switched_off_is_not_changed(home):
    two_stored(home)
    database = Database(home / "history.db", enabled=False, wait_s=1.0)
    with closing(database), pytest.raises(StoreError, match="switched off"):
        despite_full_disk(database, failing_once(sqlite3.SQLITE_FULL))
