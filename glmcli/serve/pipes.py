"""The two ends of a connection as files, with limits for sizes and for times.

A client that sends or reads slowly is let go. Knows nothing of what is said.
"""

from __future__ import annotations

import math
import select
import socket
import time
from io import BufferedReader, RawIOBase
from typing import Any

from glmcli.serve.refusal import Refusal

WRITE_S = 60.0
"""How long a client may take to read what was sent at once."""
_GONE = select.POLLHUP | select.POLLERR
_HALF_CLOSED = getattr(select, "POLLRDHUP", 0)


class ClientLeft(ConnectionError):
    """Nobody waits for the answer any more."""


class Incoming(RawIOBase):
    """What comes over a connection: so many bytes and until such a time, then no more."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self.until = math.inf
        """By time.monotonic()."""
        self.bytes_left: float = math.inf

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: Any) -> int:
        """As of any file. Raises TimeoutError, and Refusal for more than was allowed."""
        left = self.until - time.monotonic()
        if left <= 0:
            raise TimeoutError
        if self.bytes_left <= 0:
            raise Refusal(431, "the head of the request is too large")
        self._connection.settimeout(left)
        got = self._connection.recv_into(buffer)
        self.bytes_left -= got
        return got


class HeadReader(BufferedReader):
    """Reads the lines of a head. Raises Refusal for one with a bare CR, which ends no line."""

    def readline(self, size: int | None = -1, /) -> bytes:
        """As of any file; bodies are read otherwise."""
        line = super().readline(-1 if size is None else size)
        if b"\r" in line.removesuffix(b"\n").removesuffix(b"\r"):
            raise Refusal(400, "a control character is in the head")
        return line


class Outgoing(RawIOBase):
    """What goes out over a connection, all of it within `WRITE_S`."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection

    def writable(self) -> bool:
        """It is."""
        return True

    def write(self, data: Any) -> int:
        """As of any file. Raises ClientLeft."""
        self._connection.settimeout(WRITE_S)
        try:
            self._connection.sendall(data)
        except OSError as exc:
            raise ClientLeft from exc
        return len(data)


def is_reset(connection: socket.socket) -> bool:
    """Whether nothing can be sent to the client any more."""
    return bool(_events(connection) & _GONE)


def is_half_closed(connection: socket.socket) -> bool:
    """Whether the client sends nothing more; it may still read."""
    found = _events(connection)
    if found & _HALF_CLOSED or not found:
        return bool(found)
    try:  # where there is no POLLRDHUP
        return not connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except BlockingIOError:
        return False
    except OSError:
        return True


def _events(connection: socket.socket) -> int:
    poll = select.poll()
    poll.register(connection, _GONE | _HALF_CLOSED | select.POLLIN)
    found = poll.poll(0)
    return found[0][1] if found else 0
