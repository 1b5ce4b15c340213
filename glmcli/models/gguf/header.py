"""What a GGUF file says of itself, read from its header alone: what it is, its tensors, its bits.

The file is anybody's: how much is read, how many fields there are and how long a text may be is
limited, and nothing in it is believed before it was compared with the size of the file. Knows
nothing of where files lie.
"""

from __future__ import annotations

import re
import struct
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import Any, BinaryIO

from glmcli import files
from glmcli.errors import ModelError
from glmcli.language import tr
from glmcli.models.files.headers import LFS_POINTER, MOST_TENSORS
from glmcli.models.files.small import bad_download
from glmcli.paths import is_something

_MAGIC = b"GGUF"
_LARGEST = 128 * files.MB
"""Bytes of a header; the largest vocabularies have thirty million."""
MOST_PAIRS, LONGEST_KEY, LONGEST_TEXT = 10_000, 1_000, 1_000_000
"""Fields, and bytes of their names and texts; usual files have fifty, and a template of 20,000."""
_MOST_WORDS = 1_000_000
"""Texts of a list, or numbers of one: the largest vocabularies have 300,000."""
_KEPT = 4_096
"""Numbers of a list that is kept: one for each layer is all that is asked for."""
_MOST_SIDES, _LONGEST_SIDE = 4, 1 << 40
_CHUNK = 1 << 20
_NUMBERS = {
    0: "B",
    1: "b",
    2: "H",
    3: "h",
    4: "I",
    5: "i",
    6: "f",
    7: "?",
    10: "Q",
    11: "q",
    12: "d",
}
"""Kind of a value -> how `struct` reads it."""
_TEXT, _LIST = 8, 9
FORMAT_SIZES: Mapping[int, tuple[str, int, int]] = {
    number: (name, block, size)
    for name, number, block, size in (
        *(("F32", 0, 1, 4), ("F16", 1, 1, 2), ("BF16", 30, 1, 2), ("F64", 28, 1, 8)),
        *(("Q4_0", 2, 32, 18), ("Q4_1", 3, 32, 20), ("Q5_0", 6, 32, 22), ("Q5_1", 7, 32, 24)),
        *(("Q8_0", 8, 32, 34), ("Q2_K", 10, 256, 84), ("Q3_K", 11, 256, 110)),
        *(("Q4_K", 12, 256, 144), ("Q5_K", 13, 256, 176), ("Q6_K", 14, 256, 210)),
        *(("IQ2_XXS", 16, 256, 66), ("IQ2_XS", 17, 256, 74), ("IQ3_XXS", 18, 256, 98)),
        *(("IQ1_S", 19, 256, 50), ("IQ4_NL", 20, 32, 18), ("IQ3_S", 21, 256, 110)),
        *(("IQ2_S", 22, 256, 82), ("IQ4_XS", 23, 256, 136), ("IQ1_M", 29, 256, 56)),
        *(("I8", 24, 1, 1), ("I16", 25, 1, 2), ("I32", 26, 1, 4), ("I64", 27, 1, 8)),
        *(("TQ1_0", 34, 256, 54), ("TQ2_0", 35, 256, 66), ("MXFP4", 39, 32, 17)),
    )
}
"""Number of a tensor's format -> its name, and how many numbers take how many bytes."""
_MIXES = (
    *("F32", "F16", "Q4_0", "Q4_1", "", "", "", "Q8_0", "Q5_0", "Q5_1", "Q2_K", "Q3_K_S", "Q3_K_M"),
    *("Q3_K_L", "Q4_K_S", "Q4_K_M", "Q5_K_S", "Q5_K_M", "Q6_K", "IQ2_XXS", "IQ2_XS", "Q2_K_S"),
    *("IQ3_XS", "IQ3_XXS", "IQ1_S", "IQ4_NL", "IQ3_S", "IQ3_M", "IQ2_S", "IQ2_M", "IQ4_XS"),
    *("IQ1_M", "BF16"),
)
MIXES = {number: name for number, name in enumerate(_MIXES) if name}
"""`general.file_type` -> what people call such a mix of formats."""
VOCABULARY = ("tokenizer.ggml.tokens", "tokenizer.ggml.token_type")
_WORD = re.compile(r"[\w.-]{1,64}", re.ASCII)
_PART = re.compile(r"(.+-)(\d{5})(-of-(\d{5})\.gguf)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Header:
    """What a file, or the first of several, says of a model."""

    path: Path
    fields: Mapping[str, Any] = field(repr=False)
    """Numbers, texts and short lists of numbers; the vocabulary where it was asked for."""
    parameters: int
    size_bytes: int
    """Of all its files."""
    formats: Mapping[str, int]
    """The numbers in each format; those of formats that are not known here under "?"."""

    @property
    def family(self) -> str:
        """The architecture: "llama", "qwen3"."""
        return self.text("general.architecture")

    @property
    def bits(self) -> str:
        """What people call its formats: "Q4_K_M"."""
        most = max(self.formats, key=lambda name: self.formats[name], default="")
        mix = self.fields.get("general.file_type")
        return MIXES.get(mix, most) if isinstance(mix, int) else most

    @property
    def window(self) -> int | None:
        """What it was trained for, prompt and reply together."""
        return self.number("context_length")

    @property
    def layers(self) -> int | None:
        """How many layers it has."""
        return self.number("block_count")

    @property
    def token_bytes(self) -> int | None:
        """Keys and values of one token in 16 bits; None if it does not say."""
        layers, heads = self.layers, self.number("attention.head_count")
        width = self.number("embedding_length")
        if not layers or not heads or not width:
            return None
        stated = self.fields.get(f"{self.family}.attention.head_count_kv", heads)
        is_list = isinstance(stated, list)
        groups = sum(map(_whole, stated)) if is_list else layers * (_whole(stated) or heads)
        key = self.number("attention.key_length") or width // heads
        value = self.number("attention.value_length") or width // heads
        return 2 * groups * (key + value)

    def number(self, name: str) -> int | None:
        """A whole number above 0 of its family's fields, the largest where there is a list."""
        value = self.fields.get(f"{self.family}.{name}")
        value = max(map(_whole, value), default=0) if isinstance(value, list) else _whole(value)
        return value or None

    def text(self, name: str) -> str:
        """A field that is a text; "" where there is none."""
        value = self.fields.get(name)
        return value if isinstance(value, str) else ""


def _whole(value: object) -> int:
    is_number = isinstance(value, int) and not isinstance(value, bool) and 0 < value < 1 << 40
    return value if is_number and isinstance(value, int) else 0


def read_gguf(path: Path, *, vocabulary: bool = False) -> Header:
    """The header of a model's file, or of the first of several. Raises ModelError."""
    fields: dict[str, Any] = {}
    formats: Counter[str] = Counter()
    size = 0
    for part in shards_of(path):
        size += _read_file(part, fields, formats, kept=VOCABULARY if vocabulary else ())
    header = Header(path, fields, formats.total(), size, formats)
    if not _WORD.fullmatch(header.family):
        raise bad_download(tr("{name} names no architecture", name=files.printable(path)))
    return header


def shards_of(path: Path) -> list[Path]:
    """The files of a model that was split, in their order. Raises ModelError for one that lacks."""
    found = _PART.fullmatch(path.name)
    if found is None:
        return [path]
    count = min(int(found[4]), 1_000)
    parts = [path.with_name(f"{found[1]}{n:05}{found[3]}") for n in range(1, count + 1)]
    for part in parts:
        if not is_something(part):
            raise bad_download(
                tr("{name} is one of {n} files, and {missing} is not beside it",
                   name=path.name, n=count, missing=part.name)
            )  # fmt: skip
    return parts


def _read_file(
    path: Path, fields: dict[str, Any], formats: Counter[str], *, kept: Sequence[str]
) -> int:
    """Add what one file says; returns its size. Raises ModelError."""
    name = files.printable(path)
    with (
        files.open_regular(path, limit=1 << 50, error=ModelError) as file,
        files.reading(path, ModelError),
    ):
        size = file.seek(0, 2)
        file.seek(0)
        cursor = _Cursor(file, name)
        tensors, pairs = _read_start(cursor, name)
        for _ in range(pairs):
            key = cursor.text(LONGEST_KEY, tr("a name"))
            value = _read_value(cursor, key, is_kept=key in kept)
            if value is not None:
                fields.setdefault(key, value)
        end = _read_tensors(cursor, tensors, formats)
        align = _whole(fields.get("general.alignment", 32)) or 32
        needed = -(-cursor.at // align) * align + end if tensors else cursor.at
    if needed > size:
        raise bad_download(
            tr(
                "{name} is cut off: it has {size:,} of {needed:,} bytes",
                name=name,
                size=size,
                needed=needed,
            )
        )
    return size


def _read_start(cursor: _Cursor, name: str) -> tuple[int, int]:
    """How many tensors and fields follow. Raises ModelError for what is no GGUF of today."""
    start = cursor.take(4)
    if start != _MAGIC:
        if (start + cursor.take(20)).startswith(LFS_POINTER[:24]):
            raise bad_download(tr("{name} is a pointer of Git LFS, not the file itself", name=name))
        raise ModelError(tr("{name} is not a GGUF file", name=name), tr("is it the right file?"))
    version = cursor.number("I")
    if version not in (2, 3):
        is_other = version and not version & 0xFFFF
        raise ModelError(
            tr("{name} is for machines with the other order of bytes", name=name)
            if is_other
            else tr("{name} is GGUF of version {n}, not 2 or 3", name=name, n=version),
            tr("look for the same model made for llama.cpp of today"),
        )
    tensors, pairs = cursor.number("Q"), cursor.number("Q")
    cursor.check(tensors, MOST_TENSORS, tr("tensors"))
    cursor.check(pairs, MOST_PAIRS, tr("fields"))
    return tensors, pairs


def _read_value(cursor: _Cursor, key: str, *, is_kept: bool) -> Any:
    """A value; None for a list that nobody asks for. Raises ModelError."""
    kind = cursor.number("I")
    if kind == _TEXT:
        return cursor.text(LONGEST_TEXT, key)
    if kind in _NUMBERS:
        return cursor.number(_NUMBERS[kind])
    if kind != _LIST:
        raise cursor.odd(tr("{key!r:.80} is of no known kind", key=key))
    kind, count = cursor.number("I"), cursor.number("Q")
    cursor.check(count, _MOST_WORDS, key)
    if kind == _TEXT:
        if is_kept:
            return [cursor.text(LONGEST_TEXT, key) for _ in range(count)]
        return cursor.skip_texts(count)
    if kind not in _NUMBERS:  # a list of lists too: llama.cpp reads none
        raise cursor.odd(tr("{key!r:.80} is of no known kind", key=key))
    size = struct.calcsize(f"<{_NUMBERS[kind]}")
    data = cursor.take(size * count)
    if not is_kept and count > _KEPT:
        return None
    return list(struct.unpack(f"<{count}{_NUMBERS[kind]}", data))


def _read_tensors(cursor: _Cursor, count: int, formats: Counter[str]) -> int:
    """Add the numbers of each format; returns where the last tensor ends. Raises ModelError."""
    end = 0
    for _ in range(count):
        name = cursor.text(LONGEST_KEY, tr("a name"))
        sides = cursor.number("I")
        cursor.check(sides, _MOST_SIDES, tr("sides of a tensor"))
        shape = [cursor.number("Q") for _ in range(sides)]
        for side in shape:
            cursor.check(side, _LONGEST_SIDE, name)
        kind, offset = cursor.number("I"), cursor.number("Q")
        numbers = prod(shape)
        label, block, size = FORMAT_SIZES.get(kind, ("?", 1, 0))
        formats[label] += numbers
        end = max(end, offset + numbers // block * size)
    return end


class _Cursor:
    """Where a header is read, in pieces: only as far as it goes. Raises ModelError."""

    def __init__(self, file: BinaryIO, name: str) -> None:
        self._file = file
        self._name = name
        self._data = b""
        self._next = 0
        self.at = 0
        """Bytes that were read so far."""

    def take(self, size: int) -> bytes:
        """The next bytes."""
        if self._next + size > len(self._data):
            self.check(self.at + size, _LARGEST, tr("bytes of its header"))
            more = self._file.read(max(_CHUNK, size))
            self._data, self._next = self._data[self._next :] + more, 0
            if size > len(self._data):
                raise bad_download(tr("{name} is cut off in its header", name=self._name))
        start = self._next
        self._next += size
        self.at += size
        return self._data[start : self._next]

    def number(self, form: str) -> Any:
        """The next number, in a form of `struct`."""
        form = f"<{form}"
        return struct.unpack(form, self.take(struct.calcsize(form)))[0]

    def text(self, most: int, what: str) -> str:
        """The next text, of so many bytes at most."""
        size = int.from_bytes(self.take(8), "little")
        self.check(size, most, what)
        return self.take(size).decode("utf-8", "replace")

    def skip_texts(self, count: int) -> None:
        """Go past so many texts: a vocabulary has hundreds of thousands, and a list many models."""
        for _ in range(count):
            data, start = self._data, self._next
            size = int.from_bytes(data[start : start + 8], "little")
            if start + 8 + size > len(data) or start + 8 > len(data):
                size = int.from_bytes(self.take(8), "little")
                self.take(size)
            else:
                self._next += 8 + size
                self.at += 8 + size

    def check(self, count: int, most: int, what: str) -> None:
        """Raise ModelError for more of something than any file has."""
        if count > most:
            raise self.odd(
                tr(
                    "too many for {what!r:.80}: {count:,}; {most:,} is the limit",
                    what=what,
                    count=count,
                    most=most,
                )
            )

    def odd(self, why: str) -> ModelError:
        """The error for a header that cannot be what it says."""
        return bad_download(tr("{name}: its header cannot be: {why}", name=self._name, why=why))
