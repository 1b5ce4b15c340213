from __future__ import annotations

import threading
import time
from collections.abc import Generator, Sequence
from contextlib import closing

import pytest

from glmcli.engines import state_of
from glmcli.engines.delivery import MOST_CHARS, MOST_ITEMS, Delivery
from glmcli.engines.echo import EchoEngine
from glmcli.engines.thread import COUNT_PATIENCE_S, EngineThread
from glmcli.errors import ConnectionLost, EngineError, ModelError
from glmcli.types import Chunk, GenerationParams, Message, Progress

HELLO = (Message("user", "one two three"),)
PARAMS = GenerationParams()


class Scripted(EchoEngine):
    """An echo engine whose stream is replaced by a script."""

    def __init__(self, script):
        super().__init__()
        self.script = script

    def stream(
        self, messages: Sequence[Message], params: GenerationParams, cancel: threading.Event
    ) -> Generator[Chunk, None, None]:
        yield from self.script(cancel)


def running(engine) -> EngineThread:
    return EngineThread("test", lambda report: engine)


def text_of(thread: EngineThread) -> str:
    return "".join(chunk.text for chunk in thread.stream(HELLO, PARAMS, threading.Event()))


def test_a_reply_comes_over_whole():
    thread = running(EchoEngine())
    chunks = list(thread.stream(HELLO, PARAMS, threading.Event()))
    assert "".join(chunk.text for chunk in chunks) == "one two three"
    assert [chunk.finish_reason for chunk in chunks if chunk.finish_reason] == ["stop"]


def test_what_the_engine_raises_is_raised_by_the_stream():
    def script(cancel):
        yield Chunk("half")
        raise EngineError("broken", "mend it")

    with pytest.raises(EngineError, match="broken"):
        text_of(running(Scripted(script)))


def test_a_bug_becomes_an_engine_error_that_keeps_its_cause():
    def script(cancel):
        yield Chunk("half")
        raise ZeroDivisionError("first line\nsecond line")

    with pytest.raises(EngineError, match=r"ZeroDivisionError: first line$") as caught:
        text_of(running(Scripted(script)))
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


def test_a_stream_that_just_stops_is_a_lost_connection():
    with pytest.raises(ConnectionLost):
        text_of(running(Scripted(lambda cancel: iter([Chunk("half")]))))


def test_cancelling_an_engine_that_hangs_returns_at_once_and_the_next_call_works():
    release = threading.Event()

    def script(cancel):
        if not release.is_set():
            release.wait(10)
        yield Chunk("late")
        yield Chunk(finish_reason="stop")

    thread = running(Scripted(script))
    cancel = threading.Event()
    seen = []
    for chunk in thread.stream(HELLO, PARAMS, cancel):
        seen.append(chunk)
        cancel.set()
    assert seen[-1].finish_reason == "cancelled"
    assert not any(chunk.text for chunk in seen)
    release.set()
    assert text_of(thread) == "late"


def test_loading_is_shown_and_can_be_cancelled_without_stopping_it():
    release = threading.Event()

    def open_it(report):
        report(Progress("loading", 1, 2, "bytes"))
        release.wait(10)
        return EchoEngine()

    thread = EngineThread("test", open_it)
    cancel = threading.Event()
    stages = []
    for chunk in thread.stream(HELLO, PARAMS, cancel):
        if chunk.progress:
            stages.append(chunk.progress.stage)
            cancel.set()
    assert stages == ["loading"]  # nothing to wait for: no reply was being made
    assert thread.count(HELLO) is None
    release.set()
    assert text_of(thread) == "one two three"
    assert thread.count(HELLO) == 3


class Slow(EchoEngine):
    """Takes long to count; meanwhile the user may lose patience."""

    def __init__(self, meanwhile=lambda: None):
        super().__init__()
        self.meanwhile = meanwhile
        self.release = threading.Event()
        self.told_by = []

    def count(self, messages, cancel=None, think=None):
        self.told_by.append(cancel)
        self.meanwhile()
        self.release.wait(10)
        return super().count(messages)


def test_counting_is_given_up_when_the_caller_loses_patience():
    cancel = threading.Event()
    engine = Slow(cancel.set)
    thread = running(engine)
    assert thread.wait(10, threading.Event())
    started = time.monotonic()
    assert thread.count(HELLO, cancel) is None
    assert time.monotonic() - started < COUNT_PATIENCE_S / 2
    assert thread.count(HELLO, cancel) is None
    engine.release.set()
    assert thread.count(HELLO, threading.Event()) == 3
    assert engine.told_by[0] is cancel  # so that it can stop as well
    assert len(engine.told_by) == 2  # what nobody waited for any more was not begun


def test_an_engine_that_does_not_count_in_time_is_open_all_the_same():
    engine = Slow()
    thread = running(engine)
    assert thread.count(HELLO) is None
    assert not thread.is_open
    assert thread.wait(10, threading.Event())
    assert thread.count(HELLO) is None
    assert thread.is_open
    engine.release.set()


def test_opening_that_failed_is_tried_again_at_the_next_request():
    attempts = []

    def open_it(report):
        attempts.append(1)
        if len(attempts) == 1:
            raise ModelError("no such folder", "look again")
        return EchoEngine()

    thread = EngineThread("test", open_it)
    thread.start()
    assert text_of(thread) == "one two three"
    assert len(attempts) == 2


def test_an_engine_that_cannot_be_opened_says_why():
    def open_it(report):
        raise ModelError("no such folder", "look again")

    thread = EngineThread("test", open_it)
    with pytest.raises(ModelError, match="no such folder"):
        text_of(thread)
    assert isinstance(thread.failure, ModelError)


def test_who_watches_is_called_when_the_engine_is_open_and_when_it_cannot_be_opened():
    for failure in (None, ModelError("no such folder", "look again")):

        def open_it(report, failure=failure):
            if failure:
                raise failure
            return EchoEngine()

        thread, seen = EngineThread("test", open_it), threading.Event()
        thread.watch(seen.set)
        state_of(thread).start()
        assert seen.wait(10)
        assert (thread.is_open, thread.failure) == (failure is None, failure)


def test_an_engine_without_a_thread_is_always_open():
    state = state_of(EchoEngine())
    state.start()
    assert (state.is_open, state.failure, state.progress) == (True, None, None)


def test_an_engine_that_cannot_read_ahead_is_not_asked_to():
    thread, made = running(EchoEngine()), []
    thread.start()
    thread.warm_with(lambda: made.append(1), PARAMS, threading.Event())
    assert text_of(thread) == "one two three"
    assert made == []


def test_warming_waits_for_the_engine_and_is_dropped_when_called_off():
    warmed = []

    class Warm(EchoEngine):
        def warm(self, messages, params, cancel):
            warmed.append(messages)

    thread = running(Warm())
    thread.warm(HELLO, PARAMS, threading.Event())
    thread.start()
    off = threading.Event()
    off.set()
    thread.warm(HELLO[:0], PARAMS, off)
    thread.warm(HELLO, PARAMS, threading.Event())
    assert text_of(thread) == "one two three"
    assert warmed == [HELLO]


class Flood(EchoEngine):
    """Makes chunks as fast as it is let, and counts them."""

    def __init__(self, *, hears=True):
        super().__init__()
        self.hears, self.made, self.is_over = hears, 0, threading.Event()

    def stream(self, messages, params, cancel):
        try:
            while not (self.hears and cancel.is_set()):
                self.made += 1
                yield Chunk("word ", tokens=1)
            yield Chunk(finish_reason="cancelled")
        finally:
            self.is_over.set()


def standing(engine: Flood) -> int:
    """How many chunks an engine has made when it makes no more."""
    made = -1
    while engine.made != made:
        made = engine.made
        time.sleep(0.2)
    return made


def test_an_engine_waits_for_a_screen_that_does_not_take_its_chunks():
    engine = Flood()
    stream = running(engine).stream(HELLO, PARAMS, threading.Event())
    next(chunk for chunk in stream if chunk.text)
    assert standing(engine) <= 2 * MOST_ITEMS + 2
    stream.close()


def test_a_full_delivery_takes_no_more_text_either():
    cancel = threading.Event()
    delivery = Delivery(cancel, threading.Event())
    assert delivery.put(Chunk("x" * MOST_CHARS))
    timer = threading.Timer(0.1, cancel.set)
    timer.start()
    assert delivery.put(Chunk("late"))  # when it is cancelled: nobody waits any more
    assert cancel.is_set()
    timer.join()


@pytest.mark.parametrize("hears", [True, False])
def test_cancelling_hands_over_all_that_had_arrived_at_once_and_in_one_chunk(hears):
    engine, cancel = Flood(hears=hears), threading.Event()
    stream = running(engine).stream(HELLO, PARAMS, cancel)
    taken = next(chunk for chunk in stream if chunk.text).tokens
    made = standing(engine)
    cancel.set()
    started = time.monotonic()
    rest = list(stream)
    assert time.monotonic() - started < 2
    assert rest[-1].finish_reason == "cancelled"
    assert taken + sum(chunk.tokens for chunk in rest) >= made - 1
    if hears:
        assert len(rest) < 10
    assert engine.is_over.wait(5)


def test_a_stream_that_is_given_up_lets_the_engine_go():
    engine = Flood()
    thread = running(engine)
    stream = thread.stream(HELLO, PARAMS, threading.Event())
    next(stream)
    stream.close()
    assert engine.is_over.wait(5)
    assert thread.count(HELLO) == 3


def test_closing_beside_a_full_delivery_ends_the_reply_and_closes_the_engine():
    closed = threading.Event()

    class Closing(Flood):
        def close(self):
            closed.set()

    engine = Closing()
    thread = running(engine)
    stream = thread.stream(HELLO, PARAMS, threading.Event())
    next(chunk for chunk in stream if chunk.text)
    standing(engine)
    thread.close()
    assert closed.wait(5)
    with pytest.raises(ConnectionLost):
        list(stream)


class PanicException(BaseException):
    """What a library in Rust raises: no Exception."""


PANICS = [PanicException, SystemExit, KeyboardInterrupt]


@pytest.mark.parametrize("panic", PANICS)
def test_a_panic_in_a_reply_is_an_engine_error_and_the_next_question_is_answered(panic):
    def script(cancel):
        if not failed:
            failed.append(1)
            raise panic("it broke")
        yield Chunk("fine")
        yield Chunk(finish_reason="stop")

    failed = []
    thread = running(Scripted(script))
    with pytest.raises(EngineError, match=f"the engine failed: {panic.__name__}: it broke"):
        text_of(thread)
    assert text_of(thread) == "fine"


@pytest.mark.parametrize("panic", PANICS)
def test_a_panic_while_a_model_is_opened_is_a_model_error_each_time(panic):
    def open_it(report):
        raise panic("it broke")

    thread = EngineThread("test", open_it)
    for _ in range(2):
        with pytest.raises(ModelError, match=f"cannot be opened: {panic.__name__}: it broke"):
            text_of(thread)


def test_a_panic_while_counting_or_warming_does_not_end_the_thread():
    class Panicking(EchoEngine):
        def count(self, messages, cancel=None, think=None):
            if cancel is not None:
                raise PanicException
            return super().count(messages)

        def warm(self, messages, params, cancel):
            raise PanicException

    thread = running(Panicking())
    assert text_of(thread) == "one two three"
    assert thread.count(HELLO) is None
    thread.warm(HELLO, PARAMS, threading.Event())
    assert text_of(thread) == "one two three"


@pytest.mark.parametrize("shared", [False, True])
def test_what_holds_for_every_reply_is_told_once_to_one_caller_and_each_time_to_several(shared):
    def script(cancel):
        yield Chunk(notice="holds", once=True)
        yield Chunk(notice="of this reply")
        yield Chunk(finish_reason="stop")

    thread = EngineThread("test", lambda report: Scripted(script), shared=shared)
    with closing(thread):
        first, second = (
            [chunk.notice for chunk in make if chunk.notice]
            for make in (thread.stream(HELLO, PARAMS, threading.Event()) for _ in range(2))
        )
        batch = thread.batch([(HELLO, PARAMS)] * 2, threading.Event())
        third = [(index, chunk.notice) for index, chunk in batch if chunk.notice]
    each = ["holds", "of this reply"]
    assert first == each
    assert second == (each if shared else ["of this reply"])
    lines = each if shared else each[1:]
    assert third == [(index, line) for index in range(2) for line in lines]
