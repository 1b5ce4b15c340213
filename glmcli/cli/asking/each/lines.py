"""The lines of a file or of stdin, as they come: none is kept, however long it or the file is.

Knows nothing of what is in them.
"""

from __future__ import annotations

import errno
import os
import re
import select
import stat
import sys
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from glmcli.cli.dialog import tell_links
from glmcli.errors import UsageError
from glmcli.files import kind, opening, printable
from glmcli.language import tr
from glmcli.paths import LARGEST_MESSAGE, is_file, path_of

NAME_OF_STDIN = "stdin"
_UTF16 = (b"\xff\xfe", b"\xfe\xff")
_START = 64
_BOM = b"\xef\xbb\xbf"
_BLOCK = 1 << 20
LINES_AHEAD = 1000
"""So many lines are looked at before the first is taken."""
_BYTES_AHEAD = 8 << 20
"""And so many bytes of them, but for the last."""


@dataclass(frozen=True, slots=True)
class RawLine:
    """One line that is not blank, as bytes without its end."""

    number: int
    """From 1, with blank lines counted: as an editor shows it."""
    data: bytes
    """Nothing if it is too large."""
    is_too_large: bool = False
    """Whether it has more than LARGEST_MESSAGE bytes."""


class LineReader:
    """Reads lines from a descriptor, which may be a pipe whose writer takes its time."""

    def __init__(self, fd: int, name: str) -> None:
        """`name` is what people call it."""
        self.fd = fd
        self.name = name
        self.has_all = False
        """Whether all lines were read."""
        self.blank = 0
        """Blank lines so far."""
        self.found = 0
        """Other lines so far."""
        self.number = 0
        """Of the last line that was looked at, blank or not."""
        self._ahead = deque[RawLine]()
        self._waiting = bytearray()
        self._looked_at = 0
        self._is_first = True
        self._is_skipping = self._is_at_end = False

    @property
    def is_over(self) -> bool:
        """Whether all lines were taken."""
        return self.has_all and not self._ahead

    def ahead(self, stopped: Callable[[], bool]) -> list[RawLine]:
        """Lines that `take` gives next: the first ones of a file; of a pipe the first one, and
        what is there by then. Raises UsageError, Killed.
        """
        size = 0
        while len(self._ahead) < LINES_AHEAD and size < _BYTES_AHEAD:
            line = self._taken(stopped, wait=not self._ahead)
            if line is None:
                break
            self._ahead.append(line)
            size += len(line.data)
        return [*self._ahead]

    def take(self, stopped: Callable[[], bool], *, wait: bool = True) -> RawLine | None:
        """The next line that is not blank; None at the end, if stopped, or if it would have to be
        waited for and is not. Raises UsageError, Killed.
        """
        return self._ahead.popleft() if self._ahead else self._taken(stopped, wait=wait)

    def _taken(self, stopped: Callable[[], bool], *, wait: bool) -> RawLine | None:
        while True:
            line = self._next()
            if line is not None or self.has_all:
                return line
            if not wait and not select.select([self.fd], [], [], 0)[0]:
                return None
            data = self._read(stopped)
            if not data and stopped():
                return None
            self._is_at_end = not data
            self._waiting += data

    def _read(self, stopped: Callable[[], bool]) -> bytes:
        from glmcli.terminal.reading import read_some

        try:
            data = read_some(self.fd, stopped)
        except OSError as exc:
            if exc.errno == errno.EBADF:  # stdin of nohup: an empty one
                return b""
            raise UsageError(
                tr("{name} cannot be read: {reason}", name=self.name, reason=exc.strerror),
                tr("check the path"),
            ) from exc
        if self._is_first and data:
            self._is_first = False
            if data.startswith(_UTF16) or has_wide_ends(data):
                raise UsageError(
                    tr("{name} is UTF-16", name=self.name), tr("convert it, for example with iconv")
                )
            data = data.removeprefix(_BOM) or b"\n"
        return data

    def _next(self) -> RawLine | None:
        """The next line that is whole by now."""
        while True:
            end = self._waiting.find(b"\n", self._looked_at)
            if end < 0 and not self._is_at_end:
                self._looked_at = len(self._waiting)
                if self._looked_at > LARGEST_MESSAGE:
                    self._waiting.clear()
                    self._looked_at, self._is_skipping = 0, True
                return None
            if end < 0 and not (self._waiting or self._is_skipping):
                self.has_all = True
                return None
            end = len(self._waiting) if end < 0 else end
            data = bytes(self._waiting[:end])
            del self._waiting[: end + 1]
            self._looked_at = 0
            self.number += 1
            is_too_large = self._is_skipping or len(data) > LARGEST_MESSAGE
            self._is_skipping = False
            if is_too_large or data.strip():
                self.found += 1
                data = b"" if is_too_large else data.removesuffix(b"\r")
                return RawLine(self.number, data, is_too_large)
            self.blank += 1


def has_wide_ends(data: bytes) -> bool:
    """Whether text is UTF-16 without a mark: of its first bytes each second one is 0, and one
    goes with the end of a line.
    """
    halves = (data[:_START:2], data[1:_START:2])
    return not all(half.strip(b"\0") for half in halves) and bool(re.search(b"\n\0|\0\n", data))


def open_lines(source: str) -> LineReader:
    """The lines of a file or a pipe, or of stdin for "-". Raises UsageError."""
    if source == "-":
        if sys.stdin is None:
            raise UsageError(tr("stdin is closed"), tr("name a file instead of -"))
        return LineReader(sys.stdin.fileno(), NAME_OF_STDIN)
    path = path_of(source)
    name = printable(path)
    with opening(name):
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    mode = os.fstat(fd).st_mode
    is_device = stat.S_ISBLK(mode) or (stat.S_ISCHR(mode) and not os.isatty(fd))
    if stat.S_ISDIR(mode) or is_device:
        os.close(fd)
        raise UsageError(
            tr("{name} is {kind}, not a file", name=name, kind=kind(mode)),
            tr("name a file with a prompt a line, or - for stdin"),
        )
    if stat.S_ISREG(mode):
        tell_links(path)
    return LineReader(fd, name)


def count_lines(path: Path) -> int | None:
    """How many lines a file has, blank ones too; None for what can be read only once."""
    if not is_file(path):
        return None
    count, last = 0, b"\n"
    try:
        with path.open("rb") as file:
            while block := file.read(_BLOCK):
                count, last = count + block.count(b"\n"), block[-1:]
    except OSError:
        return None  # who reads the lines says so
    return count + (last != b"\n")
