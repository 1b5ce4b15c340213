"""Branches: asking again, going back, forks, and the summaries that belong to them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from glmcli.errors import UsageError
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
