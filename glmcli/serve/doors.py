"""Doors: sockets that listen, and a thread for each connection that comes through one.

Knows nothing of what is asked there.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import socket
import stat
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from glmcli.errors import UsageError
from glmcli.files import kind
from glmcli.language import tr
from glmcli.serve.http import HttpExchange, Site
from glmcli.serve.refusal import crowded

MOST_CONNECTIONS = 256
BACKLOG = 128
SOCKET_PATH_BYTES = 100
"""Bytes of the path of a socket; systems take 103 to 107."""
EVERYWHERE = ("0.0.0.0", "::", "")
"""Hosts that are all addresses of a machine."""
_PAUSE_S = 0.1


class Doors:
    """Listening sockets of one site. Connections come in until `close`."""

    def __init__(self, listeners: Sequence[socket.socket], site: Site) -> None:
        self._listeners = listeners
        self._site = site
        self._free = threading.BoundedSemaphore(MOST_CONNECTIONS)
        self._threads = [
            threading.Thread(target=self._accept, args=(each,), daemon=True) for each in listeners
        ]

    def open(self) -> None:
        """Let connections in; returns at once."""
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """Let nobody in any more; who is answered is answered to the end."""
        self._site.is_ending.set()
        for listener in self._listeners:
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)  # wakes who waits in accept
            listener.close()

    def _accept(self, listener: socket.socket) -> None:
        while not self._site.is_ending.is_set():
            try:
                connection, _ = listener.accept()
            except OSError:
                time.sleep(_PAUSE_S)  # too many files are open, or it was closed
                continue
            if not self._free.acquire(blocking=False):
                turn_away(connection)
                continue
            try:
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()
            except RuntimeError:  # the system gives no more of them
                self._free.release()
                turn_away(connection)

    def _serve(self, connection: socket.socket) -> None:
        try:
            with connection, contextlib.suppress(OSError):
                if connection.family != socket.AF_UNIX:
                    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                HttpExchange(connection, self._site)
        finally:
            self._free.release()


def turn_away(connection: socket.socket) -> None:
    """Tell a connection that it is one too many, and close it."""
    with connection, contextlib.suppress(OSError):
        connection.setblocking(False)
        connection.send(crowded())


def listen_at(host: str, port: int) -> list[socket.socket]:
    """Sockets that listen at each address of a host; `::` has those of IPv4 too, where it can.

    Raises UsageError.
    """
    is_dual = host == "::" and socket.has_dualstack_ipv6()
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as exc:
        raise UsageError(
            tr("the host {host} is not known here", host=host),
            tr("--host takes an address of this machine, as 127.0.0.1"),
        ) from exc
    listeners: list[socket.socket] = []
    for family, address in dict.fromkeys((item[0], item[4]) for item in found):
        if port == 0 and listeners:  # all at the one that was free
            address = (address[0], listeners[0].getsockname()[1], *address[2:])
        try:
            listeners.append(
                socket.create_server(
                    address[:2], family=family, backlog=BACKLOG, dualstack_ipv6=is_dual
                )
            )
        except OSError as exc:
            is_other = exc.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT) and len(found) > 1
            if is_other and (listeners or address != found[-1][4]):
                continue  # a name of an address that this machine does not have
            for each in listeners:
                each.close()
            raise cannot_listen(exc, host, port) from exc
    return listeners


def cannot_listen(exc: OSError, host: str, port: int) -> UsageError:
    """The error for an address at which nothing can listen."""
    if exc.errno == errno.EADDRINUSE:
        return UsageError(
            tr("port {port} is in use at {host}", port=port, host=host),
            tr("--port {n} takes another one, --port 0 any that is free", n=port + 1),
        )
    if exc.errno == errno.EACCES:
        return UsageError(
            tr("port {port} is not for you to listen at", port=port),
            tr("take one above 1023: --port 8000"),
        )
    return UsageError(
        tr(
            "nothing can listen at {host}: {reason}",
            host=host,
            reason=os.strerror(exc.errno) if exc.errno else exc,
        ),
        tr("--host takes an address of this machine, as 127.0.0.1"),
    )


@contextlib.contextmanager
def listening_at(path: Path) -> Iterator[socket.socket]:
    """A socket of the user's own that listens at a path, which is gone at the end.

    Raises UsageError for a path where something is; the socket of a program that died is replaced.
    """
    if len(os.fsencode(path)) > SOCKET_PATH_BYTES:
        raise UsageError(
            tr("the path of the socket is longer than {n} bytes", n=SOCKET_PATH_BYTES),
            tr("choose a shorter one"),
        )
    with socket.socket(socket.AF_UNIX) as listener:
        try:
            with folder_locked(path.parent):
                make_room(path)
                bind_privately(listener, path)
                listener.listen(BACKLOG)
        except OSError as exc:
            raise UsageError(
                tr("no socket can be made at {path}: {reason}", path=path, reason=exc.strerror),
                tr("--socket takes a path in a folder of yours"),
            ) from exc
        inode = path.stat().st_ino
        try:
            yield listener
        finally:
            with contextlib.suppress(OSError):
                if path.lstat().st_ino == inode:
                    path.unlink()


def bind_privately(listener: socket.socket, path: Path) -> None:
    """Bind a socket that nobody but its user may connect to."""
    before = os.umask(0o177)
    try:
        listener.bind(os.fspath(path))
    finally:
        os.umask(before)


@contextlib.contextmanager
def folder_locked(folder: Path) -> Iterator[None]:
    """Hold a lock on a folder: of two that find a dead socket only one may replace it."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def make_room(path: Path) -> None:
    """Take away a socket at which nobody listens. Raises UsageError for whatever else is there."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    hint = tr("--socket takes a path where nothing is; the file stays as it is")
    if not stat.S_ISSOCK(mode):
        what = tr("a file") if stat.S_ISREG(mode) else kind(mode)
        raise UsageError(tr("{path} is there already: {what}", path=path, what=what), hint)
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(os.fspath(path))
        except ConnectionRefusedError:
            path.unlink()
            return
        except PermissionError as exc:
            raise UsageError(tr("{path} is a socket of another user", path=path), hint) from exc
        except OSError:
            pass  # it is full, so somebody listens
    raise UsageError(
        tr("another program answers at {path}", path=path),
        tr("end that one, or give --socket another path"),
    )
