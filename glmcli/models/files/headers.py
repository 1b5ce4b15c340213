"""What a checkpoint's weight files say about themselves, read from their headers alone.

Finds the files, and notices those that are missing, cut off or do not belong together. Knows
nothing of torch: tensors are names, dtypes and shapes.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import Any, BinaryIO

from glmcli import files
from glmcli.errors import ModelError
from glmcli.language import bytes_phrase, tr
from glmcli.models.files import zips
from glmcli.models.files.small import bad_download, read_checkpoint_json
from glmcli.paths import is_something

LARGEST_HEADER = 30 * files.MB
"""Bytes; hundreds of thousands of tensors. The library itself stops at 100 MB."""
LARGEST_PICKLE = 10 * files.MB
"""Bytes of what stands for a header in a .bin file; twenty thousand tensors have two million."""
MOST_HEADER_BYTES = 60 * files.MB
"""Of all files of a checkpoint."""
_BYTES = {
    **dict.fromkeys(("F64", "I64", "U64", "C64"), 8),
    **dict.fromkeys(("F32", "I32", "U32"), 4),
    **dict.fromkeys(("F16", "BF16", "I16", "U16"), 2),
    **dict.fromkeys(("I8", "U8", "BOOL", "F8_E4M3", "F8_E5M2", "F8_E8M0"), 1),
}
"""Of one number; newer dtypes may have less than a byte."""
MOST_SIDES = 64
MOST_TENSORS = 300_000
"""In all files of a checkpoint; the largest nets have 280,000: 384 experts, and scales."""
MOST_FILES = 2_000
"""Shards; the largest nets have two hundred."""
LFS_POINTER = b"version https://git-lfs"


@dataclass(frozen=True, slots=True)
class Tensor:
    """One tensor in a file."""

    dtype: str
    """As safetensors names it: "BF16", "F32", "I64"."""
    shape: tuple[int, ...]
    size_bytes: int

    @property
    def numbers(self) -> int:
        """How many numbers it holds."""
        return prod(self.shape)

    @property
    def is_float(self) -> bool:
        """Whether loading may change its dtype."""
        return self.dtype in ("F64", "F32", "F16", "BF16")


@dataclass(slots=True)
class Allowance:
    """What the headers of a checkpoint may still have, all its files together."""

    header_bytes: int = MOST_HEADER_BYTES
    tensors: int = MOST_TENSORS

    def take(self, path: Path, *, header_bytes: int = 0, tensors: int = 0) -> None:
        """Take off what a file has. Raises ModelError where there is not so much left."""
        self.header_bytes -= header_bytes
        self.tensors -= tensors
        if self.tensors < 0:
            raise bad_download(
                tr(
                    "{name}: the model has more than {limit:,} tensors",
                    name=path.name,
                    limit=MOST_TENSORS,
                )
            )
        if self.header_bytes < 0:
            raise bad_download(
                tr(
                    "{name}: the headers of the model's files have more than {limit:,} bytes",
                    name=path.name,
                    limit=MOST_HEADER_BYTES,
                )
            )


@dataclass(frozen=True, slots=True)
class Weights:
    """The files of one checkpoint, all of one format."""

    files: tuple[Path, ...]
    tensors: Mapping[str, Tensor] = field(default_factory=dict, repr=False)
    """Empty for .bin files, which do not say without being loaded."""
    index: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Tensor -> file name, as the index says; empty if there is none."""

    @property
    def size_bytes(self) -> int:
        """Size of all files on disk."""
        return sum(path.stat().st_size for path in self.files)


def read_weights(folder: Path) -> Weights:
    """Find and check the weight files of a folder, safetensors first. Raises ModelError."""
    index_path, files = find_files(folder)
    if not files:
        raise bad_download(
            tr(
                "{folder} has no weights (no model.safetensors, no pytorch_model.bin)",
                folder=folder,
            )
        )
    if index_path and not index_path.exists():
        raise ModelError(
            tr(
                "{folder} holds {count} shards of weights but no {name}",
                folder=folder,
                count=len(files),
                name=index_path.name,
            ),
            tr("download that file from where the shards came from"),
        )
    for path in files:
        if not path.exists():
            raise bad_download(tr("{file} is named in the index but is not there", file=path.name))
    headers = dict(read_headers(files))
    index = read_index(index_path) if index_path else {}
    if files[0].suffix == ".safetensors":
        check_index(index, headers)
    tensors = {name: tensor for names in headers.values() for name, tensor in names.items()}
    return Weights(files, tensors, index)


def read_headers(files: Sequence[Path]) -> Iterator[tuple[str, dict[str, Tensor]]]:
    """The tensors of each file of a checkpoint, see `read_header`; none may be in two."""
    left, known = Allowance(), set[str]()
    for path in files:
        found = read_header(path, left)
        for name in found:
            if name in known:
                raise bad_download(
                    tr("{file}: {name!r:.80} is in another file too", file=path.name, name=name)
                )
        known.update(found)
        yield path.name, found


def find_files(folder: Path) -> tuple[Path | None, tuple[Path, ...]]:
    """The index, if there should be one, and the weights; any may be missing. Raises ModelError."""
    for single in (folder / "model.safetensors", folder / "pytorch_model.bin"):
        index_path = single.with_name(f"{single.name}.index.json")
        if single.exists():
            return None, (single,)
        if index_path.exists():
            return index_path, indexed_files(folder, read_index(index_path))
        if shards := sorted(folder.glob(f"{single.stem}-*-of-*{single.suffix}")):
            return index_path, tuple(shards)
    return None, ()


def missing_weights(folder: Path) -> list[str]:
    """Names of weight files, or of an index, that should be there and are not."""
    try:
        index_path, files = find_files(folder)
    except ModelError:
        return []
    expected = [index_path, *files] if index_path else list(files)
    expected = expected or [folder / "model.safetensors"]
    return [path.name for path in expected if not is_something(path)]


def read_index(path: Path) -> dict[str, str]:
    """The tensor -> file table of an index. Raises ModelError."""
    table = read_checkpoint_json(path).get("weight_map")
    if not isinstance(table, dict) or not table:
        raise bad_download(tr("{name} has no weight_map", name=path.name))
    for name in table.values():
        # A name with a path in it would reach outside the folder.
        if not isinstance(name, str) or Path(name).name != name or not is_weights(name):
            raise bad_download(
                tr(
                    "{file} names {name!r:.100}, which is not a file of weights",
                    file=path.name,
                    name=name,
                )
            )
    if len(set(table.values())) > MOST_FILES:
        raise bad_download(
            tr("{file} names more than {limit:,} files", file=path.name, limit=MOST_FILES)
        )
    return table


def is_weights(name: str) -> bool:
    """Whether a name can be that of a file of weights."""
    return len(name) <= 255 and name.isprintable() and name.endswith((".safetensors", ".bin"))


def indexed_files(folder: Path, index: Mapping[str, str]) -> tuple[Path, ...]:
    """The shards: those the index names, and those of the same set that it forgot."""
    names = set(index.values())
    sets = {set_of(name) for name in names} - {None}
    names |= {path.name for path in folder.iterdir() if set_of(path.name) in sets}
    return tuple(folder / name for name in sorted(names))


def set_of(name: str) -> tuple[str, str] | None:
    """What all names of a set of shards begin and end with; None if it is that of no shard."""
    head, of, end = name.rpartition("-of-")
    return (head.rpartition("-")[0], end) if of else None


def check_index(index: Mapping[str, str], files: Mapping[str, Iterable[str]]) -> None:
    """Raise ModelError unless every tensor is where the index says, and no other is there."""
    if not index:
        return
    found = {name: set(names) for name, names in files.items()}
    for tensor, name in index.items():
        if tensor not in found[name]:
            raise bad_download(
                tr(
                    "the index says that {tensor} is in {file}, but it is not",
                    tensor=tensor,
                    file=name,
                )
            )
    for name, tensors in found.items():
        for tensor in sorted(tensors):
            if index.get(tensor) != name:
                raise ModelError(
                    tr("{tensor} is in {file} but not in the index", tensor=tensor, file=name),
                    tr(
                        "the index and the shards come from different downloads: "
                        "download the model again"
                    ),
                )


def read_header(path: Path, left: Allowance | None = None) -> dict[str, Tensor]:
    """The tensors of one file; none for a .bin. Raises ModelError if the file is not whole.

    `left` is what the headers of its checkpoint may still have.
    """
    left = left or Allowance()
    with (
        files.open_regular(path, limit=sys.maxsize, error=ModelError) as file,
        files.reading(path, ModelError),
    ):
        start = file.read(len(LFS_POINTER))
        if start == LFS_POINTER:
            raise lfs_pointer(path)
        if path.suffix == ".bin":
            if start[:1] != b"\x80":  # old files are plain pickles: only torch can look at them
                check_bin(path, file, left)
            return {}
        length = int.from_bytes(start[:8], "little")
        size = path.stat().st_size
        if len(start) < 8 or length > min(size - 8, LARGEST_HEADER):
            raise damaged(path)
        left.take(path, header_bytes=length)
        file.seek(8)
        header = file.read(length)
    left.take(path, tensors=header.count(b"[") // 2)  # two lists each: its shape, and its place
    return parse_header(path, header, size - 8 - length)


def check_bin(path: Path, file: BinaryIO, left: Allowance) -> None:
    """Raise ModelError for a zip in which more would be unpacked than torch ever packs.

    What torch unpickles is the part data.pkl; the others are the numbers, one for each tensor.
    """
    try:
        parts = zips.read_directory(file, limit=LARGEST_HEADER)
    except ValueError as exc:
        raise damaged(path) from exc
    left.take(path, tensors=len(parts))
    for part in parts:
        if part.is_packed:
            raise bad_download(
                tr("{file} is a packed zip, which torch never writes", file=path.name)
            )
        if part.name.lower().endswith("data.pkl"):
            if part.size_bytes > LARGEST_PICKLE:
                raise bad_download(
                    tr(
                        "{file}: data.pkl has {size:,} bytes; {limit:,} is the limit",
                        file=path.name,
                        size=part.size_bytes,
                        limit=LARGEST_PICKLE,
                    )
                )
            left.take(path, header_bytes=part.size_bytes)


def parse_header(path: Path, header: bytes, data_bytes: int) -> dict[str, Tensor]:
    """Tensors of a safetensors header whose file holds `data_bytes` after it."""
    try:
        items: dict[str, Any] = json.loads(header)
        about = items.pop("__metadata__", {})
        if not all(isinstance(value, str) for value in about.values()):
            raise TypeError("metadata is text")
        places = sorted((item["data_offsets"] for item in items.values()), key=tuple)
        tensors = {name: tensor_of(name, item, path) for name, item in items.items()}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as exc:
        raise damaged(path) from exc
    # One after the other, without gaps: what the library asks for.
    ends = [0, *(end for _, end in places)]
    if any(start != end for (start, _), end in zip(places, ends, strict=False)):
        raise damaged(path)
    if ends[-1] != data_bytes:
        raise damaged(path)
    return tensors


def tensor_of(name: str, item: Mapping[str, Any], path: Path) -> Tensor:
    """One tensor of a header. Raises ModelError, KeyError, TypeError, ValueError."""
    dtype, shape, (start, end) = item["dtype"], item["shape"], item["data_offsets"]
    sizes = [start, end, *shape] if isinstance(shape, list) and len(shape) <= MOST_SIDES else [None]
    if not isinstance(dtype, str) or not all(type(size) is int and size >= 0 for size in sizes):
        raise bad_download(
            tr("{file}: the header of {name!r:.80} makes no sense", file=path.name, name=name)
        )
    tensor = Tensor(dtype, tuple(shape), end - start)
    if dtype in _BYTES and tensor.numbers * _BYTES[dtype] != tensor.size_bytes:
        raise bad_download(
            tr(
                "{file}: {name!r:.80} has {size}, which is not its shape",
                file=path.name,
                name=name,
                size=bytes_phrase(tensor.size_bytes),
            )
        )
    return tensor


def damaged(path: Path) -> ModelError:
    """The error for a file that is not whole."""
    size = bytes_phrase(path.stat().st_size)
    return bad_download(
        tr("{name} is damaged or cut off (it has {size})", name=path.name, size=size)
    )


def lfs_pointer(path: Path) -> ModelError:
    """The error for a file that Git LFS has not fetched."""
    return ModelError(
        tr("{file} is a Git LFS pointer, not the file itself", file=path.name),
        tr("run git lfs pull in {folder}", folder=path.parent),
    )
