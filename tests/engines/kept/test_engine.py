"""The contract of `Engine` for it stands in tests/engines/test_engines_contract.py."""

import os
import threading
from contextlib import closing

import pytest

from glmcli.engines.echo import EchoEngine
from glmcli.engines.kept.engine import KeptEngine
from glmcli.engines.kept.place import KeptPlace, folder_to_use
from glmcli.engines.kept.starting import link_to_socket
from glmcli.engines.thread import EngineThread
from glmcli.errors import ConnectionLost, ContextFull
from glmcli.types import Chunk, GenerationParams, Message, Progress
from tests.support.kept import held, status_at, wait_until

ASKED = (Message("user", "one two three"),)
PLAIN = GenerationParams()


@pytest.fixture
def place(own_runtime) -> KeptPlace:
    return KeptPlace(folder_to_use(), "b" * 16)


def opened(place, find=lambda: pytest.fail("it was lost"), **more):
    link = link_to_socket(place)
    assert link is not None
    engine = KeptEngine(link, find, **more)
    engine.open(lambda progress: None)
    return engine


def reply(engine):
    chunks = engine.stream(ASKED, GenerationParams(), threading.Event())
    return "".join(chunk.text for chunk in chunks)


def test_it_says_who_keeps_it_and_for_how_long(place):
    with held(place, keep_s=600), closing(opened(place)) as engine:
        assert f"kept by process {os.getpid()}" in engine.details
        assert "10m after its last use" in engine.details
        assert (engine.name, engine.context_tokens) == ("echo", 8192)


def test_it_reads_ahead_and_counts(place):
    with held(place), closing(opened(place)) as engine:
        engine.warm(ASKED, GenerationParams(), threading.Event())
        assert engine.count(ASKED) == 3


class Noted(EchoEngine):
    """One that notes what it reads ahead for."""

    def __init__(self):
        super().__init__()
        self.warmed = []

    def warm(self, messages, params, cancel):
        self.warmed.append(messages[-1].text)


@pytest.mark.parametrize("private", [False, True])
def test_what_is_not_to_be_saved_is_not_read_ahead(place, private):
    noted = Noted()
    with held(place, engine=noted), closing(opened(place, private=private)) as engine:
        engine.warm(ASKED, GenerationParams(), threading.Event())
        assert wait_until(lambda: noted.warmed, 0.5 if private else 10) != private
    assert noted.warmed == ([] if private else [ASKED[0].text])


def test_where_its_process_is_gone_before_the_first_word_another_one_answers(place):
    other = replace_key(place, "c")
    with held(place) as (holder, thread, _), held(other):
        engine = opened(place, lambda: opened(other))
        holder.stop()
        thread.join(5)
        drop(engine)
        assert reply(engine) == "one two three"
        assert status_at(other)["clients"] == 1
        engine.close()
        assert wait_until(lambda: status_at(other)["clients"] == 0)


def test_it_is_loaded_here_where_nobody_keeps_it_any_more(place):
    with held(place):
        engine = opened(place, EchoEngine)
        drop(engine)
        assert reply(engine) == "one two three"
        assert (engine.count(ASKED), engine.details) == (3, "")
        engine.warm(ASKED, GenerationParams(), threading.Event())
        engine.close()


def test_after_the_first_word_the_reply_is_broken_off(place):
    with held(place, delay_s=0.05), closing(opened(place)) as engine:
        stream = engine.stream(ASKED, GenerationParams(), threading.Event())
        assert next(chunk.text for chunk in stream if chunk.text).strip() == "one"
        drop(engine)
        with pytest.raises(ConnectionLost) as lost:
            list(stream)
        assert lost.value.exit_code == 6


class Slow(EchoEngine):
    """One that takes its time for the first word, as a model that reads a long prompt."""

    def stream(self, messages, params, cancel):
        threading.Event().wait(0.6)
        yield from super().stream(messages, params, cancel)


def test_a_step_that_takes_long_is_said_to_who_waits(place, monkeypatch):
    monkeypatch.setattr("glmcli.engines.thread.STUCK_S", 0.1)
    with held(place, engine=Slow()), closing(opened(place)) as engine:
        chunks = list(engine.stream(ASKED, GenerationParams(), threading.Event()))
    stages = [chunk.progress.stage for chunk in chunks if chunk.progress]
    assert "stuck" in stages
    assert "".join(chunk.text for chunk in chunks) == "one two three"


@pytest.fixture
def short_silence(monkeypatch):
    """A silence is long after a fifth of a second."""
    monkeypatch.setattr("glmcli.engines.kept.engine.SILENT_S", 0.2)


def test_a_slow_model_is_waited_for_as_its_process_gives_signs_of_life(
    place, short_silence, monkeypatch
):
    monkeypatch.setattr("glmcli.serve.lines.LIFE_SIGN_S", 0.05)
    with held(place, engine=Slow()), closing(opened(place)) as engine:
        assert reply(engine) == "one two three"


def test_where_its_process_is_silent_before_the_first_word_another_one_answers(
    place, short_silence
):
    with held(place, engine=Slow()), closing(opened(place, EchoEngine)) as engine:
        assert reply(engine) == "one two three"
        assert engine.details == ""


def test_a_request_that_nobody_takes_is_not_waited_for(place, short_silence, monkeypatch):
    """One that is larger than what the system keeps between two processes."""
    monkeypatch.setattr("glmcli.serve.life.Lines.answer_all", lambda lines: released.wait(10))
    released = threading.Event()
    with held(place):
        engine = KeptEngine(link_to_socket(place), EchoEngine)
        text = "word " * 100_000
        chunks = engine.stream([Message("user", text)], GenerationParams(), threading.Event())
        with pytest.raises(ContextFull):
            list(chunks)
        released.set()
        engine.close()


PROMPTS = [((Message("user", f"number {n} is this"),), GenerationParams()) for n in range(4)]


def texts_of(items):
    """Index -> its text, and how it ended: a reason, or the kind of an error."""
    texts, ends = {}, {}
    for index, item in items:
        if isinstance(item, Exception):
            ends[index] = type(item)
            continue
        texts[index] = texts.get(index, "") + item.text
        if item.finish_reason:
            ends[index] = item.finish_reason
    return texts, ends


WHOLE = {n: f"number {n} is this" for n in range(4)}


def test_several_prompts_are_one_request_with_an_end_for_each(place):
    too_long = ((Message("user", "word " * 9000),), GenerationParams())
    with held(place, delay_s=0.02) as (holder, *_), closing(opened(place)) as engine:
        items = engine.batch([*PROMPTS, too_long], threading.Event())
        first = next(items)
        assert holder.busy == 1
        texts, ends = texts_of([first, *items])
        assert texts == WHOLE
        assert ends == {0: "stop", 1: "stop", 2: "stop", 3: "stop", 4: ContextFull}
        assert reply(engine) == "one two three"


def test_a_cancelled_batch_ends_all_and_the_engine_goes_on(place):
    cancel = threading.Event()
    with held(place, delay_s=0.05), closing(opened(place)) as engine:
        items = engine.batch(PROMPTS, cancel)
        seen = [next(items)]
        cancel.set()
        _, ends = texts_of([*seen, *items])
        assert set(ends) == {0, 1, 2, 3}
        assert ends[3] == "cancelled"
        assert reply(engine) == "one two three"


AGAIN = "the process that kept the model has ended: the model is opened again"


def test_a_batch_that_had_begun_ends_with_its_process_and_the_next_goes_on_elsewhere(place):
    with held(place, delay_s=0.02):
        engine = opened(place, EchoEngine)
        items = engine.batch(PROMPTS, threading.Event())
        seen = []
        while not seen or not (seen[-1][0] == 1 and seen[-1][1].text):
            seen.append(next(items))
        drop(engine)
        texts, ends = texts_of([*seen, *items])
        assert ends == {0: "stop", 1: ConnectionLost, 2: ConnectionLost, 3: ConnectionLost}
        assert texts[0] == WHOLE[0]
        items = [*engine.batch(PROMPTS, threading.Event())]
        assert texts_of(items) == (WHOLE, dict.fromkeys(WHOLE, "stop"))
        assert [item.notice for _, item in items if item.notice] == [AGAIN]
        engine.close()


def test_a_batch_that_had_not_begun_goes_on_elsewhere(place):
    with held(place):
        engine = opened(place, EchoEngine)
        drop(engine)
        items = engine.batch(PROMPTS, threading.Event())
        assert texts_of(items) == (WHOLE, dict.fromkeys(WHOLE, "stop"))
        engine.close()


def test_who_waits_is_told_that_the_model_is_opened_again_and_sees_how_far_it_is(place):
    ask_all = [
        lambda caller: [item for _, item in caller.batch(PROMPTS, threading.Event())],
        lambda caller: [*caller.stream(ASKED, PLAIN, threading.Event())],
    ]
    for ask in ask_all:
        with held(place):
            opened_here = []

            def open_it(report, opened_here=opened_here):
                def find():
                    report(Progress("loading", 1, 3))
                    threading.Event().wait(0.5)
                    return EchoEngine()

                opened_here.append(opened(place, find))
                return opened_here[0]

            with closing(EngineThread("echo", open_it)) as caller:
                list(caller.stream(ASKED, PLAIN, threading.Event()))
                drop(opened_here[0])
                items = ask(caller)
                assert [item.notice for item in items if item.notice] == [AGAIN]
                assert Progress("loading", 1, 3) in [item.progress for item in items]
                assert items[-1].finish_reason == "stop"
                assert caller.progress is None


def drop(engine):
    """The connection ends, as if the process was killed."""
    engine.close()


def replace_key(place, digit):
    return KeptPlace(place.folder, digit * 16)


class Stalling(EchoEngine):
    """One whose process says a word, and then gives no sign of life any more."""

    def __init__(self):
        super().__init__()
        self.released = threading.Event()

    def stream(self, messages, params, cancel):
        yield Chunk("one ")
        self.released.wait(20)
        yield Chunk(finish_reason="stop")


def test_of_one_that_gave_no_sign_of_life_it_is_not_said_that_it_has_ended(place, short_silence):
    ask_all = [
        lambda engine: engine.stream(ASKED, PLAIN, threading.Event()),
        lambda engine: (item for _, item in engine.batch([(ASKED, PLAIN)], threading.Event())),
    ]
    for ask in ask_all:
        stalling = Stalling()
        with held(place, engine=stalling), closing(opened(place, EchoEngine)) as engine:
            with pytest.raises(ConnectionLost, match="does not answer any more"):
                for item in ask(engine):
                    if isinstance(item, Exception):
                        raise item
            items = [*ask(engine)]
            assert "".join(item.text for item in items) == "one two three"
            assert not any(item.notice for item in items)
            stalling.released.set()


def test_nor_of_one_whose_batch_was_left_in_the_middle(place):
    with held(place, delay_s=0.02):
        engine = opened(place, lambda: opened(place))
        with closing(engine.batch(PROMPTS, threading.Event())) as items:
            next(item for _, item in items if isinstance(item, Chunk) and item.text)
        items = [*engine.batch(PROMPTS, threading.Event())]
        assert texts_of(items) == (WHOLE, dict.fromkeys(WHOLE, "stop"))
        assert not any(item.notice for _, item in items)
        engine.close()


class Telling(EchoEngine):
    """One that has to say something of every reply."""

    def stream(self, messages, params, cancel):
        yield Chunk(notice="by the way", once=True)
        yield from super().stream(messages, params, cancel)


def test_each_caller_hears_once_what_there_is_to_say_of_the_engine_and_the_log_as_well(place):
    with held(place, engine=Telling()) as (_, _thread, said):
        for _ in range(2):
            with closing(EngineThread("echo", lambda report: opened(place))) as caller:
                heard = [
                    [chunk.notice for chunk in make() if chunk.notice]
                    for make in [lambda: caller.stream(ASKED, PLAIN, threading.Event())] * 2
                ]
                batch = [(ASKED, PLAIN)] * 2
                items = [item for _, item in caller.batch(batch, threading.Event())]
            assert heard == [["by the way"], []]
            assert not any(item.notice for item in items)
    assert said.count("by the way") == 1
