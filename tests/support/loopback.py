"""A server on loopback that does exactly what a test tells it to, however badly."""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

CERTIFICATE = Path(__file__).parents[1] / "data" / "tls" / "server.pem"

OK = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
TLS = b"\x16\x03"
PATIENCE_S = 20.0


class Connection:
    """One client: its requests, and what a script can do to it."""

    def __init__(self, client: socket.socket) -> None:
        self._client = client
        self.requests: list[bytes] = []
        self.gone = threading.Event()
        """The client closed the connection."""

    def read_request(self) -> bool:
        """Read one request; whether there was one."""
        request = b""
        while b"\r\n\r\n" not in request and not request.startswith(TLS):
            if not (data := self._client.recv(65536)):
                return False
            request += data
        head, _, body = request.partition(b"\r\n\r\n")
        size = next(
            (
                int(line[15:])
                for line in head.lower().split(b"\r\n")
                if line[:15] == b"content-length:"
            ),
            0,
        )
        while len(body) < size:
            body += self._client.recv(65536)
        self.requests.append(head + b"\r\n\r\n" + body)
        return True

    def send(self, data: bytes) -> None:
        self._client.sendall(data)

    def chunk(self, data: bytes) -> None:
        """Send a part of a chunked body; the empty one ends it."""
        self.send(b"%x\r\n%s\r\n" % (len(data), data))

    def reset(self) -> None:
        """End the connection as a machine that was switched off does."""
        self._client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        raise ConnectionResetError

    def freeze(self) -> None:
        """Say nothing more until the client goes away or the test ends."""
        try:
            self._client.settimeout(PATIENCE_S)
            if self._client.recv(1) == b"":
                self.gone.set()
        except OSError:
            self.gone.set()


class Loopback:
    """A server whose `script` is called for every request of every connection, in its thread.

    With `tls` it shows a certificate that nobody trusts who is not told to.
    """

    def __init__(self, script: Callable[[Connection], None], *, tls: bool = False) -> None:
        self._script = script
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER) if tls else None
        if self._tls:
            self._tls.load_cert_chain(CERTIFICATE)
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._socket.settimeout(PATIENCE_S)
        self.url = f"http{'s' if tls else ''}://127.0.0.1:{self._socket.getsockname()[1]}"
        self.connections: list[Connection] = []
        self.asked = threading.Event()
        """A request has come."""
        self._clients: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept, daemon=True)]

    def __enter__(self) -> Loopback:
        self._threads[0].start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for item in (self._socket, *self._clients):
            with contextlib.suppress(OSError):
                item.shutdown(socket.SHUT_RDWR)
            item.close()
        for thread in self._threads:
            thread.join(PATIENCE_S)

    def _accept(self) -> None:
        while True:
            try:
                client, _address = self._socket.accept()
            except TimeoutError:
                continue
            except OSError:
                return
            self._clients.append(client)
            self._threads.append(threading.Thread(target=self._serve, args=(client,), daemon=True))
            self._threads[-1].start()

    def _serve(self, client: socket.socket) -> None:
        if self._tls:
            try:
                client = self._tls.wrap_socket(client, server_side=True)
            except OSError:
                client.close()
                return
        connection = Connection(client)
        self.connections.append(connection)
        with client:
            try:
                while connection.read_request():
                    self.asked.set()
                    self._script(connection)
            except OSError:
                connection.gone.set()


def closed_port() -> int:
    """A port where nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as found:
        port: int = found.getsockname()[1]
    return port
