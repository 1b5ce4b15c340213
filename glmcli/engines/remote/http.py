"""One server over HTTP: its connections, its answers, and how long it may be silent.

Whoever wants an answer reads it; a second thread watches the user and the clock meanwhile, and cuts
the connection off to wake the reader. Knows nothing of models, prompts or what an answer means.
"""

from __future__ import annotations

import json
import math
import socket
import threading
import time
import zlib
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from typing import Any, NoReturn

import httpx

from glmcli.config.proxies import is_loopback, proxy_for
from glmcli.config.servers import ServerOptions
from glmcli.config.values import READ_SECRETS, query_secrets
from glmcli.engines.remote.address import check_key, errors_name, key_for, parse_address, query_of
from glmcli.engines.remote.client import Connections, make_client
from glmcli.engines.remote.faults import Cancelled, Faults, Refused
from glmcli.errors import ConnectionLost, EngineError
from glmcli.language import tr

ANSWER_S = 10.0
"""How long a server may take to answer a question that needs no model."""
COUNT_S = 2.0
"""How long it may take to count a prompt where the reply does not depend on that."""
POLL_S = 0.05
"""How soon a cancelled request is noticed."""
ALIVE = 4
"""How many times longer a server may get nowhere as long as it sends signs of life."""
_GRACE_S = 0.05
"""How long to wait for the end of an answer, so that its connection can be used again."""
ERROR_BYTES = 65_536
ERROR_S = 3.0
"""How long the body of an error may take; what came until then says enough."""
_ANSWER_BYTES = 4_000_000
"""An answer to a question that needs no model; one about a prompt may be larger, as that is."""
_ANSWER_PIECES = 50_000
"""Each costs, however small it is; a network's packets of the largest answer are some thousand."""
PIECE_BYTES = 65_536


class Patience:
    """The time that `--timeout` gives a server to begin a reply, questions before it included."""

    def __init__(self, seconds: float) -> None:
        self.whole_s = self.left_s = seconds

    def spend(self, seconds: float) -> None:
        """Have so much less for the rest."""
        self.left_s = max(0.0, self.left_s - seconds)

    def renew(self) -> None:
        """Have all of it again, for the next reply."""
        self.left_s = self.whole_s


class Server:
    """One server. For one request at a time.

    Raises ConfigError for an address, a key or a proxy that cannot be one. `key_hint` says what to
    do if the server wants a key, or another one; `notice` is for the user before the first reply;
    `secrets` are the keys of other servers, which are masked too. `allowed` decides about the
    number of a host once its name is looked up.
    """

    def __init__(
        self,
        url: str,
        *,
        key: str = "",
        key_hint: str = "",
        notice: str = "",
        secrets: Collection[str] = (),
        silence_s: float = 120.0,
        patience: Patience | None = None,
        allowed: Callable[[str], bool] | None = None,
        transport: httpx.BaseTransport | None = None,
        address_from: str = "",
    ) -> None:
        address = parse_address(url)
        check_key(key)
        self.url = str(address).rstrip("/")
        self._query = query_of(url)
        self.silence_s = silence_s
        """How long the server may be silent before a reply begins; half of it after that."""
        self.patience = patience or Patience(silence_s)
        self._allowed = allowed
        self._notice = notice
        host = address.netloc.decode("ascii")
        is_near = is_loopback(address.host) or transport is not None
        proxy = None if is_near else proxy_for(self.url)
        keys = (key, *secrets, *query_secrets(self._query), proxy.password if proxy else "")
        READ_SECRETS.update(filter(None, keys))
        self.faults = Faults(
            host, keys=keys, key_hint=key_hint, proxy=proxy, address_from=address_from
        )
        self.asked: dict[str, str] = {}
        """The questions that needed no model, in their order, as they are shown: "/props (404)"."""
        self.connections = Connections()
        headers = {"Accept-Encoding": "identity", "Content-Type": "application/json"}
        if key:
            headers["Authorization"] = f"Bearer {key}"
        self._client = make_client(
            address, headers, silence_s=silence_s + ANSWER_S, proxy=proxy, transport=transport
        )

    def send(self, method: str, path: str, body: object = None, *, whole: bool = False) -> Exchange:
        """Send a request to `path`, which begins with a slash.

        Of a `whole` answer only the end counts: what comes before it is not a sign of life.
        """
        content = None if body is None else json.dumps(body).encode("ascii")
        url = self.url + path + self._query
        request = self._client.build_request(method, url, content=content)
        return Exchange(self, request, whole=whole)

    def ask(
        self,
        method: str,
        path: str,
        body: object = None,
        cancel: threading.Event | None = None,
        *,
        limit_s: float = ANSWER_S,
        spend: bool = True,
    ) -> dict[str, Any]:
        """The JSON object that answers a question which needs no model; null is an empty one.

        What it takes is spent of the patience for the next reply, unless that does not wait for it.

        Raises Cancelled, EngineError.
        """
        exchange = self.send(method, path, body, whole=True)
        exchange.limit_s = min(limit_s, exchange.limit_s)
        most = _ANSWER_BYTES + 8 * exchange.sent_bytes
        data = bytearray()
        try:
            for n, piece in enumerate(exchange.pieces(cancel or threading.Event()), 1):
                data += piece
                if len(data) > most:
                    raise self.faults.too_much(f"{most / 1e6:.0f} MB")
                if n > _ANSWER_PIECES:
                    raise self.faults.too_much(tr("{n:,} pieces", n=_ANSWER_PIECES))
            self.asked[path] = path
        except Refused as exc:
            self.asked[path] = f"{path} ({exc.status})"
            raise
        finally:
            exchange.close()
            if spend:
                self.patience.spend(time.monotonic() - exchange.started)
        return self.faults.answer(bytes(data))

    def take_notice(self) -> str:
        """What the user must hear before the next reply, if anything; said once."""
        notice, self._notice = self._notice, ""
        return notice

    def fetch(self, request: httpx.Request) -> httpx.Response:
        """The answer to a request, its body not read yet. Raises httpx.TransportError."""
        return self._client.send(request, stream=True)

    def connected(self, connection: socket.socket) -> None:
        """Remember an open connection. Raises EngineError for one to a host that is not allowed."""
        if self._allowed is not None:
            host = str(connection.getpeername()[0])
            if not self._allowed(host):
                connection.close()
                raise self.faults.wrong_worker(host)
        self.connections.add(connection)

    def close(self) -> None:
        """Close all connections."""
        self._client.close()


class Exchange:
    """One request and its answer.

    1. A thread of its own sends the request, since nothing interrupts that: a name is looked up, a
       connection opened. Whoever wants the answer waits, and looks at the user and the clock.
    2. The answer begins. Now its body is read where it is wanted, and the thread looks at the user
       and the clock: it cuts the connection off to wake the reader, and says why.
    3. At the end the connection is kept if the answer is complete, or is in a moment.
    """

    def __init__(self, server: Server, request: httpx.Request, *, whole: bool) -> None:
        self.server = server
        self.limit_s = server.patience.left_s
        """How long the server may be silent from now on."""
        self.started = self._heard = time.monotonic()
        self._away_since: float | None = self.started
        """Since when nobody waits for the server, which therefore cannot be late."""
        self.sent_bytes = len(request.content)
        self._whole = whole
        self._within_s = self._until = math.inf
        self._cancel = threading.Event()
        self._begun, self._over = threading.Event(), threading.Event()
        self._head: httpx.Response | Exception = Cancelled()
        self._body: Iterator[bytes] = iter(())
        self._is_complete = False
        self._why: Exception | None = None
        """Why the thread cut the connection off, if it did."""
        self._connections = server.connections.copy()
        """Those that it may use: what is cut off with it, and never what a later one opens."""
        request.extensions["trace"] = self._trace
        threading.Thread(target=self._attend, args=(request,), name="http", daemon=True).start()

    def expect(self, seconds: float) -> None:
        """Give the server so many seconds from now to get on, whatever it sends until then."""
        now = time.monotonic()
        self._within_s, self._until = seconds, now + seconds
        if self._away_since is not None:
            self._away_since = now

    def pieces(self, cancel: threading.Event) -> Iterator[bytes]:
        """The body as it arrives. Raises Cancelled, Unreachable, ConnectionLost, Refused."""
        self._cancel = cancel
        self._come_back()
        head = self._wait()
        self._body = self._read(head)
        if not is_success(head):
            raise self._refused(head)
        for piece in self._body:  # noqa: UP028 (whoever reads no further must not close it)
            yield piece

    # 1. Sent by one thread, waited for by the other

    def _attend(self, request: httpx.Request) -> None:
        """Send the request; once the answer begins, cut it off when its time is over."""
        try:
            self._head = self.server.fetch(request)
        except Exception as exc:  # whatever it is, the thread that waits must hear of it
            self._head = exc
            self._connections.cut_off(close=True)  # a proxy that failed was left connected
        self._begun.set()
        while not self._over.wait(POLL_S):
            if (why := self._why_end()) is not None:
                self._why = why
                self._connections.cut_off()
                self._over.wait()
        if isinstance(self._head, httpx.Response):
            self._head.close()

    def _trace(self, event: str, info: dict[str, Any]) -> None:
        """Called by the transport, on the thread that sends, at every step of a connection."""
        if event.endswith(("connect_tcp.complete", "socket.complete", "start_tls.complete")):
            connection = info["return_value"].get_extra_info("socket")
            if connection is not None:
                self._connections.add(connection)
                self.server.connected(connection)
        elif event.endswith("send_request_headers.started") and self._over.is_set():
            raise Cancelled  # nobody waits for it any more

    def _wait(self) -> httpx.Response:
        """The answer's head. Raises Cancelled, Unreachable, ConnectionLost."""
        while not self._begun.wait(POLL_S):
            if (why := self._why_end()) is not None:
                raise why
        if not self._whole:
            self._heard = time.monotonic()
        if isinstance(self._head, Exception):
            self._raise(self._head)
        return self._head

    def _why_end(self) -> Exception | None:
        """Why the exchange is to end now, if it is."""
        now = time.monotonic()
        if self._cancel.is_set():
            return Cancelled()
        if self._away_since is not None:
            return None
        if now - self._heard > self.limit_s:
            server = self.server
            if self.limit_s == server.patience.left_s < server.silence_s:
                return server.faults.late(server.silence_s)  # all that `--timeout` gives is used up
            return server.faults.silent(self.limit_s)
        return self.server.faults.idle(self._within_s) if now > self._until else None

    # 2. Read by one thread, watched by the other

    def _read(self, head: httpx.Response) -> Iterator[bytes]:
        try:
            for piece in unpack(head, self.server.faults):
                if self._cancel.is_set():
                    raise Cancelled
                if piece:
                    self._away_since = time.monotonic()
                    yield piece
                    self._come_back()
        except Exception as exc:
            self._raise(exc)
        if self._why is not None:  # a body of unknown length just ends where it is cut off
            raise self._why
        self._is_complete = True

    def _come_back(self) -> None:
        """Wait for the server again, or at last: what somebody else took is not its time."""
        now = time.monotonic()
        if not self._whole:
            self._heard = now
        self._until += now - (self._away_since or now)
        self._away_since = None

    def _raise(self, exc: Exception) -> NoReturn:
        """Raise what the transport says as an error that a user can act on."""
        fault = self._why or self.server.faults.lost(exc, self.server.silence_s)
        raise fault from (None if fault is exc else exc)

    def _refused(self, head: httpx.Response) -> Refused:
        """The error for an answer that is not a success, with its text if that can be read."""
        self.expect(ERROR_S)
        body = b""
        with suppress(ConnectionLost):  # nobody misses the rest of an error
            for piece in self._body:
                body += piece
                if len(body) > ERROR_BYTES:
                    break
        return self.server.faults.refused(head, body[:ERROR_BYTES])

    # 3. Kept, or cut off

    def close(self) -> None:
        """Keep the connection for the next request if the answer is complete, else cut it off."""
        if self._why is None and not self._cancel.is_set():
            self.expect(_GRACE_S)
            with suppress(Cancelled, EngineError):
                for _ in self._body:
                    pass
        self._over.set()
        if not self._is_complete:
            self._connections.cut_off()


def unpack(response: httpx.Response, faults: Faults) -> Iterator[bytes]:
    """The body in pieces of bounded size, though a server may pack what it was asked not to.

    Raises httpx.TransportError, EngineError.
    """
    packing = response.headers.get("content-encoding", "").strip().lower()
    if packing in ("", "identity"):
        yield from response.iter_bytes()
        return
    if packing not in ("gzip", "x-gzip", "deflate"):
        raise faults.garbled(f"Content-Encoding: {packing}".encode())
    inflate = zlib.decompressobj(zlib.MAX_WBITS | 32)  # gzip or zlib, whichever it is
    for piece in response.iter_raw():
        while piece:
            if inflate.eof:  # the next of several members, or filling
                if not piece.startswith(b"\x1f"):
                    break
                inflate = zlib.decompressobj(zlib.MAX_WBITS | 32)
            try:
                yield inflate.decompress(piece, PIECE_BYTES)
            except zlib.error as exc:
                raise faults.cut_off() from exc
            piece = inflate.unused_data if inflate.eof else inflate.unconsumed_tail


def open_server(
    options: ServerOptions,
    url: str,
    *,
    notice: str = "",
    patience: Patience | None = None,
    transport: httpx.BaseTransport | None = None,
) -> Server:
    """The server at `url`, with its key if that may be sent there. Raises ConfigError.

    `notice` is for the user before the first reply.
    """
    with errors_name(options.label("base_url")):
        key = key_for(options, parse_address(url))
    check_key(key.text, key.label)
    return Server(
        url,
        key=key.text,
        key_hint=key.hint,
        notice=key.notice or notice,
        secrets=options.all_keys,
        silence_s=options.timeout,
        patience=patience,
        transport=transport,
        address_from="" if options.url_name == "GLM_BASE_URL" else options.url_name,
    )


def is_success(response: httpx.Response) -> bool:
    """Whether an answer can be what was asked for; a web page never is."""
    kind: str = response.headers.get("content-type", "")
    has_body = response.is_success and response.status_code not in (204, 205)
    return has_body and not kind.startswith("text/html")
