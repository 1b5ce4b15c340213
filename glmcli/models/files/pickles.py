"""Pickles as torch writes them, walked through before torch reads them.

torch runs nothing that a pickle says, but to hash a tuple of tuples may take without end, or more
than the stack has: that happens in C, where nothing stops it. So tuples are weighed first. Knows
nothing of what is in a pickle.
"""

from __future__ import annotations

import zipfile
from mmap import ACCESS_READ, mmap
from pathlib import Path

from glmcli.models.files.zips import FIRST

HEAVIEST = 1_000
"""Values in a tuple, and in those within it, each as often as it is met; usual ones have twenty."""
OLD_PICKLES = 5
"""In a file that is no zip: a number, a version, the system, the tensors, the names of storages."""
PUSHES = {
    **dict.fromkeys(b"N\x88\x89)]}\x8f", 0),
    ord("K"): 1,
    ord("M"): 2,
    ord("J"): 4,
    ord("G"): 8,
}
"""Opcode that puts a value on the stack -> how many bytes tell it."""
LENGTHS = {ord("X"): 4, ord("U"): 1, 0x8A: 1}
"""Opcode that puts a text or a long number on the stack -> bytes of its length."""
PUTS, GETS = {ord("q"): 1, ord("r"): 4}, {ord("h"): 1, ord("j"): 4}
"""Opcodes of the memo -> bytes of a place in it."""
TUPLES = {0x85: 1, 0x86: 2, 0x87: 3}
TAKES = {ord("b"): 1, ord("a"): 1, ord("s"): 2}
"""Opcode that adds to a value below -> how many values it takes for that."""
CALLS = b"R\x81"
MARK, TO_TUPLE, GLOBAL, SAME, PROTOCOL, STOP = b"(tcQ\x80."


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

    Every value on its stack is a weight here. Raises ValueError, IndexError, KeyError.
    """
    stack: list[int] = []
    marks: list[int] = []
    memo: dict[bytes, int] = {}
    while (code := data[at]) != STOP:
        at += 1
        if code in PUSHES:
            stack.append(1)
            at += PUSHES[code]
        elif code in LENGTHS:
            start = at + LENGTHS[code]
            at = start + int.from_bytes(data[at:start], "little")
            stack.append(1)
        elif code in PUTS:
            memo[data[at : at + PUTS[code]].rstrip(b"\0")] = stack[-1]
            at += PUTS[code]
        elif code in GETS:
            stack.append(memo[data[at : at + GETS[code]].rstrip(b"\0")])
            at += GETS[code]
        elif code == MARK:
            marks.append(len(stack))
        elif code == TO_TUPLE:
            in_one(stack, marks.pop())
        elif code in TUPLES:
            in_one(stack, len(stack) - TUPLES[code])
        elif code in b"ue":
            del stack[marks.pop() :]
        elif code in TAKES:
            del stack[-TAKES[code] :]
        elif code in CALLS:  # what is called may make of its arguments what it likes
            in_one(stack, len(stack) - 2)
        elif code == GLOBAL:
            at = line_end(data, line_end(data, at))
            stack.append(1)
        elif code == PROTOCOL:
            at += 1
        elif code != SAME:  # a storage in place of its name
            raise ValueError(f"torch writes no {code:#x}")
    return at + 1


def in_one(stack: list[int], start: int) -> None:
    """Put one tuple in place of the values from `start` on. Raises ValueError if it is heavy."""
    weight = 1 + sum(stack[start:])
    if weight > HEAVIEST or start < 0:
        raise ValueError(f"a tuple of more than {HEAVIEST:,} values")
    stack[start:] = [weight]


def line_end(data: bytes | mmap, at: int) -> int:
    """The place behind a line. Raises ValueError."""
    end = data.find(b"\n", at)
    if end < 0:
        raise ValueError("a line without an end")
    return end + 1
