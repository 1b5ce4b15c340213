"""Hostile checkpoints of which a file is wrong: no file, another thing, or full of lies.

Always the same ones: what is random in them comes of one seed.
"""

from __future__ import annotations

import io
import json
import os
import pickle
import random
import socket
import zipfile
from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import chdir
from pathlib import Path
from typing import Any

from tests.hostile import healthy
from tests.hostile.spoiling import Case, Spoil, replaced, with_content, with_field

SEED = 13
HUGE = 2_000_000_000
PICKLE = "archive/data.pkl"
FILES = (
    (healthy.write_llama, "config.json"),
    (healthy.write_llama, "generation_config.json"),
    (healthy.write_llama, "tokenizer_config.json"),
    (healthy.write_llama, "tokenizer.json"),
    (healthy.write_llama, "model.safetensors"),
    (healthy.write_llama, "chat_template.jinja"),
    (healthy.write_llama, "special_tokens_map.json"),
    (healthy.write_shards, "model.safetensors.index.json"),
    (healthy.write_bin, "pytorch_model.bin"),
    (healthy.write_chatglm, "config.json"),
    (healthy.write_chatglm, "tokenizer.model"),
)


def every_case() -> Iterator[Case]:
    """All of them."""
    yield from whole_files()
    yield from headers()
    yield from indexes()
    yield from pickles()
    yield from tokenizers()


def whole_files() -> Iterator[Case]:
    """A file that is not one, or not of its kind."""
    noise = random.Random(SEED).randbytes(5_000)
    contents: dict[str, bytes | Callable[[bytes], bytes]] = {
        "nothing": b"",
        "noise": noise,
        "NUL": bytes(5_000),
        "half": lambda data: data[: len(data) // 2],
        "UTF-16": '{"a": 1}'.encode("utf-16"),
        "deep": b"[" * 100_000 + b"]" * 100_000,
        "deep objects": b'{"a":' * 5_000 + b"1" + b"}" * 5_000,
        "a number": b"5",
        "a list": b"[1, 2]",
        "an integer of 10,000 digits": b'{"model_type": ' + b"1" * 10_000 + b"}",
        "LFS": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n",
    }
    kinds: dict[str, Callable[[Path], object]] = {
        "pipe": os.mkfifo,
        "folder": Path.mkdir,
        "device": lambda path: path.symlink_to("/dev/zero"),
        "terminal": lambda path: path.symlink_to("/dev/tty"),
        "loop": lambda path: path.symlink_to(path.name),
        "socket": make_socket,
        "2 GB": lambda path: make_huge(path),
    }
    for base, file in FILES:
        for name, make in kinds.items():
            yield Case(f"{base.__name__[6:]} {file} is a {name}", base, replaced(file, make), file)
        for name, data in contents.items():
            if file.endswith(".jinja") and name not in ("noise", "UTF-16"):
                continue  # any other text is a template
            spoil = with_content(file, data)
            harmless = file == "special_tokens_map.json"
            yield Case(
                f"{base.__name__[6:]} {file} holds {name}", base, spoil, is_harmless=harmless
            )
    yield Case("llama config.json with a BOM", healthy.write_llama, with_bom, is_harmless=True)


def make_socket(path: Path) -> None:
    """A socket in a folder; its path is too long to be bound from elsewhere."""
    with chdir(path.parent), socket.socket(socket.AF_UNIX) as bound:
        bound.bind(path.name)


def make_huge(path: Path) -> None:
    """A file of two gigabytes that takes no room on the disk."""
    with path.open("wb") as file:
        file.truncate(HUGE)


def with_bom(folder: Path) -> None:
    """Windows editors put three bytes before a text."""
    path = folder / "config.json"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())


def headers() -> Iterator[Case]:
    """A header of safetensors that lies."""
    first = "model.embed_tokens.weight"
    lies: dict[str, Callable[[dict[str, Any]], object]] = {
        "shape of text": lambda items: items[first].update(shape=["a"]),
        "shape below nothing": lambda items: items[first].update(shape=[-430, -64]),
        "shape of fractions": lambda items: items[first].update(shape=[430.0, 64.5]),
        "shape is a number": lambda items: items[first].update(shape=5),
        "shape is larger": lambda items: items[first].update(shape=[10**9, 10**9]),
        "shape is nested": lambda items: items[first].update(shape=[[430, 64]]),
        "shape of 10,000 ones": lambda items: items[first].update(shape=[430, 64] + [1] * 10_000),
        "dtype unknown": lambda items: items[first].update(dtype="X9"),
        "dtype is a number": lambda items: items[first].update(dtype=5),
        "dtype is a list": lambda items: items[first].update(dtype=["F32"]),
        "dtype of another size": lambda items: items[first].update(dtype="F64"),
        "offsets below nothing": lambda items: items[first].update(data_offsets=[-8, 8]),
        "offsets beyond the end": lambda items: items[first].update(data_offsets=[0, 10**15]),
        "offsets turned round": lambda items: items[first]["data_offsets"].reverse(),
        "offsets of text": lambda items: items[first].update(data_offsets=["a", "b"]),
        "offsets of fractions": lambda items: items[first].update(data_offsets=[0.5, 9.5]),
        "one offset": lambda items: items[first].update(data_offsets=[5]),
        "offsets of another": lambda items: items[first].update(
            data_offsets=items["lm_head.weight"]["data_offsets"]
        ),
        "a tensor is a list": lambda items: items.update({first: []}),
        "no offsets": lambda items: items[first].pop("data_offsets"),
        "no shape": lambda items: items[first].pop("shape"),
        "300,000 tensors": lambda items: items.update(
            (f"t{number}", {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]})
            for number in range(300_000)
        ),
        "metadata is a number": lambda items: items.update(__metadata__=5),
        "metadata of numbers": lambda items: items.update(__metadata__={"a": 5}),
        "a name with NUL": lambda items: items.update({"a\0b": items.pop(first)}),
    }
    for name, lie in lies.items():
        yield Case(f"header: {name}", healthy.write_llama, with_header(lie), is_heavy="000" in name)
    lengths = {"2^63": 1 << 63, "2 GB": HUGE, "longer than the file": 10**6, "0": 0, "1": 1}
    for name, length in lengths.items():
        yield Case(f"header of {name} bytes", healthy.write_llama, with_length(length))
    yield Case(
        "header of 90 MB of lists", healthy.write_llama, with_lists(90_000_000), is_heavy=True
    )
    yield Case(
        "header of 20 MB of lists", healthy.write_llama, with_lists(20_000_000), is_heavy=True
    )


def with_header(lie: Callable[[dict[str, Any]], object]) -> Spoil:
    """Writes another header before the numbers."""

    def spoil(folder: Path) -> None:
        path = folder / "model.safetensors"
        data = path.read_bytes()
        length = int.from_bytes(data[:8], "little")
        items = json.loads(data[8 : 8 + length])
        lie(items)
        text = json.dumps(items).encode()
        path.write_bytes(len(text).to_bytes(8, "little") + text + data[8 + length :])

    return spoil


def with_length(length: int) -> Spoil:
    """Writes another length of the header; with one of gigabytes the file is as long."""

    def spoil(folder: Path) -> None:
        with (folder / "model.safetensors").open("rb+") as file:
            file.write(length.to_bytes(8, "little"))
            if length == HUGE:
                file.truncate(2 * HUGE)

    return spoil


def with_lists(size: int) -> Spoil:
    """Writes a header of empty lists, which take far more memory than text."""

    def spoil(folder: Path) -> None:
        text = b'{"a":[' + b"[]," * (size // 3) + b"[]]}"
        path = folder / "model.safetensors"
        path.write_bytes(len(text).to_bytes(8, "little") + text)

    return spoil


def indexes() -> Iterator[Case]:
    """An index that reaches elsewhere, or says what is not so."""
    names = {
        "parent": "../healthy/model.safetensors",
        "absolute": "/dev/zero",
        "a folder up": "..",
        "this folder": ".",
        "nothing": "",
        "a NUL": "model\0.safetensors",
        "a folder below": "sub/model.safetensors",
        "a new line": "model\n.safetensors",
        "a number": 5,
        "a list": ["a"],
        "a long name": "x" * 5_000,
        "config.json": "config.json",
        "no such file": "model-00009-of-00002.safetensors",
    }
    for name, value in names.items():
        yield Case(f"index names {name}", healthy.write_shards, with_weight_map(value))
    tables: list[Any] = [5, [], {}, "x", None]
    for table in tables:
        spoil = with_field("model.safetensors.index.json", "weight_map", table)
        yield Case(f"weight_map={table!r}", healthy.write_shards, spoil)
    shard = "model-00002-of-00002.safetensors"
    for kind, make in (("pipe", os.mkfifo), ("folder", Path.mkdir)):
        yield Case(f"a shard is a {kind}", healthy.write_shards, replaced(shard, make), shard)


def with_weight_map(name: Any) -> Spoil:
    """Lets the index name another file for one tensor."""

    def spoil(folder: Path) -> None:
        path = folder / "model.safetensors.index.json"
        values = json.loads(path.read_text(encoding="utf-8"))
        values["weight_map"]["lm_head.weight"] = name
        healthy.write_json(path, values)

    return spoil


class Runs:
    """A pickle that would leave a file behind if it were run."""

    def __reduce__(self) -> Any:
        return os.system, ("touch PWNED",)


def pickles() -> Iterator[Case]:
    """A .bin file that is a program, a bomb, or another thing."""
    plain: dict[str, bytes | Callable[[bytes], bytes]] = {
        "a plain pickle runs": pickle.dumps({"a": Runs()}, protocol=2),
        "a plain pickle of a list": pickle.dumps([1, 2], protocol=2),
        "a plain pickle of text": pickle.dumps({"a": "b"}, protocol=2),
        "a pickle without end": b"\x80\x02" + b"(" * 1_000_000,
        "a short pickle without end": lambda _: marks(4_000_000),
        "a zip of a version": zipped({}),
        "a zip of other things": zipped({"a.txt": b"a"}),
        "a pickle in a zip runs": zipped({PICKLE: pickle.dumps(Runs(), protocol=2)}),
        "a zip bomb": lambda data: zipped({PICKLE: bytes(HUGE // 4)}, is_packed=True),
        "a zip bomb of nothing": lambda data: zipped({PICKLE: b"N0" * (HUGE // 8)}, is_packed=True),
        "marks": lambda data: zipped({PICKLE: marks(40_000_000)}, is_packed=True),
        "marks in a plain zip": lambda data: zipped({PICKLE: marks(4_000_000)}),
        "80 MB in a plain zip": lambda data: zipped({PICKLE: marks(40_000_000)}),
        "a tuple of itself as a key": b"\x80\x02})q\0" + b"h\0\x86q\0" * 60 + b"K\1s.",
        "tuples in tuples as a key": b"\x80\x02})" + b"\x85" * 4_000_000 + b"K\1s.",
        "a zip whose name escapes": zipped({"../data.pkl": b"\x80\x02}."}),
        "a list of a billion": b"\x80\x02]" + b"J\xff\xff\xff\x7f" * 10 + b".",
    }
    for name, data in plain.items():
        yield Case(f"bin: {name}", healthy.write_bin, with_content("pytorch_model.bin", data))


def marks(count: int) -> bytes:
    """A pickle that opens a tuple again and again: unpickled in Python, each takes a while."""
    return b"\x80\x02}" + b"(u" * count + b"."


def zipped(files: Mapping[str, bytes], *, is_packed: bool = False) -> bytes:
    """A zip of these files and what torch looks for first; it is packed as torch never does."""
    made = io.BytesIO()
    packing = zipfile.ZIP_DEFLATED if is_packed else zipfile.ZIP_STORED
    with zipfile.ZipFile(made, "w", packing, compresslevel=1) as archive:
        for name, data in {**files, "archive/version": b"3\n"}.items():
            archive.writestr(name, data)
    return made.getvalue()


def tokenizers() -> Iterator[Case]:
    """A tokenizer.json or a tokenizer.model that is none."""
    parts: dict[str, Any] = {
        "model": [5, None, {}, {"type": "BPE"}, {"type": "no such"}, []],
        "added_tokens": [5, [5], [{"id": "x"}], [{"id": -1, "content": "a"}], {}],
        "pre_tokenizer": [5, {"type": "no such"}, {"type": "Sequence", "pretokenizers": 5}],
        "normalizer": [5, {"type": "Replace", "pattern": 5}],
        "decoder": [5, {"type": "no such"}],
        "version": [5, "9.9"],
    }
    for part, values in parts.items():
        for value in values:
            spoil = with_field("tokenizer.json", part, value)
            name = f"tokenizer.json {part}={value!r}"
            yield Case(name, healthy.write_llama, spoil, is_harmless=part == "version")
    yield Case("a vocabulary of wrong ids", healthy.write_llama, with_far_ids)
    contents: dict[str, bytes | Callable[[bytes], bytes]] = {
        "changed pieces": lambda data: data.replace(b"\x0a", b"\x0b", 50),
        "no pieces": b"\x12\x00",
        "two halves": lambda data: data[len(data) // 2 :] + data[: len(data) // 2],
        "ranks that are none": b"aGk= x\naGk= 1\n",
        "one rank of two": b"aGk= 1\n!!! 2\n",
        "a rank of 10^30": b"aGk= 1\naGs= " + b"1" + b"0" * 30 + b"\n",
        "a rank below nothing": b"aGk= 0\naGs= -5\n",
        "a rank of 5,000 digits": b"aGk= 0\naGs= " + b"1" * 5_000 + b"\n",
        "tokens of all lengths": ranks(letter * length for letter, length in LENGTHS),
        "a million tokens": ranks(number.to_bytes(3, "big") for number in range(1_000_000)),
        "a token of 20 KB": b"aGk= 0\n" + b"YWFh" * 6_666 + b" 1\n",
    }
    for name, data in contents.items():
        spoil = with_content("tokenizer.model", data)
        yield Case(f"tokenizer.model: {name}", healthy.write_chatglm, spoil)


LENGTHS = [(bytes([letter]), length) for letter in b"abcdef" for length in range(2, 1000)]


def ranks(tokens: Iterable[bytes]) -> bytes:
    """A tiktoken vocabulary of all bytes and these tokens."""
    known = [*(bytes([byte]) for byte in range(256)), *tokens]
    lines = (b64encode(token) + b" %d\n" % rank for rank, token in enumerate(known))
    return b"".join(lines)


def with_far_ids(folder: Path) -> None:
    """A tokenizer whose ids lie beyond the embedding."""
    path = folder / "tokenizer.json"
    values = json.loads(path.read_text(encoding="utf-8"))
    values["model"]["vocab"] = {key: 10**6 + id for key, id in values["model"]["vocab"].items()}
    healthy.write_json(path, values)
