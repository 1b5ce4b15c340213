"""A chat that outgrows the window: what is left out, summarised, said and stored."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from glmcli.conversation.attachments import attachment, join_files
from glmcli.conversation.window import REQUEST
from glmcli.engines.echo import EchoEngine
from glmcli.errors import ContextFull, EngineError, ReplyTooLong
from glmcli.session import Session
from glmcli.store import open_store
from glmcli.types import RECAP, Chunk, GenerationParams, Message, Omission, Usage
from tests.support.shown import Shown


def test_the_oldest_turns_are_left_out_only_where_that_is_allowed(tmp_path):
    store = open_store(tmp_path / "home")
    session = Session(
        EchoEngine(context_tokens=20),
        store,
        params=GenerationParams(),
        model="echo:",
        commands=True,
    )
    for text in ("a b c", "d e f"):
        session.ask(text, Shown())
    with pytest.raises(ContextFull) as caught:
        session.ask("g h i j k l m n o p", Shown())
    assert "/set context drop-oldest" in caught.value.hint
    session.leave_out("drop-oldest")
    assert session.ask("g h i j k l m n o p", Shown()).text == "g h i j k l m n o p"
    assert session.news() == ["the window is full: the oldest 2 turns were not sent"]
    stored = store.load(session.conversation.id).messages
    assert [item.text for item in stored[:2]] == ["a b c", "a b c"]
    with pytest.raises(ContextFull, match="30 tokens, but the model's window holds 20"):
        session.ask("word " * 30, Shown())


LONG = "word " * 30
NINE = "a b c d e f g h i"
IN_PARTS = "--long map answers a text from stdin or -a FILE in parts; or use a model with"
SAVED = 'shorten it, or save the text in it as a file: glm ask --long map "QUESTION" -a FILE'
BY_ASK = 'glm ask --long map "QUESTION" -a FILE answers a long text in parts; or use a model'
FILE = attachment(LONG.encode(), Path("long.txt"), where="/tmp/long.txt")
TURNS = "the turns before this question fill the window: "


@pytest.mark.parametrize(
    ("once", "commands", "system", "first", "question", "hint"),
    [
        (True, False, None, "", LONG, IN_PARTS),
        (True, False, None, NINE, LONG, IN_PARTS),
        (False, False, None, "", LONG, SAVED),
        (False, True, None, NINE, LONG, SAVED),
        (False, False, None, "", join_files("sum up", [FILE]), BY_ASK),
        (False, True, None, NINE, join_files("sum up", [FILE]), BY_ASK),
        (True, False, LONG, "", "why?", "the system prompt alone fills the window: give"),
        (False, True, LONG, "", "why?", "the system prompt alone fills the window: /system"),
        (True, False, None, NINE, "why is it so?", f"{TURNS}--context drop-oldest leaves"),
        (False, True, None, NINE, "why is it so?", f"{TURNS}/set context drop-oldest leaves"),
    ],
)
def test_the_hint_helps_where_the_question_was_asked_and_names_the_cause(
    tmp_path, once, commands, system, first, question, hint
):
    chat = Session(
        EchoEngine(context_tokens=20),
        open_store(tmp_path / "home"),
        params=GenerationParams(),
        model="echo:",
        commands=commands,
        context="stop",
        once=once,
    )
    if first:
        chat.ask(first, Shown())
    chat.set_system(system)
    with pytest.raises(ContextFull) as caught:
        chat.ask(question, Shown())
    assert caught.value.hint.startswith(hint)


def test_no_system_prompt_is_blamed_where_none_was_given(tmp_path):
    class Wide(EchoEngine):
        """Its template alone is longer than its window."""

        def count(self, messages, cancel=None, think=None):
            return 30

        def stream(self, messages, params, cancel):
            raise ContextFull(30, 20)

    chat = Session(
        Wide(context_tokens=20),
        open_store(tmp_path / "home"),
        params=GenerationParams(),
        model="echo:",
        once=True,
    )
    with pytest.raises(ContextFull) as caught:
        chat.ask("hi", Shown())
    assert "system" not in caught.value.hint


def test_the_cause_is_not_named_where_nobody_counts(tmp_path):
    class Uncounted(EchoEngine):
        def stream(self, messages, params, cancel):
            raise ContextFull(None, None)

        def count(self, messages, cancel=None, think=None):
            return None

    chat = Session(
        Uncounted(),
        open_store(tmp_path / "home"),
        params=GenerationParams(),
        model="echo:",
        once=True,
    )
    with pytest.raises(ContextFull) as caught:
        chat.ask("hi", Shown())
    assert caught.value.hint.startswith("--long map answers a text from stdin")


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
        params = GenerationParams()
        session = Session(
            engine, store, params=params, model="echo:", context=context, commands=True
        )
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


def test_another_engine_is_sent_the_turns_that_were_left_out(full):
    session = full("drop-oldest")
    session.ask(LONG, Shown())
    session.use(Recorder(context_tokens=1000), "echo:")
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
        "the window is full: the oldest 3 turns were sent as a summary of 5 tokens"
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
        (LONG, ReplyTooLong("--max-tokens 20 is more"), "the oldest turns could not be summarised"),
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


class Terse(EchoEngine):
    """Says that its window is full, and neither how large that is nor how long a prompt is."""

    def __init__(self, most):
        super().__init__()
        self.context_tokens = None
        self.most = most
        self.tried = []

    def count(self, messages, cancel=None, think=None):
        return None

    def stream(self, messages, params, cancel):
        self.tried.append(len(messages))
        if len(messages) > self.most:
            raise ContextFull(None, None)
        yield Chunk(messages[-1].text, finish_reason="stop")


@pytest.mark.parametrize("context", ["drop-oldest", "auto"])
def test_a_window_of_unknown_size_loses_one_turn_after_another(tmp_path, context):
    engine = Terse(most=3)
    store = open_store(tmp_path / "home")
    session = Session(engine, store, params=GenerationParams(), model="echo:", context=context)
    for text in ("one", "two", "three", "four"):
        assert session.ask(text, Shown()).text == text
    assert engine.tried == [1, 3, 5, 3, 5, 3]
    engine.most = 0
    with pytest.raises(ContextFull, match="longer than the model's window"):
        session.ask("five", Shown())


class Greedy(EchoEngine):
    """A server that refuses a prompt beside so many new tokens."""

    def stream(self, messages, params, cancel):
        raise ContextFull(900, 1000, params.max_tokens)
        yield


def test_the_hint_names_the_limit_where_that_is_at_fault(tmp_path):
    store = open_store(tmp_path / "home")
    params = GenerationParams(max_tokens=200)
    session = Session(Greedy(), store, params=params, model="echo:")
    with pytest.raises(ContextFull, match="--max-tokens 200 more") as caught:
        session.ask("one", Shown())
    assert caught.value.hint == "set --max-tokens to 100 at most, or leave it out"


class Counting(EchoEngine):
    """Says how often it was asked for the size of a prompt, and what it was given."""

    def __init__(self):
        super().__init__()
        self.context_tokens = 100
        self.sizes = []

    def count(self, messages, cancel=None, think=None):
        self.sizes.append(super().count(messages, cancel))
        return self.sizes[-1]

    def stream(self, messages, params, cancel):
        size = super().count(messages)
        assert size <= self.context_tokens
        yield Chunk("yes", finish_reason="stop", usage=Usage(size, 0, 1))


@pytest.mark.parametrize("change", ["system", "send_all", "stopped", "go on"])
def test_no_size_that_is_too_small_is_taken_for_the_most_that_a_prompt_takes(tmp_path, change):
    store = open_store(tmp_path / "home")
    params = GenerationParams()
    session = Session(Counting(), store, params=params, model="echo:", context="drop-oldest")
    engine = session.engine
    engine.context_tokens = 400
    session.ask("a " * 20, Shown())
    first = len(engine.sizes)
    session.ask("b", Shown())
    assert len(engine.sizes) == first  # it is known to fit
    if change == "system":
        session.set_system("s " * 300)
    elif change == "send_all":
        session.conversation.messages[:0] = [Message("user", "c " * 150), Message("assistant", "d")]
        session.conversation.omitted = Omission(2)
        session.ask("e", Shown())
        first = len(engine.sizes)
        session.send_all()
    elif change == "stopped":
        reply = session.conversation.messages[-1]
        session.conversation.messages[-1] = replace(reply, usage=None, finish_reason="cancelled")
    else:
        question, before = "f " * 200, Message("assistant", "f", finish_reason="length")
        first = len(engine.sizes)
        session.ask(question, Shown(), after=before)
    if change != "go on":
        session.ask("b", Shown())
    assert len(engine.sizes) > first
