"""Other conversations, and the branches of this one."""

from __future__ import annotations

import re
from contextlib import suppress

import pytest

from glmcli.chat.commands import COMMANDS, Chat, run_command
from glmcli.config import DOTENV, Settings
from glmcli.engines.echo import EchoEngine
from glmcli.errors import GlmError, UsageError
from glmcli.session import Session
from glmcli.store import open_store
from glmcli.terminal.replies.text import BaseView
from glmcli.types import Conversation, GenerationParams, Message, Omission
from tests.support.chats import texts


def test_branches_can_be_seen_and_gone_back_to(chat):
    chat.ask("one")
    chat.ask("two")
    run_command(chat, "/undo")
    chat.ask("zwei")
    tree = run_command(chat, "/tree").splitlines()
    assert tree == ["  1 * one → one", "  2     two → two", "  3 *   zwei → zwei"]
    run_command(chat, "/goto 2")
    assert texts(chat) == ["one", "one", "two", "two"]
    for line in ("/goto 9", "/goto", "/goto x"):
        with pytest.raises(UsageError):
            run_command(chat, line)


def test_a_reply_that_was_asked_for_again_can_be_gone_back_to(chat):
    chat.ask("one two three")
    run_command(chat, "/retry max_tokens=1")
    assert run_command(chat, "/tree").split("\n") == [
        "  1   one two three → one two three",
        "  2 * one two three → one",
    ]
    run_command(chat, "/goto 1")
    assert texts(chat) == ["one two three", "one two three"]
    chat.ask("a question that is longer than a line of the tree may be")
    assert run_command(chat, "/tree").split("\n")[1] == (
        "  3 * a question that is longer than… → a question that is longer than…"
    )


def test_rows_of_the_tree_are_as_wide_as_they_look(chat):
    chat.ask("天" * 100)
    assert run_command(chat, "/tree") == f"  1 * {'天' * 15}… → {'天' * 15}…"


def test_a_tool_s_call_and_result_are_turns_of_the_tree(chat):
    chat.session.conversation.messages += [Message("user", "weather?"), Message("assistant", "f()")]
    chat.session.ask(Message("tool", "22"), BaseView())
    assert run_command(chat, "/tree").split("\n") == ["  1 * weather? → f()", "  2 * 22 → weather?"]


def test_a_question_without_a_reply_is_in_the_tree(chat):
    chat.session.conversation.messages.append(Message("user", "alone"))
    chat.session.store.save(chat.session.conversation)
    assert run_command(chat, "/tree") == "  1 * alone"


def test_fork_leaves_the_original_as_it_is(chat):
    chat.ask("one")
    before = chat.session.conversation.id
    run_command(chat, "/fork")
    chat.ask("two")
    assert chat.session.conversation.id != before
    assert [item.text for item in chat.session.store.load(before).messages] == ["one", "one"]


@pytest.mark.parametrize("line", ["/fork", "/tree", "/goto 1"])
def test_branches_need_a_history(chat, tmp_path, line):
    store = open_store(tmp_path / "none", enabled=False)
    chat.session = Session(EchoEngine(), store, params=GenerationParams(), model="echo:")
    chat.ask("one")
    with pytest.raises(UsageError, match="not saved"):
        run_command(chat, line)


def test_history_and_resume(chat):
    shown = []
    chat.show = lambda message, **_: shown.append(message.text)
    run_command(chat, "/set temperature 0.3")
    chat.ask("the first one")
    first = chat.session.conversation.id
    run_command(chat, "/reset")
    run_command(chat, "/set temperature default")
    chat.ask("another")
    assert first in run_command(chat, "/history")
    marked = []
    chat.mark = lambda head, pieces: marked.append((head, pieces))
    assert run_command(chat, "/history first") == ""
    assert marked == [(first, [("the ", False), ("first", True), (" one", False)])]
    assert run_command(chat, "/history nowhere") == "nothing found"
    said = run_command(chat, "/resume")
    assert first in said
    assert texts(chat) == ["the first one", "the first one"]
    assert shown == texts(chat)
    assert chat.session.params.temperature == 0.3


def test_resume_offers_other_conversations_and_tells_asks_from_chats(chat):
    said = [Message("user", "x"), Message("assistant", "y")]
    earlier = Conversation(title="Tides", messages=said)
    ask = Conversation(title="天空" * 40, messages=said, kind="ask")
    chat.session.store.save(earlier, ask)
    chat.ask("the one that is open")
    offered = dict(COMMANDS["resume"].words(chat, ""))
    assert set(offered) == {earlier.id, ask.id}
    assert re.fullmatch(r"Tides · \d+ s", offered[earlier.id])
    assert re.fullmatch(r"(天空){7}… · \d+ s · ask", offered[ask.id])


def test_settings_from_the_command_line_outlive_those_of_another_conversation(chat):
    run_command(chat, "/set temperature 0.9")
    run_command(chat, "/set top_p 0.5")
    chat.ask("the first one")
    first = chat.session.conversation.id
    run_command(chat, "/save talk.json")
    run_command(chat, "/reset")
    chat.settings = Settings(temperature=0.1)
    for line in (f"/resume {first}", "/load talk.json"):
        chat.session.resume(chat.session.conversation, GenerationParams())
        with suppress(UsageError):
            run_command(chat, line)
        assert (chat.session.params.temperature, chat.session.params.top_p) == (0.1, 0.5), line


def test_a_history_that_a_folder_chose_brings_no_settings(chat):
    run_command(chat, "/set temperature 0.9")
    chat.ask("the first one")
    first = chat.session.conversation.id
    run_command(chat, "/reset")
    chat.settings = Settings(temperature=0.1, sources={"home": DOTENV})
    said = run_command(chat, f"/resume {first}")
    assert "1 turn, without its settings, since a .env chose its folder" in said
    assert chat.session.params == GenerationParams(temperature=0.1)


def test_a_summary_is_shown_and_given_up(chat):
    assert run_command(chat, "/summary") == "the whole conversation is sent"
    with pytest.raises(UsageError, match="/summary does not know on"):
        run_command(chat, "/summary on")
    chat.ask("one two")
    chat.ask("three")
    chat.session.conversation.omitted = Omission(2, "in short")
    chat.session.store.summarise(chat.session.conversation)
    assert run_command(chat, "/summary") == "instead of the oldest turn (2 tokens): in short"
    run_command(chat, "/resume " + chat.session.conversation.id)
    assert chat.session.conversation.omitted == Omission(2, "in short")
    with pytest.raises(UsageError):
        run_command(chat, "/summary on")
    run_command(chat, "/summary off")
    assert len(chat.session.conversation.prompt()) == 4
    run_command(chat, "/resume " + chat.session.conversation.id)
    assert chat.session.conversation.omitted is None


def test_title(chat):
    chat.ask("what is the weather like?")
    assert "weather" in run_command(chat, "/title")
    run_command(chat, "/title the sky")
    assert chat.session.store.load(chat.session.conversation.id).title == "the sky"


def test_stats_count_the_session(chat):
    chat.ask("a b c")
    assert "reply tokens" in run_command(chat, "/stats")


def test_titles_of_several_lines_are_one_row_of_the_list(chat):
    chat.ask("one")
    run_command(chat, "/title a\nb")
    first = chat.session.conversation.id
    run_command(chat, "/reset")
    head, row, _ = run_command(chat, "/history").splitlines()
    assert head.split() == ["id", "age", "turns", "model", "title", "first", "words"]
    assert row.split()[0] == first
    assert row.split()[-4:] == ["echo:", "a", "b", "one"]


def test_where_nothing_can_be_picked_the_table_is_of_the_others_and_says_how_to_open_one(chat):
    said = [Message("user", "x"), Message("assistant", "y")]
    chat.ask("one")
    assert run_command(chat, "/history") == "there is no other conversation"
    ask, earlier = (Conversation(title=kind, messages=said, kind=kind) for kind in ("ask", "chat"))
    for stored in (ask, earlier):  # asks only where there is no chat
        chat.session.store.save(stored)
        _, row, way_on = run_command(chat, "/history").splitlines()
        assert row.split()[0] == stored.id
        assert way_on == "/resume ID opens one"


class PickingChat(Chat):
    """A chat on a terminal, where `picks` chooses from the list."""

    can_pick = True

    def __init__(self, chat, picks):
        super().__init__(chat.session, chat.settings)
        self.pick = picks


def test_history_goes_to_the_chat_that_is_picked(chat):
    chat.ask("the first one")
    first = chat.session.conversation.id
    run_command(chat, "/reset")
    chat.ask("another")
    offered = []

    def first_of(source):
        offered.extend(each.id for each in source.entries)
        return source.entries[0]

    assert "resumed" in run_command(PickingChat(chat, first_of), "/history")
    assert (offered, chat.session.conversation.id) == ([first], first)
    assert run_command(PickingChat(chat, lambda source: None), "/history") == ""
    assert chat.session.conversation.id == first


def test_history_says_how_to_take_back_what_was_deleted_from_its_list(chat):
    chat.ask("the first one")
    first = chat.session.conversation.id
    run_command(chat, "/reset")

    def delete(source):
        assert first in source.delete(first)

    assert f"glm history undelete {first} takes" in run_command(
        PickingChat(chat, delete), "/history"
    )
    assert run_command(PickingChat(chat, delete), "/history") == "there is no other conversation"


def test_what_was_deleted_in_the_list_is_told_where_the_one_that_was_picked_is_gone(chat):
    chat.ask("the first one")
    first = chat.session.conversation.id
    run_command(chat, "/reset")

    def delete_and_pick(source):
        (entry,) = source.entries
        source.delete(entry.id)
        return entry

    with pytest.raises(GlmError) as caught:
        run_command(PickingChat(chat, delete_and_pick), "/history")
    assert f"glm history undelete {first} takes" in caught.value.message
