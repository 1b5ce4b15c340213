from __future__ import annotations

import json
from threading import Event

import pytest

from glmcli.engines.remote.faults import Faults
from glmcli.engines.remote.openai.events import OpenAIReply, sse_messages
from glmcli.engines.remote.stream import read_reply
from glmcli.errors import ConnectionLost, EngineError, NoText, ServerRefused
from glmcli.types import Chunk, Progress
from tests.support.transcripts import TRANSCRIPTS, ScriptedExchange, Transcript, joined, positions

STREAMS = [
    item
    for item in TRANSCRIPTS.values()
    if item.path == "/v1/chat/completions" and item.status == 200
]
EVENTS = [item for item in STREAMS if item.body.startswith((b"data", b":"))]
CUT = ConnectionLost("cut off")


def read(pieces, *, stop=(), fault=None):
    """(text, thinking, how it ended): the last chunk, or the error."""
    exchange = ScriptedExchange(pieces, fault)
    chunks = []
    try:
        reply = OpenAIReply(Faults("server.test"), stop)
        for chunk in read_reply(exchange, sse_messages, reply, Event()):
            chunks.append(chunk)
    except (EngineError, NoText) as exc:
        text = "".join(chunk.text for chunk in chunks)
        return text, "".join(chunk.thinking for chunk in chunks), exc
    finally:
        assert exchange.closed
    return joined(chunks)


def expected(body: bytes) -> tuple[str, str, object]:
    """What the events of a body say when it is read at leisure: (text, thinking, how it ended)."""
    text, thinking, end = "", "", ConnectionLost
    lines = body.decode("utf-8", "ignore").replace("\r\n", "\n").split("\n")
    if not body.startswith((b"data", b":")):
        lines = ["data: " + body.decode()]
    for line in lines:
        if line == "data: [DONE]" and end is ConnectionLost and text + thinking:
            end = "stop"
        if not line.startswith("data:") or "[DONE]" in line:
            continue
        try:
            event = json.loads(line[5:])
        except ValueError:
            break  # cut off
        if "error" in event or "error_code" in event:
            return text, thinking, EngineError
        for choice in event["choices"]:
            delta = choice.get("delta") or choice.get("message") or {}
            text += delta.get("content") or ""
            thinking += delta.get("reasoning") or ""
            end = choice.get("finish_reason") or end
    return text, thinking, end


def same(found, wanted) -> bool:
    if found[:2] != wanted[:2]:
        return False
    if isinstance(wanted[2], str):
        return getattr(found[2], "finish_reason", None) == wanted[2]
    return isinstance(found[2], wanted[2])


def events(*choices: dict, done: bool = True) -> bytes:
    lines = ["data: " + json.dumps({"choices": [choice]}) + "\n\n" for choice in choices]
    return "".join([*lines, "data: [DONE]\n\n" if done else ""]).encode()


def says(text: str | None, reason: str | None = None, **delta) -> dict:
    return {"delta": {"content": text, **delta}, "finish_reason": reason}


@pytest.mark.parametrize("stream", STREAMS, ids=lambda item: item.name)
def test_the_deltas_are_the_reply_wherever_the_bytes_are_parted(stream: Transcript):
    fault = None if stream.complete else CUT
    wanted = expected(stream.body)
    assert same(read([stream.body], fault=fault), wanted)
    size = 1 if len(stream.body) < 5000 else 7
    small = [stream.body[at : at + size] for at in range(0, len(stream.body), size)]
    assert same(read(small, fault=fault), wanted)
    for at in positions(len(stream.body), most=80):
        pieces = [piece for piece in (stream.body[:at], stream.body[at:]) if piece]
        assert same(read(pieces, fault=fault), wanted), at


@pytest.mark.parametrize("stream", EVENTS, ids=lambda item: item.name)
@pytest.mark.parametrize("fault", [CUT, None], ids=["broken", "closed"])
def test_a_stream_that_is_cut_off_keeps_what_came_and_says_so(stream: Transcript, fault):
    for at in positions(len(stream.body) - 1, most=80):
        body = stream.body[:at]
        text, thinking, end = read([body] if body else [], fault=fault)
        body = body.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        whole = expected(body if fault is None else body[: body.rfind(b"\n") + 1])
        assert (text, thinking) == whole[:2], at
        assert same((text, thinking, end), whole), at


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
@pytest.mark.parametrize("size", [1, 2, 3, 1000])
def test_lines_have_three_kinds_of_ends_and_comments_mean_nothing(end, size):
    body = b": hello\n\n" + events(says("a\r\n"), says("b"), says("c", "stop")) + b":\n\n"
    body = b"\xef\xbb\xbf" + body.replace(b"\n", end)
    pieces = [body[at : at + size] for at in range(0, len(body), size)]
    assert same(read(pieces), ("a\r\nbc", "", "stop"))


def test_a_stream_is_shown_as_it_comes_whatever_ends_its_lines():
    first = events(says("a"), done=False).replace(b"\n", b"\r")
    rest = events(says("b", "stop")).replace(b"\n", b"\r")
    exchange = ScriptedExchange([first, rest], CUT)
    stream = read_reply(exchange, sse_messages, OpenAIReply(Faults("server.test"), ()), Event())
    assert next(stream).progress
    assert next(stream) == Chunk("a")
    assert "".join(chunk.text for chunk in stream) == "b"


@pytest.mark.parametrize("nothing", [b"data:\n\n", b"data: \n\n", b"event: ping\n\n", b"\n\n\n"])
def test_an_event_without_data_is_a_sign_of_life(nothing):
    body = nothing + events(says("a"), done=False) + nothing + events(says("b", "stop"))
    assert same(read([body]), ("ab", "", "stop"))


ODD = ["null", "ping", "[]", '"heartbeat"', "42", "true"]


@pytest.mark.parametrize("odd", ODD)
def test_what_is_no_object_is_a_sign_of_life_while_the_stream_goes_on(odd):
    beat = f"data: {odd}\n\n".encode()
    body = beat + events(says("a"), done=False) + beat * 3 + events(says("b", "stop")) + beat
    assert same(read([body]), ("ab", "", "stop"))


@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize("done", [b"", b"data: [DONE]\n\n"])
def test_a_stream_of_nothing_else_is_unreadable(odd, done):
    text, _, fault = read([f"data: {odd}\n\n".encode() * 5 + done])
    assert text == ""
    assert fault.message == f"server.test sent an unreadable message: {odd}"


def test_a_stream_of_signs_of_life_has_an_end():
    assert "without text" in read([b"data: null\n\n" * 60_000])[2].message


def test_half_an_object_is_no_sign_of_life():
    body = events(says("a"), done=False) + b'data: {"choices": [\n\n' + events(says("b", "stop"))
    text, _, fault = read([body])
    assert text == "a"
    assert "unreadable" in fault.message


def test_done_may_stand_among_blanks():
    body = events(says("a", "stop"), done=False)
    assert same(read([body + b"data:  [DONE] \n\nnonsense"]), ("a", "", "stop"))


def test_a_whole_message_at_the_end_of_a_stream_is_not_shown_twice():
    whole = says(None, "stop") | {"message": {"role": "assistant", "content": "ab"}}
    assert same(read([events(says("a"), says("b"), whole)]), ("ab", "", "stop"))


def whole(text: str | None, reason: str | None = None, **fields) -> dict:
    return {"message": {"role": "assistant", "content": text, **fields}, "finish_reason": reason}


def test_a_whole_message_in_place_of_the_last_delta_adds_only_what_is_new():
    assert same(read([events(says("a"), says("b"), whole("ab", "stop"))]), ("ab", "", "stop"))
    assert same(read([events(says("a"), whole("abc", "stop"))]), ("abc", "", "stop"))
    assert same(read([events(says(" a\n"), whole("a", "stop"))]), (" a\n", "", "stop"))
    first = says(None, reasoning="h")
    last = whole("ab", "stop", reasoning="hm")
    assert same(read([events(first, last)]), ("ab", "hm", "stop"))
    assert same(read([events(first, says("ab"), last)]), ("ab", "hm", "stop"))
    halves = says("\ud83d"), says("\ude00")
    assert same(read([events(*halves, whole("\U0001f600", "stop"))]), ("\U0001f600", "", "stop"))


def test_a_server_that_sends_nothing_but_messages_is_read_as_if_they_were_deltas():
    assert same(read([events(whole("a"), whole("b", "stop"))]), ("ab", "", "stop"))
    null = {"index": 0, "delta": None, "finish_reason": None}
    assert same(read([events(null, whole("a"), whole("b", "stop"))]), ("ab", "", "stop"))


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        (["I", "I am", "I am here."], "I am here."),
        (["I", "I am", "I am here.", "I am here."], "I am here."),
        (["I", None, "I am", "", "I am here.", None], "I am here."),
        (["a", "aa"], "aa"),
        (["a", "aa", "b"], "aaab"),
        (["ha", "ha", "ha"], "hahaha"),
        (["ha", "ha", "!"], "haha!"),
        (["1", "10", " 1"], "110 1"),
        (["\n", "\n", "\n\n", "b"], "\n\n\n\nb"),
    ],
)
def test_messages_in_place_of_deltas_are_whole_ones_where_they_grow(texts, said):
    choices = [whole(text) for text in texts]
    assert same(read([events(*choices, says(None, "stop"))]), (said, "", "stop"))
    assert same(read([events(*choices, whole(None, "stop"))]), (said, "", "stop"))
    thoughts = [whole(None, reasoning=text) for text in texts]
    assert same(read([events(*thoughts, says("b", "stop"))]), ("b", said, "stop"))
    assert same(read([events(*choices, done=False)], fault=CUT), (said, "", ConnectionLost))


@pytest.mark.parametrize("field", ["delta", "text"])
def test_a_reply_that_repeats_itself_in_deltas_is_left_as_it_is(field):
    texts = ["a", "aa", "aaa", "aaaa"]
    choices = [{field: text if field == "text" else {"content": text}} for text in texts]
    assert same(read([events(*choices, says(None, "stop"))]), ("a" * 10, "", "stop"))


def test_a_growing_reply_is_shown_as_it_grows():
    reply = OpenAIReply(Faults("server.test"), ())
    texts = ["I", "I am", "I am he", "I am here", "No."]
    assert [reply.take({"choices": [whole(text)]}).text for text in texts] == [
        *("I", "", " am he", "re", "")
    ]
    assert "another text" in reply.notice


def test_deltas_go_on_behind_messages():
    body = events(whole("a"), whole("ab"), says("c"), says("d", "stop"))
    assert same(read([body]), ("abcd", "", "stop"))


def test_a_whole_message_that_is_another_one_than_its_deltas_is_said():
    reply = OpenAIReply(Faults("server.test"), ())
    texts = [reply.take({"choices": [it]}).text for it in (says("a"), says("b"), whole("xyz"))]
    assert texts == ["a", "b", ""]
    assert reply.notice == "the model also sent another text at the end, which is not shown here"


def test_a_call_and_a_refusal_in_a_whole_message_are_not_said_twice():
    call = {"function": {"name": "f", "arguments": "{}"}}
    body = events({"delta": {"tool_calls": [call]}}, whole(None, "stop", tool_calls=[call]))
    assert read([body])[2].message == "the model asked for the tool f({})"
    body = events({"delta": {"refusal": "No."}}, whole(None, "stop", refusal="No."))
    assert read([body])[2].message == "the model declined: No."


@pytest.mark.parametrize("places", [("0", 0), (0, "0"), (1.0, "1"), (None, 0), (0, None), ([], 0)])
def test_an_index_may_be_a_number_a_text_or_missing(places):
    first, second = ({"index": place} for place in places)
    assert same(read([events(says("a") | first, says("b", "stop") | second)]), ("ab", "", "stop"))


@pytest.mark.parametrize("first", [0, 1, "0"])
def test_of_several_choices_the_first_one_that_comes_is_the_reply(first):
    mine, other = ({"index": index} for index in (first, 7))
    bodies = [
        [says("a") | mine],
        [says("x") | other],
        [says("y", "length") | other, says("b") | mine],
        [says("c", "stop")],
    ]
    body = b"".join(b"data: " + json.dumps({"choices": it}).encode() + b"\n\n" for it in bodies)
    assert same(read([body]), ("abc", "", "stop"))


def test_the_reply_is_the_choice_at_0_in_whatever_order_they_come():
    first, second = {"index": 0}, {"index": 1}
    bodies = [
        [{"delta": {"role": "assistant"}} | second],
        [says("x") | second, says("a") | first],
        [says("y", "length") | second],
        [says("z") | second, says("b", "stop") | first],
    ]
    body = b"".join(b"data: " + json.dumps({"choices": it}).encode() + b"\n\n" for it in bodies)
    assert same(read([body]), ("ab", "", "stop"))


@pytest.mark.parametrize(
    ("reasons", "counts"),
    [
        (("stop", "stop"), "stop"),
        (("length", "stop"), "length"),
        (("stop", "length"), "stop"),
        (("max_tokens", None), "length"),
        (("null", "length"), "length"),
    ],
)
def test_of_two_reasons_the_first_counts(reasons, counts):
    first, last = reasons
    assert same(read([events(says("a", first), says(None, last))]), ("a", "", counts))


def test_a_reason_in_every_delta_counts_in_the_last():
    body = events(says("a", "stop"), says("b", "stop"), says("c", "length"))
    assert same(read([body]), ("abc", "", "length"))


def test_null_as_a_text_does_not_end_a_reply():
    body = events(says("a", "null"), says("b", "null"), done=False)
    assert same(read([body], fault=CUT), ("ab", "", ConnectionLost))


def test_text_may_come_in_parts():
    parts = {"delta": {"content": [{"type": "text", "text": "a"}, {"type": "image"}, "b"]}}
    assert same(read([events(parts, says("c", "stop"))]), ("abc", "", "stop"))


SPELLINGS = (
    *("reasoning", "reasoning_content", "reasoning_text", "reasoningContent"),
    *("thinking", "thinking_content", "thought", "thoughts"),
)


@pytest.mark.parametrize(
    "shape",
    [
        *(
            "ab",
            ["a", "b"],
            {"text": "ab"},
            [{"text": "a"}, "b"],
            {"content": ["a", {"text": "b"}]},
        ),
        {"text": {"value": "ab"}},
        {"type": "text", "text": {"value": "ab", "annotations": []}},
        [{"text": {"value": "a"}}, {"text": {"value": "b", "type": "text"}}],
        {"parts": [{"text": "a"}, {"text": {"value": "b"}}]},
    ],
)
def test_text_and_thinking_come_in_any_shape_that_holds_strings(shape):
    assert same(read([events(says(shape), says("c", "stop"))]), ("abc", "", "stop"))
    for name in SPELLINGS:
        body = events(says(None, **{name: shape}), says("c", "stop"))
        assert same(read([body]), ("c", "ab", "stop"))


NESTED: list = []
for _ in range(500):
    NESTED = [NESTED or "x"]


@pytest.mark.parametrize("odd", [5, 0.5, [5, 6], {"type": "reference", "ids": [1]}, NESTED])
@pytest.mark.parametrize("field", ["content", "reasoning"])
def test_what_is_not_understood_is_said_once(odd, field):
    reply = OpenAIReply(Faults("server.test"), ())
    for fields in ({field: odd}, {"content": "a"}, {field: odd}):
        reply.take({"choices": [{"delta": fields}]})
    assert reply.notice == "the model also sent data in an unknown form, which is not shown here"
    alone = read([events({"delta": {field: odd}}, says(None, "stop"))])[2]
    assert alone.message == "the model answered with data in an unknown form, not with text"


@pytest.mark.parametrize("nothing", [None, "", [], {}, True, False, [None], {"text": None}])
@pytest.mark.parametrize("field", ["content", "reasoning"])
def test_a_field_that_holds_nothing_is_not_spoken_of(nothing, field):
    reply = OpenAIReply(Faults("server.test"), ())
    assert reply.take({"choices": [{"delta": {field: nothing}}]}) == Chunk()
    assert not reply.notice


@pytest.mark.parametrize("reason", ["length", "model_length", "max_tokens", "MAX_TOKENS"])
def test_a_limit_has_several_names(reason):
    assert same(read([events(says("a", reason))]), ("a", "", "length"))


@pytest.mark.parametrize("empty", [None, {}, {"prompt_tokens": None}, [], 0])
def test_counts_that_say_nothing_do_no_harm(empty):
    body = events(says("a"), done=False)
    body += b"data: " + json.dumps({"choices": [], "usage": empty}).encode() + b"\n\n"
    assert same(read([body + events(says("", "stop"))]), ("a", "", "stop"))


def test_empty_counts_at_the_end_do_not_hide_earlier_ones():
    usage = {"prompt_tokens": 7, "completion_tokens": 2}
    body = b"".join(
        b"data: " + json.dumps({"choices": [choice], "usage": counts}).encode() + b"\n\n"
        for choice, counts in ((says("a"), usage), (says("", "stop"), {}))
    )
    assert read([body])[2].usage.prompt_tokens == 7


def test_data_may_come_without_a_blank_and_over_several_lines():
    body = b'event: x\nid: 1\ndata:{"choices":\ndata: [{"delta":{"content":"a"},'
    body += b'\ndata: "finish_reason":"stop"}]}\n\n'
    assert same(read([body]), ("a", "", "stop"))


def test_a_stream_ends_by_a_reason_or_by_done():
    assert same(read([events(says("a", "stop"), done=False)]), ("a", "", "stop"))
    assert same(read([events(says("a"))]), ("a", "", "stop"))
    assert same(read([events(says("a")).rstrip()]), ("a", "", "stop"))
    assert same(read([events(says("a"), done=False)]), ("a", "", ConnectionLost))
    assert same(read([events()]), ("", "", ConnectionLost))


@pytest.mark.parametrize("form", ["data: {}\n", "data: {}\n: ping\n", "{}\n", "{}\r\n\r\n"])
@pytest.mark.parametrize("size", [1, 1000])
def test_a_line_that_is_a_whole_message_waits_for_no_empty_one(form, size):
    choices = says("a"), says("{}"), says("c", "stop")
    body = "".join(form.replace("{}", json.dumps({"choices": [it]}), 1) for it in choices).encode()
    pieces = [body[at : at + size] for at in range(0, len(body), size)]
    assert same(read(pieces), ("a{}c", "", "stop"))
    assert same(read([body.rstrip()]), ("a{}c", "", "stop"))
    text, _, end = read([body[:-40]], fault=CUT)
    assert (text, end) == ("a{}", CUT)


def test_done_may_stand_on_a_line_of_its_own():
    body = events(says("a"), done=False)
    for done in (b"data: [DONE]\nnonsense", b"[DONE]\nnonsense"):
        assert same(read([body + done]), ("a", "", "stop"))


@pytest.mark.parametrize("end", ["stop", "length", None])
def test_the_lines_of_ollamas_own_interface_are_read(end):
    first = {"model": "m", "message": {"role": "assistant", "thinking": "hm", "content": "a"}}
    last = {"message": {"role": "assistant", "content": "b"}, "prompt_eval_count": 7}
    last |= {"done": True, "eval_count": 2} | ({"done_reason": end} if end else {})
    body = "".join(json.dumps(it) + "\n" for it in (first | {"done": False}, last)).encode()
    text, thinking, chunk = read([body])
    assert (text, thinking, chunk.finish_reason) == ("ab", "hm", end or "stop")
    assert (chunk.usage.prompt_tokens, chunk.usage.completion_tokens) == (7, 2)
    assert same(read([body[: body.find(b"\n") + 9]]), ("a", "hm", ConnectionLost))


def test_the_name_of_an_event_does_not_go_on_to_the_next():
    body = b"event: error\n\n" + events(says("a", "stop"))
    assert same(read([body]), ("a", "", "stop"))


@pytest.mark.parametrize("body", [b"hello\nyou\n", b'[{"choices": []}]', b"data: hello", b'"a"'])
def test_what_is_no_stream_at_all_is_not_called_cut_off(body):
    fault = read([body])[2]
    assert fault.message.startswith("server.test sent an unreadable message: ")
    assert "is it the right kind of server?" in fault.hint


def test_a_connection_that_breaks_after_the_end_does_no_harm():
    body = events(says("a", "stop"), done=False)
    assert same(read([body], fault=CUT), ("a", "", "stop"))


@pytest.mark.parametrize("field", SPELLINGS)
def test_reasoning_has_several_names(field):
    body = events(says(None, **{field: "hm"}), says("a"), says("", "stop"))
    assert same(read([body]), ("a", "hm", "stop"))


def test_reasoning_may_come_in_blocks_or_in_a_part_that_is_marked():
    blocks = [
        {"type": "thinking", "thinking": "hm", "signature": "xyz"},
        {"type": "redacted_thinking", "data": "xyz"},
    ]
    for first in (
        says(None, thinking_blocks=blocks),
        says(None, reasoning_content="hm", thinking_blocks=blocks),
        says([{"text": "hm", "thought": True}]),
        says(None, reasoning={"reasoning": "hm"}),
    ):
        reply = OpenAIReply(Faults("server.test"), ())
        assert reply.take({"choices": [first]}) == Chunk(thinking="hm")
        assert not reply.notice


@pytest.mark.parametrize("inner", ["hm", [{"type": "text", "text": "h"}, {"text": "m"}]])
def test_reasoning_may_come_as_a_part_of_the_content(inner):
    thinking = {"content": [{"type": "thinking", "thinking": inner}]}
    parts = {"content": [{"type": "text", "text": "a"}]}
    body = events({"delta": thinking}, {"delta": parts}, says("b", "stop"))
    assert same(read([body]), ("ab", "hm", "stop"))


CALL = {"index": 0, "id": "x", "function": {"name": "get_weather", "arguments": ""}}
MORE = {"index": 0, "function": {"arguments": '{"city": "Bonn"}'}}


@pytest.mark.parametrize(
    "deltas",
    [
        [{"tool_calls": [CALL]}, {"tool_calls": [MORE]}],
        [{"tool_calls": [{"function": CALL["function"] | MORE["function"]}]}],
        [{"function_call": CALL["function"]}, {"function_call": MORE["function"]}],
    ],
)
@pytest.mark.parametrize("reason", ["tool_calls", "stop", None])
def test_a_reply_that_only_asks_for_a_tool_says_which(deltas, reason):
    choices = [{"delta": delta} for delta in deltas]
    fault = read([events(*choices, says(None, reason))])[2]
    assert fault.message == 'the model asked for the tool get_weather({"city": "Bonn"})'
    assert fault.exit_code == 1


def test_many_tools_are_shown_in_short_and_without_a_key():
    calls = [{"index": n, "function": {"name": "f" * 999, "arguments": "x"}} for n in range(99)]
    reply = OpenAIReply(Faults("server.test", keys=("sk-0123456789abcdef",)), ())
    reply.take({"choices": [{"delta": {"tool_calls": calls}}]})
    reply.take({"choices": [{"delta": {"function_call": {"name": "sk-0123456789abcdef"}}}]})
    assert len(reply.notice) < 400
    reply = OpenAIReply(Faults("server.test", keys=("sk-0123456789abcdef",)), ())
    for part in ("sk-01234567", "89abcdef"):
        reply.take({"choices": [{"delta": {"function_call": {"arguments": part}}}]})
    assert "0123456789" not in reply.notice


@pytest.mark.parametrize("odd", [5, "x", [], [5, None], [{"function": []}], {"function": 5}])
def test_odd_tool_calls_are_none(odd):
    body = events({"delta": {"tool_calls": odd, "function_call": odd}}, says("a", "stop"))
    assert same(read([body]), ("a", "", "stop"))


def test_a_refusal_alone_is_said():
    parts = [
        {"delta": {"refusal": "I can"}},
        {"delta": {"refusal": "not."}, "finish_reason": "stop"},
    ]
    assert read([events(*parts)])[2].message == "the model declined: I cannot."


@pytest.mark.parametrize("reason", ["stop", None])
def test_a_refusal_after_a_text_is_said_and_the_text_kept(reason):
    parts = [says("Well. <"), {"delta": {"refusal": "I cannot."}, "finish_reason": reason}]
    text, _, fault = read([events(*parts)], stop=("<END>",))
    assert text == "Well. <"
    assert (fault.message, fault.exit_code) == ("the model declined: I cannot.", 1)


IMAGE = {"images": [{"type": "image_url", "image_url": {"url": "data:"}}]}
PART = {"content": [{"type": "image_url", "image_url": {"url": "data:"}}]}
AUDIO = {"audio": {"id": "a", "transcript": "hi"}}


@pytest.mark.parametrize(
    ("delta", "form"), [(IMAGE, "an image"), (PART, "an image"), (AUDIO, "audio")]
)
@pytest.mark.parametrize("reason", ["stop", None])
def test_a_reply_in_another_form_than_text_says_which(delta, form, reason):
    fault = read([events({"delta": delta}, says(None, reason))])[2]
    assert isinstance(fault, NoText)
    assert fault.message == f"the model answered with {form}, not with text"


def test_what_came_beside_a_text_in_another_form_is_said():
    reply = OpenAIReply(Faults("server.test"), ())
    for delta in ({"content": "Here."}, IMAGE, AUDIO):
        reply.take({"choices": [{"delta": delta}]})
    assert reply.notice == "the model also sent an image and audio, which are not shown here"


@pytest.mark.parametrize("odd", [None, "", [], {}, 0])
def test_a_field_for_another_form_that_is_empty_means_nothing(odd):
    body = events({"delta": {"images": odd, "audio": odd, "content": "a"}}, says("b", "stop"))
    assert same(read([body]), ("ab", "", "stop"))


def test_the_text_of_the_older_interface_is_shown():
    body = events({"text": "a", "index": 0}, {"text": "b", "delta": None, "finish_reason": "stop"})
    assert same(read([body]), ("ab", "", "stop"))


def test_reasoning_may_come_in_details_alone():
    details = [
        {"type": "reasoning.text", "text": "h"},
        {"type": "reasoning.summary", "summary": "m"},
        {"type": "reasoning.encrypted", "data": "xyz"},
        5,
    ]
    first = says("", reasoning_details=details)
    assert same(read([events(first, says("a", "stop"))]), ("a", "hm", "stop"))
    both = says("", reasoning="hm", reasoning_details=details)
    assert same(read([events(both, says("a", "stop"))]), ("a", "hm", "stop"))


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b'error: {"code":500,"message":"no slot","type":"server_error"}\n\n', "no slot"),
        (b"error: all went wrong\n\n", "all went wrong"),
    ],
)
def test_an_error_may_be_a_line_of_its_own(line, said):
    text, _, fault = read([events(says("a"), done=False) + line])
    assert text == "a"
    assert fault.message == f"server.test failed: {said}"


@pytest.mark.parametrize("size", [1, 1000])
def test_a_byte_that_is_not_utf_8_is_replaced_and_the_rest_goes_on(size):
    body = events(says("caf_"), says(" au lait", "stop")).replace(b"_", b"\xe9")
    pieces = [body[at : at + size] for at in range(0, len(body), size)]
    assert same(read(pieces), ("caf\ufffd au lait", "", "stop"))


def test_reasoning_that_comes_under_both_names_is_shown_once():
    both = {"reasoning": "hm", "reasoning_content": "hm"}
    assert same(read([events(says(None, **both), says("a", "stop"))]), ("a", "hm", "stop"))


def test_reasoning_may_come_as_text_with_marks():
    body = events(says("<thi"), says("nk>hm</th"), says("ink>\n\na"), says("", "stop"))
    assert same(read([body]), ("a", "hm", "stop"))


@pytest.mark.parametrize(
    ("deltas", "text"),
    [
        (["</think>\n\na"], "a"),
        (["\n</th", "ink>", "\n\na"], "a"),
        (["</think>", "a"], "a"),
        (["[/THINK]a"], "a"),
        (["</think>"], ""),
        (["</think> is the mark"], "</think> is the mark"),
        (["a\n</think>\nb"], "a\n</think>\nb"),
        (["`</think>` is it"], "`</think>` is it"),
    ],
)
@pytest.mark.parametrize("size", [1, 100])
def test_a_closing_mark_left_over_from_thinking_sent_apart_is_no_text(deltas, text, size):
    body = events(says(None, reasoning_content="hm"), *map(says, deltas), says("", "stop"))
    pieces = [body[at : at + size] for at in range(0, len(body), size)]
    assert same(read(pieces), (text, "hm", "stop"))


@pytest.mark.parametrize("whole_call", [True, False])
def test_arguments_of_a_tool_may_be_an_object(whole_call):
    call = {"index": 0, "function": {"name": "f", "arguments": {"a": [1, "é"]}}}
    said = {"message": {"tool_calls": [call]}} if whole_call else {"delta": {"tool_calls": [call]}}
    fault = read([events(said | {"finish_reason": "tool_calls"})])[2]
    assert fault.message == 'the model asked for the tool f({"a": [1, "é"]})'


def test_a_stop_string_that_a_server_lets_through_is_not_shown():
    body = TRANSCRIPTS["tf_chat_stream_stop"].body
    text, _, last = read([body], stop=("4",))
    assert (text, last.finish_reason) == ("1. 1\n2. 2\n3. 3\n", "stop")


@pytest.mark.parametrize(
    "error",
    [
        {"error": "CUDA out of memory"},
        {"error": {"message": "CUDA out of memory"}},
        {"object": "error", "message": "CUDA out of memory"},
        {"text": "**BUSY**\n\n(CUDA out of memory)", "error_code": 50002},
        {"detail": "CUDA out of memory"},
        {"detail": [{"msg": "CUDA out of memory"}]},
        {"message": "CUDA out of memory", "code": 500},
        {"type": "error", "message": "CUDA out of memory"},
    ],
)
def test_an_error_in_the_stream_is_raised_and_what_came_is_kept(error):
    body = events(says("a"), done=False) + b"data: " + json.dumps(error).encode() + b"\n\n"
    text, _, fault = read([body])
    assert text == "a"
    assert isinstance(fault, EngineError)
    assert fault.message.endswith("CUDA out of memory")


def test_an_error_in_place_of_a_stream_is_raised():
    fault = read([b'{"error": {"message": "no\\nway\\u001b[31m"}}'])[2]
    assert fault.message == "server.test failed: no way\x1b[31m"


def test_an_answer_that_is_not_streamed_is_read_all_the_same():
    body = {"choices": [{"message": {"content": "a"}, "finish_reason": "length"}]}
    assert same(read([json.dumps(body, indent=1).encode()]), ("a", "", "length"))


@pytest.mark.parametrize("usage_first", [True, False])
def test_counts_may_come_before_with_or_after_the_end(usage_first):
    usage = {"prompt_tokens": 7, "completion_tokens": 2}
    usage["prompt_tokens_details"] = {"cached_tokens": 3}
    counts = b"data: " + json.dumps({"choices": [], "usage": usage}).encode() + b"\n\n"
    end = events(says("a", "stop"), done=False)
    last = read([counts + end if usage_first else end + counts])[2]
    found = last.usage.prompt_tokens, last.usage.cached_tokens, last.usage.completion_tokens
    assert found == (7, 3, 2)


def test_counts_of_nothing_before_the_text_are_not_those_of_the_reply():
    usage = {"prompt_tokens": 7, "completion_tokens": 0}
    for counts in ({"choices": [], "usage": usage}, {"choices": None, "usage": usage}):
        body = b"data: " + json.dumps(counts).encode() + b"\n\n" + events(says("a", "stop"))
        found = read([body])[2].usage
        assert (found.prompt_tokens, found.completion_tokens) == (7, None)


def test_llama_cpp_counts_in_its_timings():
    usage = read([TRANSCRIPTS["llama_chat_stream"].body])[2].usage
    assert (usage.prompt_tokens, usage.cached_tokens, usage.completion_tokens) == (37, 36, 32)


@pytest.mark.parametrize(
    "choice",
    [
        {},
        {"delta": None},
        {"delta": {}},
        {"delta": {"content": None}},
        {"delta": {"content": [{"type": "text"}]}},
        {"delta": {"role": "assistant", "content": ""}, "finish_reason": ""},
    ],
)
def test_an_event_may_say_nothing(choice):
    assert same(read([events(choice, says("a", "stop"))]), ("a", "", "stop"))


@pytest.mark.parametrize("reason", ["abort", "error", "network_error"])
def test_a_reply_that_the_server_broke_off_is_an_error(reason):
    assert isinstance(read([events(says("a"), says(None, reason))])[2], EngineError)


@pytest.mark.parametrize("reason", ["content_filter", "sensitive", "SAFETY"])
def test_a_filtered_reply_is_refused(reason):
    assert isinstance(read([events(says("a"), says(None, reason))])[2], ServerRefused)


@pytest.mark.parametrize(
    "data", ['{"message": "no slot"}', '{"error": {"message": "no slot"}}', "no slot"]
)
def test_an_event_that_is_named_error_is_one_whatever_its_data_has(data):
    body = events(says("a"), done=False) + f"event: error\ndata: {data}\n\n".encode()
    text, _, fault = read([body + events(says("b", "stop"))])
    assert (text, fault.message) == ("a", "server.test failed: no slot")


@pytest.mark.parametrize("garbage", [b"data: <html>\n\n", b"data: [1]\n\n", b"data: \xff\n\n"])
def test_what_is_no_message_is_an_error_in_one_line(garbage):
    error = read([garbage + events(says("a", "stop"))])[2]
    assert isinstance(error, EngineError)
    assert "unreadable message" in error.message
    assert "\n" not in error.message


@pytest.mark.parametrize("part", [b"x" * 999, b"data: x\n", b"no event\n"])
def test_a_message_without_an_end_does_not_fill_the_memory(part):
    def endless():
        while True:
            yield part * 1000

    error = read(endless())[2]
    assert "without an end" in error.message


def test_json_that_is_too_deep_is_no_crash():
    assert isinstance(read([b"data: " + b"[" * 100_000 + b"\n\n"])[2], EngineError)


def test_what_a_reply_waits_for_is_told_before_anything_is_read():
    def silent():
        pytest.fail("it is read")
        yield b""

    reply = OpenAIReply(Faults("server.test"), ())
    chunks = read_reply(ScriptedExchange(silent()), sse_messages, reply, Event())
    assert next(chunks) == Chunk(progress=Progress("waiting", unit="s"))
