from __future__ import annotations

import json
from threading import Event

import pytest

from glmcli.engines.remote.fastchat.texts import Settled, WorkerReply, nul_messages
from glmcli.engines.remote.faults import Faults
from glmcli.engines.remote.stream import read_reply
from glmcli.errors import ConnectionLost, EngineError
from tests.support.transcripts import TRANSCRIPTS, ScriptedExchange, Transcript, joined, positions

STREAMS = [
    item
    for item in TRANSCRIPTS.values()
    if item.path == "/worker_generate_stream" and item.status == 200
]
CUT = ConnectionLost("cut off")


def read(pieces, *, stop=(), fault=None, max_tokens=None):
    """(text, thinking, how it ended): the last chunk, or the error."""
    exchange = ScriptedExchange(pieces, fault)
    reply = WorkerReply(Faults("server.test"), stop, max_tokens=max_tokens)
    chunks = []
    try:
        for chunk in read_reply(exchange, nul_messages, reply, Event()):
            chunks.append(chunk)
    except EngineError as exc:
        text = "".join(chunk.text for chunk in chunks)
        return text, "".join(chunk.thinking for chunk in chunks), exc
    finally:
        assert exchange.closed
    return joined(chunks)


def messages_of(body: bytes) -> list[dict]:
    return [json.loads(part) for part in body.split(b"\0")[:-1]]


def expected(body: bytes, *, complete: bool) -> tuple[str, object]:
    """What a reader with all the time in the world makes of a stream: (text, how it ended)."""
    text, end = "", None
    for message in messages_of(body):
        if message["error_code"]:
            return text.rstrip("\ufffd"), EngineError
        text, end = message["text"], message["finish_reason"]
    if end is None:
        return text.rstrip("\ufffd"), ConnectionLost
    return text, end


def same(found, wanted) -> bool:
    (text, _thinking, end), (wanted_text, wanted_end) = found, wanted
    if isinstance(wanted_end, str):
        return text == wanted_text and getattr(end, "finish_reason", None) == wanted_end
    return text == wanted_text and isinstance(end, wanted_end)


def named(*messages: dict) -> bytes:
    return b"".join(json.dumps(message).encode() + b"\0" for message in messages)


def message(text: str, reason: str | None = None, **fields) -> dict:
    return {"text": text, "error_code": 0, "finish_reason": reason, **fields}


@pytest.mark.parametrize("stream", STREAMS, ids=lambda item: item.name)
def test_the_last_text_is_the_reply_wherever_the_bytes_are_parted(stream: Transcript):
    fault = None if stream.complete else CUT
    wanted = expected(stream.body, complete=stream.complete)
    assert same(read([stream.body], fault=fault), wanted)
    single = [stream.body[at : at + 1] for at in range(len(stream.body))]
    assert same(read(single, fault=fault), wanted)
    for at in positions(len(stream.body)):
        pieces = [piece for piece in (stream.body[:at], stream.body[at:]) if piece]
        assert same(read(pieces, fault=fault), wanted), at


@pytest.mark.parametrize("stream", STREAMS, ids=lambda item: item.name)
@pytest.mark.parametrize("fault", [CUT, None], ids=["broken", "closed"])
def test_a_stream_that_is_cut_off_keeps_what_came_and_says_so(stream: Transcript, fault):
    for at in positions(len(stream.body) - 1):
        body = stream.body[:at]
        assert same(read([body] if body else [], fault=fault), expected(body, complete=False)), at


def test_a_chinese_reply_whose_punctuation_is_rewritten_comes_out_right():
    assert read([TRANSCRIPTS["fs_fault_chatglm"].body])[0] == "Hi，你好！\n\n1. 2023年 好？"


def test_half_characters_are_never_shown():
    text, _, last = read([TRANSCRIPTS["fs_stream_chinese"].body])
    assert text == "！" * 12
    assert last.finish_reason == "length"


def test_a_character_that_the_limit_cut_for_good_stays_visible():
    assert read([TRANSCRIPTS["fs_stream_emoji"].body])[0] == "🙃🙃🙃🙃🙃�"


def test_nothing_is_shown_before_it_is_certain():
    settled = Settled()
    shown = [
        settled.push(text) for text in (" She", " She does n", " She doesn't", " She doesn't!")
    ]
    assert shown == [" She", " does", "n't", ""]
    assert settled.push(" She doesn't!", final=True) == "!"


@pytest.mark.parametrize(
    ("texts", "result"),
    [
        (("Hi ���", "Hi 🙂", "Hi 🙂!"), "Hi 🙂!"),
        (("a [", "a [[训练", "a 2023年", "a 2023年。"), "a 2023年。"),
        (("it", "it ", "it.", "it. So"), "it. So"),
        (("Hi,", "Hi，你", "Hi，你好!", "Hi，你好！对"), "Hi，你好！对"),
        (("I do no", "I don't", "I don't."), "I don't."),
    ],
)
def test_text_that_shrinks_or_changes_at_its_end_is_joined_right(texts, result):
    settled = Settled()
    shown = [settled.push(text) for text in texts]
    assert "".join(shown) + settled.push(texts[-1], final=True) == result


def test_a_rewrite_that_nobody_expects_loses_no_word():
    settled = Settled()
    texts = ("one two three", "one 2 three four", "one 2 three four five")
    shown = "".join(settled.push(text) for text in texts)
    assert shown == "one two three four five"


@pytest.mark.parametrize(
    ("texts", "shown"),
    [
        (("hello", "XY", "hello there"), "hello there"),
        (("hello", "", "hello there"), "hello there"),
        (("hello there", "hello you", "hello there, you"), "hello there, you"),
        ((" hello", "hello", "hello there"), " hello there"),
    ],
)
def test_a_text_that_gets_shorter_shows_no_word_twice_once_it_is_back(texts, shown):
    messages = b"".join(
        json.dumps({"text": text, "error_code": 0}).encode() + b"\0" for text in texts
    )
    assert read([messages])[0] == shown


@pytest.mark.parametrize(
    "texts", [("hello", "XY"), ("hello", "Quit it!"), ("hello", "XY", "Quit it!")]
)
def test_a_text_that_another_takes_the_place_of_is_an_error(texts):
    messages = b"".join(
        json.dumps({"text": text, "error_code": 0}).encode() + b"\0" for text in texts
    )
    text, _, fault = read([messages])
    assert text == "hello"
    assert fault.message == "server.test took back what it had sent"
    assert fault.advice(commands=True) == "/retry asks again"
    assert fault.advice() == "ask again"


def test_what_came_before_a_text_was_taken_back_is_kept_when_the_user_stops():
    reply = WorkerReply(Faults("server.test"), ())
    shown = [reply.take({"text": text}).text for text in ("hello there", "XY")]
    assert "".join(shown) + reply.held().text == "hello there"


def test_text_that_gets_shorter_waits_until_it_grows_again():
    settled = Settled()
    texts = ("one two three", "one two", "one two three", "one two three four")
    assert [settled.push(text) for text in texts] == ["one two three", "", "", " four"]


def test_an_error_is_raised_and_is_no_text():
    text, _, error = read([TRANSCRIPTS["fs_fault_oom"].body])
    assert text == "The cat sat"
    assert "CUDA out of memory" in error.message
    assert "HIGH TRAFFIC" not in error.message
    assert "\n" not in error.message
    assert error.hint == "shorten the conversation or --max-tokens"


def test_a_missing_worker_and_a_dead_one_are_told_apart():
    missing = read([TRANSCRIPTS["fs_controller_proxy_unknown_model"].body])[2]
    dead = read([TRANSCRIPTS["fs_controller_proxy_after_death"].body])[2]
    assert "no worker" in missing.message
    assert isinstance(dead, ConnectionLost)


def test_the_model_worker_counts_from_zero_and_the_vllm_worker_from_one():
    assert read([TRANSCRIPTS["fs_stream_length"].body])[2].usage.completion_tokens == 12
    assert read([TRANSCRIPTS["fs_vllmworker_ok"].body])[2].usage.completion_tokens == 4


def test_tokens_are_reported_as_they_come():
    chunks = list(
        read_reply(
            ScriptedExchange([TRANSCRIPTS["fs_stream_short"].body]),
            nul_messages,
            WorkerReply(Faults("server.test"), ()),
            Event(),
        )
    )
    assert sum(chunk.tokens for chunk in chunks) == chunks[-1].usage.completion_tokens == 7
    assert chunks[-1].usage.prompt_tokens == 37


def test_a_worker_that_never_gives_reasons_ends_by_ending():
    body = named({"text": "a", "error_code": 0}, {"text": "a b.", "error_code": 0})
    text, _, last = read([body])
    assert (text, last.finish_reason) == ("a b.", "stop")
    assert isinstance(read([body[:-1]])[2], ConnectionLost)


def test_a_worker_that_hides_the_limit_is_seen_through():
    usage = {"prompt_tokens": 5, "completion_tokens": 8}
    body = named(message("a", usage=usage), message("a", "stop", usage=usage))
    assert read([body], max_tokens=8)[2].finish_reason == "length"
    assert read([body], max_tokens=9)[2].finish_reason == "stop"


def test_a_stop_string_ends_the_reply_of_a_worker_that_ignores_it():
    body = named(message("one"), message("one EN"), message("one END two"), message("x", "stop"))
    text, _, last = read([body], stop=("END",))
    assert (text, last.finish_reason) == ("one ", "stop")


def test_an_aborted_reply_is_no_reply():
    assert isinstance(read([named(message("one"), message("one", "abort"))])[2], EngineError)


def test_reasoning_is_told_from_text():
    texts = ("<th", "<think>I know", "<think>I know</think>Paris")
    body = named(*map(message, texts), message(texts[-1], "stop"))
    assert read([body])[:2] == ("Paris", "I know")


@pytest.mark.parametrize("fields", [{}, {"usage": {}}, {"usage": None}, {"usage": {"x": "y"}}])
def test_every_field_but_the_text_may_be_missing(fields):
    text, _, last = read([named({"text": "a", **fields}, {"text": "a.", **fields})])
    assert (text, last.finish_reason, last.usage.completion_tokens) == ("a.", "stop", None)


@pytest.mark.parametrize("garbage", [b"<html>\0", b"[1]\0", b'"text"\0', b"{\0", b"\xff\xfe\0"])
def test_what_is_no_message_is_an_error_in_one_line(garbage):
    error = read([garbage])[2]
    assert isinstance(error, EngineError)
    assert "unreadable message" in error.message
    assert "\n" not in error.message


@pytest.mark.parametrize("nothing", [b"\0", b"\0\0\0", b" \0", b"\r\n\0"])
def test_a_message_without_anything_is_a_sign_of_life(nothing):
    body = nothing + named(message("a")) + nothing + named(message("a b", "stop")) + nothing
    text, _, last = read([body])
    assert (text, last.finish_reason) == ("a b", "stop")


def test_text_that_is_missing_at_the_end_takes_nothing_back():
    body = named(message("a b"), {"text": None, "error_code": 0, "finish_reason": "stop"})
    assert read([body])[0] == "a b"


def test_half_a_surrogate_pair_becomes_a_character_that_can_be_saved():
    text = read([b'{"text": "a\\ud83d b", "error_code": 0, "finish_reason": "stop"}\0'])[0]
    assert text.encode("utf-8").decode() == "a� b"
