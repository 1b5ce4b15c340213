from __future__ import annotations

import json
from collections.abc import Iterator
from threading import Event

import pytest

from glmcli.engines.remote.faults import Cancelled, Faults
from glmcli.engines.remote.openai.events import OpenAIReply, sse_messages
from glmcli.engines.remote.stream import EMPTY_PIECES, LAST_S, Words, read_reply, split_at
from glmcli.errors import ConnectionLost, EngineError
from glmcli.types import Chunk, Progress
from tests.support.transcripts import ScriptedExchange, joined

FAULTS = Faults("server.test")
FIRST = b'data: {"choices": [{"delta": {"content": "one tw"}}]}\n\n'
LAST = b'data: {"choices": [{"delta": {"content": "o"}, "finish_reason": "stop"}]}\n\n'


def reading(exchange: ScriptedExchange, *stop: str):
    return read_reply(exchange, sse_messages, OpenAIReply(FAULTS, stop), Event())


def test_patience_is_long_before_a_reply_shorter_in_it_and_short_after_it():
    limits = []

    def pieces() -> Iterator[bytes]:
        for piece in (b": waiting\n\n", FIRST, LAST, b": over\n\n"):
            limits.append((exchange.limit_s, exchange.within_s))
            yield piece
        limits.append((exchange.limit_s, exchange.within_s))

    exchange = ScriptedExchange(pieces())
    list(reading(exchange))
    before, within, after = (120.0, 480.0), (60.0, 240.0), (LAST_S, LAST_S)
    assert limits == [before, before, within, after, after]


def test_a_cancelled_reply_ends_with_what_was_held_back():
    exchange = ScriptedExchange([FIRST], Cancelled())
    text, _, last = joined(reading(exchange, "two"))
    assert (text, last.finish_reason) == ("one tw", "cancelled")
    assert exchange.closed


def test_a_broken_reply_shows_what_was_held_back_before_the_error():
    exchange = ScriptedExchange([FIRST], ConnectionLost("cut off"))
    chunks = []
    with pytest.raises(ConnectionLost):
        for chunk in reading(exchange, "two"):
            chunks.append(chunk)
    assert chunks[1:] == [Chunk("one "), Chunk("tw")]
    assert exchange.closed


def test_a_reply_that_nobody_reads_on_is_closed():
    exchange = ScriptedExchange([FIRST, LAST])
    stream = reading(exchange)
    assert next(stream).progress == Progress("waiting", unit="s")
    assert next(stream).text == "one tw"
    stream.close()
    assert exchange.closed


@pytest.mark.parametrize("size", [1, 2, 3, 5, 100])
def test_messages_are_parted_at_their_ends_wherever_the_pieces_are(size):
    body = "one\0zwei🙂\0\0drei".encode()
    pieces = [body[at : at + size] for at in range(0, len(body), size)]
    assert [part.decode() for part in split_at(b"\0", pieces, FAULTS)] == [
        "one\0",
        "zwei🙂\0",
        "\0",
        "drei",
    ]


def test_a_message_without_an_end_does_not_fill_the_memory():
    def endless() -> Iterator[bytes]:
        while True:
            yield b"x" * 1_000_000

    with pytest.raises(EngineError, match="without an end"):
        list(split_at(b"\0", endless(), FAULTS))


def test_pieces_count_only_until_text_comes():
    bytewise = [bytes([byte]) for byte in FIRST]
    words = joined(reading(ScriptedExchange([*bytewise * 1_000, LAST])))
    assert words[0] == "one tw" * 1_000 + "o"
    endless = ScriptedExchange([FIRST, *[b":"] * (EMPTY_PIECES + 1)])
    with pytest.raises(EngineError, match="more than 50,000 pieces without text"):
        list(reading(endless))
    assert endless.closed


@pytest.mark.parametrize("field", ["message", "delta"])
def test_what_a_whole_reply_takes_is_limited_however_little_is_said_by_it(field, monkeypatch):
    monkeypatch.setattr("glmcli.engines.remote.stream.REPLY_BYTES", 100_000)
    said = 0

    def growing() -> Iterator[bytes]:
        nonlocal said
        for said in range(1, 5_000):
            content = {"content": "word " * said if field == "message" else "word "}
            message = {"choices": [{field: content, "index": 0}], "pad": "x" * 100}
            yield f"data: {json.dumps(message)}\n\n".encode()

    exchange = ScriptedExchange(growing())
    text = ""
    with pytest.raises(EngineError, match="more than 100,000 bytes for one reply"):
        for chunk in reading(exchange):
            text += chunk.text
    assert exchange.closed and text.startswith("word word ") and said < 1_000


@pytest.mark.parametrize(
    ("deltas", "whole"),
    [
        (["a\ud83e", "\udd89b"], "a\U0001f989b"),
        (["\ud83e", "", "\udd89"], "\U0001f989"),
        (["a\ud83e", "b"], "a\ufffdb"),
        (["a\udd89", "\ud83e"], "a\ufffd\ufffd"),
        (["\ud83e", "\ud83e\udd89"], "\ufffd\U0001f989"),
    ],
)
def test_letters_that_come_in_halves_are_put_together(deltas, whole):
    words, thinking = Words(()), Words(())
    chunks = [*(words.push(delta) for delta in deltas), words.flush()]
    assert "".join(chunk.text for chunk in chunks) == whole
    chunks = [*(thinking.push("", delta) for delta in deltas), thinking.flush()]
    assert "".join(chunk.thinking for chunk in chunks) == whole


def test_words_part_reasoning_from_text_and_end_at_a_stop_string():
    words = Words(("END",))
    chunks = [words.push(delta) for delta in ("<think>hm", "</think>a", " b E", "ND c")]
    assert "".join(chunk.thinking for chunk in chunks) == "hm"
    assert "".join(chunk.text for chunk in chunks) == "a b "
    assert words.stopped
    assert words.flush() == Chunk()
