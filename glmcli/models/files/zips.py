"""The directory of a .bin file that is a zip, as torch writes it: looked at before torch reads it.

Knows nothing of what is in the parts.
"""

from __future__ import annotations

import os
import struct
from typing import BinaryIO, NamedTuple

FIRST = b"PK\3\4"
"""By these bytes torch knows that a file is a zip."""
STORED = 0
"""The way to pack that torch uses: none."""
_END = struct.Struct("<4s6xH2IH")
_FAR_END = struct.Struct("<4s4xQ4x")
"""Says where the directory of a large file is described."""
_LARGE = struct.Struct("<4s28x3Q")
_ENTRY = struct.Struct("<4s6xH12xI3H12x")


class ZipPart(NamedTuple):
    """One part of a zip."""

    name: str
    size_bytes: int
    """As it is in memory."""
    is_packed: bool


def read_directory(file: BinaryIO, *, limit: int) -> list[ZipPart]:
    """The parts of a zip without a comment, whose directory has `limit` bytes at most.

    Raises ValueError for what is no such zip, or not whole.
    """
    size = file.seek(0, os.SEEK_END)
    try:
        mark, count, length, start, comment = _END.unpack(_last(file, _END.size))
        if mark != b"PK\5\6" or comment:
            raise ValueError("no end of a zip")
        if 0xFFFFFFFF in (length, start) or count == 0xFFFF:
            mark, place = _FAR_END.unpack(_last(file, _END.size + _FAR_END.size)[: _FAR_END.size])
            file.seek(min(place, size))
            marks, _, length, start = _LARGE.unpack(file.read(_LARGE.size))
            if (mark, marks) != (b"PK\6\7", b"PK\6\6"):
                raise ValueError("no end of a large zip")
        if length > limit or start + length > size:
            raise ValueError("no directory of a zip")
        file.seek(start)
        return _parts(file.read(length))
    except (struct.error, OSError) as exc:
        raise ValueError(str(exc)) from exc


def _last(file: BinaryIO, count: int) -> bytes:
    file.seek(-count, os.SEEK_END)
    return file.read(count)


def _parts(directory: bytes) -> list[ZipPart]:
    found, at = [], 0
    while at < len(directory):
        mark, method, size, *lengths = _ENTRY.unpack_from(directory, at)
        if mark != b"PK\1\2":
            raise ValueError("no entry of a zip")
        at += _ENTRY.size
        name = directory[at : at + lengths[0]].decode(errors="replace")
        found.append(ZipPart(name, size, method != STORED))
        at += sum(lengths)
    return found
