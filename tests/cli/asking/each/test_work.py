"""Lines to servers: several at a time, patient where they are busy, and given up in time."""

from __future__ import annotations

import json
import threading
import time

import pytest

from glmcli.cli.asking.each.tasks import Task
from glmcli.cli.asking.each.work import Servers
from glmcli.config import Settings
from glmcli.engines.echo import EchoEngine
from glmcli.errors import UsageError
from glmcli.types import GenerationParams, Message
from tests.support.loopback import OK, Connection, Loopback

MODELS = {"data": [{"id": "alpha", "owned_by": "vllm", "max_model_len": 99}]}


def answer(connection: Connection, status: str, body: object) -> None:
    data = json.dumps(body)
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(data)}"
    connection.send(f"{head}\r\n\r\n{data}".encode())


def event(connection: Connection, delta: dict, reason: str | None = None) -> None:
    fields = {"choices": [{"delta": delta, "finish_reason": reason}]}
    connection.chunk(b"data: " + json.dumps(fields).encode() + b"\n\n")


class Echo:
    """A server that says questions again; its next answers may be told beforehand.

    One is a status line, or "half" for a reply that breaks off.
    """

    def __init__(self, *answers: str, takes_s: float = 0.0, code: str = "busy") -> None:
        self._answers = list(answers)
        self._takes_s = takes_s
        self._code = code
        self._lock = threading.Lock()
        self._now = 0
        self.most = 0
        """Requests at the same time."""
        self.asked: list[tuple[float, str]] = []

    def __call__(self, connection: Connection) -> None:
        head, _, body = connection.requests[-1].partition(b"\r\n\r\n")
        if b"/chat/completions" not in head:
            answer(connection, "200 OK", MODELS)
            return
        text = json.loads(body)["messages"][-1]["content"]
        with self._lock:
            self.asked.append((time.monotonic(), text))
            told = self._answers.pop(0) if self._answers else ""
            self._now += 1
            self.most = max(self.most, self._now)
        time.sleep(self._takes_s)
        with self._lock:
            self._now -= 1
        if told and told != "half":
            answer(connection, told, {"error": {"message": "slow down", "code": self._code}})
            return
        connection.send(OK)
        event(connection, {"content": text})
        if told:
            raise OSError("broken off")
        event(connection, {}, "stop")
        connection.chunk(b"")


@pytest.fixture
def ask(glm, tmp_path):
    """`ask(server, 3, "--parallel", "2")`: so many lines; their answers, and the end."""

    def run(server: Echo, lines: int, *options: str):
        (tmp_path / "in").write_text("".join(f"line {n}\n" for n in range(lines)))
        with Loopback(server) as there:
            done = glm("ask", "-m", "openai:", "--base-url", there.url, "--each", "in", *options)
        return [json.loads(line) for line in done.out.splitlines()], done

    return run


def test_a_server_is_asked_one_line_at_a_time_unless_more_are_asked_for(ask):
    for options, most in (((), 1), (("--parallel", "4"), 4)):
        server = Echo(takes_s=0.05)
        found, done = ask(server, 8, *options)
        assert [it["text"] for it in found] == [f"line {n}" for n in range(8)]
        assert (done.err, done.code, server.most) == ("", 0, most)


BUSY = "429 Too Many Requests\r\nRetry-After: 1"


def test_a_busy_server_is_asked_again_after_the_time_that_it_says(ask):
    server = Echo(BUSY, BUSY)
    found, done = ask(server, 3, "--parallel", "2")
    assert [it["text"] for it in found] == ["line 0", "line 1", "line 2"]
    assert done.code == 0
    first = server.asked[0][0]
    again = [when - first for when, _ in server.asked[2:]]
    assert len(again) == 3
    assert min(again) >= 0.95


def test_what_no_waiting_helps_against_is_an_error_at_once(ask):
    started = time.monotonic()
    long = "503 Service Unavailable\r\nRetry-After: 90000"
    (first, second), done = ask(Echo(long), 2)
    assert (first["error"]["code"], second["text"], done.code) == (6, "line 1", 1)
    (first, second), done = ask(Echo(BUSY, code="insufficient_quota"), 2)
    assert (first["error"]["code"], second["text"], done.code) == (6, "line 1", 1)
    assert time.monotonic() - started < 20


def test_a_reply_that_breaks_off_is_an_error_with_what_had_come(ask):
    (first, second), done = ask(Echo("half"), 2)
    assert (first["text"], first["finish_reason"]) == ("line 0", "interrupted")
    assert first["error"]["code"] == 6
    assert (second["text"], done.code) == ("line 1", 1)


def test_a_server_that_fails_alike_ten_times_in_a_row_is_asked_no_more(ask):
    server = Echo(*["500 Internal Server Error"] * 30)
    found, done = ask(server, 30)
    assert len(found) == len(server.asked) == 10
    assert done.code == 1
    assert done.err_lines[0].startswith("glm: 10 lines in a row failed alike, so the rest was not")


class Ending(Echo):
    """A server that refuses all but its first lines, which it answers after the refusals."""

    def __init__(self) -> None:
        super().__init__(takes_s=0.5)
        self._are_refused = threading.Event()
        self.refused: list[str] = []

    def __call__(self, connection: Connection) -> None:
        head, _, body = connection.requests[-1].partition(b"\r\n\r\n")
        if b"/chat/completions" in head:
            text = json.loads(body)["messages"][-1]["content"]
            if text not in ("line 0", "line 1"):
                self.refused.append(text)
                answer(connection, "500 Internal Server Error", {"error": "ends"})
                if len(self.refused) >= 10:
                    self._are_refused.set()
                return
            self._are_refused.wait(20)
        super().__call__(connection)


@pytest.mark.parametrize("options", [(), ("--unordered",)])
def test_lines_that_are_being_answered_are_waited_for_where_the_others_are_refused(ask, options):
    server = Ending()
    found, done = ask(server, 40, "--parallel", "4", *options)
    by_line = {it["id"]: it for it in found}
    assert [by_line[n]["text"] for n in (1, 2)] == ["line 0", "line 1"]
    assert sorted(by_line) == [*range(1, len(server.refused) + 3)]
    assert 10 <= len(server.refused) <= 12
    assert done.code == 1
    assert done.err_lines[0].startswith("glm: 10 lines in a row failed alike, so the rest was not")


def test_a_key_that_is_wrong_ends_it_before_the_first_line(ask):
    class Closed(Echo):
        def __call__(self, connection: Connection) -> None:
            answer(connection, "401 Unauthorized", {"error": "no"})

    found, done = ask(Closed(), 3)
    assert (found, done.code) == ([], 6)


class Unreadable:
    """Two lines, behind which the file cannot be read."""

    def __init__(self) -> None:
        self._places = iter(range(2))

    def take(self, *, wait):
        for place in self._places:
            return place, Task(place, place + 1, [Message("user", "one two")], GenerationParams())
        time.sleep(0.5)  # until both are being answered
        raise UsageError("it cannot be read")


def test_lines_that_are_being_answered_are_waited_for_where_no_more_can_be_read(monkeypatch):
    slow = EchoEngine(delay_s=0.5)
    monkeypatch.setattr("glmcli.cli.asking.each.work.open_engine", lambda *_: slow)
    found = []
    with pytest.raises(UsageError):
        for news in Servers(Settings(), 4, threading.Event()).news(Unreadable()):
            found += [news.answer.reply.text] if news.answer else []
    assert found == ["one two"] * 2
