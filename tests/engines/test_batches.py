"""Several prompts to one engine, whether or not it has steps for all of them at once."""

import time
from threading import Event

import pytest

from glmcli.engines import Batches
from glmcli.engines.batches import batch_of
from glmcli.engines.delivery import MOST_ITEMS
from glmcli.engines.echo import EchoEngine
from glmcli.engines.thread import EngineThread
from glmcli.errors import ConnectionLost, ContextFull, EngineError, GlmError, ModelError
from glmcli.types import Chunk, GenerationParams, Message, Progress

PARAMS = GenerationParams()
TEXTS = ["one two", "three", "four five six"]


def asked(*texts):
    return [((Message("user", text),), PARAMS) for text in texts]


def threaded(engine):
    return EngineThread("test", lambda report: engine).batch


def alone(engine):
    return lambda prompts, cancel: batch_of(engine, prompts, cancel)


def collected(items):
    """Index -> the text and how it ended: a reason, or the kind of an error."""
    texts, ends = {}, {}
    for index, item in items:
        assert index not in ends
        if isinstance(item, GlmError):
            ends[index] = type(item)
        else:
            texts[index] = texts.get(index, "") + item.text
            if item.finish_reason:
                ends[index] = item.finish_reason
    return texts, ends


class InSteps(EchoEngine):
    """Answers all at once, a word of each at a time, unless its script is another."""

    def __init__(self, script=None):
        super().__init__()
        self.script = script

    def batch(self, prompts, cancel):
        if self.script:
            yield from self.script(cancel)
            return
        left = [list(self.stream(*each, cancel)) for each in prompts]
        while any(left):
            for index, chunks in enumerate(left):
                if chunks:
                    yield index, chunks.pop(0)


class Picky(EchoEngine):
    """Fails at some words in its own ways."""

    def stream(self, messages, params, cancel):
        word = messages[0].text
        if word == "stops":
            yield Chunk("half")
            return
        if word in ("bug", "panic"):
            raise ZeroDivisionError if word == "bug" else SystemExit
        yield from super().stream(messages, params, cancel)


@pytest.mark.parametrize("way", [alone, threaded])
@pytest.mark.parametrize("engine", [EchoEngine, InSteps])
def test_every_prompt_has_its_own_reply(engine, way):
    texts, ends = collected(way(engine())(asked(*TEXTS), Event()))
    assert [texts[index] for index in range(3)] == TEXTS
    assert ends == dict.fromkeys(range(3), "stop")


def test_an_engine_with_steps_for_all_is_known_by_its_method():
    assert isinstance(InSteps(), Batches)
    assert not isinstance(EchoEngine(), Batches)


@pytest.mark.parametrize("way", [alone, threaded])
def test_a_prompt_that_fails_is_an_error_of_its_index_and_the_others_are_answered(way):
    prompts = asked("one", "stops", "bug", "panic", "much " * 9000, "last")
    texts, ends = collected(way(Picky())(prompts, Event()))
    assert (texts[0], texts[1], texts[5]) == ("one", "half", "last")
    assert ends == {
        0: "stop",
        1: ConnectionLost,
        2: EngineError,
        3: EngineError,
        4: ContextFull,
        5: "stop",
    }


@pytest.mark.parametrize("way", [alone, threaded])
@pytest.mark.parametrize("engine", [EchoEngine, InSteps])
def test_cancelling_ends_all_that_had_no_end(engine, way):
    cancel = Event()
    cancel.set()
    _, ends = collected(way(engine())(asked(*TEXTS), cancel))
    assert ends == dict.fromkeys(range(3), "cancelled")


def test_cancelling_an_engine_that_hangs_ends_all_that_had_no_end():
    cancel, release = Event(), Event()

    def script(_):
        yield 1, Chunk("done", finish_reason="stop")
        release.wait(10)

    started = time.monotonic()
    items = []
    for index, item in threaded(InSteps(script))(asked(*TEXTS), cancel):
        items.append((index, item))
        if item.finish_reason == "stop":
            cancel.set()
    assert time.monotonic() - started < 5
    assert collected(items)[1] == {0: "cancelled", 1: "stop", 2: "cancelled"}
    release.set()


def test_loading_is_shown_at_the_first_prompt_and_an_engine_that_cannot_be_opened_says_why():
    release = Event()

    def open_it(report):
        report(Progress("loading", 1, 2, "bytes"))
        release.wait(10)
        raise ModelError("no such folder", "look again")

    seen = []
    with pytest.raises(ModelError, match="no such folder"):
        for index, chunk in EngineThread("test", open_it).batch(asked(*TEXTS), Event()):
            seen.append((index, chunk.progress and chunk.progress.stage))
            release.set()
    assert (0, "loading") in seen


@pytest.mark.parametrize("fault", [ZeroDivisionError, SystemExit, None])
def test_an_engine_that_fails_as_a_whole_or_forgets_a_prompt_ends_the_batch(fault):
    def script(_):
        yield 0, Chunk("done", finish_reason="stop")
        if fault:
            raise fault

    items = []
    with pytest.raises(EngineError if fault else ConnectionLost):
        for item in threaded(InSteps(script))(asked(*TEXTS), Event()):
            items.append(item)  # what came before the error
    assert collected(items) == ({0: "done"}, {0: "stop"})


def test_an_engine_waits_for_who_takes_no_items_and_is_let_go_when_they_leave():
    made, is_over = [], Event()

    def script(_):
        try:
            while True:
                made.append(1)
                yield 0, Chunk("word ")
        finally:
            is_over.set()

    batch = threaded(InSteps(script))(asked(*TEXTS), Event())
    next(item for _, item in batch if item.text)
    before = -1
    while before != len(made):
        before = len(made)
        time.sleep(0.2)
    assert before <= 2 * MOST_ITEMS + 2
    batch.close()
    assert is_over.wait(5)


def test_no_prompts_have_no_replies():
    assert list(threaded(EchoEngine())([], Event())) == []
