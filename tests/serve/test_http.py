import json
import socket
import time
from threading import Event

import pytest

from glmcli.config.proxies import host_name
from glmcli.engines.echo import EchoEngine
from glmcli.serve import http, pipes
from glmcli.serve.http import BODY_BYTES
from glmcli.types import Chunk
from tests.support.serving import PATIENCE_S, Served, served, soon

CHAT = "/v1/chat/completions"


class Endless(EchoEngine):
    """Replies until nobody listens."""

    def __init__(self) -> None:
        super().__init__()
        self.begun, self.stopped = Event(), Event()

    def stream(self, messages, params, cancel):
        self.begun.set()
        while not cancel.wait(0.01):
            yield Chunk("x")
        self.stopped.set()


def said(server: Served, data: bytes) -> bytes:
    """What the server answers until it closes the connection."""
    with server.raw() as connection:
        connection.sendall(data)
        answer = b""
        while got := connection.recv(65536):
            answer += got
    return answer


@pytest.mark.parametrize(
    "name", ["127.0.0.1", "localhost", "[::1]", "127.0.0.2:99", "a.localhost", "LOCALHOST.:1"]
)
def test_names_of_this_machine_are_answered(name: str) -> None:
    with served() as server:
        assert server.ask("GET", "/v1/models", Host=name).status == 200


@pytest.mark.parametrize(
    "name",
    [
        *("evil.example", "127.0.0.1.evil.example:8000", "", "[::2]", "["),
        *("evil.example@localhost", "localhost:abc", "localhost/x", "localhost?", "localhost.."),
    ],
)
def test_another_name_that_leads_here_is_refused_without_a_key(name: str) -> None:
    with served() as server:
        answer = server.ask("GET", "/v1/models", Host=name)
        assert (answer.status, answer.error["code"]) == (403, "host_refused")


def test_two_names_are_refused() -> None:
    with served() as server:
        answer = said(server, b"GET /v1/models HTTP/1.1\r\nHost: localhost\r\nHost: x\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 403")


def test_a_name_in_the_address_is_a_name_too() -> None:
    with served() as server:
        for name, status in (("localhost.", 200), ("evil.example", 403)):
            head = f"GET http://{name}/v1/models HTTP/1.1\r\nHost: localhost\r\n"
            answer = said(server, f"{head}Connection: close\r\n\r\n".encode())
            assert answer.startswith(f"HTTP/1.1 {status}".encode())


@pytest.mark.parametrize(
    "line", ["no header", "Spaced : 1", ": nameless", "From x", " folded", "X: a\r", "X: a\r\rY: b"]
)
@pytest.mark.parametrize("more", ["Origin: https://evil.example", "Expect: 100-continue"])
def test_a_line_that_is_no_header_hides_nothing_behind_it(line: str, more: str) -> None:
    hidden = "GET /v1/models HTTP/1.1\r\nHost: localhost\r\n\r\n"
    head = f"GET /v1/models HTTP/1.1\r\n{line}\r\nHost: localhost\r\n{more}\r\n"
    with served() as server:
        answer = said(server, f"{head}Content-Length: {len(hidden)}\r\n\r\n{hidden}".encode())
        assert answer.startswith(b"HTTP/1.1 400")
        assert answer.count(b"HTTP/1.1") == 1


@pytest.mark.parametrize("value", ["a\0", "\0b", "a\x01b", "\x7f", "a\x1b[2J", "a\r\n folded"])
@pytest.mark.parametrize("name", ["X-Any", "Host", "Authorization"])
def test_a_control_character_in_a_header_is_refused(name: str, value: str) -> None:
    head = f"GET /v1/models HTTP/1.1\r\n{name}: {value}\r\n"
    head += "" if name == "Host" else "Host: localhost\r\n"
    with served() as server:
        assert said(server, f"{head}\r\n".encode()).startswith(b"HTTP/1.1 400")


@pytest.mark.parametrize("value", ["a\tb", " \t", "\x80\xff", "~"])
def test_what_else_a_header_may_hold_is_taken(value: str) -> None:
    head = f"GET /v1/models HTTP/1.0\r\nHost: localhost\r\nX-Any: {value}\r\n\r\n"
    with served() as server:
        assert said(server, head.encode("latin-1")).startswith(b"HTTP/1.1 200")


def test_pages_of_the_web_are_refused_and_no_header_lets_them_in() -> None:
    with served() as server:
        for method in ("GET", "OPTIONS", "POST"):
            answer = server.ask(method, CHAT, b"{}", Origin="https://evil.example")
            assert (answer.status, answer.error["code"]) == (403, "origin_refused")
            assert not [name for name in answer.headers if name.lower().startswith("access-")]


@pytest.mark.parametrize("given", ["", "Bearer", "Bearer wrong", "Basic s3cret", "s3cret"])
def test_with_a_key_nothing_is_said_to_who_lacks_it(given: str) -> None:
    with served(key="s3cret") as server:
        for path in ("/v1/models", "/health", "/nothing"):
            answer = server.ask("GET", path, Authorization=given)
            assert (answer.status, answer.error["code"]) == (401, "invalid_api_key")
            assert answer.headers["WWW-Authenticate"] == "Bearer"


def test_with_the_key_any_name_may_lead_here() -> None:
    with served(key="s3crét") as server:
        data = (
            "GET /v1/models HTTP/1.1\r\nHost: box\r\nAuthorization: bearer s3crét\r\n\r\n".encode()
        )
        with server.raw() as connection:
            connection.sendall(data)
            assert connection.recv(65536).startswith(b"HTTP/1.1 200")


def test_a_private_socket_asks_for_neither_name_nor_key() -> None:
    with served(is_private=True, key="x") as server:
        assert server.ask("GET", "/v1/models", Host="whatever").status == 200


def test_a_connection_serves_one_request_after_the_other() -> None:
    with served() as server:
        connection = server.connect()
        for text in ("one", "two"):
            body = json.dumps({"messages": [{"role": "user", "content": text}]})
            connection.request("POST", CHAT, body)
            answer = json.loads(connection.getresponse().read())
            assert answer["choices"][0]["message"]["content"] == text
        connection.close()


def test_a_body_without_a_length_is_refused() -> None:
    with served() as server:
        head = f"POST {CHAT} HTTP/1.1\r\nHost: localhost\r\n".encode()
        assert said(server, head + b"\r\n").startswith(b"HTTP/1.1 411")
        chunked = b"Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n2\r\n{}\r\n0\r\n\r\n"
        assert said(server, head + chunked).startswith(b"HTTP/1.1 411")


@pytest.mark.parametrize(
    ("length", "why"),
    [
        *((each, b"is not a number") for each in ("x", "1e3", "-", "-x", "\xb2")),
        ("-1", b"is below 0"),
        ("2\r\nContent-Length: 3", b"two values"),
    ],
)
def test_a_length_that_is_none_is_refused(length: str, why: bytes) -> None:
    with served() as server:
        head = f"POST {CHAT} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n"
        answer = said(server, head.encode() + b"{}")
        assert answer.startswith(b"HTTP/1.1 400")
        assert why in answer


def test_a_body_that_is_too_large_is_refused_before_it_is_sent() -> None:
    with served() as server:
        for length in (BODY_BYTES + 1, 10**30):
            head = f"POST {CHAT} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n"
            assert said(server, f"{head}\r\n".encode()).startswith(b"HTTP/1.1 413")
            asked = f"{head}Expect: 100-continue\r\n\r\n".encode()
            assert said(server, asked).startswith(b"HTTP/1.1 413")


def test_who_sends_too_much_still_reads_why_it_was_refused() -> None:
    with served() as server:
        answer = server.ask("POST", CHAT, b"x" * (BODY_BYTES + 1))
        assert (answer.status, answer.error["type"]) == (413, "invalid_request_error")


@pytest.mark.parametrize(
    ("line", "key", "status"),
    [("POST /nowhere", "k", 404), ("POST /health", "k", 405), (f"POST {CHAT}", "wrong", 401)],
)
def test_a_body_that_will_not_be_read_is_not_asked_for(line: str, key: str, status: int) -> None:
    with served(key="k") as server:
        head = f"{line} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {key}\r\n"
        asked = f"{head}Content-Length: 2\r\nExpect: 100-continue\r\n\r\n".encode()
        assert said(server, asked).startswith(f"HTTP/1.1 {status}".encode())


def test_a_body_that_was_announced_is_asked_for() -> None:
    with served() as server, server.raw() as connection:
        body = b'{"prompt": "a b"}'
        head = f"POST /tokenize HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n"
        connection.sendall(f"{head}Expect: 100-continue\r\n\r\n".encode())
        assert connection.recv(65536) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(body)
        assert connection.recv(65536).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"1", b'{"a": \xff}', b"[" * 100_000, b'"' + b"x" * 100]
)
def test_a_body_that_is_no_json_object_is_refused(body: bytes) -> None:
    with served() as server:
        answer = server.ask("POST", CHAT, body)
        assert (answer.status, answer.error["type"]) == (400, "invalid_request_error")
        assert server.ask("POST", CHAT, b"{}").status == 400  # for another reason: it lives


def test_what_cannot_be_a_request_is_refused_in_json() -> None:
    with served() as server:
        for data in (b"nonsense\r\n\r\n", b"GET / HTTP/x\r\n\r\n", b"\x16\x03\x01\x02\x00\r\n\r\n"):
            answer = said(server, data)
            assert answer.startswith(b"HTTP/1.1 400")
            assert b"invalid_request_error" in answer
        assert said(server, b"GET / HTTP/2.0\r\n\r\n").startswith(b"HTTP/1.1 505")


def test_a_head_without_end_is_refused() -> None:
    with served() as server:
        line = b"x: " + b"y" * 1000 + b"\r\n"
        answer = said(server, b"GET /health HTTP/1.1\r\nHost: localhost\r\n" + line * 90)
        assert answer.startswith(b"HTTP/1.1 431")
        for end in (b"", b" HTTP/1.1\r\nHost: localhost\r\n\r\n"):
            answer = said(server, b"GET /" + b"x" * 70_000 + end)
            assert answer.startswith(b"HTTP/1.1 414")


def test_unknown_places_and_ways_are_told_apart() -> None:
    with served() as server:
        assert server.ask("GET", "/").status == 404
        answer = server.ask("GET", CHAT)
        assert (answer.status, answer.headers["Allow"]) == (405, "POST")


def test_a_body_that_nobody_read_is_no_request() -> None:
    inner = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with served() as server:
        head = f"GET /v1/models HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(inner)}\r\n\r\n"
        assert said(server, head.encode() + inner).count(b"HTTP/1.1") == 1


@pytest.mark.parametrize(
    "ends",
    [
        "Content-Length: 0\r\nContent-Length: {n}",
        "Content-Length: {n}\r\nContent-Length: {n}",
        "Transfer-Encoding:\r\nTransfer-Encoding: chunked",
        "Content-Length: 0\r\nTransfer-Encoding:",
    ],
)
@pytest.mark.parametrize("asked", ["GET /v1/models", "POST /tokenize", "GET /nothing"])
def test_nothing_is_read_behind_a_request_whose_end_is_doubtful(asked: str, ends: str) -> None:
    body, inner = b'{"prompt": "a"}', b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"
    head = f"{asked} HTTP/1.1\r\nHost: localhost\r\n{ends.format(n=len(body))}\r\n\r\n"
    with served() as server:
        for sent in (head.encode() + body + inner, head.encode() + inner):
            assert said(server, sent).count(b"HTTP/1.1 ") == 1


def test_a_client_that_says_its_request_slowly_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "HEAD_S", 0.3)
    with served() as server, server.raw() as connection:
        started = time.monotonic()
        for letter in b"GET /he":
            connection.sendall(bytes([letter]))
            time.sleep(0.03)
        assert connection.recv(65536).startswith(b"HTTP/1.1 408")
        assert time.monotonic() - started < PATIENCE_S / 2


def test_a_client_that_says_nothing_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "IDLE_S", 0.1)
    with served() as server, server.raw() as connection:
        assert connection.recv(65536) == b""
        assert server.lines == []


def test_an_old_client_has_one_answer_a_connection() -> None:
    head = b"GET /v1/models HTTP/1.0\r\nHost: localhost\r\nConnection: keep-alive\r\n\r\n"
    with served() as server:
        answer = said(server, head * 2)
        assert answer.count(b"HTTP/1.1 200") == answer.count(b"Connection: close") == 1


@pytest.mark.parametrize(
    ("packed", "status"), [("gzip", 415), ("br, identity", 415), ("Identity", 200)]
)
def test_a_body_that_is_packed_is_refused_by_name(packed: str, status: int) -> None:
    body = {"messages": [{"role": "user", "content": "a b"}]}
    with served() as server:
        answer = server.ask("POST", CHAT, body, Content_Encoding=packed)
        assert answer.status == status
        assert status == 200 or packed in answer.error["message"]
        assert soon(lambda: len(server.lines) == 1)
        assert packed not in server.lines[0]


def test_an_old_client_is_answered_in_its_way() -> None:
    body = b'{"messages": [{"role": "user", "content": "a b"}], "stream": true}'
    with served() as server:
        head = f"POST {CHAT} HTTP/1.0\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n"
        head, _, events = said(server, head.encode() + body).partition(b"\r\n\r\n")
        assert b"Transfer-Encoding" not in head
        assert events.endswith(b"data: [DONE]\n\n")


def test_the_log_names_each_request_and_how_it_ended() -> None:
    with served() as server:
        server.ask("GET", "/health?key=secret")
        server.ask("GET", "/nothing")
        assert soon(lambda: len(server.lines) == 2)
        assert server.lines[0].startswith("GET /health ")
        assert "404" in server.lines[1]
        assert "secret" not in "".join(server.lines)


@pytest.mark.parametrize(
    ("line", "logged"),
    [
        ("GET /my-secret/v1/models", "GET /…/v1/models 404"),
        ("GET /v1/models/my-secret", "GET /v1/models/… 404"),
        ("GET /v1/models/echo", "GET /v1/models/… 200"),
        ("GET /v1/v1/models", "GET /v1/v1/models 404"),
        ("GET /api/tags", "GET /api/tags 404"),
        ("GET /V1/Models", "GET /V1/Models 404"),
        ("GET /v1/models;my-secret", "GET /v1/… 404"),
        ("GET /my%2Dsecret", "GET /… 404"),
        ("GET secret", "GET … 404"),
        ("GET " + "/v1" * 9 + "/my-secret", "GET " + "/v1" * 7 + "/… 404"),
        ("my-secret /", "… / 404"),
        ("my-secret /health", "… /health 405"),
        ("PUT /health", "PUT /health 405"),
    ],
)
def test_the_log_shows_of_an_address_only_words_of_an_interface(line: str, logged: str) -> None:
    with served() as server:
        said(server, f"{line} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        assert soon(lambda: len(server.lines) == 1)
        assert server.lines[0].startswith(logged)
        assert "secret" not in server.lines[0]


def test_a_client_that_stops_reading_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipes, "WRITE_S", 0.3)
    with served(lambda report: EchoEngine(context_tokens=10**7)) as server:
        connection = server.raw()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        text = "word " * 200_000
        body = json.dumps({"messages": [{"role": "user", "content": text}], "stream": True})
        head = f"POST {CHAT} HTTP/1.1\r\nHost: localhost\r\nContent-Length:  {len(body)} \t\r\n\r\n"
        connection.sendall(head.encode() + body.encode())
        assert soon(lambda: server.holder.busy == 1)
        assert server.holder.status()["clients"] == 1
        assert soon(lambda: server.holder.busy == 0)
        assert soon(lambda: server.holder.status()["clients"] == 0)
        connection.close()


def test_host_names_are_found_in_what_a_host_header_may_hold() -> None:
    assert host_name("[::1]:8000") == "::1"
    assert host_name("LOCALHOST:1") == "localhost"
    for name in ("[", "[::1]x", "[::1]evil.example", "[::1%evil.example]", "x\\.localhost", "a@b"):
        assert host_name(name) == ""


@pytest.mark.parametrize("hidden", ["Content-Length: 60", "Host: evil.example", "X: y"])
def test_a_bare_cr_ends_no_line_of_a_head(hidden: str) -> None:
    with served() as server:
        head = f"GET /health HTTP/1.1\r\nHost: localhost\r\nX: a\r{hidden}\r\n\r\n"
        assert said(server, head.encode()).split(b" ")[1] == b"400"


@pytest.mark.parametrize("target", ["http://[/x", "//[", "http://[::1", "http://x:y/", "*", "%"])
def test_an_address_that_cannot_be_read_is_answered_and_logged(target: str) -> None:
    with served() as server:
        answer = said(server, f"GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        assert answer.split(b" ")[1] in (b"400", b"403", b"404")
        assert soon(lambda: len(server.lines) == 1)
        expecting = f"POST {target} HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\n\r\n"
        assert said(server, expecting.encode()).split(b" ")[1] in (b"400", b"403", b"404")
        assert server.ask("GET", "/health").status in (200, 503)


def test_a_mistake_of_ours_is_answered_too() -> None:
    def wrong(exchange: http.HttpExchange) -> None:
        raise LookupError("a defect")

    near, far = socket.socketpair()
    near.sendall(b"GET / HTTP/1.1\r\n\r\n")
    lines: list[str] = []
    site = http.Site({("GET", "/"): wrong}, is_private=True, log=lines.append)
    with near, far, pytest.raises(LookupError):
        http.HttpExchange(far, site)
    assert lines[0].startswith("GET / 500 ")


def test_an_empty_line_before_a_request_is_passed_over() -> None:
    with served() as server:
        end = b"Host: localhost\r\nConnection: close\r\n\r\n"
        answer = said(server, b"\r\n\r\nGET /v1/models HTTP/1.1\r\n" + end)
        assert answer.startswith(b"HTTP/1.1 200")


def test_https_is_refused_at_once_though_no_line_comes() -> None:
    with served() as server:
        assert said(server, b"\x16\x03\x01\x02\x00\x01" + b"a" * 200).startswith(b"HTTP/1.1 400")


def test_head_is_answered_as_get_is_without_a_body() -> None:
    with served() as server:
        answer, whole = server.ask("HEAD", "/v1/models"), server.ask("GET", "/v1/models")
        assert (answer.status, answer.data) == (200, b"")
        assert answer.headers["Content-Length"] == str(len(whole.data))
        assert server.ask("HEAD", CHAT).status == 405
        assert server.ask("POST", "/health", b"{}").headers["Allow"] == "GET, HEAD"


def test_who_expects_something_of_a_request_without_a_body_is_answered() -> None:
    with served() as server:
        assert server.ask("GET", "/v1/models", Expect="100-continue").status == 200


@pytest.mark.parametrize("stream", [False, True])
def test_who_has_said_all_and_still_reads_is_answered(stream: bool) -> None:
    fields = {"messages": [{"role": "user", "content": "one two"}], "stream": stream}
    body = json.dumps(fields).encode()
    head = f"POST {CHAT} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n"
    with served(lambda report: EchoEngine(delay_s=0.1)) as server, server.raw() as connection:
        connection.sendall(head.encode() + body)
        connection.shutdown(socket.SHUT_WR)
        with connection.makefile("rb") as reading:
            answer = reading.read()
        assert b"HTTP/1.1 200" in answer
        assert b"two" in answer
        assert answer.startswith(b"HTTP/1.1 102")


@pytest.mark.parametrize("version", ["HTTP/1.0", "HTTP/1.1"])
def test_who_has_said_all_and_leaves_later_stops_the_reply(version: str) -> None:
    engine = Endless()
    body = json.dumps({"messages": [{"role": "user", "content": "hi"}]}).encode()
    head = f"POST {CHAT} {version}\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n"
    with served(lambda report: engine) as server, server.raw() as connection:
        connection.sendall(head.encode() + body)
        assert engine.begun.wait(PATIENCE_S)
        connection.shutdown(socket.SHUT_WR)
        if version == "HTTP/1.1":
            assert connection.recv(1000).startswith(b"HTTP/1.1 102")
        connection.close()
        assert engine.stopped.wait(PATIENCE_S)


def test_half_of_a_character_is_refused_wherever_it_stands() -> None:
    with served() as server:
        for path, body in [
            ("/tokenize", rb'{"prompt": "\ud800"}'),
            (CHAT, rb'{"messages": [{"role": "user", "content": "a\uD800b"}]}'),
            (CHAT, rb'{"messages": [{"role": "user", "content": "x"}], "stop": "\udc00"}'),
        ]:
            answer = server.ask("POST", path, body)
            assert (answer.status, answer.error["code"]) == (400, "invalid_character")
        assert server.ask("POST", "/tokenize", rb'{"prompt": "\ud83d\ude00"}').status == 200


def test_the_log_holds_nothing_of_what_was_sent() -> None:
    user = {"role": "user", "content": "x"}
    with served() as server:
        for fields in (
            {"messages": [user], "temperature": "secret words"},
            {"messages": [user], "model": "secret words"},
            {"messages": [{"role": "secret words"}]},
            {"messages": [{"role": "user", "content": [{"type": "secret words"}]}]},
            {"messages": [user], "chat_template_kwargs": {"thinking": "secret words"}},
        ):
            assert server.ask("POST", CHAT, fields).status in (400, 404)
        for head in (b"secret words", b"GET / secret", b"secret /", b"GET / HTTP/7.secret"):
            assert said(server, head + b"\r\n\r\n").startswith(b"HTTP/1.1 400")
        assert said(server, b"GET / HTTP/2.0\r\n\r\n").startswith(b"HTTP/1.1 505")
        assert soon(lambda: len(server.lines) == 10)
        assert "secret" not in "".join(server.lines)
        assert any("temperature" in line for line in server.lines)
        unread = [line for line in server.lines if line.startswith("- ")]
        assert len(unread) == 5
        assert all(line.endswith("the request cannot be read") for line in unread)
