"""What is sent over HTTP comes whole, or ends as an error that says what to do."""

from __future__ import annotations

import gzip
import json
import re
import socket
import ssl
import threading
import time
from contextlib import closing
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import httpx
import pytest

from glmcli.engines.remote.faults import Cancelled, Refused, Unreachable
from glmcli.engines.remote.http import POLL_S, Server
from glmcli.errors import ConnectionLost, EngineError
from tests.support.loopback import CERTIFICATE, OK, Connection, Loopback, closed_port
from tests.support.reading import NEVER, answering, fault_of, frozen, frozen_after_headers, read
from tests.support.transcripts import FakeServer


def test_an_answer_comes_whole_and_the_connection_is_used_again():
    def script(connection: Connection) -> None:
        connection.send(OK)
        for word in (b"one ", b"two ", b"three"):
            connection.chunk(word)
        connection.chunk(b"")

    with Loopback(script) as loopback, closing(Server(loopback.url)) as server:
        assert read(server) == read(server) == b"one two three"
        assert len(loopback.connections) == 1
        assert json.loads(loopback.connections[0].requests[0].partition(b"\r\n\r\n")[2]) == {"a": 1}


def test_a_packed_answer_is_unpacked_and_a_torn_one_is_an_error():
    packed = gzip.compress(b"data: \xf0\x9f") + gzip.compress(b"\x99\x82\n\n") + bytes(3)

    def script(connection: Connection) -> None:
        assert b"accept-encoding: identity" in connection.requests[-1].lower()
        connection.send(OK.replace(b"\r\n\r\n", b"\r\nContent-Encoding: gzip\r\n\r\n"))
        for at in range(0, len(packed), 5):
            connection.chunk(packed[at : at + 5])
        connection.chunk(b"")

    with Loopback(script) as loopback, closing(Server(loopback.url)) as server:
        assert read(server) == "data: 🙂\n\n".encode()
        packed = b"\x1f\x8b" + packed[4:]
        with pytest.raises(ConnectionLost):
            read(server)


@pytest.mark.parametrize("script", [frozen, frozen_after_headers])
def test_a_cancelled_request_ends_at_once_and_the_server_learns_of_it(script):
    cancel = threading.Event()
    with Loopback(script) as loopback, closing(Server(loopback.url)) as server:
        exchange = server.send("POST", "/x")
        assert loopback.asked.wait(5)
        cancel.set()
        started = time.monotonic()
        with closing(exchange), pytest.raises(Cancelled):
            list(exchange.pieces(cancel))
        assert time.monotonic() - started < POLL_S + 0.25
        assert loopback.connections[0].gone.wait(1)


def test_the_next_request_after_a_cancelled_one_is_as_good_as_the_first():
    scripts = [frozen_after_headers, answering(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")]
    cancel = threading.Event()
    with (
        Loopback(lambda connection: scripts.pop(0)(connection)) as loopback,
        closing(Server(loopback.url)) as server,
    ):
        exchange = server.send("POST", "/x")
        assert loopback.asked.wait(5)
        cancel.set()
        with closing(exchange), pytest.raises(Cancelled):
            list(exchange.pieces(cancel))
        assert read(server) == b"ok"


def test_a_request_cancelled_before_it_could_be_sent_is_never_sent():
    connecting, go_on, done = threading.Event(), threading.Event(), threading.Event()

    class Slow(httpx.HTTPTransport):
        def handle_request(self, request: httpx.Request) -> httpx.Response:
            connecting.set()
            assert go_on.wait(10)
            try:
                return super().handle_request(request)
            finally:
                done.set()

    cancel = threading.Event()
    with Loopback(frozen) as loopback, closing(Server(loopback.url, transport=Slow())) as server:
        exchange = server.send("POST", "/x")
        assert connecting.wait(5)
        cancel.set()
        with closing(exchange), pytest.raises(Cancelled):
            list(exchange.pieces(cancel))
        go_on.set()
        assert done.wait(5)
        assert all(not connection.requests for connection in loopback.connections)


def test_closing_an_exchange_early_cuts_it_off():
    with Loopback(frozen_after_headers) as loopback, closing(Server(loopback.url)) as server:
        exchange = server.send("POST", "/x")
        assert next(exchange.pieces(NEVER)) == b"data: 1\n\n"
        exchange.close()
        assert loopback.connections[0].gone.wait(1)


@pytest.mark.parametrize("script", [frozen, frozen_after_headers])
def test_a_server_that_says_nothing_is_given_up(script):
    with Loopback(script) as loopback:
        fault = fault_of(loopback.url, silence_s=0.3)
        assert isinstance(fault, ConnectionLost)
        assert "sent nothing" in fault.message
        assert loopback.connections[0].gone.wait(1)


def test_a_server_that_lets_us_wait_within_its_time_is_waited_for():
    def script(connection: Connection) -> None:
        threading.Event().wait(0.5)
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    with Loopback(script) as loopback, closing(Server(loopback.url, silence_s=5)) as server:
        assert read(server) == b"ok"


def keep_alive(connection: Connection, times: int = 1000) -> None:
    connection.send(OK)
    for _ in range(times):
        connection.chunk(b": keep-alive\n\n")
        if connection.gone.wait(0.1):
            return
    connection.chunk(b"")


def test_signs_of_life_keep_a_reply_alive():
    def script(connection: Connection) -> None:
        keep_alive(connection, 15)

    with Loopback(script) as loopback, closing(Server(loopback.url, silence_s=1)) as server:
        assert read(server) == b": keep-alive\n\n" * 15


def test_signs_of_life_stand_for_text_for_a_time_only():
    with Loopback(keep_alive) as loopback, closing(Server(loopback.url)) as server:
        exchange = server.send("POST", "/x")
        exchange.expect(0.6)
        with closing(exchange), pytest.raises(ConnectionLost, match="no text for 1 s"):
            list(exchange.pieces(NEVER))
        assert time.monotonic() - exchange.started < 3
        assert loopback.connections[0].gone.wait(5)


def test_a_body_of_unknown_length_that_is_cut_off_here_is_no_end():
    def script(connection: Connection) -> None:
        connection.send(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello")
        connection.freeze()

    with Loopback(script) as loopback:
        assert "sent nothing" in fault_of(loopback.url, silence_s=0.3).message


def test_whoever_reads_slowly_does_not_take_the_server_for_silent():
    def script(connection: Connection) -> None:
        connection.send(OK)
        connection.chunk(b"one")
        connection.gone.wait(0.2)
        connection.chunk(b"two")
        connection.chunk(b"")

    with Loopback(script) as loopback, closing(Server(loopback.url, silence_s=0.5)) as server:
        exchange = server.send("POST", "/x")
        exchange.expect(0.5)
        with closing(exchange):
            time.sleep(0.8)  # as when a pager or a suspended program reads
            found = []
            for piece in exchange.pieces(NEVER):
                found.append(piece)
                time.sleep(0.8)
        assert found == [b"one", b"two"]


def test_signs_of_life_are_no_answer_to_a_question():
    def script(connection: Connection) -> None:
        connection.send(OK)
        while not connection.gone.wait(0.1):
            connection.chunk(b"\n")

    with Loopback(script) as loopback, closing(Server(loopback.url)) as server:
        started = time.monotonic()
        with pytest.raises(ConnectionLost, match="sent nothing for 1 s"):
            server.ask("GET", "/x", limit_s=1)
        assert time.monotonic() - started < 4
        assert loopback.connections[0].gone.wait(5)


def test_a_connection_that_breaks_is_no_end():
    def script(connection: Connection) -> None:
        connection.send(OK)
        connection.chunk(b"one")
        raise OSError

    with Loopback(script) as loopback:
        assert isinstance(fault_of(loopback.url), ConnectionLost)


def test_a_server_that_hangs_up_without_a_word_is_an_error():
    def script(connection: Connection) -> None:
        raise OSError

    with Loopback(script) as loopback:
        assert isinstance(fault_of(loopback.url), ConnectionLost)


def test_what_is_no_http_is_an_error():
    with Loopback(answering(b"SSH-2.0-OpenSSH_9.6\r\n\r\n")) as loopback:
        assert isinstance(fault_of(loopback.url), ConnectionLost)


def test_nothing_listens():
    fault = fault_of(f"http://127.0.0.1:{closed_port()}")
    assert isinstance(fault, Unreachable)
    assert "nothing listens at 127.0.0.1:" in fault.message
    assert "start the server" in fault.hint and "/model smollm2" in fault.in_chat


def test_a_server_without_tls_is_told_from_one_that_is_down():
    with Loopback(answering(b"HTTP/1.1 400 Bad Request\r\n\r\n")) as loopback:
        fault = fault_of(loopback.url.replace("http:", "https:"))
    assert isinstance(fault, Unreachable)
    assert "http://" in fault.hint


def test_an_unknown_host_is_named():
    def unknown(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("no") from socket.gaierror(-2, "Name or service not known")

    fault = fault_of("http://nowhere.test", transport=httpx.MockTransport(unknown))
    assert "nowhere.test is not a known host" in fault.message
    assert "--base-url" in fault.hint and fault.in_chat == "check the address and the network"


def test_a_certificate_that_is_not_trusted_is_named():
    def untrusted(request: httpx.Request) -> httpx.Response:
        cause = ssl.SSLCertVerificationError(1, "certificate verify failed")
        cause.verify_message = "self-signed certificate"
        raise httpx.ConnectError("no") from cause

    fault = fault_of("https://server.test", transport=httpx.MockTransport(untrusted))
    assert "certificate of server.test is not trusted: self-signed" in fault.message


def test_the_certificate_of_an_authority_of_your_own_can_be_named(monkeypatch):
    ok = answering(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    with Loopback(ok, tls=True) as loopback:
        fault = fault_of(loopback.url)
        assert "is not trusted: self" in fault.message
        assert "SSL_CERT_FILE" in fault.hint
        monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATE))
        with closing(Server(loopback.url)) as server:
            assert read(server) == b"ok"


def test_a_bug_stays_a_bug():
    def broken(request: httpx.Request) -> httpx.Response:
        raise ZeroDivisionError

    server = Server("http://server.test", transport=httpx.MockTransport(broken))
    with pytest.raises(ZeroDivisionError):
        read(server)


@pytest.mark.parametrize(
    ("status", "body", "shown"),
    [
        (400, '{"error":{"message":"too hot","code":400}}', "too hot"),
        (400, '{"error":"too hot"}', "too hot"),
        (400, '{"object":"error","message":"too hot","code":40302}', "too hot"),
        (404, '{"detail":"Not Found"}', "Not Found"),
        (422, '{"detail":[{"type":"x","msg":"too hot"}]}', "too hot"),
        (401, '{"detail":{"error":{"message":"","code":"invalid_api_key"}}}', "invalid_api_key"),
        (400, '{"error":{"message":"No","metadata":{"raw":"too\\nhot"}}}', "No: too hot"),
        (500, "Internal Server Error", "Internal Server Error"),
        (503, "", "refused (503)"),
        (500, "a\nb\u001b[31m\u202ec\u0000d", "a b\x1b[31m\u202ec\x00d"),
    ],
)
def test_a_refusal_shows_the_useful_part_in_one_line(status, body, shown):
    response = httpx.Response(status, content=body.encode())
    fault = fault_of("http://server.test", transport=FakeServer(x=response))
    assert isinstance(fault, Refused)
    assert fault.status == status
    assert fault.message.endswith(shown)


def test_a_long_refusal_is_cut():
    response = httpx.Response(500, content=b"x" * 200_000)
    assert len(fault_of("http://server.test", transport=FakeServer(x=response)).message) < 600


@pytest.mark.parametrize(
    ("status", "headers", "hint"),
    [
        (401, {}, "GLM_API_KEY"),
        (403, {}, "GLM_API_KEY"),
        (404, {}, "/v1"),
        (429, {"Retry-After": "7"}, "in 7 s"),
        (429, {"Retry-After": "\x1b[31m"}, "in a moment"),
        (503, {}, "loading"),
        (429, {"Retry-After": "Fri, 31 Dec 1999 23:59:59 GMT"}, "in a moment"),
        (429, {"Retry-After": "Wed, 21 Oct 2222 07:28:00 GMT"}, "in a moment"),
        (500, {}, "ask again"),
        (302, {"Location": "https://elsewhere.test/"}, "--base-url"),
    ],
)
def test_a_refusal_says_what_to_do(status, headers, hint):
    response = httpx.Response(status, headers=headers, content=b"no")
    assert hint in fault_of("http://server.test", transport=FakeServer(x=response)).advice()


@pytest.mark.parametrize("status", [200, 201, 202, 203, 206])
def test_every_success_with_a_body_is_an_answer(status):
    answers = FakeServer(x=httpx.Response(status, json={"a": 1}))
    with closing(Server("http://server.test", transport=answers)) as server:
        assert server.ask("GET", "/x") == {"a": 1}


def test_a_success_without_a_body_is_none():
    fault = fault_of("http://server.test", transport=FakeServer(x=httpx.Response(204)))
    assert isinstance(fault, Refused)


def test_a_date_says_in_how_many_seconds_to_ask_again():
    at = format_datetime(datetime.now(UTC) + timedelta(seconds=90), usegmt=True)
    response = httpx.Response(429, headers={"Retry-After": at}, content=b"no")
    fault = fault_of("http://server.test", transport=FakeServer(x=response))
    seconds = re.search(r"in (\d+) s", fault.advice())
    assert seconds is not None and 80 <= int(seconds[1]) <= 90


FILTERED = "The response was filtered due to the prompt triggering a content management policy."
PER_MINUTE = "Request too large on tokens per minute (TPM): Limit 6000, Requested 7211"


@pytest.mark.parametrize(
    ("status", "error", "hint"),
    [
        (400, {"message": FILTERED}, "ask in other words"),
        (400, {"message": "no", "code": "content_filter"}, "ask in other words"),
        (400, {"message": "no", "innererror": {"code": "ResponsibleAIPolicyViolation"}}, "other w"),
        (400, {"message": "no", "type": "content_policy_violation"}, "ask in other words"),
        (413, {"message": PER_MINUTE}, "more at once than you may"),
        (400, {"message": "no", "code": "rate_limit_exceeded"}, "more at once than you may"),
        (402, {"message": "no more credits"}, "account"),
        (529, {"message": "Overloaded"}, "busy"),
        (429, {"message": "no", "code": "insufficient_quota"}, "asking again does not help"),
        (429, {"message": "您的账户已欠费", "code": "1113"}, "asking again does not help"),
        (429, {"message": "no", "code": "1302"}, "in a moment"),
        (400, {"message": "no"}, "sampling"),
    ],
)
def test_the_hint_fits_the_reason(status, error, hint):
    response = httpx.Response(status, json={"error": error})
    assert hint in fault_of("http://server.test", transport=FakeServer(x=response)).advice()


def test_a_web_page_is_no_answer():
    page = httpx.Response(200, headers={"Content-Type": "text/html"}, content=b"<html>Hello")
    fault = fault_of("http://server.test", transport=FakeServer(x=page))
    assert "web page" in fault.message
    assert "<html>" not in fault.message


def test_a_question_gets_json_or_an_error():
    answers = FakeServer(
        good=httpx.Response(200, json={"a": 1}),
        empty=httpx.Response(200, text="null"),
        bad=httpx.Response(200, text="?"),
    )
    with closing(Server("http://server.test", transport=answers)) as server:
        assert server.ask("GET", "/good") == {"a": 1}
        assert server.ask("GET", "/empty") == {}
        with pytest.raises(EngineError, match="unreadable message: \\?"):
            server.ask("GET", "/bad")
