import json
import threading
import time
from collections.abc import Iterator
from contextlib import closing

import pytest

from glmcli.engines.echo import EchoEngine
from glmcli.engines.thread import EngineThread
from glmcli.serve.holder import Full, Holder
from glmcli.types import Chunk, GenerationParams, Message

ASKED = [Message("user", "one two three")]


@pytest.fixture
def holder() -> Iterator[Holder]:
    engine = EngineThread("echo:", lambda report: EchoEngine(delay_s=0.01))
    yield Holder(engine, "echo:", keep_s=60, most_waiting=1)
    engine.close()


def stream(holder: Holder, cancel: threading.Event | None = None):  # type: ignore[no-untyped-def]
    return closing(holder.stream(ASKED, GenerationParams(), cancel or threading.Event()))


def test_it_answers_as_its_engine_does(holder: Holder) -> None:
    with stream(holder) as chunks:
        got = list(chunks)
    assert "".join(chunk.text for chunk in got) == "one two three"
    assert got[-1].finish_reason == "stop"


def test_what_there_is_to_say_beside_replies_is_said_here_too() -> None:
    class Telling(EchoEngine):
        def stream(self, *asked):  # type: ignore[no-untyped-def]
            yield Chunk(notice="of all replies", once=True)
            yield Chunk(notice="of this one")
            yield from super().stream(*asked)

    engine, said = EngineThread("echo:", lambda report: Telling(), shared=True), list[str]()
    holder, told = Holder(engine, "echo:", say=said.append), ["of all replies", "of this one"]
    with closing(engine):
        for _ in range(2):
            with stream(holder) as chunks:
                assert [chunk.notice for chunk in chunks if chunk.notice] == told
        for _ in holder.batch([(ASKED, GenerationParams())], threading.Event()):
            pass
    assert said == ["of all replies"] + ["of this one"] * 3


def test_it_is_busy_as_long_as_a_reply_lasts(holder: Holder) -> None:
    assert holder.state == "loading"
    with stream(holder) as chunks:
        next(chunks)
        assert (holder.busy, holder.idle_s) == (1, 0.0)
        assert holder.status()["ends_in_s"] is None
        next(chunk for chunk in chunks if chunk.text)
        assert holder.state == "busy"
    assert (holder.busy, holder.state) == (0, "idle")


def test_who_has_the_end_of_a_reply_finds_it_over(holder: Holder) -> None:
    with stream(holder) as chunks:
        assert [holder.busy for chunk in chunks if chunk.finish_reason] == [0]
        assert holder.busy == 0


def test_a_reply_that_is_left_is_not_counted_any_more(holder: Holder) -> None:
    with stream(holder) as chunks:
        next(chunks)
    assert holder.busy == 0


def test_who_comes_when_too_many_wait_is_told_when_to_come_again(holder: Holder) -> None:
    with stream(holder) as first, stream(holder) as second:
        next(first), next(second)
        with pytest.raises(Full) as refused, stream(holder) as third:
            next(third)
        assert refused.value.wait_s > 0
        assert refused.value.hint
    with stream(holder) as again:
        assert next(again) is not None


def test_its_status_is_json_and_looking_at_it_is_no_use(holder: Holder) -> None:
    time.sleep(0.05)
    status = json.loads(json.dumps(holder.status()))
    assert (status["model"], status["state"], status["busy"]) == ("echo:", "loading", 0)
    assert 0 < status["ends_in_s"] <= 60
    assert holder.idle_s >= 0.05


def test_what_was_told_to_leave_is_leaving(holder: Holder) -> None:
    holder.stop()
    assert holder.state == "leaving"


def test_it_counts_with_its_engine(holder: Holder) -> None:
    with stream(holder) as chunks:
        list(chunks)
    assert holder.count(ASKED) == 3
