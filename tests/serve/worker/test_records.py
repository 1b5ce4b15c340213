from __future__ import annotations

import json

from glmcli.errors import EngineError, OutOfMemory
from glmcli.serve.holder import Full
from glmcli.serve.refusal import Refusal
from glmcli.serve.worker.records import Records, as_message, error_record
from glmcli.types import Chunk, Progress, Usage


def test_records_have_fastchat_s_fields_in_their_order_and_all_text_so_far():
    records = Records()
    assert records.add(Chunk(progress=Progress("reading", 0, 10))) is None
    assert records.add(Chunk()) is None
    first = records.add(Chunk("我是", tokens=1))
    again = records.add(Chunk(tokens=1))
    last = records.add(Chunk(" Chat", finish_reason="stop", usage=Usage(10, 0, 5)))
    assert list(last) == ["text", "error_code", "usage", "finish_reason", "logprobs"]
    assert first == {
        "text": "我是",
        "error_code": 0,
        "usage": {"prompt_tokens": 10, "completion_tokens": 0, "total_tokens": 10},
        "finish_reason": None,
        "logprobs": None,
    }
    assert (again["text"], again["usage"]["completion_tokens"]) == ("我是", 1)
    assert (last["text"], last["finish_reason"]) == ("我是 Chat", "stop")
    assert last["usage"] == {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}


def test_the_text_begins_with_a_prompt_that_is_repeated():
    assert Records("user\nHi").add(Chunk("!", tokens=1))["text"] == "user\nHi!"


def test_a_limit_of_time_is_one_of_length_and_counts_as_fastchat_does_from_0():
    for reason in ("length", "time"):
        last = Records().add(Chunk("a", finish_reason=reason, usage=Usage(10, 0, 5)))
        assert last["finish_reason"] == "length"
        assert last["usage"] == {"prompt_tokens": 10, "completion_tokens": 4, "total_tokens": 14}


def test_a_message_is_ascii_and_ends_with_the_only_nul():
    message = as_message({"text": "你\0好"})
    assert message.isascii()
    assert message.count(b"\0") == 1
    assert json.loads(message[:-1]) == {"text": "你\0好"}


def test_errors_have_fastchat_s_codes_and_say_why_in_brackets():
    for error, code in (
        (OutOfMemory(None, None), 50002),
        (EngineError("the model broke", "try again"), 50001),
        (Full("tiny"), 42903),
        (Refusal(400, "temperature cannot be 'hot'"), 50001),
    ):
        record = error_record(error)
        assert list(record) == ["text", "error_code"]
        assert record["error_code"] == code
        assert record["text"].startswith("**NETWORK ERROR DUE TO HIGH TRAFFIC.")
        assert record["text"].endswith(")")
    assert (
        "(the model broke; try again)"
        in error_record(EngineError("the model broke", "try again"))["text"]
    )
