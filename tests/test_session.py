from __future__ import annotations

import sqlite3
from contextlib import closing, suppress

import pytest

from glmcli.engines.echo import EchoEngine
from glmcli.errors import ConnectionLost, ContextFull, EngineError, StoreError, UsageError
from glmcli.paths import checked
from glmcli.session import Session
from glmcli.store import open_store
from glmcli.terminal.view import BaseView
from glmcli.types import RECAP, Chunk, GenerationParams, Message, Usage
from glmcli.window import REQUEST


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


class Shown(BaseView):
    def __init__(self):
        self.chunks = []
        self.ended = []

    def show(self, chunk):
        self.chunks.append(chunk)

    def finish(self, reply):
        self.ended.append(reply.finish_reason)

    def abandon(self):
        self.ended.append("abandoned")


@pytest.fixture
def start(tmp_path):
    def make(*scripts):
        engine = Scripted(*scripts)
        store = open_store(tmp_path / "home")
        return Session(engine, store, params=GenerationParams(), model="test:")

    return make


def texts(session):
    return [(item.role, item.text) for item in session.conversation.messages]


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
    session.conversation.system = "be brief"
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


def test_a_stream_without_an_end_is_no_short_answer(start):
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
    session = start(reply("one"))

    class Broken:
        notice = ""

        def begin(self, *args, **kwargs):
            raise StoreError("the disk is full", "make room")

    session.store = Broken()
    assert session.ask("first", Shown()).text == "one"
    assert session.news() == ["not saved: the disk is full"]
    assert session.news() == []


def test_reset_keeps_the_system_prompt_and_starts_a_new_conversation(start):
    session = start(reply("one"), reply("two"))
    session.conversation.system = "be brief"
    session.ask("first", Shown())
    before = session.conversation.id
    session.reset()
    session.ask("second", Shown())
    assert session.engine.prompts[1] == [("system", "be brief"), ("user", "second")]
    assert session.conversation.id != before


@pytest.mark.parametrize("text", ["", "  \n", "a\0b", "\ud800"])
def test_what_no_text_holds_is_refused(text):
    with pytest.raises(UsageError):
        checked(text)


def test_totals_add_up(start):
    session = start(reply("one"), reply("two"))
    session.ask("first", Shown())
    session.ask("second", Shown())
    assert (session.totals.turns, session.totals.prompt_tokens) == (2, 14)
    assert session.used_tokens == 8


def test_the_oldest_turns_are_left_out_only_where_that_is_allowed(tmp_path):
    store = open_store(tmp_path / "home")
    session = Session(
        EchoEngine(context_tokens=20), store, params=GenerationParams(), model="echo:"
    )
    for text in ("a b c", "d e f"):
        session.ask(text, Shown())
    with pytest.raises(ContextFull) as caught:
        session.ask("g h i j k l m n o p", Shown())
    assert "--context drop-oldest" in caught.value.hint
    session.context = "drop-oldest"
    assert session.ask("g h i j k l m n o p", Shown()).text == "g h i j k l m n o p"
    assert session.news() == ["the window is full: the oldest 2 turns were not sent"]
    stored = store.load(session.conversation.id).messages
    assert [item.text for item in stored[:2]] == ["a b c", "a b c"]
    with pytest.raises(ContextFull, match="30 tokens, but the model's window holds 20"):
        session.ask("word " * 30, Shown())


class Recorder(EchoEngine):
    """Echoes; remembers the prompts, and answers a request for a summary with one."""

    def __init__(self, *, context_tokens, summary="all of it in short"):
        super().__init__(context_tokens=context_tokens)
        self.summary = summary
        self.prompts = []
        self.summaries = 0

    def stream(self, messages, params, cancel):
        if messages[-1].text != REQUEST:
            self.prompts.append([item.text for item in messages])
            yield from super().stream(messages, params, cancel)
            return
        self.summaries += 1
        assert params.max_tokens == self.context_tokens // 8
        if callable(self.summary):
            self.summary()
            yield Chunk("half a")
            yield Chunk(finish_reason="cancelled")
        elif isinstance(self.summary, Exception):
            raise self.summary
        else:
            yield Chunk(self.summary, tokens=4)
            yield Chunk(finish_reason="stop", usage=Usage(9, 0, 4))


@pytest.fixture
def full(tmp_path):
    """A chat whose window of 160 words is nearly full: three turns of 50 words."""

    def make(context, **options):
        engine = Recorder(context_tokens=160, **options)
        store = open_store(tmp_path / "home")
        session = Session(engine, store, params=GenerationParams(), model="echo:")
        session.context = context
        for text in "abc":
            session.ask(" ".join(text * 25), Shown())
        assert session.news() == []
        return session

    return make


LONG = " ".join("d" * 25)


def test_a_prompt_that_goes_on_where_the_last_one_began_is_sent_until_it_is_full_too(full):
    session = full("drop-oldest")
    session.ask(LONG, Shown())
    assert session.news() == ["the window is full: the oldest 2 turns were not sent"]
    session.ask("next", Shown())
    assert session.engine.prompts[-1][:-1] == [*session.engine.prompts[-2], LONG]
    assert session.news() == ["the window is full: the oldest 2 turns were not sent"]


def test_another_engine_is_sent_what_was_left_out(full):
    session = full("drop-oldest")
    session.ask(LONG, Shown())
    session.use_engine(Recorder(context_tokens=1000))
    session.ask("next", Shown())
    assert len(session.engine.prompts[0]) == 9


def test_the_oldest_turns_are_sent_as_a_summary_which_is_stored_and_said_once(full):
    session = full("summarise")
    view = Shown()
    assert session.ask(LONG, view).text == LONG
    assert session.news() == [
        "the window is full: the oldest 3 turns were sent as a summary of 5 tokens; "
        "/summary shows it"
    ]
    assert any(each.progress and each.progress.stage == "summarising" for each in view.chunks)
    assert "all of it in short" not in "".join(each.text for each in view.chunks)
    assert session.engine.prompts[-1][:2] == [RECAP, "all of it in short"]
    stored = session.store.load(session.conversation.id)
    assert len(stored.messages) == 8
    assert stored.omitted == session.conversation.omitted
    session.ask("next", Shown())
    assert session.news() == []
    assert session.engine.summaries == 2  # the window does not hold three turns and a request
    assert (session.totals.turns, session.totals.completion_tokens) == (5, 4 * 25 + 1 + 2 * 4)


def test_a_resumed_chat_sends_the_summary_again_and_makes_no_other(full):
    before = full("summarise")
    before.ask(LONG, Shown())
    stored = before.store.load(before.conversation.id)
    engine = Recorder(context_tokens=160)
    session = Session(
        engine, before.store, params=GenerationParams(), model="echo:", conversation=stored
    )
    session.ask("next", Shown())
    assert engine.summaries == 0
    assert engine.prompts[0][:2] == [RECAP, "all of it in short"]
    assert session.news() == [
        "the window is full: the oldest 3 turns were sent as a summary of 5 tokens; "
        "/summary shows it"
    ]


def test_ctrl_c_during_the_summary_keeps_everything_and_sends_nothing(full):
    session = full("summarise", summary=lambda: session.stop())
    sent = len(session.engine.prompts)
    reply = session.ask(LONG, Shown())
    assert (reply.text, reply.finish_reason) == ("", "cancelled")
    assert len(session.engine.prompts) == sent
    assert session.conversation.omitted is None
    stored = session.store.load(session.conversation.id)
    assert stored.messages == session.conversation.messages
    assert (stored.messages[-2].text, len(stored.messages)) == (LONG, 8)
    session.engine.summary = "at last"
    session.ask(session.take_back(), Shown())
    assert session.engine.prompts[-1][1] == "at last"


def test_a_fault_during_the_summary_keeps_the_question(full):
    session = full("summarise", summary=EngineError("broken", "mend it"))
    with pytest.raises(EngineError, match="broken"):
        session.ask(LONG, Shown())
    assert session.store.load(session.conversation.id).messages[-2].text == LONG


@pytest.mark.parametrize(
    ("question", "summary", "said"),
    [
        (LONG, " ", "the oldest turns could not be summarised"),
        (LONG, ContextFull(200, 160), "the oldest turns could not be summarised"),
        ("d " * 74, "s", "even a summary of the oldest turns does not fit beside this message"),
    ],
)
def test_where_no_summary_can_be_sent_the_oldest_turns_are_left_out(full, question, summary, said):
    session = full("summarise", summary=summary)
    session.engine.context_tokens = 160 if question == LONG else 80
    session.ask(question, Shown())
    turns = 2 if question == LONG else 3
    assert session.news() == [
        said,
        f"the window is full: the oldest {turns} turns were not sent",
    ]


def test_a_tool_s_result_can_be_the_question(start):
    session = start(reply("22 degrees"))
    session.conversation.messages += [Message("user", "x"), Message("assistant", "call()")]
    session.ask(Message("tool", '{"t": 22}', name="weather"), Shown())
    assert session.engine.prompts[0][-1] == ("tool", '{"t": 22}')
    stored = session.store.load(session.conversation.id)
    assert (stored.messages[2].role, stored.messages[2].name) == ("tool", "weather")


def test_messages_given_from_outside_come_first(start):
    session = start(reply("one"))
    session.conversation.messages += [Message("user", "x"), Message("assistant", "y")]
    session.ask("z", Shown())
    assert session.engine.prompts[0] == [("user", "x"), ("assistant", "y"), ("user", "z")]
    stored = session.store.load(session.conversation.id)
    assert [item.text for item in stored.messages] == ["x", "y", "z", "one"]


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
