"""Files that others made: opened only if they are what they should be.

A regular file, not larger than its kind ever is, UTF-8 with or without a BOM, JSON that is not
nested without end. Every error names the file. Knows nothing of what a file is for: the caller says
in a few words (`what`) and which error it raises (`error`).
"""

from __future__ import annotations

import json
import math
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from glmcli.errors import GlmError, UsageError
from glmcli.harmless import in_a_line, quoted
from glmcli.language import later, tr

MB, GB = 1_000_000, 1_000_000_000
MOST_NAMES_COMPARED = 10_000
"""Names in a folder that are compared with one that is not there."""
FIRST_LOOK = 4_096
"""Bytes that show whether a file is text."""
DEEPEST = 64
"""Levels of JSON; files of models, settings and conversations have fewer than ten."""
MOST_HOLDERS = 1_000_000
"""Lists and objects in JSON: each takes twenty times the memory of its two letters."""


def open_regular(
    path: Path, *, limit: int, what: str = "", error: type[GlmError] = UsageError
) -> BinaryIO:
    """A regular file of at most `limit` bytes, open for reading; the caller closes it.

    A FIFO, a device or a folder is never waited for or read. Raises `error`; an OSError of opening
    becomes one too, and stays its cause (FileNotFoundError for a file that is missing).
    """
    name = f"{what} {printable(path)}" if what else printable(path)
    with opening(name, error):
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        _check(os.fstat(handle), name, limit=limit, error=error)
        return os.fdopen(handle, "rb")
    except BaseException:
        os.close(handle)
        raise


def check_regular(path: Path, *, limit: int, error: type[GlmError] = UsageError) -> None:
    """Raise `error` for what `open_regular` would not open: for files that a library opens."""
    with opening(printable(path), error):
        found = path.stat()
    _check(found, printable(path), limit=limit, error=error)


def folder_bytes(folder: Path) -> int:
    """Bytes of all files under a folder that can be reached, also while others write there."""
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                total += Path(place, name).stat().st_size
    return total


def near_path(path: Path) -> str:
    """The path in the same folder whose name is nearest to one that is not there, which it is too
    with its letters in another order; "" if none is.
    """
    from difflib import get_close_matches
    from itertools import islice

    try:
        with os.scandir(path.parent) as entries:
            names = [each.name for each in islice(entries, MOST_NAMES_COMPARED)]
    except (OSError, ValueError):
        return ""
    by_small = {name.lower(): name for name in names}
    name = path.name.lower()
    near = [each for each in by_small if sorted(each) == sorted(name)]
    near = near or get_close_matches(name, by_small, n=1, cutoff=0.7)
    return str(path.with_name(by_small[near[0]])) if near else ""


def printable(path: Path) -> str:
    """A path for a message of one line: names may hold any character."""
    name = str(path)
    return name if in_a_line(name) == name else quoted(name)


def dangling(path: Path) -> str:
    """Where a link says that it leads, for a message; "" if it leads there, or is none."""
    try:
        is_broken = path.is_symlink() and not path.exists()
        return printable(path.readlink()) if is_broken else ""
    except (OSError, ValueError):
        return ""


@contextmanager
def opening(name: str, error: type[GlmError] = UsageError) -> Iterator[None]:
    """Translate what the system says of a path. Raises `error`."""
    try:
        yield
    except OSError as exc:
        reason = tr("{name} cannot be read: {reason}", name=name, reason=exc.strerror)
        missing = Path(os.fsdecode(exc.filename)) if isinstance(exc, FileNotFoundError) else None
        if missing and (target := dangling(missing)):
            reason = tr(
                "{name} is a link to {target}, which is not there", name=name, target=target
            )
            raise error(reason, tr("check the path")) from exc
        if near := near_path(missing) if missing else "":
            raise error(reason, meant=(str(missing), near)) from exc
        raise error(reason, tr("check the path")) from exc
    except ValueError as exc:  # a NUL character, or a surrogate
        reason = tr("{name} is not the name of a file", name=name)
        raise error(reason, tr("check the path")) from exc


@contextmanager
def reading(path: Path, error: type[GlmError] = UsageError) -> Iterator[None]:
    """Translate what a disk, a network or /proc says of a file that it let be opened."""
    try:
        yield
    except OSError as exc:
        name = printable(path)
        reason = tr("{name} cannot be read: {reason}", name=name, reason=exc.strerror)
        raise error(reason, tr("check the path")) from exc


def _check(found: os.stat_result, name: str, *, limit: int, error: type[GlmError]) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise error(
            tr("{name} is {kind}, not a file", name=name, kind=kind(found.st_mode)),
            tr("name a regular file"),
        )
    if found.st_size > limit:
        raise error(
            tr(
                "{name} is too large: {size:,} bytes; {limit:,} is the limit",
                name=name,
                size=found.st_size,
                limit=limit,
            ),
            tr("is it the right file?"),
        )


def kind(mode: int) -> str:
    """What a file that is not regular is, for a message."""
    names = {
        stat.S_ISDIR: later("a folder"),
        stat.S_ISFIFO: later("a pipe"),
        stat.S_ISSOCK: later("a socket"),
        stat.S_ISCHR: later("a device"),
        stat.S_ISBLK: later("a device"),
        stat.S_ISLNK: later("a symbolic link"),
    }
    return tr(next((name for test, name in names.items() if test(mode)), later("something else")))


def read_bytes(
    path: Path, *, limit: int, what: str = "", error: type[GlmError] = UsageError
) -> bytes:
    """All of a file, see `open_regular`; the limit holds for one that says no size, or grows."""
    with (
        open_regular(path, limit=limit, what=what, error=error) as file,
        opening(printable(path), error),
    ):
        # A device that looks like a file may have nothing to give, and says None.
        data = file.read(limit + 1) or b""
    if len(data) > limit:
        raise error(
            tr(
                "{name} is too large: {limit:,} bytes is the limit",
                name=printable(path),
                limit=limit,
            ),
            tr("is it the right file?"),
        )
    return data


def read_text(path: Path, *, limit: int, what: str = "", error: type[GlmError] = UsageError) -> str:
    """A file of UTF-8 text, with or without a BOM, see `open_regular`. Raises `error`."""
    return decode_text(
        read_bytes(path, limit=limit, what=what, error=error), printable(path), error=error
    )


def decode_text(data: bytes, where: str, *, error: type[GlmError] = UsageError) -> str:
    """UTF-8 text. Raises `error` with the place of the first byte that is wrong."""
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        raise error(
            tr("{name} is not valid UTF-8 (byte {at:,})", name=where, at=exc.start),
            tr("only text can be attached; take the text out of it first")
            if seems_binary(data)
            else tr("convert it, for example with iconv"),
        ) from exc


def seems_binary(data: bytes) -> bool:
    """Whether bytes that are not UTF-8 are no text in another encoding either."""
    head = data[:FIRST_LOOK]
    controls = sum(byte < 32 and byte not in b"\t\n\r\f\x1b" for byte in head)
    return head.startswith(b"%PDF-") or controls > len(head) // 50


_OF_JSON = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"?|[^"]++', re.DOTALL)
"""A text of JSON, or what stands between two."""


def has_more_values(text: str, most: int) -> bool:
    """Whether a text of JSON has more than `most` strings, commas and brackets, keys included.

    A value takes 30 to 100 times the memory of these. What only stands in a string does not count.
    """
    if sum(map(text.count, ',[{"')) <= most:
        return False
    found = 0
    for part in _OF_JSON.finditer(text):
        found += 1 if part[0][0] == '"' else sum(map(part[0].count, ",[{"))
        if found > most:
            return True
    return False


_LONGEST_NUMBER = 400
"""Digits; more are infinite as a float, too."""


def read_json(path: Path, *, limit: int, what: str = "", error: type[GlmError] = UsageError) -> Any:
    """A JSON file, see `open_regular` and `parsed`. Raises `error`."""
    return parse_json(
        read_text(path, limit=limit, what=what, error=error), printable(path), error=error
    )


def parse_json(text: str, where: str, *, error: type[GlmError] = UsageError) -> Any:
    """JSON as Python's values, `DEEPEST` levels and `MOST_HOLDERS` at most. Raises `error`."""
    if text.count("[") + text.count("{") > MOST_HOLDERS:
        raise error(
            tr("{name}: JSON with too many lists and objects", name=where),
            tr("is it the right file?"),
        )
    try:
        value = loads(text)
    except RecursionError as exc:
        raise _too_deep(where, error) from exc
    except ValueError as exc:
        reason = tr("{name} is not JSON: {reason}", name=where, reason=exc)
        raise error(reason, tr("is it the right file?")) from exc
    if depth(value, DEEPEST) > DEEPEST:
        raise _too_deep(where, error)
    return value


def loads(text: str) -> Any:
    """JSON as Python's values, whatever the length of its numbers. Raises ValueError."""
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        raise
    except ValueError:  # a number that is longer than Python reads
        return json.loads(text, parse_int=_whole_number)


def _whole_number(digits: str) -> float:
    """A number of JSON; infinite if it is longer than Python reads, and than anything counts."""
    return int(digits) if len(digits) <= _LONGEST_NUMBER else float(digits)


def json_text(value: Any, *, indent: int | None = None) -> str:
    """A value as JSON, every character as itself; what JSON has no words for is its text.

    NaN and the infinities are null: no reader of JSON has to know them.
    """
    try:
        return json.dumps(value, ensure_ascii=False, indent=indent, default=str, allow_nan=False)
    except ValueError:
        return json.dumps(_finite(value), ensure_ascii=False, indent=indent, default=str)


def _finite(value: Any) -> Any:
    """The same with None for every number that is none, at any depth."""
    if isinstance(value, dict):
        return {name: _finite(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _too_deep(where: str, error: type[GlmError]) -> GlmError:
    reason = tr("{name}: JSON that is nested too deeply", name=where)
    return error(reason, tr("is it the right file?"))


_HOLDERS = (dict, list)


def depth(value: Any, enough: int) -> int:
    """Levels of lists and dictionaries in a value; counting ends beyond `enough`."""
    levels, row = 0, [value]
    while row and levels <= enough:
        holders = [item for item in row if isinstance(item, _HOLDERS)]
        row = []
        for holder in holders:
            row += holder.values() if isinstance(holder, dict) else holder
        levels += bool(row)
    return levels
