"""A chat with an engine that follows a script: what is kept, stored and sent."""

from __future__ import annotations

import sqlite3
from contextlib import closing, suppress

import pytest

from glmcli.engines.echo import EchoEngine
from glmcli.errors import ConnectionLost, EngineError, StoreError, UsageError
from glmcli.paths import check_prompt
from glmcli.session import Session
from glmcli.store import open_store
from glmcli.types import Chunk, Conversation, GenerationParams, Message, Usage
from tests.support.shown import Shown


class Scripted(EchoEngine):
    """Replies with scripts, one for each question; remembers the prompts it was given."""

    def __init__(self, *scripts):
        super().__init__()
        self.scripts = list(scripts)
        self.prompts = []

    def stream(self, messages, params, cancel):
        self.prompts.append([(item.role, item.text) for item in messages])
        for item in self.scripts.pop(0):
            if callable(item):
                item()
            elif isinstance(item, Exception):
                raise item
            else:
                yield item
                if cancel.is_set():
                    yield Chunk(finish_reason="cancelled")
                    return


def reply(text):
    return [Chunk(text, tokens=1), Chunk(finish_reason="stop", usage=Usage(7, 0, 1))]


@pytest.fixture
def start(tmp_path):
    def make(*scripts, store=None):
        engine = Scripted(*scripts)
        store = store or open_store(tmp_path / "home")
        return Session(engine, store, params=GenerationParams(), model="test:")

    return make


def texts(session):
    return [(item.role, item.text) for item in session.conversation.messages]


def test_text_that_was_thinking_is_kept_as_thinking_and_told_once(start):
    def lone_mark():
        turned = Chunk("Fo", "m.", was_thinking=True)
        return [Chunk("\nHm"), turned, Chunk("ur."), Chunk(finish_reason="stop")]

    session = start(lone_mark(), lone_mark())
    found = session.ask("two and two?", Shown())
    assert (found.thinking, found.text) == ("Hmm.", "Four.")
    assert session.store.load(session.conversation.id).messages[1].thinking == "Hmm."
    assert len(session.news()) == 1
    session.ask("sure?", Shown())
    assert session.news() == []
    assert session.engine.prompts[1][1] == ("assistant", "Four.")


def test_a_turn_is_shown_kept_and_stored(start):
    session = start(reply("hello"))
    view = Shown()
    answer = session.ask("hi", view)
    assert (answer.text, answer.finish_reason) == ("hello", "stop")
    assert answer.usage.total_tokens == 8
    assert answer.usage.first_token_s <= answer.usage.total_s
    assert view.ended == ["stop"]
    assert session.store.load(session.conversation.id).messages == session.conversation.messages


def test_the_engine_is_given_the_whole_conversation(start):
    session = start(reply("one"), reply("two"))
    session.set_system("be brief")
    session.ask("first", Shown())
    session.ask("second", Shown())
    assert session.engine.prompts[1] == [
        ("system", "be brief"),
        ("user", "first"),
        ("assistant", "one"),
        ("user", "second"),
    ]


def test_thinking_is_kept_and_never_sent(start):
    script = [Chunk(thinking="hm"), Chunk("yes"), Chunk(finish_reason="stop")]
    session = start(script, reply("two"))
    assert session.ask("first", Shown()).thinking == "hm"
    session.ask("second", Shown())
    assert not any("hm" in text for _, text in session.engine.prompts[1])


def test_a_cancelled_reply_keeps_what_arrived_and_the_chat_goes_on(start):
    session = start([Chunk("half a "), lambda: session.stop(), Chunk("word")], reply("two"))
    answer = session.ask("first", Shown())
    assert (answer.text, answer.finish_reason) == ("half a word", "cancelled")
    session.ask("second", Shown())
    assert ("assistant", "half a word") in session.engine.prompts[1]


def test_what_waited_at_a_stop_is_kept_and_stored_but_not_shown(start):
    waiting = "word " * 10_000
    session = start([Chunk("half a "), lambda: session.stop(), Chunk(waiting)])
    view = Shown()
    answer = session.ask("first", view)
    assert answer.text == "half a " + waiting
    assert session.store.load(session.conversation.id).messages[-1].text == answer.text
    assert "".join(chunk.text for chunk in view.chunks) == "half a "


def test_a_new_question_does_not_call_off_the_stop_of_the_last(start):
    session = start([lambda: session.stop(), Chunk()], reply("two"))
    session.ask("first", Shown())
    first = session.cancel
    session.ask("second", Shown())
    assert first.is_set()
    assert not session.cancel.is_set()


def test_a_reply_cancelled_before_its_first_word_leaves_a_well_formed_prompt(start):
    session = start([lambda: session.stop(), Chunk()], reply("two"))
    session.ask("first", Shown())
    session.ask("second", Shown())
    assert session.engine.prompts[1] == [("user", "second")]
    assert texts(session)[0] == ("user", "first")


def test_a_fault_in_mid_reply_keeps_what_arrived(start):
    session = start([Chunk("half"), EngineError("broken", "mend it")], reply("two"))
    view = Shown()
    with pytest.raises(EngineError, match="broken"):
        session.ask("first", view)
    assert view.ended == ["abandoned"]
    kept = session.conversation.messages[-1]
    assert (kept.text, kept.finish_reason) == ("half", "interrupted")
    assert session.store.load(session.conversation.id).messages[-1].text == "half"


def test_a_fault_before_the_first_word_can_be_retried(start):
    session = start([EngineError("broken", "mend it")], reply("two"))
    with pytest.raises(EngineError):
        session.ask("first", Shown())
    assert session.ask(session.take_back(), Shown()).text == "two"
    assert session.engine.prompts[1] == [("user", "first")]
    assert texts(session) == [("user", "first"), ("assistant", "two")]


def test_a_stream_without_an_end_is_not_taken_for_a_short_answer(start):
    session = start([Chunk("half")])
    with pytest.raises(ConnectionLost):
        session.ask("first", Shown())
    assert session.conversation.messages[-1].finish_reason == "interrupted"


def test_being_killed_saves_what_arrived(start):
    class Killed(BaseException):
        pass

    def kill():
        raise Killed

    session = start([Chunk("half"), kill])
    with pytest.raises(Killed):
        session.ask("first", Shown())
    saved = session.store.load(session.conversation.id)
    assert (saved.messages[-1].text, saved.messages[-1].finish_reason) == ("half", "interrupted")


def stored_reply(session):
    """The last reply as another process sees it."""
    with closing(open_store(session.store.path.parent)) as other:
        return other.load(session.conversation.id).messages[-1].text


def test_what_arrived_is_stored_within_a_second_even_if_nothing_more_comes(start, monkeypatch):
    stored = []
    script = [
        Chunk("half"),
        lambda: monkeypatch.setattr("glmcli.session.JOURNAL_S", 0.0),
        Chunk(),
        lambda: stored.append(stored_reply(session)),
        Chunk(finish_reason="stop"),
    ]
    session = start(script)
    session.ask("first", Shown())
    assert stored == ["half"]


def test_what_could_not_be_stored_because_another_wrote_is_stored_a_moment_later(
    start, monkeypatch
):
    monkeypatch.setattr("glmcli.session.JOURNAL_S", 0.0)
    stored = []
    session = start(reply("one"))

    def lock():
        other.execute("BEGIN IMMEDIATE")

    def unlock():
        stored.append(stored_reply(session))
        other.execute("ROLLBACK")

    session.engine.scripts.append(
        [
            lock,
            Chunk("half"),
            unlock,
            Chunk(),
            lambda: stored.append(stored_reply(session)),
            Chunk(finish_reason="stop"),
        ]
    )
    session.ask("first", Shown())
    with closing(sqlite3.connect(session.store.path, isolation_level=None)) as other:
        session.ask("second", Shown())
    assert stored == ["", "half"]


def test_retry_replaces_the_reply(start):
    session = start(reply("one"), reply("other"))
    session.ask("first", Shown())
    session.ask(session.take_back(), Shown())
    assert texts(session) == [("user", "first"), ("assistant", "other")]
    stored = session.store.load(session.conversation.id)
    assert stored.messages == session.conversation.messages


def test_take_back_without_a_question_is_a_usage_error(start):
    with pytest.raises(UsageError):
        start().take_back()


def test_a_store_that_fails_does_not_stop_the_chat(start):
    class Broken:
        enabled = True

        def take_notice(self):
            return ""

        def begin(self, *args, **kwargs):
            raise StoreError("the disk is full", "make room")

    session = start(reply("one"), store=Broken())
    assert session.is_saved
    assert session.ask("first", Shown()).text == "one"
    assert not session.is_saved
    assert session.news() == ["not saved: the disk is full"]
    assert session.news() == []


def test_reset_keeps_the_system_prompt_and_starts_a_new_conversation(start):
    session = start(reply("one"), reply("two"))
    session.set_system("be brief")
    session.ask("first", Shown())
    before = session.conversation.id
    session.reset()
    session.ask("second", Shown())
    assert session.engine.prompts[1] == [("system", "be brief"), ("user", "second")]
    assert session.conversation.id != before


@pytest.mark.parametrize("text", ["", "  \n", "a\0b", "\ud800"])
def test_text_that_cannot_be_a_prompt_is_refused(text):
    with pytest.raises(UsageError):
        check_prompt(text)


def test_totals_add_up(start):
    session = start(reply("one"), reply("two"))
    session.ask("first", Shown())
    session.ask("second", Shown())
    assert (session.totals.turns, session.totals.prompt_tokens) == (2, 14)
    assert session.used_tokens == 8


def test_the_result_of_a_tool_can_be_the_question(start):
    session = start(reply("22 degrees"))
    session.conversation.messages += [Message("user", "x"), Message("assistant", "call()")]
    session.ask(Message("tool", '{"t": 22}', name="weather"), Shown())
    assert session.engine.prompts[0][-1] == ("tool", '{"t": 22}')
    stored = session.store.load(session.conversation.id)
    assert (stored.messages[2].role, stored.messages[2].name) == ("tool", "weather")


def test_messages_given_from_outside_come_first(start):
    session = start(reply("one"))
    given = [Message("user", "x"), Message("assistant", "y")]
    session.extend(Conversation(system="be brief", messages=given))
    session.ask("z", Shown())
    prompt = [("system", "be brief"), ("user", "x"), ("assistant", "y"), ("user", "z")]
    assert session.engine.prompts[0] == prompt
    stored = session.store.load(session.conversation.id)
    assert [item.text for item in stored.messages] == ["x", "y", "z", "one"]


def test_a_system_prompt_that_is_set_stays_when_messages_are_added(start):
    session = start()
    session.set_system("be brief")
    session.extend(Conversation(system="be long"))
    assert session.conversation.system == "be brief"


def test_a_title_is_given_before_and_after_the_conversation_is_stored(start):
    session = start(reply("one"))
    session.rename("early")
    session.ask("hi", Shown())
    assert session.store.find(session.conversation.id).title == "early"
    session.rename("late")
    assert session.store.find(session.conversation.id).title == "late"


def test_a_stop_that_comes_before_the_question_is_sent_is_meant_for_it(start):
    session = start(reply("one"), reply("two"))
    session.rearm()
    session.stop()
    answer = session.ask("first", Shown())
    assert (answer.text, answer.finish_reason) == ("", "cancelled")
    assert session.engine.prompts == []
    session.rearm()
    assert session.ask("second", Shown()).finish_reason == "stop"
    assert texts(session)[0] == ("user", "first")


def test_a_reply_that_could_not_be_gone_on_with_stays_as_it_was(start):
    session = start(reply("one"), [EngineError("no", "wait")])
    before = session.ask("first", Shown())
    with pytest.raises(EngineError):
        session.ask(session.take_back(), Shown(), after=before)
    assert session.conversation.messages[-1] == before


def test_a_reply_that_nothing_was_added_to_stays_on_its_branch(start):
    nothing = [Chunk(finish_reason="stop", usage=Usage(9, 0, 0))]
    session = start(reply("one"), reply("two"), nothing, [EngineError("no", "wait")], reply("more"))
    session.ask("first", Shown())
    before = session.ask("second", Shown())
    ids = list(session.conversation.ids)
    for _ in range(2):
        with suppress(EngineError):
            session.ask(session.take_back(), Shown(), after=before)
        assert session.conversation.ids == ids
        stored = session.store.load(session.conversation.id)
        assert (stored.messages, stored.ids) == (session.conversation.messages, ids)
    assert len(session.store.tree(session.conversation)) == 4
    assert session.ask("third", Shown()).text == "more"
    assert session.store.load(session.conversation.id).ids[:4] == ids


def test_a_question_that_got_no_text_takes_no_room(start):
    session = start(reply("one"), [lambda: session.stop(), Chunk()])
    session.ask("first", Shown())
    used = session.used_tokens
    session.ask("second", Shown())
    assert session.used_tokens == used


@pytest.mark.parametrize(("once", "context"), [(True, "stop"), (False, "drop-oldest")])
def test_auto_refuses_a_single_question_that_does_not_fit_and_shortens_a_chat(
    tmp_path, once, context
):
    store = open_store(tmp_path / "home")
    session = Session(
        EchoEngine(), store, params=GenerationParams(), model="test:", context="auto", once=once
    )
    assert session.context == context


def test_other_sampling_settings_hold_for_as_long_as_they_are_asked_for(start):
    session = start([EngineError("no", "wait")])
    session.set_param("top_k", 3)
    with pytest.raises(EngineError), session.sampling({"temperature": 0.5}):
        assert (session.params.temperature, session.params.top_k) == (0.5, 3)
        session.ask("first", Shown())
    assert (session.params.temperature, session.params.top_k) == (None, 3)


def test_another_engine_counts_the_conversation_until_it_has_answered(start):
    session = start(reply("one two"))
    session.ask("first", Shown())
    assert session.used_tokens == 8
    session.use(EchoEngine(), "echo:")
    assert (session.model, session.recount(), session.used_tokens) == ("echo:", 3, 3)


def test_what_was_stopped_before_it_was_counted_has_no_size(start):
    late = [lambda: session.stop(), Chunk("half")]
    session = start(reply("one"), late, late)
    session.ask("first", Shown())
    session.ask("second", Shown())
    assert session.used_tokens is None
    session.use(Scripted([Chunk("half"), lambda: session.stop(), Chunk()]), "other:")
    assert session.recount() == session.used_tokens == 4
    session.ask("third", Shown())
    assert session.used_tokens is None


def test_a_size_that_another_model_counted_is_not_shown(start):
    session = start(reply("one"))
    session.ask("first", Shown())
    other = start([lambda: other.stop(), Chunk()])
    other.model = "other:"
    other.resume(session.store.load(session.conversation.id))
    assert other.used_tokens is None
    other.ask("second", Shown())
    assert other.used_tokens is None
