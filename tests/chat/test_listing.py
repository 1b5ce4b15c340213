"""A history as a list to pick from."""

from __future__ import annotations

import pytest

from glmcli.chat.listing import HistoryList
from glmcli.errors import UsageError
from glmcli.store import open_store
from glmcli.types import Conversation
from tests.support.turns import ask


@pytest.fixture
def store(tmp_path):
    opened = open_store(tmp_path)
    yield opened
    opened.close()


def test_a_find_is_shown_from_its_first_word_on(store):
    long, short = Conversation(), Conversation()
    ask(store, long, "many words that nobody looks for, then the sea", "and more of it")
    ask(store, short, "sea", "blue")
    found = HistoryList(store, "").search("sea")
    assert found == {short.id: "sea", long.id: "…sea"}
    assert HistoryList(store, "").search("nowhere") == {}


def test_that_a_deleted_chat_is_open_elsewhere_is_told_in_the_list_and_after_it(store, monkeypatch):
    one, two = Conversation(), Conversation()
    ask(store, one, "one", "eins")
    ask(store, two, "two", "zwei")
    monkeypatch.setattr(store, "is_elsewhere", lambda name: name == one.id)
    listed = HistoryList(store, "")
    assert "open in another terminal" in listed.delete(one.id)
    assert "terminal" not in listed.delete(two.id)
    assert f"{one.id} is open in another terminal: if it goes on" in listed.farewell


def test_deletions_are_counted_for_the_line_that_takes_them_back(store):
    one, two = Conversation(), Conversation()
    ask(store, one, "one", "eins")
    ask(store, two, "two", "zwei")
    listed = HistoryList(store, "", but=two.id)
    assert ([each.id for each in listed.entries], listed.farewell) == ([one.id], "")
    assert one.id in listed.delete(one.id)
    assert f"undelete {one.id} takes" in listed.farewell
    with pytest.raises(UsageError):
        listed.delete(one.id)
    assert listed.deleted == [one.id]
