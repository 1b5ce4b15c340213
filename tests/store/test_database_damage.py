"""Damaged files, and files of other versions: what the history does with them."""

from __future__ import annotations

import sqlite3
import subprocess
import time
from contextlib import closing, suppress

import pytest

from glmcli.errors import StoreError, UsageError
from glmcli.store import open_store
from glmcli.store.database import Database, migrate
from glmcli.store.tables import MIGRATIONS
from glmcli.types import Conversation, Message
from tests.support.processes import WRITER, run_python
from tests.support.turns import PARAMS, ask, texts

# Damage.


def damaged(home, how):
    """A history of 50 turns that was damaged; returns the bytes that it then had."""
    store, conversation = open_store(home), Conversation()
    for number in range(50):
        ask(store, conversation, f"question {number}", "words " * 200)
    store.close()
    path = home / "history.db"
    data = bytearray(path.read_bytes())
    if how == "garbage":
        data = bytearray(b"this is not a database at all" * 1000)
    elif how == "truncated":
        data = data[: len(data) // 2]
    else:
        data[4096:] = b"\xa5" * (len(data) - 4096)
    path.write_bytes(data)
    return bytes(data)


@pytest.mark.parametrize("how", ["garbage", "truncated", "overwritten"])
def test_a_damaged_history_is_moved_aside_whole(home, how):
    data = damaged(home, how)
    store, conversation = open_store(home), Conversation()
    (aside,) = home.glob("history.db.corrupt-*")
    assert aside.read_bytes() == data
    assert str(aside) in store.notice
    ask(store, conversation, "new", "beginning")
    assert store.list()[0].id == conversation.id
    store.close()


def test_damage_that_shows_later_costs_neither_the_old_history_nor_the_chat(home, store):
    conversation = Conversation()
    ask(store, conversation, "one", "1")
    store.close()
    with closing(sqlite3.connect(home / "history.db")) as db:
        sql = "SELECT rootpage FROM sqlite_master WHERE name = 'message_parent'"
        (page,) = db.execute(sql).fetchone()
    with (home / "history.db").open("r+b") as file:
        file.seek(4096 * (page - 1))
        file.write(b"\xa5" * 4096)
    store = open_store(home)
    with pytest.raises(StoreError, match="moved to"):
        store.begin(conversation, "two", params=PARAMS, model="m")
    conversation.messages += [Message("user", "two"), Message("assistant", "2")]
    ask(store, conversation, "three", "3")
    assert store.load(conversation.id) == conversation
    assert len(list(home.glob("history.db.corrupt-*"))) == 1
    store.close()


def test_a_link_to_a_history_that_is_not_there_is_said_where_it_is_read(home):
    home.mkdir(parents=True)
    (home / "history.db").symlink_to(home / "gone.db")
    with closing(open_store(home)) as store:
        for read in (store.list, lambda: store.search("x"), lambda: store.find("abcd")):
            with pytest.raises(StoreError, match=r"is a link to .*gone\.db, which is not there"):
                read()
        assert not (home / "gone.db").exists()


def test_a_damaged_history_that_another_process_has_open_stays_where_it_is(home, store):
    ask(store, Conversation(), "x", "y")
    store.close()
    script = WRITER + "store.last(); print('open', flush=True); sys.stdin.readline()"
    with run_python(script, home, stdin=subprocess.PIPE) as other:
        assert other.stdout.readline() == "open\n"
        with (home / "history.db").open("r+b") as file:
            file.write(b"damage")
        store = open_store(home)
        with pytest.raises(StoreError, match="another glm"):
            store.list()
        assert not list(home.glob("*.corrupt-*"))
        other.communicate("\n")
    assert [each.title for each in store.list()] == ["x"]
    assert len(list(home.glob("history.db.corrupt-*"))) == 1
    store.close()


def test_a_damaged_history_is_left_where_it_is_when_nothing_may_be_written(home):
    data = damaged(home, "garbage")
    store = open_store(home, enabled=False)
    with pytest.raises(StoreError):
        store.list()
    assert (home / "history.db").read_bytes() == data
    assert [path.name for path in home.iterdir()] == ["history.db"]


# Versions.


@pytest.mark.parametrize("enabled", [True, False])
def test_a_newer_history_is_refused_and_left_alone(home, store, enabled):
    conversation = Conversation()
    ask(store, conversation, "x", "y")
    store.close()
    with closing(sqlite3.connect(home / "history.db")) as db:
        db.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    data = (home / "history.db").read_bytes()
    newer = open_store(home, enabled=enabled)
    for use in (newer.last, lambda: newer.search("x")):
        with pytest.raises(StoreError, match="newer glm"):
            use()
    if enabled:
        with pytest.raises(StoreError, match="newer glm"):
            ask(newer, conversation, "x", "y")
    assert (home / "history.db").read_bytes() == data
    assert [path.name for path in home.iterdir()] == ["history.db"]


def test_another_programs_database_is_refused_and_left_alone(home):
    home.mkdir(parents=True)
    with closing(sqlite3.connect(home / "history.db")) as db:
        db.execute("CREATE TABLE music (title)")
    data = (home / "history.db").read_bytes()
    store = open_store(home)
    with pytest.raises(StoreError, match="another program"):
        store.begin(Conversation(), "x", params=PARAMS, model="m")
    assert (home / "history.db").read_bytes() == data


def old_history(home, version):
    """A history as the program of that version left it."""
    home.mkdir(parents=True)
    db = sqlite3.connect(home / "history.db", isolation_level=None)
    migrate(db, MIGRATIONS[:version])
    if version:
        db.execute(
            "INSERT INTO conversation (id, title, system, model, params, head, turns, named,"
            " updated_at) VALUES ('abcd0000', 't', '', 'm', '{}', 2, 1, 0, 5.0)"
        )
        db.executemany(
            "INSERT INTO message VALUES"
            " (?, 'abcd0000', ?, ?, ?, '', NULL, NULL, '', '', '', '{}', 0, 5.0)",
            [(1, None, "user", "你好"), (2, 1, "assistant", "hi")],
        )
    if version >= 2:
        db.execute("INSERT INTO word (rowid, text) VALUES (1, '你 你好 好'), (2, 'hi')")
    db.close()


@pytest.mark.parametrize("enabled", [True, False])
@pytest.mark.parametrize("version", range(len(MIGRATIONS) + 1))
def test_every_older_history_is_read_and_brought_up_to_date(home, version, enabled):
    old_history(home, version)
    before = (home / "history.db").read_bytes()
    store = open_store(home, enabled=enabled)
    if version:
        assert [m.text for m in store.load("abcd").messages] == ["你好", "hi"]
        assert [hit.conversation.id for hit in store.search("你好")] == ["abcd0000"]
    conversation = store.last() or Conversation()
    if enabled:
        ask(store, conversation, "new", "words")
        assert store.load(conversation.id) == conversation
        assert store.search("words")
    store.close()
    if not enabled:
        assert (home / "history.db").read_bytes() == before


def test_a_migration_that_fails_changes_nothing(home):
    old_history(home, 1)
    db = sqlite3.connect(home / "history.db", isolation_level=None)

    def broken(connection):
        connection.execute("CREATE TABLE half_done (x)")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        migrate(db, (MIGRATIONS[0], broken))
    assert db.execute("PRAGMA user_version").fetchone() == (1,)
    assert not db.execute("SELECT 1 FROM sqlite_master WHERE name = 'half_done'").fetchone()
    db.close()


# What can still be read.


def history_of(home, conversations=30, turns=5):
    """A history of some conversations; returns them."""
    made = [Conversation(kind="chat") for _ in range(conversations)]
    with closing(open_store(home)) as store:
        for conversation in made:
            for number in range(turns):
                ask(store, conversation, f"question {number} of {conversation.id}", "word " * 100)
    return made


def overwrite(home, first, last):
    """Damage the file from one part of it to another, as fractions."""
    data = bytearray((home / "history.db").read_bytes())
    start, end = (4096 * int(len(data) * part / 4096) for part in (first, last))
    data[start:end] = b"\xa5" * (end - start)
    (home / "history.db").write_bytes(data)


def test_what_can_be_read_of_a_damaged_history_is_kept(home):
    made = history_of(home)
    overwrite(home, 0.4, 0.6)
    notice = ""
    for _ in range(2):  # damage in the middle shows when it is read
        with closing(open_store(home)) as store:
            with suppress(StoreError):
                for item in store.list(None):
                    store.load(item.id)
                store.search("question")
            notice = notice or store.notice
    assert "could be read" in notice
    with closing(open_store(home)) as store:
        assert store.notice == ""
        whole = [each for each in made if is_same(store, each)]
        assert len(whole) >= 10
        assert store.search(f"question 1 of {whole[0].id}")
        ask(store, whole[0], "more", "yes")
        assert is_same(store, whole[0])
    with closing(sqlite3.connect(home / "history.db")) as db:
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert db.execute("PRAGMA foreign_key_check").fetchall() == []


def is_same(store, conversation):
    with suppress(UsageError):
        loaded = store.load(conversation.id)
        return loaded.messages == conversation.messages and loaded.kind == conversation.kind
    return False


def test_a_chat_whose_messages_are_partly_lost_stores_them_again(home):
    conversation, *_ = history_of(home, 1, 60)
    overwrite(home, 0.5, 0.7)
    with closing(open_store(home)) as store:
        with suppress(StoreError):
            store.begin(conversation, "x", params=PARAMS, model="m")
            store.load(conversation.id)
        ask(store, conversation, "more", "yes")
        assert texts(store.load(conversation.id)) == texts(conversation)


def root_page_of(home, table):
    """The first byte of a table's first page."""
    with closing(sqlite3.connect(home / "history.db")) as db:
        db.execute("PRAGMA wal_checkpoint (TRUNCATE)")
        (page,) = db.execute(
            "SELECT rootpage FROM sqlite_master WHERE name = ?", (table,)
        ).fetchone()
        return (page - 1) * db.execute("PRAGMA page_size").fetchone()[0]


def test_conversations_whose_messages_are_all_lost_are_lost(home):
    made = history_of(home, 3, 1)
    at = root_page_of(home, "message")
    data = bytearray((home / "history.db").read_bytes())
    data[at : at + 8] = b"\xff" * 8
    (home / "history.db").write_bytes(data)
    notice = ""
    with closing(open_store(home)) as store:
        with suppress(StoreError):
            for item in store.list(None):
                store.load(item.id)
        notice += store.take_notice()
    assert "and a new one begins" in notice
    with closing(open_store(home)) as store:
        assert store.list(None) == []
        assert store.last() is None
        with pytest.raises(UsageError, match="there is no conversation"):
            store.load(made[0].id)


@pytest.mark.parametrize("kept", [0.5, 0.6, 0.7, 0.8, 0.9])
def test_of_a_history_that_was_cut_only_conversations_with_messages_are_counted(home, kept):
    made = [Conversation(kind="chat") for _ in range(12)]
    with closing(open_store(home)) as store:
        for number, conversation in enumerate(made):
            ask(store, conversation, f"question {number}", "word " * 600)
    data = (home / "history.db").read_bytes()
    (home / "history.db").write_bytes(data[: int(len(data) * kept)])
    with closing(open_store(home)) as store:
        with suppress(StoreError):
            store.list(None)
        notice = store.take_notice()
        listed = store.list(None)
        assert len(listed) < len(made)
        assert all(store.load(each.id).messages for each in listed)
    if listed:
        assert f" {len(listed)} conversations with " in notice


def test_a_conversation_without_a_message_is_not_listed(home):  # older versions rescued some
    history_of(home, 2, 1)
    changed(home, "DELETE FROM message WHERE id > 2")
    with closing(open_store(home)) as store:
        (listed,) = store.list(None)
        last = store.last("chat")
        assert last and last.id == listed.id and last.messages


def test_the_turns_of_a_chat_are_those_that_could_be_read(home):
    made = history_of(home)
    overwrite(home, 0.4, 0.6)
    for _ in range(2):  # damage in the middle shows when it is read
        with closing(open_store(home)) as store, suppress(StoreError):
            for item in store.list(None):
                store.load(item.id)
            store.search("question")
    with closing(open_store(home)) as store:
        turns = {item.id: item.turns for item in store.list(None)}
        found = {name: store.load(name).messages for name in turns}
    assert turns == {
        name: sum(each.role == "user" for each in messages) for name, messages in found.items()
    }
    assert len(made) >= len(turns) and min(turns.values()) < 5 == max(turns.values())


def changed(home, statement):
    """Change a history with SQLite's own tool, as people do."""
    with closing(sqlite3.connect(home / "history.db", isolation_level=None)) as db:
        db.execute(statement)


@pytest.mark.parametrize("before", ["", "VACUUM", "ANALYZE"])
@pytest.mark.parametrize("byte", [0xCE, 0x8B, ord("#")])
@pytest.mark.parametrize("word", [b"CREATE TABLE message", b"role TEXT", b"has_system", b"fts5"])
def test_a_damaged_statement_that_made_a_table_costs_no_message(home, word, byte, before):
    made = history_of(home, 3, 2)
    changed(home, before)
    data = bytearray((home / "history.db").read_bytes())
    data[data.index(word) + 1] = byte
    (home / "history.db").write_bytes(data)
    notice = ""
    for _ in range(2):
        with closing(open_store(home)) as store:
            with suppress(StoreError):
                store.list()
                store.search("question")
                store.load(made[0].id)
            notice = notice or store.notice
    assert "3 conversations with 12 messages could be read" in notice
    (aside,) = home.glob("history.db.corrupt-*")
    assert aside.read_bytes() == data
    with closing(open_store(home)) as store:
        assert all(is_same(store, each) for each in made)
        assert store.search(f"question 1 of {made[0].id}")


def test_a_damaged_statement_is_said_where_nothing_may_be_written(home):
    history_of(home, 1, 1)
    data = bytearray((home / "history.db").read_bytes())
    data[data.index(b"role TEXT") + 1] = 0xCE
    (home / "history.db").write_bytes(data)
    store = open_store(home, enabled=False)
    with closing(store), pytest.raises(StoreError, match="damaged"):
        store.list()
    assert (home / "history.db").read_bytes() == data


@pytest.mark.parametrize("name", [b"messagemessage", b"wordword", b"tableconversation"])
def test_a_damaged_name_of_a_table_costs_no_message_after_a_vacuum_either(home, name):
    made = history_of(home, 3, 2)
    changed(home, "VACUUM")
    data = bytearray((home / "history.db").read_bytes())
    data[data.index(name) + 5] = 0xCE
    (home / "history.db").write_bytes(data)
    for _ in range(2):
        with closing(open_store(home)) as store, suppress(StoreError):
            store.list()
            store.search("question")
            store.load(made[0].id)
    with closing(open_store(home)) as store:
        assert all(is_same(store, each) for each in made)


@pytest.mark.parametrize("before", ["VACUUM", "ANALYZE"])
def test_a_page_that_is_lost_costs_no_other_after_a_vacuum_either(home, before):
    made = history_of(home)
    changed(home, before)
    overwrite(home, 0.5, 0.55)
    with closing(open_store(home)) as store:
        for each in made:
            with suppress(StoreError, UsageError):
                store.load(each.id)
        assert sum(is_same(store, each) for each in made) > 20


@pytest.mark.parametrize("before", ["", "VACUUM", "ANALYZE"])
def test_an_error_over_a_whole_database_moves_nothing(home, before):
    history_of(home, 1, 1)
    changed(home, before)
    database = Database(home / "history.db", enabled=True, wait_s=1.0)
    with (
        closing(database),
        pytest.raises(sqlite3.OperationalError, match="no such table"),
        database.writing() as db,
    ):
        db.execute("SELECT 1 FROM elsewhere")
    assert not list(home.glob("*.corrupt-*"))


@pytest.mark.parametrize("kept", [-4096, -8192, -9000])
def test_a_young_history_that_was_cut_costs_no_message_of_what_is_there(home, kept):
    made = history_of(home, 1, 1)
    data = (home / "history.db").read_bytes()
    (home / "history.db").write_bytes(data[:kept])
    with closing(open_store(home)) as store:
        assert is_same(store, made[0])
        assert "1 conversations with 2 messages could be read" in store.notice


@pytest.mark.parametrize("at", [0, 15, 17, 19, 20, 22, 28, 31])
def test_a_damaged_head_of_the_file_costs_no_message(home, at):
    made = history_of(home, 3, 2)
    data = bytearray((home / "history.db").read_bytes())
    data[at] ^= 0x42
    (home / "history.db").write_bytes(data)
    with closing(open_store(home)) as store:
        assert all(is_same(store, each) for each in made)
        assert "3 conversations with 12 messages could be read" in store.notice or at == 20


def test_a_damaged_index_of_words_costs_no_message(home):
    made = history_of(home, 3, 2)
    with closing(sqlite3.connect(home / "history.db")) as db:
        db.execute("DELETE FROM word_config")
        db.commit()
    with closing(open_store(home)) as store:
        store.search("question")
        assert "3 conversations with 12 messages could be read" in store.take_notice()
        assert store.search(f"question 1 of {made[0].id}")


def test_a_damaged_id_does_not_have_the_rest_looked_for_without_end(home):
    history_of(home, 3, 2)
    with closing(sqlite3.connect(home / "history.db")) as db:
        db.execute(f"UPDATE message SET role = 'none', id = {2**62} WHERE id = 12")
        db.commit()
    began = time.monotonic()
    with closing(open_store(home)) as store:
        with suppress(StoreError):
            for each in store.list():
                store.whole(store.load(each.id))
        assert "3 conversations with 11 messages could be read" in store.notice
    assert time.monotonic() - began < 10
