import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress

import pytest

from glmcli.engines.echo import EchoEngine
from glmcli.engines.kept.link import Gone, Link
from glmcli.engines.kept.wire import as_line, error_in, request_of
from glmcli.engines.thread import EngineThread
from glmcli.errors import ContextFull, EngineError
from glmcli.serve.holder import Holder, LetGo
from glmcli.serve.lines import Lines
from glmcli.types import GenerationParams, Message
from tests.support.kept import wait_until

LONG = "word " * 2000


@pytest.fixture
def delay_s() -> float:
    return 0.005


@pytest.fixture
def holder(delay_s: float) -> Iterator[Holder]:
    engine = EngineThread("echo:", lambda report: EchoEngine(delay_s=delay_s))
    yield Holder(engine, "echo:", keep_s=600)
    engine.close()


@pytest.fixture
def log():
    return []


@pytest.fixture
def connect(holder, log):
    """`connect()`: a caller's end of a connection, and the socket below it."""
    ends = []

    def connected():
        ours, theirs = socket.socketpair()
        lines = Lines(Link(theirs), holder, log.append)
        thread = threading.Thread(target=lines.answer_all, daemon=True)
        thread.start()
        ends.append((ours, thread))
        return Link(ours), ours

    yield connected
    for ours, thread in ends:
        with suppress(OSError):
            ours.shutdown(socket.SHUT_RDWR)
        ours.close()
        thread.join(5)
        assert not thread.is_alive()


def asked(text):
    return {"ask": "stream", **request_of([Message("user", text)], GenerationParams())}


def answers(link):
    """All that comes up to the end."""
    found = []
    while not (found and found[-1].get("end")):
        if (data := link.receive(10)) is None:
            raise AssertionError(f"nothing came after {found}")
        found.append(data)
    return found


def text_of(lines):
    return "".join(line.get("chunk", {}).get("text", "") for line in lines)


def test_the_log_has_a_line_for_each_request_without_what_was_said(connect, log):
    link, _ = connect()
    link.send(asked("my secret"))
    answers(link)
    link.send({"ask": "batch", "prompts": [request_of([Message("user", "x")], GenerationParams())]})
    answers(link)
    link.send(asked("secret " * 10_000))
    answers(link)
    assert wait_until(lambda: len(log) == 3)
    assert re.fullmatch(r"glm reply \d+\.\d\d s · 2 \+ 2 tokens", log[0])
    assert log[1].startswith("glm batch of 1 ")
    assert log[2].endswith("ContextFull")
    assert "secret" not in "".join(log)


def test_a_reply_and_what_it_cost_come_line_by_line(connect):
    link, _ = connect()
    link.send(asked("one two three"))
    came = answers(link)
    assert text_of(came) == "one two three"
    assert came[-1]["chunk"]["finish_reason"] == "stop"
    assert came[-1]["chunk"]["usage"]["completion_tokens"] == 3


def test_one_connection_may_ask_again(connect):
    link, _ = connect()
    for text in ("first", "second"):
        link.send(asked(text))
        assert text_of(answers(link)) == text


def test_who_opens_is_told_what_the_model_is_and_is_counted_until_the_end(connect, holder):
    link, ours = connect()
    link.send({"ask": "open"})
    facts = answers(link)[-1]["answer"]
    assert (facts["name"], facts["window"], facts["keep"]) == ("echo", 8192, "10m")
    assert holder.is_needed and holder.status()["clients"] == 1
    ours.shutdown(socket.SHUT_RDWR)
    assert wait_until(lambda: not holder.is_needed)


def test_errors_come_as_they_are_and_the_connection_goes_on(connect):
    link, _ = connect()
    link.send(asked("word " * 9000))
    error = error_in(answers(link)[-1]["error"])
    assert isinstance(error, ContextFull) and error.needed == 9000
    link.send(asked("short"))
    assert text_of(answers(link)) == "short"


@pytest.mark.parametrize("chinese", [True, False])
def test_errors_are_in_the_language_of_whoever_asks(connect, monkeypatch, chinese):
    monkeypatch.setenv("LC_ALL", "en_US.UTF-8" if chinese else "zh_CN.UTF-8")
    link, _ = connect()
    for request in (asked("word " * 9000), {"ask": "stream"}):
        link.send({**request, "chinese": chinese})
        error = answers(link)[-1]["error"]
        assert error["message"].isascii() is not chinese


@pytest.mark.parametrize(
    "request_", [{"ask": "dance"}, {}, {"ask": "stream"}, {"ask": "stream", "messages": [7]}]
)
def test_what_cannot_be_understood_is_an_error_and_no_end(connect, request_):
    link, _ = connect()
    link.send(request_)
    assert isinstance(error_in(answers(link)[-1]["error"]), EngineError)
    link.send(asked("short"))
    assert text_of(answers(link)) == "short"


def test_cancelling_ends_the_reply_and_the_connection_goes_on(connect, holder):
    link, _ = connect()
    link.send(asked(LONG))
    assert link.receive(10)
    link.send({"ask": "cancel"})
    assert answers(link)[-1]["chunk"]["finish_reason"] == "cancelled"
    link.send(asked("short"))
    assert text_of(answers(link)) == "short"


def test_who_leaves_in_the_middle_is_not_answered_on(connect, holder):
    link, ours = connect()
    link.send(asked(LONG))
    assert link.receive(10)
    assert holder.busy == 1
    ours.shutdown(socket.SHUT_RDWR)
    assert wait_until(lambda: not holder.busy, 1.0)


def test_who_does_not_read_keeps_nobody_waiting_and_is_let_go(connect, holder):
    _, silent = connect()
    silent.sendall(as_line(asked("x" * 3_000_000)))
    link, _ = connect()
    link.send(asked("one two"))
    assert text_of(answers(link)) == "one two"
    assert wait_until(lambda: holder.unanswered == 1)  # it is counted until its end is sent
    silent.shutdown(socket.SHUT_RDWR)
    assert wait_until(lambda: not holder.unanswered, 2.0)


def test_it_counts(connect, holder):
    link, _ = connect()
    link.send({"ask": "open"})
    answers(link)
    link.send({"ask": "count", **request_of([Message("user", "a b c")], GenerationParams())})
    assert answers(link)[-1]["answer"] == {"count": 3}


def test_to_look_is_not_to_need(connect, holder):
    link, _ = connect()
    time.sleep(0.05)
    link.send({"ask": "status"})
    status = answers(link)[-1]["answer"]
    assert (status["model"], status["clients"], status["busy"]) == ("echo:", 0, 0)
    assert holder.idle_s >= 0.05


def test_who_is_needed_does_not_leave_for_another(connect, holder):
    link, _ = connect()
    other, _ = connect()
    link.send({"ask": "open"})
    answers(link)
    other.send({"ask": "leave"})
    assert answers(other)[-1]["answer"] == {"leaving": False, "model": "echo:", "served": False}
    assert not holder.in_the_way.is_set()


def test_told_to_stop_it_says_so_and_is_leaving(connect, holder):
    link, _ = connect()
    link.send({"ask": "stop"})
    assert answers(link)[-1]["answer"]["model"] == "echo:"
    assert holder.state == "leaving"


def test_all_who_wait_for_a_load_are_told_that_it_was_stopped_before_the_process_may_leave():
    is_over, unanswered = threading.Event(), []
    engine = EngineThread("echo:", lambda report: is_over.wait(10) and EchoEngine())
    holder = Holder(engine, "echo:", keep_s=600)

    class Watched(Link):
        def send(self, data):
            unanswered.append(holder.unanswered if "error" in data else 1)
            super().send(data)

    engine.start()
    pairs = [socket.socketpair() for _ in range(3)]
    for _, theirs in pairs:
        lines = Lines(Watched(theirs), holder, lambda line: None)
        threading.Thread(target=lines.answer_all, daemon=True).start()
    links = [Link(ours) for ours, _ in pairs]
    for link in links:
        link.send({"ask": "open"})
        assert "here" in link.receive(10)
    holder.stop()
    told = [answers(link)[-1]["error"] for link in links]
    is_over.set()
    assert {str(error_in(error)) for error in told} == {str(LetGo("echo:"))}
    assert min(unanswered) > 0
    for link in links:
        link.close()
    engine.close()


def test_half_a_request_is_no_request(connect, holder):
    _, ours = connect()
    ours.sendall(b'{"ask": "stop"')
    ours.shutdown(socket.SHUT_RDWR)
    assert not holder.stopping.wait(0.2)


def test_a_link_tells_of_its_end(connect):
    link, ours = connect()
    ours.shutdown(socket.SHUT_RDWR)
    with pytest.raises(Gone):
        link.receive(5)


@pytest.mark.parametrize("delay_s", [0.0])
def test_what_is_asked_right_behind_a_reply_is_answered(connect):
    """Replies that do not fit the buffers of the system, on connections that ask again at once."""
    text = "word " * 400
    left = []

    def ask_again_and_again():
        link, _ = connect()
        for _ in range(12):
            link.send(asked(text))
            left.append(text_of(answers(link)) != text)

    threads = [threading.Thread(target=ask_again_and_again, daemon=True) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert left == [False] * 96
