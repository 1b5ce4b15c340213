import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from glmcli.engines.echo import EchoEngine
from glmcli.errors import EngineError, ModelError, OutOfMemory, UsageError
from glmcli.serve.openai import routes
from glmcli.types import Chunk, Usage
from tests.support.serving import Answer, Served, served, soon

CHAT = "/v1/chat/completions"


class Sampling(EchoEngine):
    """Echoes for ever, and counts what it has sampled."""

    def __init__(self, delay_s: float = 0.005) -> None:
        super().__init__()
        self.sampled = 0
        self.delay_s = delay_s

    def stream(self, messages, params, cancel) -> Iterator[Chunk]:
        while not cancel.is_set():
            self.sampled += 1
            yield Chunk("word ", tokens=1)
            time.sleep(self.delay_s)
        yield Chunk(finish_reason="cancelled", usage=Usage())


class Failing(EchoEngine):
    """Fails after so many words."""

    def __init__(self, error: Exception, after: int) -> None:
        super().__init__()
        self.error, self.after = error, after

    def stream(self, messages, params, cancel) -> Iterator[Chunk]:
        for _ in range(self.after):
            yield Chunk("word ", tokens=1)
        raise self.error


class Thinking(EchoEngine):
    def stream(self, messages, params, cancel) -> Iterator[Chunk]:
        yield Chunk(thinking="hm", tokens=1)
        yield Chunk("yes", tokens=1)
        yield Chunk(finish_reason="time", usage=Usage(10, 4, 2))


def request(path: str, body: object) -> bytes:
    data = json.dumps(body).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(data)}\r\n\r\n"
    return head.encode() + data


def question(text: str = "hello", **fields: object) -> dict[str, object]:
    return {"messages": [{"role": "user", "content": text}], **fields}


def test_a_reply_comes_whole() -> None:
    with served() as server:
        answer = server.chat("one two three").json
        assert answer["object"] == "chat.completion"
        assert answer["choices"] == [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "one two three"},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ]
        assert answer["usage"]["prompt_tokens"] == answer["usage"]["completion_tokens"] == 3


def test_a_reply_comes_in_pieces_that_join_to_the_same() -> None:
    with served() as server:
        answer = server.chat("one two three", stream=True)
        assert answer.headers["Content-Type"] == "text/event-stream"
        *events, done = answer.events
        choices = [event["choices"][0] for event in events]
        assert choices[0]["delta"] == {"role": "assistant", "content": ""}
        assert "".join(each["delta"].get("content", "") for each in choices) == "one two three"
        assert [each["finish_reason"] for each in choices[-2:]] == [None, "stop"]
        assert done == "[DONE]"
        assert len({event["id"] for event in events}) == 1
        assert not any("usage" in event for event in events)


def test_the_counts_come_last_where_they_are_asked_for() -> None:
    with served() as server:
        options = {"include_usage": True}
        *_, last, done = server.chat("one two", stream=True, stream_options=options).events
        assert (last["choices"], last["usage"]["total_tokens"], done) == ([], 4, "[DONE]")


@pytest.mark.parametrize("stream", [False, True])
def test_reasoning_comes_apart_and_a_limit_of_time_is_a_limit(stream: bool) -> None:
    with served(lambda report: Thinking()) as server:
        answer = server.chat("x", stream=stream)
        if stream:
            deltas = [event["choices"][0]["delta"] for event in answer.events[:-1]]
            assert {"reasoning_content": "hm"} in deltas
            assert {"content": "yes"} in deltas
            assert answer.events[-2]["choices"][0]["finish_reason"] == "length"
        else:
            choice = answer.json["choices"][0]
            assert choice["message"]["reasoning_content"] == "hm"
            assert choice["message"]["content"] == "yes"
            assert choice["finish_reason"] == "length"
            assert answer.json["usage"]["prompt_tokens_details"] == {"cached_tokens": 4}


def test_a_text_goes_on_without_a_chat() -> None:
    with served() as server:
        answer = server.ask("POST", "/v1/completions", {"prompt": "one two", "max_tokens": 1})
        assert answer.json["object"] == "text_completion"
        assert answer.json["choices"][0]["text"] == "one "
        assert answer.json["choices"][0]["finish_reason"] == "length"
        answer = server.ask("POST", "/v1/completions", {"prompt": "one two", "stream": True})
        texts = [event["choices"][0]["text"] for event in answer.events[:-1]]
        assert "".join(texts) == "one two"


def test_a_prompt_that_does_not_fit_is_refused_with_both_numbers() -> None:
    with served(lambda report: EchoEngine(context_tokens=5)) as server:
        for stream in (False, True):
            answer = server.chat("a b c d e f", stream=stream)
            assert (answer.status, answer.error["code"]) == (400, "context_length_exceeded")
            assert "maximum context length is 5 tokens" in answer.error["message"]
            assert "6 tokens" in answer.error["message"]


def test_prompt_and_reply_are_never_longer_than_the_window() -> None:
    with served(lambda report: EchoEngine(context_tokens=10)) as server:
        answer = server.chat("1 2 3 4 5 6 7 8 9", max_tokens=5).json
        assert answer["usage"]["total_tokens"] == 10
        assert answer["choices"][0]["finish_reason"] == "length"


def test_errors_have_the_status_of_their_kind() -> None:
    for error, status in [
        (ModelError("x", "y"), 500),
        (OutOfMemory(None, None), 503),
        (EngineError("x"), 500),
        (RuntimeError("x"), 500),
    ]:
        with served(lambda report, error=error: Failing(error, 0)) as server:
            answer = server.chat("hello", stream=True)
            assert (answer.status, answer.error["type"]) == (status, "server_error")


def test_an_error_behind_the_first_word_comes_in_the_stream() -> None:
    with served(lambda report: Failing(EngineError("broke"), 2)) as server:
        answer = server.chat("hello", stream=True)
        assert answer.status == 200
        assert answer.events[-1]["error"]["message"].startswith("broke")
        assert server.chat("hello").status == 500


def test_a_model_that_cannot_be_opened_is_told_to_who_waits() -> None:
    def broken(report: object) -> EchoEngine:
        raise ModelError("no such model", "name another")

    with served(broken) as server:
        answer = server.chat("hello")
        assert (answer.status, answer.error["message"]) == (500, "no such model; name another")
        assert server.ask("GET", "/health").status == 503


def gone_within(engine: Sampling, server: Served) -> int:
    """How many words are sampled from now on, until the engine is idle."""
    before = engine.sampled
    assert soon(lambda: server.holder.busy == 0)
    time.sleep(0.1)
    return engine.sampled - before


@pytest.mark.parametrize("stream", [True, False])
def test_when_the_client_leaves_the_engine_stops_within_a_token(stream: bool) -> None:
    engine = Sampling(delay_s=0.05)
    with served(lambda report: engine) as server:
        connection = server.raw()
        connection.sendall(request(CHAT, question(stream=stream)))
        assert soon(lambda: engine.sampled > 3)
        connection.close()
        assert gone_within(engine, server) <= 2
        assert soon(lambda: "the client left" in "".join(server.lines))
        assert server.ask("GET", "/health").json["busy"] == 0


def test_a_client_that_leaves_while_the_model_loads_is_not_answered() -> None:
    loaded, engine = threading.Event(), Sampling()

    def load(report: object) -> EchoEngine:
        loaded.wait(20)
        return engine

    with served(load) as server:
        for path, body in [(CHAT, question()), ("/tokenize", {"prompt": "x"})]:
            connection = server.raw()
            connection.sendall(request(path, body))
            assert soon(lambda: server.holder.state == "loading")
            time.sleep(0.1)
            connection.close()
        assert soon(lambda: len([line for line in server.lines if "left" in line]) == 2)
        loaded.set()
        time.sleep(0.2)
        assert engine.sampled == 0


def test_who_waits_hears_that_the_server_lives(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routes, "HEAD_AFTER_S", 0.1)
    monkeypatch.setattr(routes, "WAITING_S", 0.1)
    with served(lambda report: EchoEngine(delay_s=0.6)) as server:
        answer = server.chat("one", stream=True)
        assert answer.data.count(b": waiting\n\n") >= 2
        assert answer.events[-1] == "[DONE]"


def test_one_too_many_is_told_when_to_come_again() -> None:
    engine = Sampling()
    with served(lambda report: engine, most_waiting=1) as server:
        waiting = [server.raw() for _ in range(2)]
        for number, connection in enumerate(waiting, 1):
            connection.sendall(request(CHAT, question(stream=True)))
            assert soon(lambda number=number: server.holder.busy == number)
        answer = server.chat("hello", stream=True)
        assert (answer.status, answer.error["code"]) == (429, "rate_limit_exceeded")
        assert int(answer.headers["Retry-After"]) >= 1
        health = server.ask("GET", "/health").json
        assert (health["status"], health["queue"]) == ("ok", 1)
        for connection in waiting:
            connection.close()
        assert soon(lambda: server.holder.busy == 0)


@pytest.mark.parametrize("count", [17, 40, 200])
def test_of_however_many_at_once_each_is_answered_or_told_when_to_come_again(count: int) -> None:
    """16 are written at the same time, 64 wait, and nobody's connection is refused."""
    with served(lambda report: EchoEngine(delay_s=0.02), shared=True) as server:
        text, queued = "one two three", list[int]()
        with ThreadPoolExecutor(count) as pool:
            asked = [pool.submit(server.chat, text, stream=False) for _ in range(count)]
            while not all(each.done() for each in asked):
                queued.append(server.ask("GET", "/health").json["queue"])
                time.sleep(0.05)
        answers = [each.result() for each in asked]
    refused = [answer for answer in answers if answer.status != 200]
    assert all(answer.status == 429 for answer in refused)
    assert all(int(answer.headers["Retry-After"]) >= 1 for answer in refused)
    assert (len(refused) > 0) == (count > 80)
    assert 0 < max(queued) <= 64
    for answer in answers:
        if answer.status == 200:
            assert answer.json["choices"][0]["message"]["content"] == text


def test_the_model_is_listed_by_its_name_and_window() -> None:
    with served() as server:
        server.chat("hello")
        (entry,) = server.ask("GET", "/v1/models").json["data"]
        assert (entry["id"], entry["owned_by"], entry["max_model_len"]) == ("echo", "glm", 8192)
        assert server.ask("GET", "/v1/models/echo").json == entry
        assert server.ask("GET", "/v1/models/other%2Fone").error["code"] == "model_not_found"


def test_another_model_is_not_answered_for() -> None:
    with served() as server:
        assert server.chat("hello", model="echo").status == 200
        answer = server.chat("hello", model="gpt-5")
        assert (answer.status, answer.error["code"]) == (404, "model_not_found")
        assert "'echo'" in answer.error["message"]
        assert server.chat("hello", model=5).error["param"] == "model"


def test_looking_loads_nothing() -> None:
    with served(starts=False) as server:
        answer = server.ask("GET", "/health")
        assert (answer.status, answer.json["status"]) == (503, "loading")
        assert "max_model_len" not in server.ask("GET", "/v1/models").json["data"][0]
        assert server.ask("GET", "/health").status == 503
        assert soon(lambda: len(server.lines) == 2)  # of those who wait one
        assert not server.holder.engine.is_open
        server.chat("hello")
        assert server.ask("GET", "/health").json["status"] == "ok"


def test_prompts_are_counted() -> None:
    with served() as server:
        body = {"model": "echo", **question("one two three")}
        answer = server.ask("POST", "/tokenize", body)
        assert answer.json == {"count": 3, "max_model_len": 8192}
        for alone in ({"prompt": "one two"}, {"prompt": "one two", "messages": None}):
            assert server.ask("POST", "/tokenize", alone).json["count"] == 2
        assert server.ask("POST", "/tokenize", {**body, "store": True}).json["count"] == 3
        assert server.ask("POST", "/tokenize", {**body, "n": 2}).status == 400
        assert soon(lambda: any("3 tokens · ignored: store" in line for line in server.lines))


def test_no_name_is_no_model() -> None:
    with served() as server:
        assert server.ask("GET", "/v1/models/").status == 404
        assert server.ask("GET", "/v1/models/echo").status == 200


@pytest.mark.parametrize(
    ("path", "left_out"),
    [("/tokenize", "prompt"), (CHAT, "prompt"), ("/v1/completions", "messages")],
)
def test_of_two_texts_none_is_left_out_silently(path: str, left_out: str) -> None:
    with served() as server:
        answer = server.ask("POST", path, {**question("one"), "prompt": "two"})
        assert (answer.status, answer.error["param"]) == (400, left_out)


def test_what_was_ignored_is_in_the_log_and_what_was_said_is_not() -> None:
    with served() as server:
        server.chat("my secret", user="me", store=True)
        assert soon(lambda: len(server.lines) == 1)
        assert "ignored: store, user" in server.lines[0]
        assert "2 + 2 tokens" in server.lines[0]
        assert "secret" not in server.lines[0]


def test_of_many_fields_that_were_ignored_the_log_names_some_and_says_how_many_more() -> None:
    with served() as server:
        server.chat("x", **{f"field_{n:03}": 1 for n in range(300)})
        assert soon(lambda: len(server.lines) == 1)
        assert "field_000, field_001" in server.lines[0]
        assert "field_015 and 284 more" in server.lines[0]


def test_the_log_says_as_little_of_an_error_in_a_stream_as_of_one_before_it() -> None:
    error = UsageError("no template takes 'my secret'")
    with served(lambda report: Failing(error, 1)) as server:
        assert "my secret" in server.chat("hello", stream=True).events[-1]["error"]["message"]
        assert soon(lambda: len(server.lines) == 1)
        assert "secret" not in server.lines[0]
        assert server.lines[0].endswith("messages: refused")


def test_answers_end_before_connections_do() -> None:
    with served(lambda report: EchoEngine(delay_s=0.05)) as server:
        got: list[Answer] = []
        asking = threading.Thread(target=lambda: got.append(server.chat("a b c d e f")))
        asking.start()
        assert soon(lambda: server.holder.busy == 1)
        server.doors.close()
        asking.join(20)
        assert got[0].json["choices"][0]["message"]["content"] == "a b c d e f"
        with pytest.raises(OSError):
            server.ask("GET", "/health")


@pytest.mark.parametrize("path", [CHAT, "/tokenize"])
def test_a_refusal_is_owed_until_it_is_sent(path: str) -> None:
    owed = list[int]()

    def fail(report: object) -> EchoEngine:
        raise ModelError("it is broken")

    with served(fail, log=lambda line: owed.append(server.holder.unanswered)) as server:
        assert server.ask("POST", path, question()).status >= 400
        assert soon(lambda: owed == [1])
        assert soon(lambda: not server.holder.unanswered)
