"""What the history promises: nothing said is lost, and nothing stored is overwritten."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing

import pytest

from glmcli.errors import StoreError, UsageError
from glmcli.store import open_store
from glmcli.store.database import migrate
from glmcli.store.glance import newest
from glmcli.store.tables import MIGRATIONS
from glmcli.types import Conversation, GenerationParams, Message, Usage
from tests.support.turns import PARAMS, ask, texts

ODD = "lone \udcff and \ud83d, NUL \0, line \u2028, 🙂 and \x1b[31m"


def snapshot(folder):
    return {
        path.relative_to(folder): (path.stat().st_mtime_ns, path.stat().st_size)
        for path in sorted(folder.rglob("*"))
    }


# A turn.


def test_a_conversation_comes_back_exactly_as_it_was(store):
    reply = Message(
        "assistant", "hm", "let me see", "length", Usage(3, 1, 2, 0.1, 0.5), name="tool"
    )
    conversation = Conversation(system="be brief", messages=[Message("system", "", tools="[{}]")])
    ask(store, conversation, "你好", reply)
    loaded = store.load(conversation.id)
    assert loaded == conversation
    assert loaded.ids == conversation.ids
    assert (loaded.params, loaded.model, loaded.title) == (PARAMS, "echo:", "你好")


@pytest.mark.parametrize("system", [None, "", "be brief"])
def test_an_empty_system_prompt_is_another_thing_than_none(store, system):
    conversation = Conversation(system=system)
    ask(store, conversation, "hi", "yo")
    assert store.load(conversation.id).system == system


def test_reasoning_that_an_older_version_stored_in_the_text_comes_back_apart(store):
    conversation = Conversation()
    ask(store, conversation, "hi", "<think>hm</think>yo")
    loaded = store.load(conversation.id)
    assert (loaded.messages[-1].thinking, loaded.messages[-1].text) == ("hm", "yo")
    assert [node.text for node in store.tree(loaded)] == ["hi", "yo"]
    ask(store, loaded, "more", "fine")
    assert [node.text for node in store.tree(loaded)] == ["hi", "yo", "more", "fine"]


def test_text_that_is_not_unicode_comes_back_exactly(store):
    conversation = Conversation(system=ODD, title=ODD)
    ask(store, conversation, ODD, Message("assistant", ODD, ODD, "stop", name=ODD))
    assert store.load(conversation.id) == conversation
    assert store.list()[0].title == ODD
    assert store.search("line")[0].conversation.id == conversation.id
    store.delete(conversation.id)


def test_nothing_is_on_the_disk_before_the_first_question(home, store):
    assert (store.list(), store.last(), store.search("x")) == ([], None, [])
    store.save(Conversation(system="only a system prompt"))
    assert not home.exists()


def test_the_question_is_stored_before_there_is_a_reply(store, opened):
    conversation = Conversation()
    store.begin(conversation, "are you there?", params=PARAMS, model="m")
    loaded = opened().load(conversation.id)
    assert loaded.messages == [
        Message("user", "are you there?"),
        Message("assistant", "", finish_reason="interrupted"),
    ]


def test_a_growing_reply_is_stored_as_it_grows(store, opened):
    conversation = Conversation()
    turn = store.begin(conversation, "go on", params=PARAMS, model="m")
    store.progress(turn, "half an answ", "half a thought")
    reply = opened().load(conversation.id).messages[-1]
    assert reply == Message("assistant", "half an answ", "half a thought", "interrupted")


def test_the_next_start_knows_which_conversation_broke_off(store, opened):
    conversation = Conversation()
    turn = store.begin(conversation, "go on", params=PARAMS, model="m")
    store.progress(turn, "half", "")
    assert opened().broken_off() == ""
    store.close()
    opened().list()  # who only looks does not use the notice up
    assert opened().broken_off() == conversation.id
    assert opened().broken_off() == ""


def test_a_chat_that_went_on_since_it_broke_off_is_not_told_of(store, opened):
    conversation = Conversation()
    turn = store.begin(conversation, "go on", params=PARAMS, model="m")
    store.progress(turn, "half", "")
    store.close()
    other = opened()
    ask(other, other.load(conversation.id), "and then?", "this")
    other.close()
    assert opened().broken_off() == ""


def test_an_ask_that_broke_off_is_not_told_of_as_a_chat(store, opened, home):
    turn = store.begin(Conversation(kind="ask"), "go on", params=PARAMS, model="m")
    store.progress(turn, "half", "")
    store.close()
    assert opened().broken_off() == ""
    assert not list(home.glob("*turn*"))


BROKEN_OFF = Message("assistant", "", finish_reason="interrupted")


def test_what_no_model_answered_is_no_conversation_until_one_does(store):
    ask(store, Conversation(), "x", "y")
    kept = store.last()
    dead = Conversation()
    for reason in ("interrupted", "cancelled"):
        ask(store, dead, "hi", Message("assistant", "", finish_reason=reason))
        assert [each.id for each in store.list()] == [kept.id]
        assert store.last() == kept
    assert store.load(dead.id).messages[0].text == "hi"  # nothing is lost
    assert [hit.conversation.id for hit in store.search("hi")] == [dead.id]
    ask(store, dead, "hi", "yes?")
    assert store.last() == dead


def test_a_conversation_goes_on_with_the_model_that_answered_last(store, opened):
    conversation = Conversation()
    ask(store, conversation, "x", "y")
    turn = store.begin(conversation, "and?", params=GenerationParams(seed=9), model="dead")
    assert (opened().last().model, opened().last().params) == ("echo:", PARAMS)
    store.complete(turn, BROKEN_OFF)
    assert (opened().last().model, opened().list()[0].model) == ("echo:", "echo:")
    turn = store.begin(conversation, "and?", params=GenerationParams(seed=9), model="new")
    store.complete(turn, Message("assistant", "", thinking="hm", finish_reason="cancelled"))
    assert (opened().last().model, opened().last().params.seed) == ("new", 9)


def test_chats_and_asks_are_told_apart_and_what_is_unknown_counts_for_both(store):
    for kind in ("chat", "ask", ""):
        ask(store, Conversation(kind=kind), kind, "y")
    assert [each.kind for each in store.list()] == ["", "ask", "chat"]
    assert [each.kind for each in store.list(kind="chat")] == ["", "chat"]
    assert [each.kind for each in store.list(kind="ask")] == ["", "ask"]
    store.delete(store.last().id)
    assert (store.last("chat").kind, store.last("ask").kind) == ("chat", "ask")


def test_another_process_leaves_a_growing_reply_alone(store, opened):
    conversation = Conversation()
    turn = store.begin(conversation, "go on", params=PARAMS, model="m")
    other = opened()
    other.last()
    store.progress(turn, "more", "")
    assert other.load(conversation.id).messages[-1].text == "more"
    store.complete(turn, Message("assistant", "more words", finish_reason="stop"))
    assert other.load(conversation.id).messages[-1].finish_reason == "stop"
    assert len(other.search("words")) == 1


def test_a_reply_that_was_taken_for_dead_can_still_be_completed(home, store, opened):
    conversation = Conversation()
    turn = store.begin(conversation, "go on", params=PARAMS, model="m")
    store.progress(turn, "slow", "")
    (home / f"history.db-turn-{turn}").unlink()
    assert len(opened().search("slow")) == 1
    store.complete(turn, Message("assistant", "finished", finish_reason="stop"))
    assert store.load(conversation.id).messages[-1].text == "finished"
    assert (len(store.search("slow")), len(store.search("finished"))) == (0, 1)


def test_a_turn_leaves_no_files_behind(home, store):
    ask(store, Conversation(), "x", "y")
    store.close()
    assert [path.name for path in home.iterdir()] == ["history.db"]


def test_what_a_killed_process_left_is_cleared_away(home, store, opened):
    ask(store, Conversation(), "x", "y")
    (home / "history.db-turn-7").touch()
    (home / "history.db-turn-mine").touch()
    opened()
    assert [path.name for path in home.glob("*turn*")] == ["history.db-turn-mine"]


def test_a_reply_that_could_not_be_completed_is_completed_with_the_next_question(store):
    conversation = Conversation()
    store.begin(conversation, "one", params=PARAMS, model="m")
    conversation.messages += [Message("user", "one"), Message("assistant", "1", "", "stop")]
    ask(store, conversation, "two", "2")
    assert store.load(conversation.id) == conversation


def test_messages_that_are_not_stored_yet_are_stored_with_the_next_question(store):
    unsaved = [Message("user", "a"), Message("assistant", "b"), Message("user", "c")]
    conversation = Conversation(messages=list(unsaved))
    ask(store, conversation, "d", "e")
    assert store.load(conversation.id) == conversation
    assert store.list()[0].turns == 3


def test_a_conversation_deleted_elsewhere_is_stored_again(store, opened):
    conversation = Conversation()
    ask(store, conversation, "one", "1")
    opened().delete(conversation.id)
    assert store.take_notice() == ""
    ask(store, conversation, "two", "2")
    assert store.take_notice() == "this chat had been deleted elsewhere: it is stored again"
    assert store.load(conversation.id) == conversation
    ask(store, conversation, "three", "3")
    assert store.take_notice() == ""


def test_a_reply_to_a_conversation_deleted_meanwhile_does_no_harm(store, opened):
    conversation = Conversation()
    turn = store.begin(conversation, "one", params=PARAMS, model="m")
    opened().delete(conversation.id)
    store.progress(turn, "1", "")
    store.complete(turn, Message("assistant", "1", finish_reason="stop"))
    assert store.list() == []


# Finding.


def test_the_list_shows_the_newest_first_with_turns_and_tokens(store):
    first, second = Conversation(), Conversation()
    ask(store, first, "one", "1")
    ask(store, second, "two", "2")
    ask(store, first, "three", Message("assistant", "3", "", "stop", Usage(10, 0, 5, 0.1, 0.2)))
    found = store.list()
    assert [(item.id, item.title, item.turns, item.tokens) for item in found] == [
        (first.id, "one", 2, 15),
        (second.id, "two", 1, None),
    ]
    assert store.list(1) == found[:1]
    assert store.last() == first


def test_an_id_may_be_shortened_as_long_as_it_is_clear(store):
    store.save(
        Conversation(id="abcd0001", messages=[Message("user", "x")]),
        Conversation(id="abcd0002", messages=[Message("user", "y")]),
    )
    assert texts(store.load("ABCD0002")) == ["y"]
    for wrong in ("abcd", "zz", "", " ", "%", "abcd0001x", "\udcff", "é"):
        with pytest.raises(UsageError) as caught:
            store.load(wrong)
        assert caught.value.hint


def test_a_title_that_was_chosen_stays_and_is_found(store):
    conversation = Conversation()
    ask(store, conversation, "one", "1")
    store.rename(conversation.id, "Größe der 世界")
    ask(store, conversation, "two", "2")
    assert store.list()[0].title == "Größe der 世界"
    (hit,) = store.search("grosse 世界")
    assert [hit.excerpt[start:end] for start, end in hit.spans] == ["Größe", "世界"]


def test_search_shows_the_newest_match_of_each_conversation(store):
    first, second = Conversation(), Conversation()
    ask(store, first, "The cat sat", "Did the cat sit?")
    ask(store, second, "my cat", "yes?")
    hits = store.search("cat")
    assert [(hit.conversation.id, hit.role, hit.excerpt) for hit in hits] == [
        (second.id, "user", "my cat"),
        (first.id, "assistant", "Did the cat sit?"),
    ]
    assert len(store.search("cat", 1)) == 1


def test_search_finds_what_is_on_another_branch(store):
    conversation = Conversation()
    ask(store, conversation, "one", "hidden treasure")
    store.rewind(conversation, 0)
    ask(store, conversation, "one", "nothing")
    (hit,) = store.search("treasure")
    store.goto(conversation, hit.message_id)
    assert texts(conversation) == ["one", "hidden treasure"]


def test_a_purged_conversation_is_nowhere(home, store):
    kept, deleted = Conversation(), Conversation()
    ask(store, kept, "keep this", "kept 保留")
    ask(store, deleted, "my password is swordfish", "剣魚 is safe with me")
    store.rewind(deleted, 0)
    store.purge(deleted.id)
    assert [item.id for item in store.list()] == [kept.id]
    assert not store.search("swordfish") and store.search("保留")
    left = b"".join(path.read_bytes() for path in home.iterdir())
    assert b"swordfish" not in left and "剣魚".encode() not in left
    assert b"keep this" in left


# Off.


def test_a_history_that_is_off_writes_nothing_at_all(home):
    store = open_store(home, enabled=False)
    conversation = Conversation()
    ask(store, conversation, "secret", "quiet")
    turn = store.begin(conversation, "more", params=PARAMS, model="m")
    store.progress(turn, "qui", "")
    store.rewind(conversation, 0)
    assert conversation.messages == []
    assert (store.list(), store.last(), store.search("secret")) == ([], None, [])
    for change in (store.delete, lambda name: store.rename(name, "x")):
        with pytest.raises(UsageError):
            change("x")
    store.close()
    assert not home.exists()


@pytest.mark.parametrize("in_use", [True, False])
def test_a_history_that_is_off_can_be_read(home, store, in_use):
    conversation = Conversation()
    ask(store, conversation, "hello", "world")
    if not in_use:
        store.close()
    before = snapshot(home)
    reader = open_store(home, enabled=False)
    assert reader.load(conversation.id) == conversation
    assert len(reader.search("wor")) == len(reader.list()) == 1
    with pytest.raises(StoreError, match="switched off"):
        reader.delete(conversation.id)
    reader.close()
    assert snapshot(home) == before


def test_settings_that_are_unset_stay_unset(store):
    conversation = Conversation()
    store.begin(conversation, "x", params=GenerationParams(), model="")
    assert store.load(conversation.id).params == GenerationParams()


def test_of_a_history_of_before_there_were_kinds_all_count_for_both(home):
    home.mkdir(parents=True)
    with closing(sqlite3.connect(home / "history.db", isolation_level=None)) as db:
        migrate(db, MIGRATIONS[:4])
        db.execute(
            "INSERT INTO conversation (id, title, system, model, params, turns, named, updated_at)"
            " VALUES ('abcd0000', 't', '', 'm', '{}', 1, 0, 5.0)"
        )
        db.execute(
            "INSERT INTO message (conversation_id, role, text, thinking, name, tools, model,"
            " params, pending, created_at)"
            " VALUES ('abcd0000', 'user', 'q', '', '', '', '', '{}', 0, 5.0)"
        )
    with closing(open_store(home)) as store:
        assert [each.kind for each in store.list()] == [""]
        assert store.last("chat") == store.last("ask") == store.load("abcd")


# Deleting, and taking it back.


def test_what_was_deleted_is_nowhere_until_it_is_brought_back(store):
    kept, gone = Conversation(), Conversation()
    ask(store, kept, "blue sky", "yes")
    ask(store, gone, "green sky", "no")
    store.rename(gone.id, "sky in green")
    before = store.load(gone.id)
    store.delete(gone.id)
    assert [each.id for each in store.list()] == [kept.id]
    assert {hit.conversation.id for hit in store.search("sky")} == {kept.id}
    assert store.last() == kept
    assert newest(store.path.parent, gone.id) == []
    with pytest.raises(UsageError, match="was deleted") as found:
        store.load(gone.id)
    assert f"undelete {gone.id}" in found.value.hint
    assert [each.id for each, _ in store.deleted()] == [gone.id]
    assert [each.id for each in newest(store.path.parent, deleted=True)] == [gone.id]
    store.undelete(gone.id[:4])
    assert store.load(gone.id) == before
    assert {hit.conversation.id for hit in store.search("sky")} == {kept.id, gone.id}
    assert store.deleted() == []


def test_deleted_text_is_gone_at_the_first_start_after_thirty_days(home, opened, monkeypatch):
    store, gone = opened(), Conversation()
    ask(store, gone, "sesquipedalian", "yes")
    store.delete(gone.id)
    store.close()
    now = time.time()
    for days, kept in ((29, [gone.id]), (31, [])):
        monkeypatch.setattr(time, "time", lambda days=days: now + days * 86400)
        store = opened()
        assert [each.id for each, _ in store.deleted()] == kept
        store.close()
        found = [b"sesquipedalian" in path.read_bytes() for path in home.iterdir()]
        assert any(found) == bool(kept)


def test_purged_text_is_gone_at_once_deleted_before_or_not(home, opened):
    store, first, second = opened(), Conversation(), Conversation()
    ask(store, first, "sesquipedalian", "yes")
    ask(store, second, "sesquipedalian too", "yes")
    store.delete(first.id)
    store.purge(first.id, second.id)
    store.close()
    assert not any(b"sesquipedalian" in path.read_bytes() for path in home.iterdir())
    assert opened().deleted() == []


def test_a_chat_that_goes_on_brings_itself_back(store, opened):
    conversation = Conversation()
    ask(store, conversation, "one", "1")
    opened().delete(conversation.id)
    ask(store, conversation, "two", "2")
    assert texts(store.load(conversation.id)) == ["one", "1", "two", "2"]
    assert store.deleted() == []


def test_an_import_brings_a_deleted_conversation_back(store):
    conversation = Conversation()
    ask(store, conversation, "one", "1")
    stored = store.load(conversation.id)
    store.delete(conversation.id)
    assert [each.id for each in store.take_in(stored)] == [conversation.id]
    assert store.load(conversation.id) == conversation


@pytest.mark.parametrize("name", ["a", "ab", "abc"])
def test_an_id_has_four_letters_at_least_and_the_candidates_are_told(store, name):
    store.save(
        Conversation(id="abcd0001", title="one", messages=[Message("user", "x")]),
        Conversation(id="abcd0002", title="two", messages=[Message("user", "y")]),
        Conversation(id="xbcd0002", title="other", messages=[Message("user", "y")]),
    )
    for use in (store.load, store.find, store.delete, lambda name: store.rename(name, "x")):
        with pytest.raises(UsageError, match="too short") as found:
            use(name)
        assert "abcd0001 'one'" in found.value.hint
        assert "abcd0002 'two'" in found.value.hint
        assert "other" not in found.value.hint
    with pytest.raises(UsageError, match="too short"):
        store.find("x")
