"""The file of an earlier run: which lines it answers, and where new answers are added.

Only ever added to, but for a last answer that broke off. Knows nothing of the lines that are asked.
"""

from __future__ import annotations

import codecs
import fcntl
import json
import os
import stat
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from glmcli.cli.asking.each.lines import LineReader, RawLine
from glmcli.cli.asking.each.start import json_line
from glmcli.cli.asking.each.tasks import Task, key_of
from glmcli.cli.dialog import tell, tell_links
from glmcli.errors import GlmError, UsageError
from glmcli.files import MOST_HOLDERS, kind, printable
from glmcli.language import ntr, tr
from glmcli.paths import check_apart, path_of
from glmcli.terminal.output import Output

_BLOCK = 1 << 20
_BEGUN = b'{"id":'
"""How each line of ours begins."""
_WHOLE = json.JSONDecoder(parse_int=float)
"""Reads a number of any length."""
_ENDS = (
    '"',
    '\\"',
    *("0" * digits + '"' for digits in range(1, 5)),
    "0",
    *(word[at:] for word in ("true", "false", "null") for at in range(1, len(word))),
)
"""How a text, an escape, a number or a word goes on, wherever it was cut."""


class EarlierRun:
    """A file of answers, locked as long as the program runs."""

    def __init__(self, path: Path) -> None:
        """Read it, or begin it. Raises UsageError."""
        self.path = path
        self.name = printable(path)
        self.strange = 0
        """Lines that are neither an answer nor an error."""
        self.by_id = 0
        """Lines it answers by their ids alone: it does not say what was asked."""
        self.others = 0
        """Lines it does not answer, but another question under their ids."""
        self._has_warned = False
        self._left = Counter[tuple[str, str | None]]()
        self._of_id = Counter[str]()
        self._fd = self._opened(path)
        reader = LineReader(self._fd, self.name)
        while line := reader.take(lambda: False):
            self._read(line)
        try:
            self._stream = os.fdopen(self._fd, "a", encoding="utf-8")
        except OSError as exc:  # a file of /proc, for one, has no end
            raise self._unwritable(exc) from exc
        self.out = Output(self._stream)

    def takes(self, task: Task) -> bool:
        """Whether it answers the question of a line under its id; one answer is for one line."""
        key = key_of(task.id)
        if self._of_id[key] == 0:
            return False
        for asked in (task.asked, None):
            if self._left[key, asked]:
                self._left[key, asked] -= 1
                self._of_id[key] -= 1
                self.by_id += asked is None
                return True
        self.others += 1
        return False

    def warning(self) -> str:
        """What is to be known before the first line is asked, or nothing."""
        self._has_warned = bool(self.others)
        if not self.others:
            return ""
        return tr(
            "{name} answers other questions under the same ids: with another prompt, system prompt,"
            " setting or model, or of another file; such lines are asked again",
            name=self.name,
        )

    def told(self, added: int, skipped: int) -> Iterator[str]:
        """What is to be said of it when all is done."""
        name = self.name
        if added:
            yield ntr(
                "{n:,} answer added to {name}", "{n:,} answers added to {name}", added, name=name
            )
        if skipped:
            yield ntr(
                "{n:,} line skipped: {name} answers it",
                "{n:,} lines skipped: {name} answers them",
                skipped,
                name=name,
            )
        if self.by_id:
            yield ntr(
                "{n:,} of them by the id alone: {name} does not say what was asked",
                "{n:,} of them by the id alone: {name} does not say what was asked",
                self.by_id,
                name=name,
            )
        if self.others and not self._has_warned:
            yield ntr(
                "{n:,} line asked again: {name} has an answer to another question under its id",
                "{n:,} lines asked again: {name} has answers to other questions under their ids",
                self.others,
                name=name,
            )
        if self.strange:
            yield ntr(
                "{n:,} line of {name} is no answer",
                "{n:,} lines of {name} are no answers",
                self.strange,
                name=name,
            )

    def check_there(self) -> None:
        """Raise GlmError if it is not what its name leads to any more."""
        with suppress(OSError):
            if os.path.samestat(self.path.stat(), os.fstat(self._fd)):
                return
        raise GlmError(
            tr("{name} was removed or replaced: it does not hold the answers", name=self.name),
            tr("the same command asks the lines again; do not change the file meanwhile"),
        )

    def end_line(self) -> None:
        """End a last line that has no end. If it is only the beginning of an answer, as a killed
        run leaves it, take it out, and tell that; of a whole one the zeros behind it.
        """
        size = start = os.fstat(self._fd).st_size
        line = b""
        while start and b"\n" not in line:
            start = max(0, start - _BLOCK)
            line = os.pread(self._fd, size - len(line) - start, start) + line
        line = line.rpartition(b"\n")[2]
        rest = line.rstrip(b"\0")  # a loss of power leaves zeros for what was not written
        if line and broke_off(rest):
            os.ftruncate(self._fd, size - len(line))
            self.strange -= 1
            tell(tr("the last answer in {name} broke off: it is taken out", name=self.name))
            return
        if rest != line and rest.startswith(_BEGUN) and json_line(rest) is not None:
            os.ftruncate(self._fd, size - len(line) + len(rest))
            self.strange -= 1
            self._read(RawLine(0, rest))
        if line:
            self.out.write("\n")

    def _opened(self, path: Path) -> int:
        try:
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)
        except (OSError, ValueError) as exc:
            raise self._unwritable(exc) from exc
        mode = os.fstat(fd).st_mode
        if not stat.S_ISREG(mode):
            os.close(fd)
            raise UsageError(
                tr("{name} is {kind}, not a file", name=self.name, kind=kind(mode)),
                tr("name the file that answers are added to"),
            )
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            raise UsageError(
                tr("another run is writing to {name}", name=self.name),
                tr("wait for its end, or name another file"),
            ) from exc
        except OSError:  # a file system without locks
            pass
        return fd

    def _unwritable(self, exc: Exception) -> UsageError:
        reason = getattr(exc, "strerror", None) or str(exc)
        return UsageError(
            tr("{name} cannot be written: {reason}", name=self.name, reason=reason),
            tr("check the path"),
        )

    def _read(self, line: RawLine) -> None:
        match json_line(line.data):
            case {"id": _, "error": _}:
                pass
            case {"id": str() | int() as name, "text": str(), **rest}:
                asked = rest.get("asked")
                self._left[key_of(name), asked if isinstance(asked, str) else None] += 1
                self._of_id[key_of(name)] += 1
            case _:
                self.strange += 1


def earlier_run(name: str | None, reader: LineReader, out: Output) -> EarlierRun | None:
    """The file of --skip-done; without one answers go to `out`. Raises UsageError."""
    if name is None:
        check_apart(reader.fd, out.fd, "stdout")
        return None
    path = path_of(name)
    tell_links(path)
    earlier = EarlierRun(path)
    check_apart(reader.fd, earlier.out.fd, earlier.name)
    earlier.end_line()
    return earlier


def broke_off(line: bytes) -> bool:
    """Whether it is the beginning of a line of ours: nothing is wrong with it but that it ends."""
    if not _BEGUN.startswith(line[: len(_BEGUN)]):
        return False
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(line)
    except UnicodeDecodeError:
        return False
    if text.count("[") + text.count("{") > MOST_HOLDERS or _fault(text) is None:
        return False
    faults = (_fault(text + end) for end in _ENDS)
    return any(fault is None or fault >= len(text) for fault in faults)


def _fault(text: str) -> int | None:
    """Where a text is not JSON any more; None if it begins with a whole value."""
    try:
        _WHOLE.raw_decode(text)
    except json.JSONDecodeError as exc:
        return exc.pos
    except RecursionError:
        return -1
    return None
