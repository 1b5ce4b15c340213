"""One server over HTTP: its address, its key, its connections, and how long it may be silent.

An answer is read by a thread of its own, so that whoever waits for it can watch the clock and the
user. Knows nothing of models, prompts or what an answer means.
"""

from __future__ import annotations

import ipaddress
import json
import socket
import threading
import time
import zlib
from collections.abc import Callable, Collection, Iterable, Iterator
from queue import Empty, Full, Queue
from typing import Any
from weakref import WeakSet

import httpx

from glmcli.config import Settings
from glmcli.engines.remote.faults import CONNECT_S, Cancelled, Faults, Refused
from glmcli.errors import ConfigError, ConnectionLost
from glmcli.messages import said

ANSWER_S = 10.0
"""How long a server may take to answer a question that needs no model."""
COUNT_S = 2.0
"""How long it may take to count a prompt where the reply does not depend on that."""
POLL_S = 0.1
"""How soon a cancelled request is noticed."""
TICK_S = 1.0
GRACE_S = 0.05
"""How long to wait for the end of an answer, so that its connection can be used again."""
KEEP_S = 2.0
"""How long an idle connection is kept: less than the 5 s after which many servers close it."""
ERROR_BYTES = 65_536
ERROR_S = 3.0
"""How long the body of an error may take; what came until then says enough."""
ANSWER_BYTES = 4_000_000
"""An answer to a question that needs no model; one about a prompt may be larger, as that is."""
PIECE_BYTES = 65_536


class Patience:
    """The time that `--timeout` gives a server to begin a reply, questions before it included."""

    def __init__(self, seconds: float) -> None:
        self.whole_s = self.left_s = seconds

    def spend(self, seconds: float) -> None:
        """Have so much less for what comes next."""
        self.left_s = max(0.0, self.left_s - seconds)

    def renew(self) -> None:
        """Have all of it again, for the next reply."""
        self.left_s = self.whole_s


class Server:
    """One server. For one request at a time.

    Raises ConfigError for an address or a key that cannot be one. `key_hint` says what to do if the
    server wants a key, or another one; `secrets` are the keys of other servers, which are masked
    too. `allowed` decides about the number of a host once its name is looked up.
    """

    def __init__(
        self,
        url: str,
        *,
        key: str = "",
        key_hint: str = "",
        secrets: Collection[str] = (),
        silence_s: float = 120.0,
        patience: Patience | None = None,
        allowed: Callable[[str], bool] | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        address = checked_url(url)
        self.url = str(address).rstrip("/")
        self.silence_s = silence_s
        """How long the server may be silent before a reply begins; half of it after that."""
        self.patience = patience or Patience(silence_s)
        self._allowed = allowed
        keys = (checked_key(key), *secrets)
        self.faults = Faults(address.netloc.decode("ascii"), keys=keys, key_hint=key_hint)
        self.asked: dict[str, str] = {}
        """The questions that needed no model, in their order, as they are shown: "/props (404)"."""
        self._sockets: WeakSet[socket.socket] = WeakSet()
        self._lock = threading.Lock()
        headers = {"Accept-Encoding": "identity", "Content-Type": "application/json"}
        if key:
            headers["Authorization"] = f"Bearer {key}"
        self._client = httpx.Client(
            headers=headers,
            timeout=httpx.Timeout(silence_s + ANSWER_S, connect=CONNECT_S),
            limits=httpx.Limits(keepalive_expiry=KEEP_S),
            follow_redirects=False,
            # SSL_CERT_FILE counts on this machine as well; proxies do not.
            verify=httpx.create_ssl_context(trust_env=True) if address.scheme == "https" else True,
            trust_env=not is_loopback(address.host),
            transport=transport,
        )

    def send(self, method: str, path: str, body: object = None, *, whole: bool = False) -> Exchange:
        """Send a request to `path`, which begins with a slash; its answer is read meanwhile.

        A `whole` answer comes in one piece, and is silent until then.
        """
        content = None if body is None else json.dumps(body).encode("ascii")
        request = self._client.build_request(method, self.url + path, content=content)
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
        try:
            data = b"".join(exchange.pieces(cancel or threading.Event()))
            self.asked[path] = path
        except Refused as exc:
            self.asked[path] = f"{path} ({exc.status})"
            raise
        finally:
            exchange.close()
            if spend:
                self.patience.spend(time.monotonic() - exchange.started)
        return self.faults.answer(data)

    def fetch(self, request: httpx.Request) -> httpx.Response:
        """The answer to a request, its body not read yet. Raises httpx.TransportError."""
        return self._client.send(request, stream=True)

    def connected(self, connection: socket.socket | None) -> None:
        """Remember an open connection, so that one thread can cut off what another one reads.

        Raises EngineError for one to a host that is not allowed; nothing was sent yet.
        """
        if connection is not None and self._allowed is not None:
            host = str(connection.getpeername()[0])
            if not self._allowed(host):
                connection.close()
                raise self.faults.wrong_worker(host)
        if connection is not None:
            with self._lock:
                self._sockets.add(connection)

    def disconnect(self) -> None:
        """Cut off all connections; whoever reads them wakes up with an error."""
        with self._lock:
            connections = list(self._sockets)
        for connection in connections:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue  # closed already

    def close(self) -> None:
        """Close all connections."""
        self._client.close()


class Exchange:
    """One request and its answer, which a thread of its own reads into a queue."""

    def __init__(self, server: Server, request: httpx.Request, *, whole: bool) -> None:
        self.server = server
        self._whole = whole
        self.limit_s = server.patience.left_s
        """How long the server may be silent from now on."""
        self._most = ANSWER_BYTES + 8 * len(request.content)
        self.started = time.monotonic()
        self._inbox: Queue[httpx.Response | bytes | Exception | None] = Queue(maxsize=64)
        self._ended = False
        self._until: float | None = None
        """When nothing more is waited for, where that is known."""
        self._abandoned = threading.Event()
        request.extensions["trace"] = self._trace
        threading.Thread(target=self._read, args=(request,), name="http", daemon=True).start()

    def pieces(self, cancel: threading.Event) -> Iterator[bytes]:
        """The body as it arrives, and b"" about once a second: bytes need not be text.

        Raises Cancelled, Unreachable, ConnectionLost, Refused.
        """
        refused: httpx.Response | None = None
        body = b""
        try:
            for item in self._items(cancel):
                if isinstance(item, httpx.Response):
                    refused = None if is_success(item) else item
                    self._until = None if refused is None else time.monotonic() + ERROR_S
                elif refused is None:
                    yield item
                else:
                    body += item
                    if len(body) > ERROR_BYTES:
                        break
        except ConnectionLost:
            if refused is None:
                raise  # the rest of an error's text is no loss
        if refused is not None:
            raise self.server.faults.refused(refused, body[:ERROR_BYTES])

    def _items(self, cancel: threading.Event) -> Iterator[httpx.Response | bytes]:
        heard = ticked = time.monotonic()
        while True:
            if cancel.is_set():
                self._abandon()
                raise Cancelled
            now = time.monotonic()
            if self._until is not None and now > self._until:
                return
            if now - ticked >= TICK_S:
                ticked = now
                yield b""
            try:
                item = self._inbox.get(timeout=POLL_S)
            except Empty:
                if now - heard > self.limit_s:
                    self._abandon()
                    raise self._silent() from None
                continue
            heard = time.monotonic()
            if item is None:
                self._ended = True
                return
            if isinstance(item, Exception):
                self._ended = True
                fault = self.server.faults.lost(item, self.server.silence_s)
                raise fault from (None if fault is item else item)
            yield item

    def _silent(self) -> ConnectionLost:
        """The error for silence, which may have used up what `--timeout` gives for all."""
        server = self.server
        if self.limit_s == server.patience.left_s < server.silence_s:
            return server.faults.late(server.silence_s)
        return server.faults.silent(self.limit_s)

    def close(self) -> None:
        """Keep the connection for the next request if the answer is complete, else cut it off."""
        deadline = time.monotonic() + GRACE_S
        while not self._ended and (rest := deadline - time.monotonic()) > 0:
            try:
                item = self._inbox.get(timeout=rest)
            except Empty:
                break
            self._ended = item is None or isinstance(item, Exception)
        if not self._ended:
            self._abandon()

    def _abandon(self) -> None:
        self._ended = True
        self._abandoned.set()
        self.server.disconnect()

    def _trace(self, event: str, info: dict[str, Any]) -> None:
        """Called by the transport, on the reading thread, at every step of a connection."""
        if event.endswith(("connect_tcp.complete", "start_tls.complete")):
            self.server.connected(info["return_value"].get_extra_info("socket"))
        elif event.endswith("send_request_headers.started") and self._abandoned.is_set():
            raise httpx.WriteError("the request was abandoned before it was sent")

    def _read(self, request: httpx.Request) -> None:
        """Read the answer; the last thing put is None, or what went wrong."""
        try:
            response = self.server.fetch(request)
            try:
                pieces = unpacked(response, self.server.faults)
                if self._whole:
                    pieces = [self._all_of(pieces)]
                self._put(response)
                for piece in pieces:
                    if piece:
                        self._put(piece)
                    if self._abandoned.is_set():
                        break
            finally:
                response.close()
            self._put(None)
        except Exception as exc:  # whatever it is, the thread that waits must hear of it
            self._put(exc)

    def _all_of(self, pieces: Iterable[bytes]) -> bytes:
        """Pieces joined. Raises EngineError for more than an answer can be."""
        data = bytearray()
        for piece in pieces:
            data += piece
            if self._abandoned.is_set():
                break
            if len(data) > self._most:
                raise self.server.faults.too_much(f"{self._most / 1e6:.0f} MB")
        return bytes(data)

    def _put(self, item: httpx.Response | bytes | Exception | None) -> None:
        while not self._abandoned.is_set():
            try:
                self._inbox.put(item, timeout=POLL_S)
                return
            except Full:
                continue


def unpacked(response: httpx.Response, faults: Faults) -> Iterable[bytes]:
    """The body in pieces of bounded size, though a server may pack what it was asked not to.

    Raises httpx.TransportError, httpx.DecodingError, EngineError.
    """
    packing = response.headers.get("content-encoding", "").strip().lower()
    if packing in ("", "identity"):
        yield from response.iter_bytes()
        return
    if packing not in ("gzip", "x-gzip", "deflate"):
        raise faults.garbled(f"Content-Encoding: {packing}".encode())
    inflate = zlib.decompressobj(zlib.MAX_WBITS | 32)  # gzip or zlib, whichever it is
    for piece in response.iter_raw():
        while piece and not inflate.eof:
            try:
                yield inflate.decompress(piece, PIECE_BYTES)
            except zlib.error as exc:
                raise httpx.DecodingError(str(exc), request=response.request) from exc
            piece = inflate.unconsumed_tail


def open_server(
    settings: Settings,
    url: str,
    *,
    patience: Patience | None = None,
    transport: httpx.BaseTransport | None = None,
) -> Server:
    """The server at `url`, with its key if its address can be trusted.

    An address from a .env file in the working folder may be anybody's: it gets no key but one from
    the same file. Raises ConfigError.
    """
    key, source, key_hint = key_for(settings, checked_url(url))
    if key and settings.sources.get("base_url") == ".env" != source:
        key = ""
        key_hint = said("no-key")
    return Server(
        url,
        key=key,
        key_hint=key_hint,
        secrets=all_keys(settings),
        silence_s=settings.timeout,
        patience=patience,
        transport=transport,
    )


def all_keys(settings: Settings) -> list[str]:
    """Every key that the user has given, for whatever server."""
    return [settings.api_key, *settings.keys.values()]


def key_for(settings: Settings, address: httpx.URL) -> tuple[str, str, str]:
    """(the key for an address, where it comes from, a hint for when it is refused).

    A key for just this host goes before one for any host.
    """
    sources = settings.sources
    port = address.port or (443 if address.scheme == "https" else 80)
    host = f"[{address.host}]" if ":" in address.host else address.host
    for name in (f"{host}:{port}", host):
        if name in settings.keys:
            return settings.keys[name], sources.get("keys", ""), said("host-key", host=name)
    hint = said("other-key" if settings.api_key else "key")
    return settings.api_key, sources.get("api_key", ""), hint


def checked_url(url: str) -> httpx.URL:
    """`url` if a server can live there. Raises ConfigError, which never shows a password."""
    try:
        address = httpx.URL(url.strip())
    except httpx.InvalidURL as exc:
        raise ConfigError("the address of the server is malformed", "http://HOST:PORT") from exc
    if address.userinfo or ("@" in url and not address.host):
        raise ConfigError(
            "the address of the server holds a name or a password", "a key belongs in GLM_API_KEY"
        )
    if address.scheme not in ("http", "https") or not address.host:
        raise ConfigError(
            f"{url!r} is not the address of a server", "write http://HOST:PORT or https://HOST"
        )
    return address.copy_with(query=None, fragment=None)


def checked_key(key: str) -> str:
    """`key` if it can be sent. Raises ConfigError, which does not show it."""
    if not (key.isascii() and key.isprintable()) or " " in key:
        raise ConfigError(
            "the key holds characters that no key has",
            "check GLM_API_KEY, or [keys] in config.toml",
        )
    return key


def is_loopback(host: str) -> bool:
    """Whether a host is this machine, which no proxy can reach for us."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def is_success(response: httpx.Response) -> bool:
    """Whether an answer can be what was asked for; a web page never is."""
    kind: str = response.headers.get("content-type", "")
    return response.status_code == 200 and not kind.startswith("text/html")
