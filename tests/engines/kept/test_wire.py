import pytest

from glmcli.engines.kept.wire import (
    as_line,
    checked_answer,
    chunk_in,
    chunk_object,
    error_in,
    error_object,
    messages_in,
    params_in,
    parsed_line,
    request_of,
    status_in,
)
from glmcli.errors import ConnectionLost, ContextFull, EngineError, ModelError, NoText, OutOfMemory
from glmcli.serve.holder import Full
from glmcli.types import Chunk, GenerationParams, Message, Progress, Usage


def over(data):
    return parsed_line(as_line(data))


@pytest.mark.parametrize(
    "chunk",
    [
        Chunk("你好\n\u2028\ud800", tokens=2),
        Chunk(thinking="hm", was_thinking=True),
        Chunk(progress=Progress("reading", 0, 100)),
        Chunk(notice="as told", once=True),
        Chunk(finish_reason="length", usage=Usage(3, 0, 7, 0.5, 1.0)),
    ],
)
def test_a_chunk_arrives_as_it_was_sent(chunk):
    assert chunk_in(over(chunk_object(chunk))) == chunk


def test_a_prompt_arrives_as_it_was_sent():
    messages = [
        Message("system", "", tools="[]"),
        Message("user", "a\nb"),
        Message("assistant", "", thinking="so"),
        Message("tool", "4", name="add"),
    ]
    params = GenerationParams(0, 0.0, 1.0, 0, 1.0, ("\n", "x"), 0, think=False)
    sent = over(request_of(messages, params))
    assert (messages_in(sent), params_in(sent)) == (messages, params)
    assert params_in(over(request_of([], GenerationParams()))) == GenerationParams()


@pytest.mark.parametrize(
    "error",
    [
        ModelError("there is none", "get one"),
        EngineError("no", "yes", in_chat="/retry", again=True),
        ConnectionLost("gone"),
        NoText("nothing"),
        OutOfMemory(8_000_000_000, 2_000_000_000),
        ContextFull(100, 50),
        ContextFull(100, 50, 20),
        ContextFull(100, 50, is_set=True),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_error_arrives_with_its_words_and_its_exit_code(error):
    came = error_in(over(error_object(error)))
    assert type(came) is type(error)
    assert (came.message, came.advice(), came.exit_code) == (
        error.message,
        error.advice(),
        error.exit_code,
    )
    assert came.advice(commands=True) == error.advice(commands=True)
    for name in ("needed", "limit", "output", "free"):
        assert getattr(came, name, None) == getattr(error, name, None)


def test_an_error_of_a_kind_that_is_not_known_keeps_its_exit_code():
    came = error_in(over(error_object(Full("smollm2"))))
    assert (type(came), came.exit_code) == (EngineError, 6)
    assert "smollm2" in came.message


def test_what_another_version_adds_is_left_out():
    assert chunk_in({"text": "a", "colour": "red"}) == Chunk("a")


@pytest.mark.parametrize("line", [b"[]\n", b"\n", b"{\n", b"\xff\n", b"[" * 100_000 + b"\n"])
def test_what_is_not_an_object_is_refused(line):
    with pytest.raises(ValueError, match=r"\w"):
        parsed_line(line)


@pytest.mark.parametrize(
    "line",
    [
        {"answer": 5},
        {"answer": [], "end": True},
        {"progress": []},
        {"progress": {"unit": "s"}},
        {"error": "x"},
        {"error": {"code": "x"}},
        {"chunk": "x"},
        {"chunk": {"usage": 5}},
        {"chunk": {"progress": [1]}},
        {"facts": 1},
    ],
)
def test_what_no_process_that_keeps_a_model_says_is_told_apart(line):
    with pytest.raises(ValueError, match=r"\w"):
        checked_answer(over(line))


def test_a_status_is_believed_as_far_as_it_can_be_one():
    odd = {"model": "x", "state": "idle", "pid": "1", "memory_bytes": [], "idle_s": None, "new": 1}
    assert status_in(odd) == {"model": "x", "state": "idle", "idle_s": None, "new": 1}
    for none in ({}, {"model": "x"}, {"model": 5, "state": "idle"}):
        with pytest.raises(ValueError, match="keeps"):
            status_in(none)
