"""What a list shows of a conversation: beginnings of texts, and no more of them is read."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

from glmcli.store.results import FIRST_BYTES, LAST_BYTES, beginning
from glmcli.types import Conversation, Message
from tests.support.turns import ask, texts

LONG = "天" * 5_000_000


def test_the_first_words_and_the_last_are_beginnings_of_texts(store):
    conversation = Conversation()
    ask(store, conversation, "why?\n\nbecause", "<think>hm</think>so")
    ask(store, conversation, LONG, LONG)
    assert store.first_words(conversation.id) == "why?\n\nbecause"
    last = store.last_words(conversation.id)
    assert [message.role for message in last] == ["user", "assistant"]
    assert {message.text for message in last} == {"天" * (LAST_BYTES // 3)}


def test_the_last_words_are_those_of_the_branch_and_reasoning_is_none_of_them(store):
    conversation = Conversation()
    ask(store, conversation, "one", "eins")
    ask(store, conversation, "two", "<think>hm</think>zwei")
    store.rewind(conversation, 2)
    assert [each.text for each in store.last_words(conversation.id)] == texts(conversation)
    ask(store, conversation, "drei", "<think>hm</think>three")
    assert [each.text for each in store.last_words(conversation.id)] == ["drei", "three"]


def test_what_was_never_asked_or_is_not_there_has_no_words(store):
    told = Conversation(messages=[Message("assistant", "hello")])
    store.save(told)
    assert (store.first_words(told.id), store.first_words("none")) == ("", "")
    assert [each.text for each in store.last_words(told.id)] == ["hello"]
    assert store.last_words("none") == []


def test_texts_that_are_not_unicode_lose_only_what_is_none(store):
    conversation = Conversation()
    ask(store, conversation, "a \udcff b", "c \ud83d d")
    assert store.first_words(conversation.id) == "a  b"
    assert [each.text for each in store.last_words(conversation.id)] == ["a  b", "c  d"]


@pytest.mark.parametrize("most", [FIRST_BYTES, LAST_BYTES])
def test_a_long_text_is_not_read_to_its_end(store, most):
    """What is broken further on is not met."""
    conversation = Conversation()
    ask(store, conversation, LONG, "yo")
    store.close()
    with store.path.open("r+b") as file:
        file.seek(store.path.stat().st_size // 2 // 4096 * 4096)
        file.write(b"\xff" * 4096)
    with closing(sqlite3.connect(store.path)) as db:
        with pytest.raises(sqlite3.DatabaseError):
            db.execute("SELECT text FROM message WHERE id = ?", conversation.ids[:1]).fetchone()
        assert beginning(db, conversation.ids[0], most) == "天" * (most // 3)
