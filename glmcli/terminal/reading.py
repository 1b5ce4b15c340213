"""Bytes from stdin, in steps that a stopped program can leave. Knows nothing of what is read."""

from __future__ import annotations

import errno
import os
import select
import signal
import sys
import termios
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from glmcli.errors import UsageError
from glmcli.language import tr
from glmcli.terminal.output import SIGNAL_POLL_S, Output
from glmcli.terminal.signals import Killed

READ_BYTES = 1 << 16


def read_some(fd: int, stopped: Callable[[], bool] = lambda: False) -> bytes:
    """What can be read, as soon as there is something; b"" at the end, or when stopped.

    Waits in small steps: a signal that comes just before a read would not be heard of until it is
    over. Raises Killed if there was a terminal that is gone.
    """
    while not select.select([fd], [], [], SIGNAL_POLL_S)[0]:
        if stopped():
            return b""
    try:
        data = os.read(fd, READ_BYTES)
    except OSError:
        end_if_gone(fd)
        raise
    if not data:
        end_if_gone(fd)
    return data


def end_if_gone(fd: int) -> None:
    """Raise Killed if there was a terminal here that is gone: the same as SIGHUP."""
    try:
        termios.tcgetattr(fd)
    except termios.error as exc:
        if exc.args[0] in (errno.EIO, errno.ENXIO):
            raise Killed(signal.SIGHUP) from exc


def read_stdin(stopped: Callable[[], bool] = lambda: False) -> bytes:
    """`read_some` of stdin. One that is not open for reading, like that of nohup, is an empty one.

    Raises UsageError: what broke off in the middle is not to be answered.
    """
    try:
        return read_some(sys.stdin.fileno(), stopped)
    except OSError as exc:
        if exc.errno == errno.EBADF:
            return b""
        raise UsageError(
            tr("stdin cannot be read: {strerror}", strerror=exc.strerror),
            tr("is the program that feeds it still running?"),
        ) from exc


@contextmanager
def shown_again(show: Callable[[], None]) -> Iterator[None]:
    """Have `show` tell what is waited for when the program goes on after Ctrl-Z."""
    before = signal.signal(signal.SIGCONT, lambda signum, frame: show())
    try:
        yield
    finally:
        signal.signal(signal.SIGCONT, before)


def check_size(size: int, limit: int, what: str = "stdin") -> None:
    """Raise UsageError for more from stdin than its kind ever is: a pipe may have no end."""
    if size > limit:
        raise UsageError(
            tr("{name} is too large: {limit:,} bytes is the limit", name=what, limit=limit),
            tr("send a part of it, for example with head -c"),
        )


def read_line(question: str, out: Output, stopped: Callable[[], bool] = lambda: False) -> str:
    """The line that is typed. Raises EOFError at the end of the input, or if stopped."""
    line = b""
    with shown_again(lambda: out.say(question)):
        out.say(question)
        while not line.endswith(b"\n"):
            data = read_some(sys.stdin.fileno(), stopped)
            if not data:
                raise EOFError
            line += data
    return line.decode(out.encoding, "surrogateescape").strip()
