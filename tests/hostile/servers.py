"""Servers that do what none should, each by its name, and how `glm ask` must end at each of them.

A mode is a script for `Loopback`: what is said at which path. Knows nothing of how it is judged.
"""

from __future__ import annotations

import base64
import gzip
import json
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from tests.support.loopback import OK, Connection

KEY = "sk-hostile/0123456789+abcdefghijKLMNOP"
Say = Callable[[Connection], None]

BIG = b"x" * 65_536
DEEP = 100_000
MB = 1_000_000


@dataclass(frozen=True, slots=True)
class Mode:
    """A server, and how asking it ends: exit code, and what must be said on stderr or stdout."""

    script: Say
    code: int = 0
    said: str = ""
    model: str = "openai:x"
    waits: bool = False
    """It ends by a clock, or only after much work: not for the tests that always run."""


# What is sent


def http(body: bytes, *headers: str, status: str = "200 OK") -> Say:
    """A whole answer with its length."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers]
    return raw("\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body, ends=False)


def raw(data: bytes, *, ends: bool = True) -> Say:
    """Bytes, and maybe the end of the connection."""

    def say(connection: Connection) -> None:
        connection.send(data)
        if ends:
            raise ConnectionAbortedError

    return say


def in_json(value: object, status: str = "200 OK") -> Say:
    return http(json.dumps(value).encode(), "Content-Type: application/json", status=status)


def chunks(pieces: Iterable[bytes], *, then: str = "end", head: bytes = OK) -> Say:
    """A chunked answer; `then` it ends, freezes, breaks off or is reset."""

    def say(connection: Connection) -> None:
        connection.send(head)
        for piece in pieces() if callable(pieces) else pieces:
            connection.chunk(piece)
        if then == "end":
            connection.chunk(b"")
        elif then == "freeze":
            connection.freeze()
        elif then == "reset":
            connection.reset()
        else:
            raise ConnectionAbortedError

    return say


def endless(piece: bytes, *, head: bytes = OK, seconds: float = 0) -> Say:
    """The same piece until the client is gone."""

    def say(connection: Connection) -> None:
        connection.send(head)
        while not connection.gone.wait(seconds):
            connection.chunk(piece)

    return say


def bytewise(data: bytes, *, head: bytes = OK) -> Say:
    """The same bytes until the client is gone, each a chunk of its own."""
    sent = b"".join(b"1\r\n%c\r\n" % byte for byte in data) * (20_000 // len(data))

    def say(connection: Connection) -> None:
        connection.send(head)
        while not connection.gone.is_set():
            connection.send(sent)

    return say


def event(value: object) -> bytes:
    return b"data: " + json.dumps(value).encode() + b"\n\n"


def choice(delta: object, reason: object = None, **more: object) -> dict[str, Any]:
    return {"choices": [{"delta": delta, "finish_reason": reason, **more}]}


def word(text: object = "hello") -> bytes:
    return event(choice({"content": text}))


END = event(choice({}, "stop"))
DONE = b"data: [DONE]\n\n"
GOOD = word() + END + DONE


def drip(data: bytes, seconds: float = 0.3) -> Say:
    """One byte after another, slowly."""

    def say(connection: Connection) -> None:
        for at in range(len(data)):
            connection.send(data[at : at + 1])
            if connection.gone.wait(seconds):
                return
        connection.freeze()

    return say


# Servers


def at_paths(paths: dict[str, Say]) -> Say:
    def script(connection: Connection) -> None:
        path = connection.requests[-1].split(b" ", 2)[1].decode()
        say = next((say for end, say in paths.items() if path.endswith(end)), None)
        (say or in_json({"detail": "Not Found"}, "404 Not Found"))(connection)

    return script


def openai(
    code: int = 0,
    said: str = "",
    *,
    reply: Say | None = None,
    models: Say | None = None,
    model: str = "openai:x",
    waits: bool = False,
) -> Mode:
    """A server of OpenAI's kind, of which one answer is not as it should be."""
    paths = {
        "/models": models or in_json({"data": [{"id": "x", "owned_by": "me"}]}),
        "/chat/completions": reply or chunks([GOOD]),
    }
    return Mode(at_paths(paths), code, said or ("hello" if code == 0 else "glm: "), model, waits)


def events(code: int, said: str, *data: bytes, waits: bool = False, then: str = "end") -> Mode:
    """A stream of OpenAI's kind."""
    return openai(code, said, reply=chunks(data, then=then), waits=waits)


def value_in_models(**fields: object) -> Mode:
    return openai(models=in_json({"data": [{"id": "x", **fields}]}))


def with_usage(**usage: object) -> Mode:
    return events(0, "hello", word(), event({**choice({}, "stop"), "usage": usage}), DONE)


CONV = {
    "name": "one_shot",
    "system_message": "",
    "roles": ["Human", "Assistant"],
    "messages": [],
    "sep_style": 2,
    "sep": "\n### ",
    "stop_str": "###",
    "stop_token_ids": None,
}


def message(text: object = "hello", reason: object = "stop", **fields: object) -> bytes:
    fields = {"text": text, "error_code": 0, "finish_reason": reason, **fields}
    return json.dumps(fields).encode() + b"\0"


def fastchat(code: int = 0, said: str = "", *, waits: bool = False, **says: Say) -> Mode:
    """A worker alone or behind a controller, of which one answer is not as it should be."""
    usual = {
        "list_models": in_json({"models": ["x"]}),
        "model_details": in_json({"context_length": 2048}),
        "worker_get_conv_template": in_json({"conv": CONV}),
        "count_token": in_json({"count": 5}),
        "refresh_all_workers": in_json(None),
        "worker_generate_stream": chunks([message()]),
    }

    def own_address(connection: Connection) -> None:
        head = connection.requests[-1].decode("latin-1").lower()
        host = head.partition("host: ")[2].partition("\r\n")[0]
        in_json({"address": f"http://{host}"})(connection)

    paths = {
        f"/{name}": say
        for name, say in ({"get_worker_address": own_address} | usual | says).items()
    }
    said = said or ("hello" if code == 0 else "glm: ")
    return Mode(at_paths(paths), code, said, "fastchat:x", waits)


def worker_at(address: object, said: str = "where none can be") -> Mode:
    return fastchat(6, said, get_worker_address=in_json({"address": address}))


def stream_of(code: int, said: str, *data: bytes, waits: bool = False) -> Mode:
    return fastchat(code, said, worker_generate_stream=chunks(data), waits=waits)


# What is too large is made while it is sent


def flood(piece: bytes, megabytes: int = 2000) -> Iterator[bytes]:
    for _ in range(megabytes * MB // len(piece)):
        yield piece


def bomb(megabytes: int = 1000) -> bytes:
    """Little that becomes much."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    return b"".join([packer.compress(b" " * MB) for _ in range(megabytes)]) + packer.flush()


def packed(body: Callable[[], bytes], encoding: str = "gzip") -> Say:
    return lambda connection: http(body(), f"Content-Encoding: {encoding}")(connection)


def many_lines(connection: Connection) -> None:
    connection.send(b"HTTP/1.1 200 OK\r\n")
    while True:
        connection.send(b"X-Header: " + b"y" * 1000 + b"\r\n")


def continuing(connection: Connection) -> None:
    while True:
        connection.send(b"HTTP/1.1 100 Continue\r\n\r\n" * 100)


def endless_body(head: bytes) -> Say:
    return endless(BIG, head=head)


def head(status: str = "200 OK", kind: str = "application/json") -> bytes:
    return (
        f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    )


CLOCK = {"tool_calls": [{"index": 0, "function": {"name": "clock", "arguments": "{}"}}]}
NESTED = b'{"choices": ' + b"[" * DEEP + b"]" * DEEP + b"}"
ESCAPED_KEY = json.dumps("".join(f"\\u{ord(char):04x}" for char in KEY)).replace("\\\\", "\\")

MODES: dict[str, Mode] = {
    "a good server": openai(),
    "a good cluster": fastchat(),
    # numbers
    "counts below zero": with_usage(prompt_tokens=-5, completion_tokens=-1),
    "counts without measure": with_usage(prompt_tokens=10**30, completion_tokens=2**63),
    "counts that are text": with_usage(prompt_tokens="12", completion_tokens=[3]),
    "counts that are fractions": with_usage(prompt_tokens=1.5, completion_tokens=1e308),
    "counts that are no numbers": with_usage(
        prompt_tokens=float("nan"), completion_tokens=float("inf")
    ),
    "counts that are true": with_usage(prompt_tokens=True, completion_tokens=False),
    "cached below zero": with_usage(prompt_tokens=5, prompt_tokens_details={"cached_tokens": -7}),
    "cached in a list": with_usage(prompt_tokens=5, prompt_tokens_details=["cached_tokens"]),
    "timings without measure": events(
        0,
        "hello",
        word(),
        event({**choice({}, "stop"), "timings": {"cache_n": -3, "prompt_n": 10**40}}),
    ),
    "timings that are no numbers": events(
        0, "hello", word(), event({**choice({}, "stop"), "timings": {"cache_n": float("nan")}})
    ),
    "a number of 5,000 digits": events(
        0,
        "hello",
        word(),
        event(choice({}, "stop")),
        b'data: {"usage": {"prompt_tokens": ' + b"9" * 5000 + b"}}\n\n",
    ),
    "a window below zero": value_in_models(max_model_len=-3),
    "a window of zero": value_in_models(max_model_len=0),
    "a window without measure": value_in_models(max_model_len=10**30),
    "a window that is text": value_in_models(max_model_len="big"),
    "a window that is a fraction": value_in_models(meta={"n_ctx": 1.5}),
    "meta that is a list": value_in_models(meta=[1]),
    "a worker's window below zero": fastchat(model_details=in_json({"context_length": -1})),
    "a worker's window without measure": fastchat(
        model_details=in_json({"context_length": 10**40})
    ),
    "a worker counts below zero": fastchat(count_token=in_json({"count": -9})),
    "a worker counts in words": fastchat(count_token=in_json({"count": "many"})),
    "a worker's usage without measure": stream_of(
        0, "hello", message(usage={"prompt_tokens": 10**30, "completion_tokens": -4})
    ),
    "a refusal with a window without measure": openai(
        6, "maximum", reply=in_json({"error": "maximum context length is " + "9" * 400}, "400 Bad")
    ),
    "a break of 10**300 seconds": openai(
        6, "in a moment", reply=http(b"", f"Retry-After: {10**300}", status="503 Busy")
    ),
    # sizes
    "a list without an end": openai(6, "more than", models=endless_body(head()), waits=True),
    "a list of 30 MB": openai(
        6, "more than", models=lambda c: http(b"[" + b"1," * 15 * MB)(c), waits=True
    ),
    "a list of many models": openai(
        6,
        "more than",
        models=lambda c: in_json({"data": [{"id": f"m{n}"} for n in range(100_000)]})(c),
    ),
    "a list of empty objects": openai(
        6,
        "glm: ",
        models=lambda c: http(b'{"data": [' + b"{}," * 1_200_000 + b"{}]}")(c),
        waits=True,
    ),
    "an error without an end": openai(
        6, "refused (500)", reply=endless_body(head("500 Oops", "text/plain")), waits=True
    ),
    "an error that comes slowly": openai(
        6, "refused (500)", reply=endless(b"no ", head=head("500 Oops"), seconds=0.3), waits=True
    ),
    "a line without an end": openai(6, "without an end", reply=endless(BIG), waits=True),
    "a line that grows by bytes": openai(
        6, "without an end", reply=endless(b"x" * 200), waits=True
    ),
    "an event without an end": openai(
        6, "without an end", reply=endless(b"data: x\n" * 5000), waits=True
    ),
    "a reply without an end": openai(6, "more than", reply=endless(word("z" * 60_000)), waits=True),
    "thinking without an end": openai(
        6, "more than", reply=endless(event(choice({"reasoning": "z" * 60_000}))), waits=True
    ),
    "a line of single bytes": openai(6, "pieces without text", reply=bytewise(b":")),
    "comments of single bytes": openai(6, "pieces without text", reply=bytewise(b":\n")),
    "empty lines of single bytes": openai(6, "pieces without text", reply=bytewise(b"\n")),
    "empty events of single bytes": openai(
        6, "pieces without text", reply=bytewise(event(choice({})))
    ),
    "a list of single bytes": openai(6, "50,000 pieces", models=bytewise(b"[", head=head())),
    "an error of single bytes": openai(
        6, "refused (500)", reply=bytewise(b"no ", head=head("500 Oops", "text/plain"))
    ),
    "a worker's message of single bytes": fastchat(
        6, "pieces without text", worker_generate_stream=bytewise(b"x")
    ),
    "events without text without an end": openai(
        6, "glm: ", reply=endless(event(choice({})) * 500), waits=True
    ),
    "comments without an end": openai(6, "glm: ", reply=endless(b": hello\n\n" * 5000), waits=True),
    "empty lines without an end": openai(6, "glm: ", reply=endless(b"\n" * 60_000), waits=True),
    "signs of life without an end": openai(
        6, "signs of life", reply=endless(b": hello\n\n", seconds=0.3), waits=True
    ),
    "empty events without an end": openai(
        6, "signs of life", reply=endless(event(choice({})), seconds=0.3), waits=True
    ),
    "events after the end": openai(
        0,
        "hello",
        reply=lambda c: (
            c.send(OK),
            c.chunk(word() + END),
            endless(event({}), head=b"", seconds=0.1)(c),
        )[0],
        waits=True,
    ),
    "a packed bomb in a stream": openai(6, "glm: ", reply=packed(bomb), waits=True),
    "a packed bomb in a list": openai(6, "glm: ", models=packed(bomb), waits=True),
    "a packed bomb in an error": openai(
        6,
        "glm: ",
        reply=lambda c: http(bomb(200), "Content-Encoding: gzip", status="500 Oops")(c),
        waits=True,
    ),
    "a bomb in a bomb": openai(
        6, "glm: ", reply=packed(lambda: gzip.compress(bomb()), "gzip, gzip"), waits=True
    ),
    "headers without an end": openai(6, "glm: ", reply=many_lines),
    "a header of 10 MB": openai(6, "glm: ", reply=raw(b"HTTP/1.1 200 OK\r\nX: " + b"y" * 10 * MB)),
    "100 Continue without an end": openai(6, "glm: ", reply=continuing, waits=True),
    "a worker's message without an end": fastchat(
        6, "without an end", worker_generate_stream=endless(BIG), waits=True
    ),
    "a worker's zeros without an end": fastchat(
        6, "glm: ", worker_generate_stream=endless(b"\0" * 60_000), waits=True
    ),
    "a worker that repeats itself": fastchat(
        6, "glm: ", worker_generate_stream=endless(message("", None) * 500), waits=True
    ),
    "a worker's list without an end": fastchat(
        6, "more than", list_models=endless_body(head()), waits=True
    ),
    "a worker's template without an end": fastchat(
        6, "more than", worker_get_conv_template=endless_body(head()), waits=True
    ),
    # time
    "nothing at all": Mode(Connection.freeze, 6, "glm: ", waits=True),
    "nothing at all, no model named": Mode(Connection.freeze, 6, "glm: ", "openai:", waits=True),
    "nothing at all, no worker named": Mode(Connection.freeze, 6, "glm: ", "fastchat:", waits=True),
    "a slow head": openai(6, "glm: ", reply=drip(b"HTTP/1.1 200 OK\r\n" * 100), waits=True),
    "a slow list": openai(6, "glm: ", models=endless(b" ", seconds=0.3), waits=True),
    "silence after the head": openai(6, "glm: ", reply=chunks([], then="freeze"), waits=True),
    "silence in the reply": openai(6, "glm: ", reply=chunks([word()], then="freeze"), waits=True),
    "silence after the end": openai(
        0, "hello", reply=chunks([word(), END], then="freeze"), waits=True
    ),
    "silence of a worker": fastchat(
        6, "glm: ", worker_generate_stream=Connection.freeze, waits=True
    ),
    "silence of a count": fastchat(6, "glm: ", count_token=Connection.freeze, waits=True),
    # the key
    "the key in an error": openai(6, "[key]", reply=in_json({"error": f"bad {KEY}"}, "401 No")),
    "the key in an error of text": openai(6, "[key]", reply=http(KEY.encode(), status="500 No")),
    "the key quoted in an error": openai(
        6,
        "[key]",
        reply=http(KEY.replace("/", "%2F").replace("+", "%2B").encode(), status="500 No"),
    ),
    "the key as base64 in an error": openai(
        6, "[key]", reply=http(b"Basic " + base64.b64encode(f"me:{KEY}".encode()), status="500 No")
    ),
    "half the key in an error": openai(6, "[key]", reply=http(KEY[:24].encode(), status="500 No")),
    "the key in hexadecimal": openai(
        6, "[key]", reply=http(KEY.encode().hex().encode(), status="401 No")
    ),
    "each letter of the key in percent": openai(
        6,
        "[key]",
        reply=http("".join(f"%{ord(char):02x}" for char in KEY).encode(), status="401 No"),
    ),
    "each letter of the key in HTML": openai(
        6, "[key]", reply=http("".join(f"&#{ord(char)};" for char in KEY).encode(), status="401 No")
    ),
    "the key escaped in broken JSON": openai(
        6, "[key]", reply=http(b'{"error": ' + ESCAPED_KEY.encode(), status="401 No")
    ),
    "the key backwards": openai(6, "[key]", reply=http(KEY[::-1].encode(), status="401 No")),
    "the key with a colour in it": openai(
        6, "[key]", reply=http(f"{KEY[:5]}\x1b[31m{KEY[5:]}".encode(), status="401 No")
    ),
    "the key as base64 in the reply": events(
        0, "[key]", *(word(char) for char in base64.b64encode(KEY.encode()).decode()), END
    ),
    "the key without its end in the reply": events(0, "is [key]", word(f"it is {KEY[:-1]}"), END),
    "the key with nothing in it in the reply": events(0, "[key]", word("\u200b".join(KEY)), END),
    "the key in an event": events(6, "[key]", event({"error": {"message": f"no {KEY}"}})),
    "the key escaped in an event": events(
        6, "[key]", b'data: {"error": ' + ESCAPED_KEY.encode() + b"}\n\n"
    ),
    "the key in what is no message": events(
        6, "[key]", b"data: Authorization: Bearer " + KEY.encode() + b"\n\n"
    ),
    "the key in a reason": events(6, "broke", event(choice({}, "error")), event(choice({}, KEY))),
    "the key in the reply": events(0, "[key]", word(f"your key is {KEY}."), END),
    "the key in parts of the reply": events(0, "[key]", *(word(char) for char in f"<{KEY}>"), END),
    "the key in the thinking": events(
        0, "hello", *(event(choice({"reasoning": char})) for char in KEY), word(), END
    ),
    "the key in a reply that breaks": events(6, "glm: ", word("hello " + KEY[:-1]), then="break"),
    "the key in the names": openai(
        3, "[key]", models=in_json({"data": [{"id": KEY}, {"id": "b"}]}), model="openai:"
    ),
    "the key in a redirect": openai(
        6, "moved", reply=http(b"", f"Location: http://else.test/?k={KEY}", status="307 There")
    ),
    "the key in a header line": openai(
        6, "glm: ", reply=raw(b"HTTP/1.1 200 OK\r\nno header " + KEY.encode() + b"\r\n\r\n")
    ),
    "the key in a status line": openai(6, "glm: ", reply=raw(KEY.encode() + b" HTTP\r\n\r\n")),
    "the key in a packing": openai(6, "glm: ", reply=http(b"", f"Content-Encoding: {KEY}")),
    "the key in a list that is none": openai(6, "[key]", models=http(KEY.encode())),
    "the key in a worker's error": stream_of(6, "[key]", message(f"** ({KEY})", error_code=50001)),
    "the key in a worker's code": stream_of(6, "failed", message("oh", error_code={"key": KEY})),
    "the key in a worker's text": stream_of(0, "[key]", message(f"hello {KEY} ")),
    "a worker's text that shrinks": stream_of(
        0, "hello there", message("hello", None), message("XY", None), message("hello there")
    ),
    "a worker's text that is replaced": stream_of(
        6, "took back", message("hello", None), message("XY, and more")
    ),
    "the key in a worker's garbage": stream_of(6, "[key]", KEY.encode() + b"\0"),
    "the key in a worker's address": worker_at(f"{KEY} http://", "cannot be reached"),
    # addresses
    "a worker in the cloud's metadata": worker_at("http://169.254.169.254/latest/meta-data"),
    "a worker at a link-local address": worker_at("http://[fe80::1]:21002"),
    "a worker at a mapped address": worker_at("http://[::ffff:169.254.169.254]:21002"),
    "a worker at a whole number": worker_at("http://2852039166:80"),
    "a worker in hexadecimal": worker_at("http://0xa9fea9fe/"),
    "a worker in octal": worker_at("http://0251.0376.0251.0376/", "glm: "),
    "a worker with a user": worker_at("http://me:pw@127.0.0.1:1/", "glm: "),
    "a worker in a file": worker_at("file:///etc/passwd", "glm: "),
    "a worker behind a socket": worker_at("unix:///run/docker.sock", "glm: "),
    "a worker at a port of mail": worker_at("http://127.0.0.1:25"),
    "a worker with a name for metadata": worker_at("http://metadata.google.internal/"),
    "an address that is a list": worker_at([1], "no worker"),
    "an address of 1 MB": fastchat(
        6, "glm: ", get_worker_address=in_json({"address": "http://" + "a" * MB})
    ),
    "a worker that moved to metadata": fastchat(
        6,
        "moved",
        worker_generate_stream=http(b"", "Location: http://169.254.169.254/", status="302 There"),
    ),
    "a list that moved": openai(
        6, "moved", models=http(b"", "Location: http://169.254.169.254/", status="301 There")
    ),
    # texts
    "a name with an escape": openai(
        3, "no models", models=in_json({"data": [{"id": "\x1b]0;hi\x07"}]}), model="openai:"
    ),
    "a name in two lines": openai(
        3, "no models", models=in_json({"data": [{"id": "a\nglm: b"}]}), model="openai:"
    ),
    "a name that turns around": openai(
        3, "no models", models=in_json({"data": [{"id": "a\u202eb"}]}), model="openai:"
    ),
    "a name of 1 MB": openai(
        3, "no models", models=in_json({"data": [{"id": "a" * MB}]}), model="openai:"
    ),
    "names that are lists": openai(
        3, "no models", models=in_json({"data": [{"id": [1]}, 5, None]}), model="openai:"
    ),
    "a list that is nested": openai(6, "unreadable message", models=http(NESTED)),
    "a list 500 deep": openai(
        6, "unreadable message", models=http(b'{"data":' + b"[" * 500 + b"]" * 500 + b"}")
    ),
    "an error that is nested": openai(6, "refused", reply=http(NESTED, status="500 Oops")),
    "an event that is nested": events(6, "unreadable message", b"data: " + NESTED + b"\n\n"),
    "reasons of odd kinds": events(
        0, "hello", word(), *(event(choice({}, r)) for r in ([], {}, 5, True, "stop"))
    ),
    "an end three times": events(0, "hello", word(), END, END, END),
    "deltas of odd kinds": events(
        0, "hello", *(event(choice(d)) for d in ([], 5, "x", None, {"content": {}})), word(), END
    ),
    "content of odd kinds": events(
        0, "hello", *(word(c) for c in (5, {"text": "x"}, [1, None], [[]])), word(), END
    ),
    "choices of odd kinds": events(
        0, "hello", *(event({"choices": c}) for c in ([], None, {}, 5, [5], [[]])), word(), END
    ),
    "a million choices": events(
        0, "hello", b'data: {"choices": [' + b"1," * MB + b"1]}\n\n", word(), END
    ),
    "half a pair": events(
        0, "hello", b'data: {"choices": [{"delta": {"content": "hello \\ud800"}}]}\n\n', END
    ),
    "zeros in the text": events(0, "hello", word("hello\0there"), END),
    "a mark before the stream": events(0, "hello", b"\xef\xbb\xbf" + GOOD),
    "UTF-16": events(6, "glm: ", GOOD.decode().encode("utf-16")),
    "lines ended by CR": events(0, "hello", GOOD.replace(b"\n", b"\r")),
    "another content type": openai(reply=chunks([GOOD], head=head(kind="image/png"))),
    "a packed stream": openai(reply=packed(lambda: gzip.compress(GOOD))),
    "a stream that is not packed as said": openai(
        6, "glm: ", reply=http(GOOD, "Content-Encoding: gzip")
    ),
    "an unknown packing": openai(
        6, "Content-Encoding: br", reply=http(GOOD, "Content-Encoding: br")
    ),
    "the end of the stream alone": events(6, "before the reply", DONE),
    # other forms of a reply
    "an end by done alone": events(0, "hello", word(), DONE),
    "a tool in place of a text": events(1, "the tool clock({})", event(choice(CLOCK)), DONE),
    "a tool beside a text": events(0, "hello", word(), event(choice(CLOCK)), END, DONE),
    "a tool without an end": openai(6, "more than", reply=endless(event(choice(CLOCK)) * 500)),
    "tools of odd kinds": events(
        0, "hello", *(event(choice({"tool_calls": t})) for t in (5, [5], [{}], {"x": 1})), GOOD
    ),
    "40,000 tools": events(
        1,
        "the tool f(",
        event(choice({"tool_calls": [{"function": {"name": "f"}}] * 40_000})),
        DONE,
    ),
    "the key in a tool": events(
        1, "[key]", event(choice({"function_call": {"name": "f", "arguments": KEY}})), DONE
    ),
    "a refusal in place of a text": events(
        1, "declined: never", event(choice({"refusal": "never"}, "stop")), DONE
    ),
    "an error in a line of its own": events(
        6, "no slot", word(), b'error: {"code": 500, "message": "no slot"}\n\n'
    ),
    "an error that is nested, in a line of its own": events(6, "failed", b"error: " + NESTED),
    "bytes that are not UTF-8": events(0, "hello", word("_").replace(b"_", b"\xff\xfe hello"), END),
    "thinking without its opening mark": events(
        0, "hello", word("let me see.\n</thi"), word("nk>\n\n"), word(), END
    ),
    "closing marks without an end": openai(
        6, "more than", reply=endless(word("</think>\n" * 5000)), waits=True
    ),
    "blanks behind a closing mark without an end": openai(
        6, "more than", reply=endless(word("\n</think>" + " " * 60_000)), waits=True
    ),
    "the key before a closing mark": events(
        0, "hello", word(f"it is {KEY[:9]}"), word(f"{KEY[9:]}\n</think>\nhello"), END
    ),
    "thinking in parts": events(
        0,
        "hello",
        event(choice({"content": [{"type": "thinking", "thinking": [{"text": "hm"}]}]})),
        GOOD,
    ),
    "thinking of odd kinds": events(
        0,
        "hello",
        *(event(choice({"content": [{"thinking": t}], "thinking": t})) for t in (5, [5], {}, [[]])),
        GOOD,
    ),
    # windows
    "a full window in a stream": events(
        4,
        "needs 5,000 tokens, but the model's window holds 4,096",
        event(
            {
                "error": "Trying to keep the first 5000 tokens when context the overflows."
                " However, the model is loaded with context length of only 4096 tokens"
            }
        ),
    ),
    "a full window by its code": openai(
        4,
        "longer than the model's window",
        reply=in_json({"error": {"code": "context_length_exceeded"}}, "400 Bad"),
    ),
    "a full window in numbers that cannot be": openai(
        4,
        "longer than the model's window",
        reply=in_json(
            {"error": {"type": "exceed_context_size_error", "n_ctx": -1, "n_prompt_tokens": 1e99}},
            "400 Bad",
        ),
    ),
    "a window that fills up meanwhile": events(
        0, "hello", word(), event({"error": "Context size has been exceeded."})
    ),
    "no system prompt for ever": openai(
        6, "refused (400)", reply=in_json({"error": "System role not supported"}, "400 Bad")
    ),
    # HTTP
    "no length": openai(reply=raw(b"HTTP/1.1 200 OK\r\n\r\n" + GOOD)),
    "a wrong length": openai(
        6, "glm: ", reply=raw(b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n" + word())
    ),
    "a length below zero": openai(
        6, "glm: ", reply=raw(b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n")
    ),
    "two lengths": openai(
        6, "glm: ", reply=raw(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n")
    ),
    "a wrong chunk": openai(6, "glm: ", reply=raw(OK + b"zz\r\n" + GOOD)),
    "a chunk without measure": openai(6, "glm: ", reply=raw(OK + b"f" * 30 + b"\r\n" + GOOD)),
    "rubbish after the end": openai(
        reply=raw(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(GOOD) + GOOD + b"rubbish")
    ),
    "no HTTP": openai(6, "glm: ", reply=raw(b"SSH-2.0-OpenSSH\r\n")),
    "an empty answer": openai(6, "before the reply", reply=http(b"")),
    "a web page": openai(6, "web page", reply=http(b"<html>", "Content-Type: text/html")),
    "reset before the head": openai(6, "glm: ", reply=Connection.reset),
    "reset in the reply": events(6, "before the reply", word(), then="reset"),
    "reset in the list": openai(6, "glm: ", models=Connection.reset),
    "an odd status": openai(6, "refused (499)", reply=in_json({}, "499 Odd")),
    "an odd success": openai(6, "before the reply was complete", reply=in_json({}, "299 Odd")),
    # clusters
    "templates of odd kinds": fastchat(
        3, "template", worker_get_conv_template=in_json({"conv": [1]})
    ),
    "roles that are a number": fastchat(
        3, "odd roles: 5", worker_get_conv_template=in_json({"conv": {"sep_style": 1, "roles": 5}})
    ),
    "models of odd kinds": fastchat(3, "no model", list_models=in_json({"models": {"x": 1}})),
    "texts of odd kinds": stream_of(6, "glm: ", message(["x"], None), message({}, None)),
    "a message that is a list": stream_of(6, "unreadable message", b"[1]\0"),
    "a message that is nested": stream_of(6, "unreadable message", NESTED + b"\0"),
    "codes of odd kinds": stream_of(6, "failed", message("why", error_code=[1])),
    "half a message": stream_of(
        6, "before the reply was complete", message("hello", None), b'{"text": "hel'
    ),
}
