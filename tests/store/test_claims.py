"""Who is on which chat, as processes that share a history see it."""

import fcntl
import subprocess
import sys

from glmcli.store.claims import Claims

ONCE = """
import sys
from pathlib import Path
from glmcli.store.claims import Claims
claims = Claims(Path(sys.argv[1]))
print(*(claims.occupy(name) for name in sys.argv[2:]))
claims.release_all()
"""


def elsewhere(path, *names):
    """Whether another process can be on these chats, one after the other."""
    command = [sys.executable, "-c", ONCE, str(path), *names]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()


def test_the_last_that_leaves_takes_the_file_along(tmp_path):
    path = tmp_path / "history.db"
    claims = Claims(path)
    assert claims.occupy("0000000a")
    assert elsewhere(path, "0000000a", "0000000b") == ["False", "True"]
    assert elsewhere(path, "0000000a") == ["False"]
    claims.release_all()
    assert list(tmp_path.iterdir()) == []


def test_a_claim_is_seen_although_another_process_removed_the_file_as_it_was_made(
    tmp_path, monkeypatch
):
    path = tmp_path / "history.db"
    claims = Claims(path)
    real, removed = fcntl.lockf, []

    def locked_once_removed(*arguments):
        if not removed:
            removed.append((tmp_path / "history.db-chats").unlink())
        return real(*arguments)

    monkeypatch.setattr(fcntl, "lockf", locked_once_removed)
    assert claims.occupy("0000000a")
    assert elsewhere(path, "0000000a") == ["False"]


def test_the_one_that_stays_on_a_chat_is_seen_when_the_first_has_left(tmp_path):
    path = tmp_path / "history.db"
    waits = f"{ONCE.replace('claims.release_all()', 'sys.stdout.flush(); sys.stdin.readline()')}"
    command = [sys.executable, "-c", waits, str(path), "0000000a"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as one:
        assert one.stdout.readline() == "True\n"
        claims = Claims(path)
        assert not claims.occupy("0000000a")
        one.kill()
    assert elsewhere(path, "0000000a") == ["False"]
    claims.release_all()
    assert list(tmp_path.iterdir()) == []


def test_it_can_be_seen_who_else_is_on_a_chat_and_looking_takes_no_claim_away(tmp_path):
    path = tmp_path / "history.db"
    claims, looks = Claims(path), Claims(path)
    assert not looks.is_elsewhere("0000000a")
    assert list(tmp_path.iterdir()) == []
    waits = f"{ONCE.replace('claims.release_all()', 'sys.stdout.flush(); sys.stdin.readline()')}"
    command = [sys.executable, "-c", waits, str(path), "0000000a"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as one:
        assert one.stdout.readline() == "True\n"
        assert looks.is_elsewhere("0000000a")
        assert claims.occupy("0000000b")
        for name, is_open in (("0000000a", True), ("0000000b", False), ("0000000c", False)):
            assert claims.is_elsewhere(name) is is_open
        assert elsewhere(path, "0000000b") == ["False"]
        assert not claims.occupy("0000000a")
        assert claims.is_elsewhere("0000000a")
        one.kill()
    assert not claims.is_elsewhere("0000000a")
    assert elsewhere(path, "0000000a") == ["False"]
    claims.release_all()


def test_a_claim_that_cannot_be_removed_stops_nobody(tmp_path):
    (tmp_path / "file").write_text("")
    Claims(tmp_path / "file" / "history.db").forget(1)
