"""A worker over HTTP, with a model that is small and real."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from itertools import pairwise

import pytest

from glmcli.engines.local.engine import LocalEngine
from glmcli.engines.local.net.plain.reader import model_of
from glmcli.errors import ModelError, OutOfMemory, UsageError
from glmcli.serve.holder import Full
from glmcli.serve.worker.routes import end_within
from glmcli.types import Chunk, GenerationParams, Message
from tests.support.serving import Served, soon
from tests.support.tiny_chat import NET, TEMPLATE
from tests.support.working import records, working

STREAM, WHOLE = "/worker_generate_stream", "/worker_generate"
HELLO = [Message("user", "hello world")]
PROMPT = TEMPLATE.written(HELLO, {})
GREEDY = {"temperature": 0, "echo": False, "max_new_tokens": 12}


def opened(report=None, window: int = 256) -> LocalEngine:
    return LocalEngine("tiny", model_of(NET), TEMPLATE, context_tokens=window)


class Slow(LocalEngine):
    """Counts what it samples, for ever, and tells when it was closed."""

    def __init__(self, word: str = "word ") -> None:
        super().__init__("tiny", model_of(NET), TEMPLATE, context_tokens=256)
        self.sampled, self.word = 0, word

    def stream(self, messages, params, cancel) -> Iterator[Chunk]:
        while not cancel.is_set():
            self.sampled += 1
            yield Chunk(self.word, tokens=bool(self.word))
            time.sleep(0.005)
        yield Chunk(finish_reason="cancelled")


class Uncounting(LocalEngine):
    """Cannot say how large a prompt is."""

    def __init__(self) -> None:
        super().__init__("tiny", model_of(NET), TEMPLATE, context_tokens=256)

    def count(self, messages, cancel=None, think=None) -> int | None:
        return None


class Failing(LocalEngine):
    """Fails behind the first word."""

    def __init__(self, error: Exception) -> None:
        super().__init__("tiny", model_of(NET), TEMPLATE, context_tokens=256)
        self.error = error

    def stream(self, messages, params, cancel) -> Iterator[Chunk]:
        yield Chunk("word ", tokens=1)
        raise self.error


@pytest.fixture(scope="module")
def worker() -> Iterator[Served]:
    with working(opened) as running:
        yield running


def sent(worker: Served, prompt: str = PROMPT, **fields):
    answer = worker.ask("POST", STREAM, {"prompt": prompt, **GREEDY, **fields})
    assert answer.status == 200
    return records(answer.data)


def direct(limit: int = 12) -> tuple[str, Chunk]:
    """What the engine itself replies to the conversation."""
    params = GenerationParams(max_tokens=limit, temperature=0.0)
    chunks = list(opened().stream(HELLO, params, threading.Event()))
    return "".join(chunk.text for chunk in chunks), chunks[-1]


def test_a_reply_is_the_engine_s_own_record_by_record(worker: Served):
    text, last = direct()
    found = sent(worker)
    assert found[-1]["text"] == text
    assert found[-1]["finish_reason"] == last.finish_reason
    assert last.finish_reason == "length"
    usage = {"prompt_tokens": last.usage.prompt_tokens, "completion_tokens": 11}  # from 0
    assert found[-1]["usage"] == usage | {"total_tokens": sum(usage.values())}
    assert [item["finish_reason"] for item in found[:-1]] == [None] * (len(found) - 1)
    for before, after in pairwise(found):
        assert after["text"].startswith(before["text"])
        assert before["usage"]["completion_tokens"] <= after["usage"]["completion_tokens"]
    assert all(item["usage"]["prompt_tokens"] == last.usage.prompt_tokens for item in found)


def test_a_whole_reply_is_the_last_record(worker: Served):
    answer = worker.ask("POST", WHOLE, {"prompt": PROMPT, **GREEDY})
    assert answer.json == sent(worker)[-1]


def test_a_prompt_is_repeated_unless_it_is_not_wanted(worker: Served):
    body = {"prompt": PROMPT, "temperature": 0, "max_new_tokens": 12}
    shown = PROMPT.replace("<|im_start|>", "").replace("<|im_end|>", "")
    assert worker.ask("POST", WHOLE, body).json["text"] == shown + direct()[0]


def test_a_stop_text_ends_a_reply_and_is_not_shown(worker: Served):
    text = direct()[0]
    found = sent(worker, stop=[text[2:4]])[-1]
    assert (found["text"], found["finish_reason"]) == (text[:2], "stop")


def test_what_a_worker_says_of_itself(worker: Served):
    status = {"model_names": ["tiny"], "speed": 1, "queue_length": 0}
    assert worker.ask("POST", "/worker_get_status", b"").json == status
    assert worker.ask("POST", "/model_details", {"model": "x"}).json == {"context_length": 256}
    count = worker.ask("POST", "/count_token", {"prompt": PROMPT}).json
    assert count == {"count": len(opened().prompt_ids(HELLO)), "error_code": 0}
    assert worker.ask("POST", "/count_token", {}).status == 400
    conv = worker.ask("POST", "/worker_get_conv_template", {"model": "x"}).json["conv"]
    assert conv["system_message"] == "You are small"


def test_a_connection_goes_on_after_a_body_that_nobody_needs(worker: Served):
    connection = worker.connect()
    with closing(connection):
        for _ in range(3):
            connection.request("POST", "/model_details", json.dumps({"model": "x" * 5000}))
            assert json.loads(connection.getresponse().read()) == {"context_length": 256}


@pytest.mark.parametrize(
    "field", [{"temperature": "hot"}, {"max_new_tokens": 0}, {"stop": 3}, {"prompt": ""}]
)
def test_what_cannot_be_is_told_in_a_record_and_keeps_no_slot(worker: Served, field):
    (found,) = sent(worker, **{"prompt": PROMPT, **field})
    assert found["error_code"] == 50001
    assert worker.ask("POST", WHOLE, {"prompt": PROMPT, **field}).json == found
    assert worker.holder.busy == 0
    assert sent(worker)[-1]["error_code"] == 0


def test_a_prompt_that_does_not_fit_loses_its_beginning_and_that_is_logged(worker: Served):
    long = TEMPLATE.written([Message("user", "hello world " * 200)], {})
    found = sent(worker, long)[-1]
    assert found["error_code"] == 0
    assert 200 < found["usage"]["prompt_tokens"] <= 256 - 12 - 1
    assert soon(lambda: any("left out the first" in line for line in worker.lines))
    assert soon(lambda: worker.lines[-1].endswith(" + 12 tokens"))
    (found,) = sent(worker, long, max_new_tokens=300)
    assert found["error_code"] == 50001
    assert "256" in found["text"]


LONG = TEMPLATE.written([Message("user", "hello world " * 200)], {})


@pytest.mark.parametrize("path", [STREAM, WHOLE])
def test_where_too_many_wait_to_cut_a_prompt_that_is_told_in_a_record(path, monkeypatch):
    def full(messages):
        raise Full("tiny")

    with working(opened) as worker:
        monkeypatch.setattr(worker.holder, "count", full)
        answer = worker.ask("POST", path, {"prompt": LONG, **GREEDY})
        (found,) = records(answer.data) if path == STREAM else [answer.json]
        assert (answer.status, found["error_code"]) == (200, 42903)
        assert soon(lambda: len(worker.lines) == 1)
        assert "42903: too many wait" in worker.lines[0]
        counted = worker.ask("POST", "/count_token", {"prompt": LONG})
        assert (counted.status, counted.error["code"]) == (429, "rate_limit_exceeded")
        assert int(counted.headers["Retry-After"]) >= 1


@pytest.mark.parametrize("path", [STREAM, WHOLE])
def test_a_prompt_that_cannot_be_counted_is_not_waited_for_without_end(path):
    with working(lambda report: Uncounting()) as worker:
        counted = worker.ask("POST", "/count_token", {"prompt": PROMPT})
        assert (counted.status, counted.headers["Retry-After"]) == (503, "2")
        answer = worker.ask("POST", path, {"prompt": LONG, **GREEDY})
        (found,) = records(answer.data) if path == STREAM else [answer.json]
        assert found["error_code"] == 50001
        assert "cannot be counted" in found["text"]


def test_a_model_that_cannot_be_opened_is_told_in_a_record_and_elsewhere_by_a_status():
    def broken(report):
        raise ModelError("no such model", "name another")

    with working(broken) as worker:
        body = {"prompt": PROMPT, **GREEDY}
        (found,) = sent(worker)
        assert found["error_code"] == 50001
        assert "no such model" in found["text"]
        assert worker.ask("POST", WHOLE, body).json == found
        for path in ("/count_token", "/worker_get_conv_template", "/model_details"):
            assert worker.ask("POST", path, body).status == 500


def test_a_prompt_that_fits_is_kept_whole_whatever_is_asked_of_the_reply(worker: Served):
    found = sent(worker, max_new_tokens=5000)[-1]
    assert found["usage"]["prompt_tokens"] == len(opened().prompt_ids(HELLO))


def test_no_memory_has_a_code_of_its_own_behind_what_arrived():
    with working(lambda report: Failing(OutOfMemory(None, None))) as worker:
        first, last = sent(worker)
    assert (first["text"], first["error_code"]) == ("word ", 0)
    assert last["error_code"] == 50002


def test_of_an_error_the_log_holds_nothing_that_was_sent():
    error = UsageError("no template takes 'my secret'")
    with working(lambda report: Failing(error)) as worker:
        assert "my secret" in sent(worker)[-1]["text"]
        assert soon(lambda: len(worker.lines) == 1)
        assert worker.lines[0].endswith("50001: prompt: refused")


def test_where_too_many_wait_that_is_told_in_a_record():
    engine = Slow()
    body = json.dumps({"prompt": PROMPT, **GREEDY})
    with working(lambda report: engine, most_waiting=1) as worker, ExitStack() as stack:
        for number in (1, 2):
            connection = stack.enter_context(closing(worker.connect()))
            connection.request("POST", STREAM, body)
            assert soon(lambda: worker.holder.busy == number)  # noqa: B023 (called at once)
        assert soon(lambda: engine.sampled > 5)
        assert worker.ask("POST", WHOLE, body.encode()).json["error_code"] == 42903
        stack.close()
        assert soon(lambda: worker.holder.busy == 0)


@pytest.mark.parametrize("word", ["word ", ""])  # "": it reads the prompt
@pytest.mark.parametrize("path", [STREAM, WHOLE])
def test_a_client_that_leaves_stops_the_model_within_a_token_and_keeps_no_slot(path, word):
    engine = Slow(word)
    with working(lambda report: engine) as worker:
        for _ in range(5):
            before = engine.sampled
            connection: http.client.HTTPConnection = worker.connect()
            connection.request("POST", path, json.dumps({"prompt": PROMPT, **GREEDY}))
            assert soon(lambda: engine.sampled > before + 5)  # noqa: B023 (called at once)
            connection.close()
            assert soon(lambda: worker.holder.busy == 0)
            after = engine.sampled
            time.sleep(0.1)
            assert engine.sampled <= after + 1
        assert worker.ask("POST", "/worker_get_status", b"").json["queue_length"] == 0


def test_several_are_answered_at_once_and_each_gets_its_own(worker: Served):
    prompts = [TEMPLATE.written([Message("user", f"question {n}")], {}) for n in range(4)]
    alone = [sent(worker, prompt)[-1] for prompt in prompts]
    together: dict[int, dict] = {}

    def ask(n: int) -> None:
        together[n] = sent(worker, prompts[n])[-1]

    threads = [threading.Thread(target=ask, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [together[n] for n in range(4)] == alone


def test_only_a_guest_is_answered_and_only_by_the_worker_s_routes():
    with working(opened, guest="192.0.2.1", key="secret") as worker:
        for path in (STREAM, WHOLE, "/worker_get_status", "/count_token", "/model_details"):
            answer = worker.ask("POST", path, {"prompt": PROMPT, **GREEDY})
            assert answer.status == 403
            assert "--allow 127.0.0.1" in answer.error["message"]
        keyed = worker.ask("POST", STREAM, {"prompt": PROMPT}, Authorization="Bearer secret")
        assert keyed.status == 403
    with working(opened, key="secret") as worker:
        assert sent(worker)[-1]["error_code"] == 0
        assert worker.ask("GET", "/v1/models").status == 401
        assert worker.ask("GET", "/health").status == 401
        foreign = worker.ask("POST", "/model_details", {}, Host="worker.example:21002")
        assert foreign.status == 200  # a cluster has names of its own
        page = worker.ask("POST", "/model_details", {}, Origin="http://evil.example")
        assert page.status == 403
        assert worker.ask("GET", STREAM).status == 401


def test_the_end_of_a_prompt_begins_within_no_name_of_a_control_token():
    prompt = "word " * 10 + "<|im_start|>user"
    assert end_within(prompt, 8, len, ["<|im_start|>"]) == "user"
    assert end_within(prompt, 16, len, ["<|im_start|>"]) == "<|im_start|>user"
    assert end_within(prompt, 20, len, ["<|im_start|>"]) == "ord <|im_start|>user"
    assert end_within(prompt, 0, len, ["<|im_start|>"]) == ""
    assert end_within(prompt, -5, len, []) == ""
