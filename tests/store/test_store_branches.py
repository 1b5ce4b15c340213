"""Branches: asking again, going back, forks, and the summaries that belong to them."""

from __future__ import annotations

import json
import time
from contextlib import closing
from dataclasses import replace

import pytest

from glmcli.conversation.transcript import parse_conversations, to_json, to_jsonl, to_markdown
from glmcli.errors import UsageError
from glmcli.store import open_store
from glmcli.store.whole import PAUSE_S
from glmcli.types import Conversation, Message, Omission
from tests.support.turns import ask, texts


def test_asking_again_shares_the_question(store):
    conversation = Conversation()
    ask(store, conversation, "why?", "because")
    store.rewind(conversation, 0)
    ask(store, conversation, "why?", "for a reason")
    assert texts(store.load(conversation.id)) == ["why?", "for a reason"]
    nodes = store.tree(conversation)
    assert [(node.parent_id, node.text, node.current) for node in nodes] == [
        (None, "why?", True),
        (nodes[0].id, "because", False),
        (nodes[0].id, "for a reason", True),
    ]


def test_going_back_lasts(store, opened):
    conversation = Conversation()
    ask(store, conversation, "one", "1")
    ask(store, conversation, "two", "2")
    store.rewind(conversation, 2)
    assert texts(opened().load(conversation.id)) == ["one", "1"]
    store.rewind(conversation, 0)
    assert texts(opened().load(conversation.id)) == []


def test_an_edited_message_begins_a_branch(store):
    conversation = Conversation()
    ask(store, conversation, "one", "1")
    ask(store, conversation, "two", "2")
    edited = replace(conversation.messages[1], text="uno")
    store.rewind(conversation, 1)
    conversation.messages.append(edited)
    store.save(conversation)
    assert texts(store.load(conversation.id)) == ["one", "uno"]
    assert len(store.tree(conversation)) == 5


def test_goto_moves_to_any_message_and_a_question_brings_its_newest_reply(store):
    conversation = Conversation()
    ask(store, conversation, "one", "1")
    ask(store, conversation, "two", "2")
    store.rewind(conversation, 2)
    ask(store, conversation, "two", "II")
    question, first = (node.id for node in store.tree(conversation)[2:4])
    store.goto(conversation, first)
    assert texts(store.load(conversation.id)) == ["one", "1", "two", "2"]
    store.goto(conversation, question)
    assert texts(store.load(conversation.id)) == ["one", "1", "two", "II"]
    assert store.load(conversation.id) == conversation
    with pytest.raises(UsageError):
        store.goto(conversation, 999)


def test_goto_does_not_leave_the_conversation(store):
    here, there = Conversation(), Conversation()
    ask(store, here, "here", "1")
    ask(store, there, "there", "2")
    with pytest.raises(UsageError):
        store.goto(here, there.ids[0])


def test_a_fork_and_its_origin_can_be_deleted_apart(store):
    conversation = Conversation()
    ask(store, conversation, "one", "1")
    fork = store.fork(conversation)
    ask(store, fork, "two", "2")
    assert texts(conversation) == ["one", "1"]
    store.delete(conversation.id)
    assert store.load(fork.id) == fork


def test_saving_twice_stores_nothing_twice(store):
    conversation = Conversation()
    ask(store, conversation, "one", "1")
    again = store.load(conversation.id)
    again.ids.clear()
    store.save(again, conversation)
    assert len(store.tree(conversation)) == 2
    assert again.ids == conversation.ids


@pytest.mark.parametrize("name", ["", "UPPER", "abcd", "../../x", "\udcff", "abcd00001"])
def test_an_imported_conversation_gets_an_id_that_can_be_typed(store, name):
    conversation = Conversation(id=name, messages=[Message("user", "x"), Message("assistant", "y")])
    store.save(conversation)
    assert conversation.id != name
    assert store.load(conversation.id) == conversation


def test_an_import_keeps_its_id_and_can_be_repeated(store):
    conversation = Conversation(id="abcd0000", messages=[Message("user", "x")])
    store.save(conversation)
    store.save(Conversation(id="abcd0000", messages=[Message("user", "x")]))
    assert [item.id for item in store.list()] == ["abcd0000"]
    assert len(store.tree(conversation)) == 1


def test_a_summary_belongs_to_the_branches_that_hold_what_it_stands_for(store):
    conversation = Conversation()
    for text in ("one", "two", "three"):
        ask(store, conversation, text, text.upper())
    for count in (2, 4):
        conversation.omitted = Omission(count, f"{count} messages")
        store.summarise(conversation)
    store.rewind(conversation, 2)
    assert conversation.omitted == Omission(2, "2 messages")
    ask(store, conversation, "other", "OTHER")
    assert store.load(conversation.id).omitted == Omission(2, "2 messages")
    three = next(node for node in store.tree(conversation) if node.text == "three")
    store.goto(conversation, three.id)
    assert conversation.omitted == Omission(4, "4 messages")
    fork = store.fork(conversation)
    store.delete(conversation.id)
    assert store.load(fork.id).omitted == Omission(4, "4 messages")


def test_a_summary_that_is_given_up_does_not_come_back(store):
    conversation = Conversation()
    ask(store, conversation, "one", "ONE")
    ask(store, conversation, "two", "TWO")
    conversation.omitted = Omission(2, "short")
    store.summarise(conversation)
    conversation.omitted = None
    store.summarise(conversation)
    assert store.load(conversation.id).omitted is None


def test_a_whole_conversation_goes_into_a_file_and_comes_back_with_all_branches(store, tmp_path):
    conversation = Conversation(kind="chat")
    ask(store, conversation, "one", "1")
    ask(store, conversation, "two", "2")
    ask(store, conversation, "three", "3")
    store.rewind(conversation, 4)
    ask(store, conversation, "drei", "III")
    store.rewind(conversation, 2)
    ask(store, conversation, "zwei", "II")
    store.rewind(conversation, 0)
    ask(store, conversation, "eins", "I")
    store.rewind(conversation, 0)
    store.goto(conversation, store.tree(conversation)[1].id)
    whole = store.whole(conversation)
    assert whole.other_branches() == 4
    for write in (to_json, to_jsonl):
        (read,) = parse_conversations(write(whole))
        assert (read.others, read.kind, read.other_branches()) == (whole.others, "chat", 4)
        other = open_store(tmp_path / write.__name__)
        (added,) = other.take_in(read)
        assert other.whole(other.load(added.id)).others == whole.others
        assert to_json(other.whole(other.load(added.id))) == to_json(whole)
        assert len(other.search("drei")) == 1
        assert other.take_in(*parse_conversations(write(whole))) == []
        other.close()
    assert "Other branches: 4" in to_markdown(whole)
    assert "Other branches" not in to_markdown(conversation)


def test_an_import_adds_the_branches_that_are_missing(store, tmp_path):
    conversation = Conversation()
    ask(store, conversation, "one", "1")
    (before,) = parse_conversations(to_json(store.whole(conversation)))
    ask(store, conversation, "two", "2")
    store.rewind(conversation, 2)
    (after,) = parse_conversations(to_json(store.whole(conversation)))
    with closing(open_store(tmp_path)) as other:
        other.take_in(before)
        assert [each.id for each in other.take_in(after)] == [conversation.id]
        assert len(other.tree(other.load(conversation.id))) == 4
        assert texts(other.load(conversation.id)) == ["one", "1"]


@pytest.mark.parametrize("follows", [3, -1, None, "1", 1.5])
def test_a_branch_that_follows_nothing_is_refused(follows):
    branch = [{"role": "user", "content": "x", "follows": follows}]
    record = {"system": None, "messages": [{"role": "user", "content": "x"}], "branches": branch}
    with pytest.raises(UsageError, match="branches"):
        parse_conversations(json.dumps(record))


def test_an_import_lets_others_write_meanwhile(store, opened, monkeypatch):
    monkeypatch.setattr("glmcli.store.whole.PORTION_S", 0.0)
    other, seen = opened(), []

    def pause(seconds):
        if seconds == PAUSE_S:
            seen.append(len(other.list()))
            other.save(Conversation(messages=[Message("user", "meanwhile")]))

    monkeypatch.setattr(time, "sleep", pause)
    talk = [Conversation(messages=[Message("user", str(n))]) for n in range(3)]
    assert len(store.take_in(*talk)) == 3
    assert seen == [1, 3]
