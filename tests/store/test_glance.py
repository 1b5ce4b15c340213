"""The newest conversations, read at once or not at all."""

from __future__ import annotations

from glmcli.store.glance import newest
from glmcli.types import Conversation, Message


def test_the_newest_come_first(home, store):
    kept = [Conversation(title=name, messages=[Message("user", "x")]) for name in "abc"]
    for each in kept:
        store.save(each)
    assert [each.title for each in newest(home)] == ["c", "b", "a"]
    assert [each.title for each in newest(home, limit=1)] == ["c"]
    assert [each.title for each in newest(home, kept[1].id[:6])] == ["b"]
    assert newest(home, "%") == newest(home, "ZZ") == []


def test_without_a_history_nothing_is_made(home):
    assert newest(home) == []
    assert not home.exists()
