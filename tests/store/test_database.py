"""Files, processes and disks: what can go wrong under the history."""

from __future__ import annotations

import os
import random
import shutil
import signal
import sqlite3
import subprocess
import tempfile
import time
from contextlib import closing, suppress
from pathlib import Path

import pytest

from glmcli.errors import StoreError
from glmcli.store import Store, open_store
from glmcli.store.database import Busy, Database, primary_code
from glmcli.types import Conversation, Message
from tests.support.processes import WRITER, output, run_python, without_privileges
from tests.support.turns import PARAMS, ask

CHAT = """
while True:
    question = f"question {len(conversation.messages)}"
    turn = store.begin(conversation, question, params=PARAMS, model="m")
    print(conversation.id, question, 0, sep="|", flush=True)
    text = ""
    for _ in range(8):
        text += "some more words " * 20
        store.progress(turn, text, "")
        print(conversation.id, question, len(text), sep="|", flush=True)
    reply = Message("assistant", text, finish_reason="stop")
    store.complete(turn, reply)
    conversation.messages += [Message("user", question), reply]
"""


# Processes.


def test_kill_9_loses_nothing_that_was_stored(home):
    chance = random.Random(5)
    for _ in range(10):
        with run_python(WRITER + CHAT, home) as process:
            told = [process.stdout.readline() for _ in range(chance.randrange(1, 40))]
            process.send_signal(signal.SIGKILL)
            told += [line for line in process.stdout if line.endswith("\n")]
        name, question, length = told[-1].split("|")
        store = open_store(home)
        messages = store.load(name).messages
        asked = [message.text for message in messages if message.role == "user"]
        assert asked == [f"question {2 * number}" for number in range(len(asked))]
        reply = messages[2 * asked.index(question) + 1]
        assert len(reply.text) >= int(length)
        assert messages[-1].finish_reason in ("interrupted", "stop")
        assert store.search(f'"{asked[-1]}"')
        assert len(list(home.glob("*turn*"))) <= 1  # a claim that is told of once
        store.broken_off()
        store.close()
    with closing(sqlite3.connect(home / "history.db")) as db:
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert not list(home.glob("*turn*"))


def test_two_processes_write_a_thousand_turns_each(home):
    script = WRITER + "for number in range(1000): ask(store, conversation, str(number), 'yes')"
    processes = [run_python(script, home) for _ in range(2)]
    assert [output(process) for process in processes] == ["", ""]
    store = open_store(home)
    for item in store.list():
        asked = [message.text for message in store.load(item.id).messages[::2]]
        assert asked == [str(number) for number in range(1000)]
    assert [item.turns for item in store.list()] == [1000, 1000]
    store.close()


def test_many_processes_may_be_the_first(home):
    script = WRITER + "ask(store, conversation, 'x', 'y')"
    processes = [run_python(script, home) for _ in range(6)]
    assert [output(process) for process in processes] == [""] * 6
    assert len(open_store(home, enabled=False).list()) == 6


def test_a_reply_that_is_being_written_elsewhere_is_not_interrupted(home):
    script = WRITER + (
        "turn = store.begin(conversation, 'x', params=PARAMS, model='m')\n"
        "print(turn, flush=True)\n"
        "sys.stdin.readline()\n"
        "store.complete(turn, Message('assistant', 'done', finish_reason='stop'))\n"
        "print('completed', flush=True)"
    )
    process = run_python(script, home, stdin=subprocess.PIPE)
    process.stdout.readline()
    store = open_store(home)
    assert store.search("x") and not store.search("done")
    assert list(home.glob("*turn*"))
    assert store.last() is None
    process.communicate("\n")
    assert store.last().messages[-1].finish_reason == "stop"
    store.close()


def test_another_program_that_writes_is_waited_for_and_then_reported(home, store):
    ask(store, Conversation(), "x", "y")
    store.close()
    store = Store(home / "history.db", wait_s=0.01)
    other = sqlite3.connect(home / "history.db", isolation_level=None)
    conversation = Conversation()
    turn = store.begin(conversation, "a", params=PARAMS, model="m")
    other.execute("BEGIN IMMEDIATE")
    store.progress(turn, "skipped", "")
    with pytest.raises(Busy) as caught:
        store.complete(turn, Message("assistant", "b", finish_reason="stop"))
    assert caught.value.hint
    other.execute("ROLLBACK")
    other.close()
    store.complete(turn, Message("assistant", "b", finish_reason="stop"))
    assert store.load(conversation.id).messages[-1].text == "b"
    store.close()


# Disks and folders.


def test_the_history_can_be_opened_and_read_while_another_process_writes(home, store):
    conversation = Conversation()
    ask(store, conversation, "one", "ONE")
    with closing(sqlite3.connect(home / "history.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        started = time.monotonic()
        with closing(open_store(home)) as reader:
            assert reader.load(conversation.id) == conversation
        assert time.monotonic() - started < 1


def test_a_full_disk_is_reported_and_made_up_for(home):
    script = (
        WRITER
        + """
import resource
from glmcli.errors import StoreError

ask(store, conversation, "before", "b" * 1000)
hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
room = Path(sys.argv[1], "history.db-wal").stat().st_size + 80_000
resource.setrlimit(resource.RLIMIT_FSIZE, (room, hard))
turn = store.begin(conversation, "while", params=PARAMS, model="m")
reply = Message("assistant", "w" * 100_000, finish_reason="stop")
failed = []
for action in (
    lambda: store.progress(turn, reply.text, ""),
    lambda: store.complete(turn, reply),
    lambda: store.begin(conversation, "q" * 100_000, params=PARAMS, model="m"),
):
    try:
        action()
    except StoreError as exc:
        failed.append(bool(exc.message and exc.hint))
print(failed, flush=True)
conversation.messages += [Message("user", "while"), reply]
resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
ask(store, conversation, "after", "a")
store.close()
"""
    )
    assert output(run_python(script, home)) == "[True, True, True]\n"
    messages = open_store(home, enabled=False).last().messages
    assert [message.text[:6] for message in messages] == [
        "before",
        "bbbbbb",
        "while",
        "wwwwww",
        "after",
        "a",
    ]
    assert len(messages[3].text) == 100_000


def test_a_history_on_a_full_disk_can_be_read(home):
    script = (
        WRITER
        + """
import resource

ask(store, conversation, "before", "b" * 1000)
store.close()
hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
print([len(store.list()), len(store.search("before")), len(store.last().messages)], flush=True)
"""
    )
    assert output(run_python(script, home)) == "[1, 1, 2]\n"


@pytest.mark.parametrize(
    ("code", "told"),
    [
        (sqlite3.SQLITE_IOERR_SHMSIZE, sqlite3.SQLITE_FULL),  # as seen on a full tmpfs
        (sqlite3.SQLITE_FULL, sqlite3.SQLITE_FULL),
        (sqlite3.SQLITE_IOERR_READ, sqlite3.SQLITE_IOERR),
    ],
)
def test_a_disk_without_room_for_any_of_the_files_is_full(code, told):
    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorcode = code
    assert primary_code(error) == told


def test_a_home_that_cannot_be_made_is_reported_and_used_once_it_can(tmp_path):
    home = tmp_path / "file" / "glm"
    home.parent.write_text("this is not a folder")
    store = open_store(home)
    conversation = Conversation()
    with pytest.raises(StoreError) as caught:
        store.begin(conversation, "one", params=PARAMS, model="m")
    assert str(home) in caught.value.message and caught.value.hint
    assert store.list() == []
    home.parent.unlink()
    conversation.messages += [Message("user", "one"), Message("assistant", "1")]
    ask(store, conversation, "two", "2")
    assert store.load(conversation.id) == conversation
    store.close()


def test_a_folder_that_may_not_be_written_can_still_be_read():
    command = without_privileges()
    folder = Path(tempfile.mkdtemp())
    home = folder / "glm"
    try:
        store, conversation = open_store(home), Conversation()
        ask(store, conversation, "hello", "world")
        store.close()
        home.chmod(0o500)
        script = WRITER + (
            "from glmcli.errors import StoreError\n"
            "print(store.last().messages[1].text, len(store.search('hello')))\n"
            "try: store.begin(conversation, 'x', params=PARAMS, model='m')\n"
            "except StoreError as exc: print(bool(exc.hint))\n"
        )
        assert output(run_python(script, home, command=command)) == "world 1\nTrue\n"
    finally:
        home.chmod(0o700)
        shutil.rmtree(folder)


def test_only_the_owner_can_read_the_history(home):
    before = os.umask(0)
    try:
        store = open_store(home)
        store.begin(Conversation(), "secret", params=PARAMS, model="m")
        modes = {path.name: path.stat().st_mode & 0o777 for path in home.iterdir()}
        assert len(modes) == 4 and set(modes.values()) == {0o600}
        assert home.stat().st_mode & 0o777 == 0o700
        store.close()
    finally:
        os.umask(before)


def test_a_history_that_others_can_read_is_closed_to_them(home, store):
    ask(store, Conversation(), "x", "y")
    store.close()
    (home / "history.db").chmod(0o644)
    open_store(home).close()
    assert (home / "history.db").stat().st_mode & 0o777 == 0o600


def test_a_history_that_is_deleted_during_a_chat_begins_again_with_all_of_it(home, store):
    conversation = Conversation()
    ask(store, conversation, "one", "1")
    shutil.rmtree(home)
    ask(store, conversation, "two", "2")
    assert open_store(home, enabled=False).load(conversation.id) == conversation


def test_every_commit_reaches_the_disk(home, store):
    ask(store, Conversation(), "x", "y")
    with Database(store.path, enabled=True, wait_s=1.0).reading() as db:
        assert db.execute("PRAGMA synchronous").fetchone() == (2,)
        assert db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert db.execute("PRAGMA foreign_keys").fetchone() == (1,)


@pytest.mark.parametrize("theirs", [b"a diary", None])
def test_another_program_s_file_that_a_link_leads_to_keeps_its_mode(home, tmp_path, theirs):
    target = tmp_path / "other.db"
    if theirs is None:
        with closing(sqlite3.connect(target)) as db:
            db.execute("CREATE TABLE theirs (x)")
            db.commit()
    else:
        target.write_bytes(theirs)
    target.chmod(0o644)
    home.mkdir(parents=True)
    (home / "history.db").symlink_to(target)
    store = open_store(home)
    with suppress(StoreError):
        store.begin(Conversation(), "secret", params=PARAMS, model="m")
    store.close()
    assert target.stat().st_mode & 0o777 == 0o644


def test_a_history_that_is_not_a_file_is_reported(home):
    home.mkdir(parents=True)
    os.mkfifo(home / "history.db")
    with pytest.raises(StoreError, match="is a pipe, not a file") as caught:
        open_store(home).begin(Conversation(), "x", params=PARAMS, model="m")
    assert caught.value.hint == "move it away"


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="asks Linux for the memory")
def test_a_history_is_opened_without_its_texts(home, store):
    ask(store, Conversation(), "hi", "hello")
    with closing(sqlite3.connect(home / "history.db")) as db:
        db.execute("UPDATE message SET text = hex(zeroblob(50000000))")
        db.execute("UPDATE conversation SET system = hex(zeroblob(50000000))")
        db.commit()
    opened = run_python(
        """
import sys
from pathlib import Path
from glmcli.store import open_store

open_store(Path(sys.argv[1])).list(1)
print(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0])
""",
        home,
    )
    assert int(output(opened)) < 80_000  # kB


def test_a_history_that_may_not_be_read_is_told_with_the_reason(tmp_path):
    command = without_privileges()
    home = tmp_path / "glm"
    store, conversation = open_store(home), Conversation()
    ask(store, conversation, "hello", "world")
    store.close()
    (home / "history.db").chmod(0)
    script = WRITER + (
        "from glmcli.errors import StoreError\n"
        "for read in (store.list, store.last, lambda: store.search('hello')):\n"
        "    try: read()\n"
        "    except StoreError as exc: print(exc.message)\n"
    )
    line = f"the history cannot be read or written: Permission denied: {home / 'history.db'}\n"
    assert output(run_python(script, home, command=command)) == line * 3
