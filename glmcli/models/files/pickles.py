"""Pickles as torch writes them, walked through before torch reads them.

torch runs nothing that a pickle says, but to hash a tuple of tuples may take without end, or more
than the stack has, and so may many keys with the same hash, which any but texts can have: that
happens in C, where nothing stops it. So tuples are weighed first, and only what files of weights
are made of is let through. Knows nothing of what is in a pickle.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Sequence
from mmap import ACCESS_READ, mmap
from pathlib import Path

from glmcli.models.files.zips import FIRST

HEAVIEST = 1_000
"""Values in a tuple, and in those within it, each as often as it is met; usual ones have twenty."""
OLD_PICKLES = 5
"""In a file that is no zip: a number, a version, the system, the tensors, the names of storages."""
PUSHES = {
    **dict.fromkeys(b"N\x88\x89]", 0),
    ord("K"): 1,
    ord("M"): 2,
    ord("J"): 4,
    ord("G"): 8,
}
"""Opcode that puts a value on the stack -> how many bytes tell it."""
LENGTHS = {ord("X"): 4, ord("U"): 1, 0x8A: 1}
"""Opcode that puts a text or a long number on the stack -> bytes of its length."""
TEXT, DICT, NOTHING, STORAGE = "text", "dict", "()", "storage"
MARKED_AS = {ord("X"): TEXT, ord("U"): TEXT, ord("}"): DICT, ord(")"): NOTHING}
"""Opcode that puts a value on the stack of which it counts what it is -> what it is."""
PUTS, GETS = {ord("q"): 1, ord("r"): 4}, {ord("h"): 1, ord("j"): 4}
"""Opcodes of the memo -> bytes of a place in it."""
TUPLES = {0x85: 1, 0x86: 2, 0x87: 3}
MARK, TO_TUPLE, GLOBAL, CALL, STORED, PROTOCOL, STOP = b"(tcRQ\x80."
BUILD, APPEND, APPENDS, SET, SETS = b"baesu"
ORDERED = b"collections\nOrderedDict\n"
CALLED = re.compile(rb"torch\._utils\n_rebuild_(?:tensor(?:_v2|_v3)?|parameter)\n")
"""What a state dict has called, beside OrderedDict without arguments."""
STORAGES = re.compile(rb"torch(?:\.storage)?\n(?:\w*Storage|[a-z]+[0-9]\w*)\n")
"""Kinds of storage and dtypes, which are named and not called."""
_Value = int | str | bytes
"""On the stack: what a value is where that counts, the name of a global, or else a weight."""


def check_pickles(path: Path) -> None:
    """Raise ValueError for a .bin file in which a tuple is too heavy, or that torch never wrote."""
    try:
        with path.open("rb") as file, mmap(file.fileno(), 0, access=ACCESS_READ) as data:
            if data[: len(FIRST)] == FIRST:
                weigh_parts(path)
            else:
                at = 0
                for _ in range(OLD_PICKLES):
                    at = weigh(data, at)
    except (IndexError, KeyError, zipfile.BadZipFile) as exc:
        raise ValueError("not a pickle of torch's") from exc


def weigh_parts(path: Path) -> None:
    """Walk through the pickles of a zip. Raises as `weigh` does."""
    with zipfile.ZipFile(path) as archive:
        parts = archive.infolist()
        if min(part.header_offset for part in parts) != 0:  # read from elsewhere than by torch
            raise ValueError("a zip behind something else")
        for part in parts:
            if part.filename.lower().endswith("data.pkl"):
                weigh(archive.read(part), 0)


def weigh(data: bytes | mmap, at: int) -> int:
    """The place behind the pickle that begins at a place.

    Raises ValueError, IndexError, KeyError.
    """
    stack: list[_Value] = []
    marks: list[int] = []
    memo: dict[bytes, _Value] = {}
    while (code := data[at]) != STOP:
        at += 1
        if code in PUSHES:
            stack.append(1)
            at += PUSHES[code]
        elif code in LENGTHS:
            start = at + LENGTHS[code]
            at = start + int.from_bytes(data[at:start], "little")
            stack.append(MARKED_AS.get(code, 1))
        elif code in PUTS:
            memo[data[at : at + PUTS[code]].rstrip(b"\0")] = stack[-1]
            at += PUTS[code]
        elif code in GETS:
            stack.append(memo[data[at : at + GETS[code]].rstrip(b"\0")])
            at += GETS[code]
        elif code in MARKED_AS:
            stack.append(MARKED_AS[code])
        elif code == MARK:
            marks.append(len(stack))
        elif code == TO_TUPLE:
            in_one(stack, marks.pop())
        elif code in TUPLES:
            in_one(stack, len(stack) - TUPLES[code])
        elif code == GLOBAL:
            start, at = at, line_end(data, line_end(data, at))
            stack.append(checked_name(data[start:at]))
        elif code == PROTOCOL:
            at += 1
        else:
            start = marks.pop() if code in (APPENDS, SETS) else 0
            put_in(stack, code, start)
    return at + 1


def put_in(stack: list[_Value], code: int, start: int) -> None:
    """Do what an opcode does with the values on top, from `start` on if it takes all of them.

    Raises ValueError for what is in no state dict, IndexError.
    """
    if code == CALL:
        arguments, called = stack.pop(), stack.pop()
        stack.append(called_with(called, arguments))
    elif code == STORED and stack[-1] == STORAGE:
        stack[-1] = 1
    elif code == APPEND:
        stack.pop()
    elif code == APPENDS:
        del stack[start:]
    elif code == BUILD and stack[-2:] == [DICT, DICT]:
        stack.pop()
    elif code in (SET, SETS):
        start = start if code == SETS else len(stack) - 2
        if start < 1 or stack[start - 1] != DICT or {*stack[start::2]} - {TEXT}:
            raise ValueError("a key that is no text")
        del stack[start:]
    else:
        raise ValueError(f"torch writes no {code:#x} there")


def checked_name(name: bytes) -> bytes:
    """The name of a global. Raises ValueError for one that no state dict has."""
    if name != ORDERED and not CALLED.fullmatch(name) and not STORAGES.fullmatch(name):
        raise ValueError(f"a state dict has no {name[:80]!r}")
    return name


def called_with(called: _Value, arguments: _Value) -> _Value:
    """What a call makes. Raises ValueError for one that no state dict has."""
    if called == ORDERED and arguments == NOTHING:
        return DICT
    if not (isinstance(called, bytes) and CALLED.fullmatch(called)):
        raise ValueError("a call that no state dict has")
    return weight_of([arguments])


def in_one(stack: list[_Value], start: int) -> None:
    """Put one tuple in place of the values from `start` on. Raises ValueError if it is heavy."""
    if start < 0:
        raise ValueError("a tuple of more than there is")
    parts = stack[start:]
    stack[start:] = [STORAGE if is_storage(parts) else weight_of(parts)]


def weight_of(parts: Sequence[_Value]) -> int:
    """What values weigh in one. Raises ValueError if that is too much."""
    weight = 1 + sum(part if isinstance(part, int) else 1 for part in parts)
    if weight > HEAVIEST:
        raise ValueError(f"a tuple of more than {HEAVIEST:,} values")
    return weight


def is_storage(parts: Sequence[_Value]) -> bool:
    """Whether a tuple names a storage: torch looks its third part up, and so it must be a text."""
    if len(parts) not in (5, 6) or not isinstance(parts[1], bytes):
        return False
    texts = (parts[0], parts[2], parts[3])
    return all(part == TEXT for part in texts) and all(part == 1 for part in parts[4:])


def line_end(data: bytes | mmap, at: int) -> int:
    """The place behind a line. Raises ValueError."""
    end = data.find(b"\n", at)
    if end < 0:
        raise ValueError("a line without an end")
    return end + 1
