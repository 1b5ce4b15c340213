"""A connection between two processes of the same user, over which objects pass, one a line.

Knows nothing of what they mean.
"""

from __future__ import annotations

import os
import select
import socket
import struct
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from glmcli.engines.kept.wire import as_line, parsed_line

_PIECE_BYTES = 1 << 16
_RETRY_S = 0.02
QUIETLY = getattr(socket, "MSG_NOSIGNAL", 0)
"""Whoever is gone is told of by an error, not by a signal that ends the program."""
LARGEST_LINE = 1 << 29
"""Bytes: more than any conversation has."""


class Gone(Exception):
    """The other side is not there any more."""


class Deaf(Exception):
    """The other side is there, and gives no sign of life."""


class Link:
    """One end of a connection. Not for several threads at once, but for `close`."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self._begun = bytearray()
        self._unsent = bytearray()
        self._looked_at = 0

    def send(self, data: Mapping[str, Any]) -> None:
        """Send an object, however long that takes. Raises Gone."""
        try:
            self._socket.setblocking(True)
            self._socket.sendall(as_line(data), QUIETLY)
        except OSError as exc:
            raise Gone from exc

    def send_soon(self, data: Mapping[str, Any]) -> None:
        """Send an object as far as the other side takes it now; `flush` goes on. Raises Gone."""
        self._unsent += as_line(data)
        self.flush(0.0)

    def flush(self, wait_s: float) -> None:
        """Send more of what waits, if the other side takes some within `wait_s`. Raises Gone."""
        if not self._unsent or not self._polled(select.POLLOUT, wait_s):
            return
        try:
            self._socket.setblocking(False)
            del self._unsent[: self._socket.send(self._unsent, QUIETLY)]
        except BlockingIOError:
            return
        except OSError as exc:
            raise Gone from exc

    @property
    def unsent(self) -> int:
        """Bytes that the other side has not taken."""
        return len(self._unsent)

    def receive(self, wait_s: float) -> dict[str, Any] | None:
        """The next object; None if it is not there within `wait_s`. Raises Gone at the end."""
        while (end := self._begun.find(b"\n", self._looked_at)) < 0:
            self._looked_at = len(self._begun)
            if not self.has_news(wait_s):
                return None
            self._read()
        line = bytes(self._begun[:end])
        del self._begun[: end + 1]
        self._looked_at = 0
        try:
            return parsed_line(line)
        except ValueError as exc:
            raise Gone from exc

    def has_news(self, wait_s: float = 0.0) -> bool:
        """Whether there is something to read within `wait_s`, the end included. Raises Gone."""
        return self._polled(select.POLLIN, wait_s)

    def _polled(self, event: int, wait_s: float) -> bool:
        if self._socket.fileno() < 0:  # closed here
            raise Gone
        poll = select.poll()
        poll.register(self._socket, event)
        return bool(poll.poll(wait_s * 1000))

    def _read(self) -> None:
        try:
            self._socket.setblocking(True)
            piece = self._socket.recv(_PIECE_BYTES)
        except OSError as exc:
            raise Gone from exc
        if not piece or len(self._begun) > LARGEST_LINE:
            raise Gone
        self._begun += piece

    def close(self) -> None:
        """Leave; whoever waits at the other end hears of it at once."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    @property
    def process(self) -> int | None:
        """The process at the other end, or the one that has begun to listen; None if unknown."""
        return peer_of(self._socket)[0]


def link_to(path: Path, within_s: float) -> Link | None:
    """A connection to what listens there; None if nothing does, or it is another user's.

    Raises Deaf where so many wait that none is let in in time, OSError where the path cannot be a
    socket at all.
    """
    until = time.monotonic() + within_s
    while (connection := connected(path)) is None:
        if time.monotonic() > until:
            raise Deaf
        time.sleep(_RETRY_S)
    if connection.fileno() < 0:
        return None
    if peer_of(connection)[1] != os.geteuid():
        connection.close()
        return None
    return Link(connection)


def connected(path: Path) -> socket.socket | None:
    """A socket that leads there, a closed one if nobody listens; None while too many wait.

    Raises OSError.
    """
    connection = socket.socket(socket.AF_UNIX)
    connection.setblocking(False)  # else it would wait as long as they do
    try:
        connection.connect(os.fspath(path))
    except BlockingIOError:
        connection.close()
        return None
    except (FileNotFoundError, ConnectionRefusedError):
        connection.close()
    except OSError:
        connection.close()
        raise
    return connection


def peer_of(connection: socket.socket) -> tuple[int | None, int]:
    """Process and user at the other end of a Unix socket. The user is -1 if that is unknown."""
    try:
        if hasattr(socket, "SO_PEERCRED"):
            data = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
            pid, uid, _ = struct.unpack("3i", data)
            return pid, uid
        # LOCAL_PEERCRED of the BSDs: a version, then the user.
        return None, struct.unpack("2I", connection.getsockopt(0, 1, 8)[:8])[1]
    except OSError:
        return None, -1
