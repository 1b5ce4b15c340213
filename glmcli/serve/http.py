"""HTTP/1.1 over a socket that was accepted: requests in, answers out, nobody else let in.

The standard library reads the heads. Knows nothing of what is asked, nor of how a socket listens.
Whatever a client sends ends in an answer: what parsing raises is a 400.
"""

from __future__ import annotations

import hmac
import math
import re
import socket
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler
from io import BufferedWriter
from itertools import chain
from threading import Event
from typing import Any
from urllib.parse import unquote, urlsplit

from glmcli import __version__
from glmcli.config.proxies import host_name, is_loopback
from glmcli.errors import UsageError
from glmcli.files import decode_text, json_text, parse_json
from glmcli.serve.notes import asked_note
from glmcli.serve.pipes import (
    ClientLeft,
    HeadReader,
    Incoming,
    Outgoing,
    is_half_closed,
    is_reset,
)
from glmcli.serve.refusal import SERVER, Refusal, only_length, refuse_half_characters

BODY_BYTES = 64 << 20
LARGEST_HEAD = 64 << 10
IDLE_S, HEAD_S, BODY_S = 75.0, 20.0, 60.0
"""How long a connection may wait for its next request, and how long the parts of one may take."""
SLOWEST = 100_000
"""Bytes a second of a body, beyond `BODY_S`."""
_PROBE_S = 0.5
"""How often it is tried whether one who sends no more has left."""
_TLS = b"\x16\x03"
"""So TLS begins (RFC 8446, 5.1): there may be no line in what comes."""
STAR = "*"
_CONTROLS = re.compile(r"[^\t -~\x80-\xff]")

Route = Callable[["HttpExchange"], None]


@dataclass(frozen=True, slots=True)
class Site:
    """What answers at an address, and to whom."""

    routes: Mapping[tuple[str, str], Route]
    """(method, path) -> what answers; a path may end with `STAR` for whatever follows."""
    key: str = field(default="", repr=False)
    """What a client must send; "": nothing, and only names of this machine are answered."""
    guest_routes: Mapping[tuple[str, str], Route] = field(default_factory=dict)
    """More of them, which answer without a key, and by whatever name, but only to guests."""
    is_guest: Callable[[str], bool] = lambda address: False
    """Whether the number of an address is a guest's."""
    is_private: bool = False
    """On a socket that only its owner reaches: neither a key nor a name is asked for."""
    log: Callable[[str], None] = lambda line: None
    owed: Callable[[], AbstractContextManager[None]] = nullcontext
    """Entered as long as an answer to a body is owed: until it is sent, and in the log."""
    is_ending: Event = field(default_factory=Event)
    """Set when connections are closed after the answer that they wait for."""


class HttpExchange(BaseHTTPRequestHandler):
    """A connection, and in it one request after the other, each with its answer."""

    protocol_version, default_request_version = "HTTP/1.1", "HTTP/1.0"

    def __init__(self, connection: socket.socket, site: Site) -> None:
        """Answer all requests of the connection; returns when it is to be closed."""
        self.site = site
        self.note = ""
        """What the log says of the request beside its status."""
        self._status = 0
        self.is_logged = True
        """Whether the log gets a line of the request."""
        self._is_chunked = False
        self.place = ""
        """The path that was asked for, "" as long as it was not read."""
        self.path_left = ""
        """What stands in the path where that of the route has a `STAR`."""
        super().__init__(connection, ("", 0), None)  # type: ignore[arg-type]

    @property
    def has_begun(self) -> bool:
        """Whether the head of the answer was sent."""
        return bool(self._status)

    def setup(self) -> None:
        """Have the limits hold for whatever is read."""
        self.connection = self.request
        self._incoming = Incoming(self.connection)
        self.rfile: HeadReader = HeadReader(self._incoming)
        self.wfile: BufferedWriter = BufferedWriter(Outgoing(self.connection))

    def finish(self) -> None:
        """Nothing is left to send; the connection is its owner's."""

    def handle_one_request(self) -> None:
        """Read a request and answer it."""
        with ExitStack() as self._owed:
            self._handle_request()

    def _handle_request(self) -> None:
        self.close_connection, self._status, self.note, self.place = True, 0, "", ""
        self._started, self._has_read, self._probe_at = 0.0, False, 0.0
        self.is_logged = True
        self.command, self.path, self.headers = "", "", Message()
        self.request_version = self.default_request_version
        try:
            self._read_and_answer()
        except Refusal as exc:
            self.close_connection = self.close_connection or not self._has_read
            self._refuse(exc)
        except TimeoutError:
            self.close_connection = True
            if self._started and not self.has_begun:
                self._refuse(Refusal(408, "the request did not arrive in time"))
        except OSError:
            self.close_connection = True
            self.note = "the client left"
        except Exception:
            self.close_connection = True
            self._refuse(Refusal(500, "the server has made a mistake", kind=SERVER))
            raise
        finally:
            if self._started and self.is_logged:
                self._log()

    def _read_and_answer(self) -> None:
        self._expect(IDLE_S, LARGEST_HEAD)
        if not (begun := self.rfile.peek(1)):
            return
        self._started = time.monotonic()
        if begun.startswith(_TLS):
            raise Refusal(400, "https was spoken, and this is http")
        self._expect(HEAD_S, LARGEST_HEAD)
        self.raw_requestline = self._first_line()
        try:
            if not self.parse_request():
                return
            self.place = urlsplit(self.path).path
        except ValueError as exc:
            raise Refusal(400, "the request cannot be read") from exc
        self._incoming.bytes_left = math.inf
        is_last = self.site.is_ending.is_set() or self.request_version < "HTTP/1.1"
        if is_last or self._has_doubtful_end():
            self.close_connection = True
        check_allowed(self)
        self._route()(self)
        if self.headers.get("Content-Length", "0") != "0" and not self._has_read:
            self.close_connection = True  # the body would look like the next request

    def _has_doubtful_end(self) -> bool:
        """Whether another program may see the request end elsewhere (RFC 9112, 6.3 and 11.2)."""
        sizes = [each.strip(" \t") for each in self.headers.get_all("Content-Length", [])]
        return len(sizes) > 1 or "Transfer-Encoding" in self.headers

    def _first_line(self) -> bytes:
        """The line of the request, past an empty one (RFC 9112, 2.2). Raises Refusal."""
        line = b"\r\n"
        try:
            while line in (b"\r\n", b"\n"):
                line = self.rfile.readline(LARGEST_HEAD)
        except Refusal as exc:
            if exc.status != 431:
                raise
            is_long = True
        else:
            is_long = len(line) >= LARGEST_HEAD
        if is_long:
            raise Refusal(414, "the address of the request is too long")
        return line

    def _expect(self, within_s: float, most: float) -> None:
        self._incoming.until = time.monotonic() + within_s
        self._incoming.bytes_left = most

    def _route(self) -> Route:
        path, asked = self.place, "GET" if self.command == "HEAD" else self.command
        routes = {**self.site.routes, **self.site.guest_routes}
        for (method, pattern), route in routes.items():
            is_open = pattern.endswith(STAR) and path.startswith(pattern[:-1])
            if method == asked and (path == pattern or is_open):
                self.path_left = unquote(path[len(pattern) - 1 :]) if is_open else ""
                return route
        methods = [method for method, known in routes if known == path]
        methods += ["HEAD"] if "GET" in methods else []
        if methods:
            line = f"{path} takes {' and '.join(methods)}"
            raise Refusal(405, line, headers={"Allow": ", ".join(methods)})
        line = "there is nothing at"
        raise Refusal(404, f"{line} {path[:200]}", code="not_found", note=f"{line} this address")

    def handle_expect_100(self) -> bool:
        """Let a client send its body only if that will be read."""
        self.place = urlsplit(self.path).path
        check_allowed(self)
        self._route()
        if self.command in ("GET", "HEAD"):
            return True  # there is none to wait for
        self.body_bytes()
        self.send_response_only(100)
        self.end_headers()
        self._send(b"")
        return True

    def body_bytes(self) -> int:
        """The size of the body. Raises Refusal if it is not said, too large, or of packed bytes."""
        packed = ", ".join(self.headers.get_all("Content-Encoding", [])).lower()
        if packed not in ("", "identity"):
            line = "the body is packed"
            raise Refusal(415, f"{line} by {packed[:40]}: send it as it is", note=line)
        sizes = [each.strip(" \t") for each in self.headers.get_all("Content-Length", [])]
        if "Transfer-Encoding" in self.headers or not sizes:
            raise Refusal(411, "send the body with a Content-Length")
        digits = only_length(sizes)
        size = int(digits) if len(digits) < 20 else BODY_BYTES + 1
        if size > BODY_BYTES:
            raise Refusal(413, f"the body is larger than {BODY_BYTES >> 20} MB")
        return size

    def body(self) -> dict[str, Any]:
        """The JSON object that was sent. Raises Refusal if there is none."""
        size = self.body_bytes()
        self._expect(BODY_S + size / SLOWEST, math.inf)
        raw = self.rfile.read(size)
        if len(raw) < size:
            raise ClientLeft
        self._has_read = True
        self._owed.enter_context(self.site.owed())
        try:
            data = parse_json(decode_text(raw, "the body"), "the body")
        except UsageError as exc:
            raise Refusal(400, exc.message) from exc
        if not isinstance(data, dict):
            raise Refusal(400, "the body is not a JSON object")
        refuse_half_characters(raw, data)
        return data

    def is_gone(self) -> bool:
        """Whether the client has left. One that only sends no more (`nc -N`) is answered.

        The two look alike until something is sent: who has left answers that with a reset. Before
        the answer that is an interim one, which clients pass over (RFC 9110, 15.2), again and again
        since they may leave later; HTTP/1.0 has none, and who sends no more there has left.
        """
        if is_reset(self.connection):
            return True
        now = time.monotonic()
        if self.has_begun or now < self._probe_at or not self.has_said_all():
            return False
        self._probe_at = now + _PROBE_S
        if self.request_version == "HTTP/1.0":
            return True
        self.send_response_only(102)
        self.end_headers()
        self._send(b"")
        return is_reset(self.connection)

    def has_said_all(self) -> bool:
        """Whether the client sends no more: it may have left."""
        return is_half_closed(self.connection)

    def answer(
        self, value: Any, status: int = 200, headers: Mapping[str, str] | None = None
    ) -> None:
        """Answer with JSON."""
        data = json_text(value).encode("utf-8", "replace")
        fields = {"Content-Type": "application/json", "Content-Length": f"{len(data)}"}
        self._begin(status, fields | dict(headers or {}))
        self._send(data if self.command != "HEAD" else b"")

    def begin(self, kind: str) -> None:
        """Begin an answer of which the pieces come one by one."""
        self._is_chunked = self.request_version != "HTTP/1.0"
        headers = {"Content-Type": kind, "Cache-Control": "no-cache"}
        if self._is_chunked:
            headers["Transfer-Encoding"] = "chunked"
        self._begin(200, headers)

    def piece(self, data: bytes) -> None:
        """Send a piece; an empty one is none."""
        if data:
            self._send(b"%x\r\n%s\r\n" % (len(data), data) if self._is_chunked else data)

    def end(self) -> None:
        """End an answer that came in pieces."""
        if self._is_chunked:
            self._send(b"0\r\n\r\n")

    def _begin(self, status: int, headers: Mapping[str, str]) -> None:
        self._status = status
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()

    def _send(self, data: bytes) -> None:
        self.wfile.write(data)
        self.wfile.flush()

    def _refuse(self, refusal: Refusal) -> None:
        """Tell the client, if it can still be told."""
        if self.has_begun:
            self.close_connection = True
            return
        self.note = refusal.note
        try:
            self.answer(refusal.as_json(), refusal.status, refusal.headers)
            if self.close_connection:
                self._let_read()
        except OSError:
            self.close_connection = True

    def _let_read(self) -> None:
        """Have the client read the answer though it is still sending: a reset would take it."""
        self.connection.shutdown(socket.SHUT_WR)
        self._expect(2.0, math.inf)
        thrown, waste = 0, bytearray(65536)
        while thrown < BODY_BYTES and (got := self._incoming.readinto(waste)):
            thrown += got

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """What the standard library has against a request, as any other refusal."""
        self.close_connection = True
        line = "the request cannot be read"
        raise Refusal(int(code), message or line, note=line)

    def version_string(self) -> str:
        """What it calls itself."""
        return f"glm/{__version__}"

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Nothing: see `_log`."""

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: see `_log`."""

    def _log(self) -> None:
        took = time.monotonic() - self._started
        asked = asked_note(self.command, self.place, {**self.site.routes, **self.site.guest_routes})
        note = f" · {self.note}" if self.note else ""
        self.site.log(f"{asked} {self._status or '-'} {took:.2f} s{note}")


def check_allowed(exchange: HttpExchange) -> None:
    """Raise Refusal for whoever is not to be answered: web pages, other names, no key.

    A page that the user looks at can send requests to this machine, and by a name of its own that
    leads here (DNS rebinding) read the answers; it cannot leave out Origin where it posts, nor
    Host.
    """
    site, headers = exchange.site, exchange.headers
    if headers.defects or headers.get_payload() or headers.get_unixfrom():
        raise Refusal(400, "a line of the head is no header")  # those behind it were not read
    if any(map(_CONTROLS.search, [exchange.path, *chain(*headers.items())])):
        raise Refusal(400, "a control character is in the head")
    if headers.get("Origin") is not None:
        raise Refusal(403, "requests of web pages are not answered", code="origin_refused")
    if site.is_private:
        return
    if (exchange.command, exchange.place) in site.guest_routes:
        address = str(exchange.connection.getpeername()[0])
        if not site.is_guest(address):
            raise Refusal(
                403, f"{address} is not answered: start the worker with --allow {address}"
            )
        return
    if site.key:
        given = headers.get("Authorization", "").encode("latin-1", "replace")
        scheme, _, key = given.partition(b" ")
        is_right = hmac.compare_digest(key.strip(), site.key.encode())
        if scheme.lower() != b"bearer" or not is_right:
            raise Refusal(
                401,
                "the key is missing or wrong: send Authorization: Bearer KEY",
                code="invalid_api_key",
                headers={"WWW-Authenticate": "Bearer"},
            )
        return
    hosts = headers.get_all("Host", [])
    named = list(filter(None, [urlsplit(exchange.path).netloc]))  # of a whole URL
    if len(hosts) != 1 or not all(is_loopback(host_name(each)) for each in hosts + named):
        raise Refusal(403, "only names of this machine are answered", code="host_refused")
