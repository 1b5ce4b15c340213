"""Streams that are asked for at the same time take turns on the engine's one thread."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, closing

import pytest

from glmcli.engines import turns
from glmcli.engines.delivery import MOST_ITEMS
from glmcli.engines.echo import AT_ONCE, EchoEngine
from glmcli.engines.thread import EngineThread
from glmcli.errors import EngineError, ModelError
from glmcli.types import Chunk, GenerationParams, Message

PARAMS = GenerationParams()


def asking(text: str) -> tuple[Message]:
    return (Message("user", text),)


def shared(engine) -> EngineThread:
    return EngineThread("test", lambda report: engine, shared=True)


def soon(is_so: Callable[[], bool]) -> bool:
    """Whether it becomes so within some seconds."""
    until = time.monotonic() + 10
    while not (found := is_so()) and time.monotonic() < until:
        time.sleep(0.01)
    return found


class Gated(EchoEngine):
    """Writes down who gets each step, and takes the first of them when the gate is open."""

    def __init__(self, at_once=AT_ONCE):
        super().__init__()
        self.at_once = at_once
        self.steps: list[str] = []
        self.open, self.gate = 0, threading.Event()
        self.most_open = 0

    def stream(self, messages, params, cancel):
        self.gate.wait(10)
        self.open += 1
        self.most_open = max(self.most_open, self.open)
        try:
            for chunk in super().stream(messages, params, cancel):
                if chunk.text:
                    self.steps.append(chunk.text.strip())
                yield chunk
        finally:
            self.open -= 1


class Caller(threading.Thread):
    """Takes a whole reply on a thread of its own."""

    def __init__(self, thread: EngineThread, text: str, **options):
        super().__init__(daemon=True)
        self.cancel = threading.Event()
        self.text, self.error, self.finish = "", None, None
        self._asked = (thread, text, options)
        self.start()

    def run(self):
        thread, text, options = self._asked
        try:
            for chunk in thread.stream(asking(text), PARAMS, self.cancel, **options):
                self.text += chunk.text
                self.finish = chunk.finish_reason
        except Exception as exc:
            self.error = exc

    def ended(self):
        self.join(10)
        return not self.is_alive()


def called(thread: EngineThread, texts: list[str]) -> list[Caller]:
    """Callers who ask in this order."""
    callers = []
    for text in texts:
        before = thread.running + thread.waiting
        callers.append(Caller(thread, text))
        assert soon(lambda before=before: thread.running + thread.waiting > before)
    return callers


def test_replies_are_made_a_chunk_of_each_in_turn():
    engine = Gated()
    thread = shared(engine)
    callers = called(thread, ["a1 a2 a3", "b1 b2 b3", "c1 c2"])
    engine.gate.set()
    assert all(caller.ended() for caller in callers)
    assert [caller.text for caller in callers] == ["a1 a2 a3", "b1 b2 b3", "c1 c2"]
    first = {name: engine.steps.index(f"{name}1") for name in "abc"}
    assert max(first.values()) < engine.steps.index("a3")
    assert [step for step in engine.steps if step[0] == "b"] == ["b1", "b2", "b3"]


def test_no_more_run_than_the_engine_takes_and_the_others_wait_in_order():
    engine = Gated(at_once=2)
    thread = shared(engine)
    callers = called(thread, [f"{name}1 {name}2 {name}3" for name in "abcde"])
    assert (thread.running, thread.waiting) == (1, 4)  # one is opening the engine
    engine.gate.set()
    assert all(caller.ended() for caller in callers)
    assert engine.most_open == 2
    firsts = [step[0] for step in engine.steps if step.endswith("1")]
    assert firsts == sorted(firsts)
    assert soon(lambda: (thread.running, thread.waiting) == (0, 0))


class Alone:
    """An engine that takes one stream at a time."""

    name, device, details, context_tokens = "alone", "", "", 8192

    def __init__(self, inner: Gated):
        self.stream, self.count, self.close = inner.stream, inner.count, inner.close


@pytest.mark.parametrize("is_shared", [True, False])
def test_an_engine_that_cannot_be_shared_makes_one_reply_after_the_other(is_shared):
    engine = Gated()
    thread = EngineThread("test", lambda report: Alone(engine), shared=is_shared)
    callers = called(thread, ["a1 a2 a3", "b1 b2 b3"])
    assert (thread.running, thread.waiting) == (1, 1)
    engine.gate.set()
    assert all(caller.ended() for caller in callers)
    assert engine.steps == ["a1", "a2", "a3", "b1", "b2", "b3"]
    assert engine.most_open == 1
    assert soon(lambda: (thread.running, thread.waiting) == (0, 0))


def test_without_being_told_so_a_thread_is_not_shared():
    engine = Gated()
    thread = EngineThread("test", lambda report: engine)
    callers = called(thread, ["a1 a2 a3", "b1 b2 b3"])
    engine.gate.set()
    assert all(caller.ended() for caller in callers)
    assert engine.steps == ["a1", "a2", "a3", "b1", "b2", "b3"]


def test_a_stream_that_nobody_takes_from_is_passed_over():
    thread = shared(EchoEngine(context_tokens=10**9))
    long = "word " * (3 * MOST_ITEMS)
    with closing(thread.stream(asking(long), PARAMS, threading.Event())) as idle:
        next(chunk for chunk in idle if chunk.text)
        for _ in range(3):
            other = Caller(thread, "one two three")
            assert other.ended()
            assert other.text == "one two three"
        rest = "".join(chunk.text for chunk in idle)
    assert long.endswith(rest)
    assert len(rest) > len(long) - 30


def test_a_stream_that_others_wait_for_is_ended_when_nobody_takes_from_it(monkeypatch):
    monkeypatch.setattr(turns, "UNTAKEN_S", 0.2)
    engine = Gated(at_once=1)
    engine.gate.set()
    engine.context_tokens = 10**9
    thread = shared(engine)
    idle = thread.stream(asking("word " * (3 * MOST_ITEMS)), PARAMS, threading.Event())
    next(chunk for chunk in idle if chunk.text)
    other = Caller(thread, "one two three")
    assert other.ended()
    assert other.text == "one two three"
    with pytest.raises(EngineError, match="others waited"):
        list(idle)
    assert engine.most_open == 1


def test_one_that_is_cancelled_ends_and_the_others_go_on():
    engine = Gated()
    thread = shared(engine)
    callers = called(thread, ["a " * 500, "b " * 500])
    callers[0].cancel.set()
    engine.gate.set()
    assert all(caller.ended() for caller in callers)
    assert [caller.finish for caller in callers] == ["cancelled", "stop"]
    assert callers[1].text == "b " * 500
    assert engine.steps.count("a") <= 1


def test_one_that_is_cancelled_while_it_waits_never_begins():
    engine = Gated(at_once=1)
    thread = shared(engine)
    callers = called(thread, ["a1 a2", "b1 b2", "c1 c2"])
    callers[1].cancel.set()
    assert callers[1].ended()
    engine.gate.set()
    assert all(caller.ended() for caller in callers)
    assert callers[1].finish == "cancelled"
    assert engine.steps == ["a1", "a2", "c1", "c2"]


def test_one_whose_caller_left_lets_the_next_one_in():
    engine = Gated(at_once=1)
    engine.gate.set()
    thread = shared(engine)
    with ExitStack() as stack:
        left = stack.enter_context(
            closing(thread.stream(asking("a " * 5000), PARAMS, threading.Event()))
        )
        next(chunk for chunk in left if chunk.text)
    other = Caller(thread, "one two")
    assert other.ended()
    assert other.text == "one two"
    assert soon(lambda: engine.open == 0)


def test_an_error_of_one_is_not_that_of_others():
    class Failing(Gated):
        def stream(self, messages, params, cancel):
            for chunk in super().stream(messages, params, cancel):
                if chunk.text.startswith("boom"):
                    raise EngineError("broken", "mend it")
                yield chunk

    engine = Failing()
    thread = shared(engine)
    callers = called(thread, ["a1 a2 a3", "b1 boom b3", "c1 c2 c3"])
    engine.gate.set()
    assert all(caller.ended() for caller in callers)
    assert [caller.text for caller in callers] == ["a1 a2 a3", "b1 ", "c1 c2 c3"]
    assert isinstance(callers[1].error, EngineError)
    assert (callers[0].error, callers[2].error) == (None, None)


def test_opening_that_fails_is_told_to_all_who_wait_and_tried_again_by_who_comes_later():
    attempts, release = [], threading.Event()

    def open_it(report):
        attempts.append(1)
        if len(attempts) > 1:
            return EchoEngine()
        release.wait(10)
        raise ModelError("no such folder", "look again")

    thread = EngineThread("test", open_it, shared=True)
    callers = called(thread, ["one", "two", "three"])
    release.set()
    assert all(caller.ended() for caller in callers)
    assert [str(caller.error) for caller in callers] == ["no such folder"] * 3
    assert len(attempts) == 1
    later = Caller(thread, "one two")
    assert later.ended()
    assert (later.text, len(attempts)) == ("one two", 2)


def test_a_thread_is_started_once_however_many_ask_first():
    opened = []

    def open_it(report):
        opened.append(threading.current_thread())
        time.sleep(0.1)
        return EchoEngine()

    thread = EngineThread("test", open_it, shared=True)
    callers = [Caller(thread, f"reply {n}") for n in range(20)]
    assert all(caller.ended() for caller in callers)
    assert [caller.text for caller in callers] == [f"reply {n}" for n in range(20)]
    assert len(opened) == 1


def test_the_engine_is_asked_to_share_once_it_is_open_and_only_then():
    class Sharing(EchoEngine):
        def share(self, limit_bytes):
            shares.append(limit_bytes)

    for is_shared, expected in ((True, [None]), (False, [])):
        shares = []
        thread = EngineThread("test", lambda report: Sharing(), shared=is_shared)
        assert Caller(thread, "one").ended()
        assert shares == expected


def test_what_is_private_is_asked_for_privately():
    class Private(EchoEngine):
        def stream_privately(self, messages, params, cancel):
            asked.append(messages)
            return self.stream(messages, params, cancel)

    asked = []
    thread = shared(Private())
    assert Caller(thread, "one two", private=True).ended()
    assert Caller(thread, "three").ended()
    assert asked == [asking("one two")]


def test_slots_are_told_once_the_engine_is_open():
    class Keeping(EchoEngine):
        slots, slot_bytes, slot_limit = (3, 5), 80, 100

    thread = shared(Keeping())
    assert (thread.slots, thread.slot_bytes, thread.slot_limit) == ((), 0, None)
    assert Caller(thread, "one").ended()
    assert (thread.slots, thread.slot_bytes, thread.slot_limit) == ((3, 5), 80, 100)


def test_it_counts_while_replies_are_made():
    engine = Gated()
    engine.gate.set()
    thread = shared(engine)
    assert thread.wait(10, threading.Event())
    long = Caller(thread, "word " * 2000)
    assert thread.count(asking("one two three")) == 3
    assert long.ended()


def test_getting_ready_waits_for_replies_and_ends_when_somebody_asks():
    ended = threading.Event()

    class Warming(Gated):
        def warm(self, messages, params, cancel):
            self.steps.append("warm")
            until = time.monotonic() + 10
            while not cancel.is_set() and time.monotonic() < until:
                time.sleep(0.01)
            ended.set()

    engine = Warming()
    thread = shared(engine)
    (first,) = called(thread, ["a1 a2"])
    thread.warm(asking("draft"), PARAMS, threading.Event())
    engine.gate.set()
    assert first.ended()
    assert soon(lambda: "warm" in engine.steps)
    assert not ended.is_set()
    assert Caller(thread, "b1").ended()
    assert ended.is_set()
    assert engine.steps == ["a1", "a2", "warm", "b1"]


def test_closing_waits_for_replies_and_ends_those_that_nobody_takes():
    closed = threading.Event()

    class Closing(EchoEngine):
        def close(self):
            closed.set()

    thread = shared(Closing(context_tokens=10**9))
    idle = thread.stream(asking("word " * (3 * MOST_ITEMS)), PARAMS, threading.Event())
    next(chunk for chunk in idle if chunk.text)
    waiting = Caller(thread, "one two three")
    assert waiting.ended()
    thread.close()
    assert closed.wait(5)
    assert waiting.text == "one two three"


def test_a_step_that_panics_ends_its_own_stream_only():
    class PanicException(BaseException):
        pass

    class Panicking(Gated):
        def stream(self, messages, params, cancel):
            yield Chunk("half")
            if messages[0].text == "panic":
                raise PanicException("it broke")
            yield from super().stream(messages, params, cancel)

    engine = Panicking()
    thread = shared(engine)
    callers = called(thread, ["one", "panic", "two"])
    engine.gate.set()
    assert all(caller.ended() for caller in callers)
    assert [type(caller.error) for caller in callers] == [type(None), EngineError, type(None)]
    assert [caller.text for caller in callers] == ["halfone", "half", "halftwo"]


def test_a_batch_takes_its_turns_beside_a_reply():
    engine = Gated()
    thread = shared(engine)
    (caller,) = called(thread, ["a1 a2 a3 a4 a5 a6"])
    prompts = [(asking("b1 b2"), PARAMS), (asking("c1 c2"), PARAMS)]
    threading.Timer(0.1, engine.gate.set).start()
    items = [item for _, item in thread.batch(prompts, threading.Event())]
    assert "".join(item.text for item in items if isinstance(item, Chunk)) == "b1 b2c1 c2"
    assert caller.ended()
    assert engine.steps.index("b1") < engine.steps.index("a6")
