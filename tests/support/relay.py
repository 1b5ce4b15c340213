"""A proxy on loopback that speaks SOCKS5 and HTTP, and leads every connection to one server."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from types import TracebackType
from urllib.parse import urlsplit


class Relay:
    """`target` is the URL of the server; `wants` the "NAME:PASSWORD" that a client must give."""

    def __init__(self, target: str, *, wants: str = "") -> None:
        self._target = ("127.0.0.1", urlsplit(target).port)
        self._wants = wants
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._socket.getsockname()[1]}"
        self.asked_for: list[str] = []
        """The servers that clients named."""
        self._open = [self._socket]

    def __enter__(self) -> Relay:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for item in self._open:
            with suppress(OSError):
                item.shutdown(socket.SHUT_RDWR)
            item.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._socket.accept()
                self._open.append(client)
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with suppress(OSError):
            first = client.recv(65_536)
            begin = (
                self._meet_socks(client, first) if first[:1] == b"\5" else self._http(first, client)
            )
            if begin is None:
                client.close()
                return
            server = socket.create_connection(self._target)
            self._open.append(server)
            server.sendall(begin)
            threading.Thread(target=pump, args=(server, client), daemon=True).start()
            pump(client, server)

    def _meet_socks(self, client: socket.socket, first: bytes) -> bytes | None:
        """Take in the greeting of SOCKS5; what follows is for the server."""
        method = b"\2" if self._wants else b"\0"
        client.sendall(b"\5" + (method if method in first[2:] else b"\xff"))
        if self._wants:
            asked = client.recv(1000)
            name, password = self._wants.encode().split(b":")
            good = b"\1%c%s%c%s" % (len(name), name, len(password), password)
            client.sendall(b"\1" + (b"\0" if asked == good else b"\1"))
        request = client.recv(1000)
        if not request:
            return None
        self.asked_for.append(request[5:-2].decode())
        client.sendall(b"\5\0\0\1" + b"\0" * 6)
        return b""

    def _http(self, first: bytes, client: socket.socket) -> bytes | None:
        """Take in the head of a request: CONNECT, or one to pass on."""
        method, url, rest = first.split(b" ", 2)
        self.asked_for.append(url.decode())
        if self._wants and b"proxy-authorization" not in first.lower():
            client.sendall(b"HTTP/1.1 407 Who is it\r\nContent-Length: 0\r\n\r\n")
            return None
        if method == b"CONNECT":
            client.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            return b""
        return b" ".join([method, b"/" + url.split(b"/", 3)[3], rest])


def pump(source: socket.socket, sink: socket.socket) -> None:
    """Pass on whatever comes, and its end."""
    with suppress(OSError):
        while data := source.recv(65_536):
            sink.sendall(data)
    with suppress(OSError):
        sink.shutdown(socket.SHUT_RDWR)
