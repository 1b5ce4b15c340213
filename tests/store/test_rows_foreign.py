"""Rows that this program did not write: any value of SQLite in any column is read, or is damage."""

from __future__ import annotations

import json
import shutil
import sqlite3
import time
from contextlib import closing, suppress

import pytest

from glmcli.errors import StoreError, UsageError
from glmcli.store import open_store
from glmcli.store.glance import newest
from glmcli.store.rescue import CONVERSATION_COLUMNS, MESSAGE_COLUMNS
from glmcli.types import ROLES, Conversation
from tests.support.turns import ask, texts

BAD_UTF8 = "CAST(x'61ff62' AS TEXT)"
VALUES = {
    "null": "NULL",
    "blob": "x'fffe'",
    "not UTF-8": BAD_UTF8,
    "empty": "''",
    "text": "'x' || char(10, 27) || '[31m'",
    "deep JSON": "'" + "[" * 100_000 + "'",
    "negative": "-5",
    "large": str(2**62),
    "fraction": "1.5",
    "huge": "1e300",
    "infinite": "9e999",
    "long ago": "-1e15",
}
COLUMNS = [("conversation", name) for name in CONVERSATION_COLUMNS] + [
    ("message", name) for name in MESSAGE_COLUMNS if name != "id"
]


@pytest.fixture(scope="module")
def loose(tmp_path_factory):
    """A history of two conversations whose tables take any value in any column."""
    folder = tmp_path_factory.mktemp("loose")
    with closing(open_store(folder)) as store:
        for word in ("good", "bad"):
            conversation = Conversation(title=word)
            ask(store, conversation, f"question {word}", f"reply {word}")
            ask(store, conversation, f"another {word}", f"more {word}")
    with changing(folder) as db:
        db.execute("PRAGMA writable_schema = ON")
        for word in (" NOT NULL", " REAL", " INTEGER,", " TEXT "):
            instead = "," if word.endswith(",") else " "
            db.execute(
                "UPDATE sqlite_master SET sql = replace(sql, ?, ?)"
                " WHERE name IN ('conversation', 'message')",
                (word, instead),
            )
    return folder


def changing(folder):
    return closing(sqlite3.connect(folder / "history.db", isolation_level=None))


def spoil(loose, home, table, column, value):
    """A copy of the history with one value of the bad conversation changed; its other's id."""
    shutil.copytree(loose, home)
    with changing(home) as db:
        ids = dict(db.execute("SELECT title, id FROM conversation"))
        db.execute("PRAGMA foreign_keys = OFF")
        which = "id" if table == "conversation" else "conversation_id"
        db.execute(f"UPDATE {table} SET {column} = {value} WHERE {which} = ?", (ids["bad"],))
    return ids["good"]


def use(store):
    """Read all there is, as lists, pickers, searches and exports do."""
    listed = store.list(None)
    for each in listed:
        time.localtime(each.updated_at)
        assert type(each.turns) is int
        json.dumps([each.id, each.title, each.model, each.tokens, each.kind]).encode()
        store.first_words(each.id)
        store.last_words(each.id)
        whole = store.whole(store.load(each.id))
        assert all(message.role in ROLES for message in whole.messages)
        for node in store.tree(whole):
            assert node.parent_id is None or node.parent_id < node.id
    store.search("question")
    store.search("bad")
    store.deleted()
    with suppress(UsageError):  # the last that was asked is not the one that was spoiled
        store.last()
    return [each.id for each in listed]


@pytest.mark.parametrize("value", VALUES)
@pytest.mark.parametrize(("table", "column"), COLUMNS)
def test_no_value_in_any_column_costs_the_other_conversations(loose, home, table, column, value):
    good = spoil(loose, home, table, column, VALUES[value])
    assert all(isinstance(each.title, str) for each in newest(home))
    with closing(open_store(home)) as store:
        try:
            use(store)
        except StoreError as exc:
            assert "moved to" in exc.message
        assert good in use(store)
        kept = store.load(good)
        assert texts(kept) == ["question good", "reply good", "another good", "more good"]
        assert store.search('"reply good"')
        for each in store.list():
            ask(store, store.load(each.id), "once more", "and on")
        assert not list(home.glob("*.corrupt-*")) or column in ("id", "role", *POINTERS)


POINTERS = ("parent_id", "conversation_id")


@pytest.mark.parametrize("column", ["title", "model", "text"])
def test_what_can_be_read_of_a_text_that_is_not_utf8_is_shown(loose, home, column):
    good = spoil(loose, home, "message" if column == "text" else "conversation", column, BAD_UTF8)
    with closing(open_store(home)) as store:
        (bad,) = (each for each in store.list() if each.id != good)
        shown = store.load(bad.id).messages[0].text if column == "text" else getattr(bad, column)
        assert shown == "a\ufffdb"


@pytest.mark.parametrize("parent", ["id", "(SELECT max(id) FROM message)", "id + 1"])
def test_messages_that_follow_each_other_in_a_circle_are_damage(loose, home, parent):
    good = spoil(loose, home, "message", "parent_id", parent)
    with closing(open_store(home)) as store:
        (bad,) = (each for each in store.list() if each.id != good)
        found = store.load(bad.id)
        assert "2 conversations with 8 messages could be read" in store.take_notice()
        assert texts(found) == ["question bad", "reply bad", "another bad", "more bad"]
        assert texts(store.load(bad.id)) == ["question bad", "reply bad", "another bad", "more bad"]
        assert texts(store.load(good))[0] == "question good"


def test_a_role_that_is_none_costs_no_message(loose, home):
    spoil(loose, home, "message", "role", "x'fffe'")
    with closing(open_store(home)) as store:
        (bad,) = (each for each in store.list() if each.title == "bad")
        store.load(bad.id)
        assert "2 conversations with 8 messages could be read" in store.take_notice()
        roles = [message.role for message in store.load(bad.id).messages]
        assert roles == ["user", "assistant", "user", "assistant"]


def test_an_id_that_cannot_be_typed_is_damage_and_gets_another(loose, home):
    good = spoil(loose, home, "message", "conversation_id", "'x' || char(10) || 'y'")
    with changing(home) as db:
        db.execute("UPDATE conversation SET id = 'x' || char(10) || 'y' WHERE id <> ?", (good,))
    with closing(open_store(home)) as store:
        store.list()
        assert "2 conversations with 8 messages could be read" in store.take_notice()
        (bad,) = (each for each in store.list() if each.id != good)
        assert texts(store.load(bad.id))[0] == "question bad"
