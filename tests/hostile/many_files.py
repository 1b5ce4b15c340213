"""Hostile checkpoints each of whose files may pass, and that are too much together."""

from __future__ import annotations

import json
import os
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from tests.hostile import healthy
from tests.hostile.broken_files import HUGE, PICKLE, marks, ranks, zipped
from tests.hostile.spoiling import Case, Spoil, chained, with_content

LORA = {"peft_type": "LORA", "base_model_name_or_path": "x", "r": 8, "lora_alpha": 8}


def every_case() -> Iterator[Case]:
    """All of them."""
    yield from shards()
    yield from templates()
    yield from adapters()
    yield from tokenizer_parts()
    yield from other_tokenizers()


def shards() -> Iterator[Case]:
    """Shards that are links to one file, and indexes of more files than there are."""
    header = header_of(90_000)
    for count in (2, 20, 200):
        name = f"{count} shards are one of 90,000 tensors"
        yield Case(
            name,
            healthy.write_llama,
            linked("model", ".safetensors", count, header),
            "model-00002-of",
            is_heavy=True,
        )
    metadata = json.dumps({"__metadata__": {"a": "x" * 29_000_000}}).encode()
    yield Case(
        "20 shards are one of 29 MB of metadata",
        healthy.write_llama,
        linked("model", ".safetensors", 20, len(metadata).to_bytes(8, "little") + metadata),
        "model-00003-of",
        is_heavy=True,
    )
    for name, data in (
        ("a pickle of 300,000 marks", marks(300_000)),
        ("a zip of 300,000 marks", zipped({PICKLE: marks(300_000)})),
        ("a zip of nothing", zipped({PICKLE: b"\x80\x02}."})),
    ):
        spoil = linked("pytorch_model", ".bin", 200, data)
        yield Case(f"200 shards are {name}", healthy.write_llama, spoil)
    for name, form in (
        ("shards", "model-{:06}-of-200000.safetensors"),
        ("sets of shards", "{}-00001-of-00002.safetensors"),
        ("patterns", "**[!a]*{}-00001-of-00002.safetensors"),
    ):
        table = {f"t{number}": form.format(number) for number in range(200_000)}
        spoil = with_index("model.safetensors", table)
        yield Case(f"an index of 200,000 {name}", healthy.write_llama, spoil, is_heavy=True)
    table = {"t": "**[!a]*-00001-of-00002.safetensors"}
    spoil = with_index("model.safetensors", table)
    yield Case("an index of one pattern", healthy.write_llama, spoil, "00001-of-00002")


def header_of(count: int) -> bytes:
    """A file of safetensors with so many tensors and no number."""
    item = {"dtype": "F32", "shape": [0, 1], "data_offsets": [0, 0]}
    names = (f"model.layers.{number}.self_attn.q_proj.weight" for number in range(count))
    header = json.dumps(dict.fromkeys(names, item)).encode()
    return len(header).to_bytes(8, "little") + header


def linked(stem: str, ending: str, count: int, data: bytes) -> Spoil:
    """Puts so many links to one file in the place of the weights, and an index of them."""

    def spoil(folder: Path) -> None:
        (folder / "one.data").write_bytes(data)
        names = [f"{stem}-{number:05}-of-{count:05}{ending}" for number in range(1, count + 1)]
        for name in names:
            (folder / name).symlink_to("one.data")
        with_index(stem + ending, {f"t{at}": name for at, name in enumerate(names)})(folder)

    return spoil


def with_index(file: str, table: dict[str, Any]) -> Spoil:
    """Puts an index in the place of the weights."""

    def spoil(folder: Path) -> None:
        (folder / "model.safetensors").unlink()
        healthy.write_json(folder / f"{file}.index.json", {"metadata": {}, "weight_map": table})

    return spoil


def templates() -> Iterator[Case]:
    """More chat templates than a model has."""
    for name, count, letters in (("many", 600, 9_900_000), ("large", 9, 9_900_000)):
        yield Case(
            f"{name} templates",
            healthy.write_llama,
            with_templates(count, letters),
            "additional_chat_templates",
            is_heavy=True,
        )
    yield Case(
        "a million templates in tokenizer_config.json",
        healthy.write_llama,
        with_content("tokenizer_config.json", many_templates),
        is_heavy=True,
    )


def with_templates(count: int, letters: int) -> Spoil:
    """Templates that are links to one."""

    def spoil(folder: Path) -> None:
        more = folder / "additional_chat_templates"
        more.mkdir()
        (folder / "one.data").write_text("x" * letters)
        for number in range(count):
            (more / f"t{number}.jinja").symlink_to("../one.data")

    return spoil


def many_templates(data: bytes) -> bytes:
    """A tokenizer_config.json with as many templates as there is room for."""
    named = [{"name": f"t{number}", "template": "x"} for number in range(600_000)]
    return json.dumps({**json.loads(data), "chat_template": named}).encode()


def adapters() -> Iterator[Case]:
    """An adapter beside the weights whose pickle takes long."""
    for name, data in (
        ("a pickle of marks", marks(4_000_000)),
        ("marks in a plain zip", zipped({PICKLE: marks(4_000_000)})),
        ("marks in a zip", zipped({PICKLE: marks(40_000_000)}, is_packed=True)),
    ):
        config = json.dumps(LORA).encode()
        spoil = chained(
            with_content("adapter_config.json", config), with_content("adapter_model.bin", data)
        )
        yield Case(
            f"an adapter of {name}",
            healthy.write_llama,
            spoil,
            "adapter_model.bin",
            needs_library=True,
        )


def tokenizer_parts() -> Iterator[Case]:
    """More tokens than a tokenizer has, in each of the files where some may be."""
    names = [f"<t{number}>" for number in range(400_000)]
    for name, file, values in (
        ("added_tokens.json", "added_tokens.json", {n: 430 + at for at, n in enumerate(names)}),
        (
            "extra_special_tokens",
            "tokenizer_config.json",
            {**healthy.TOKENIZER, "extra_special_tokens": names},
        ),
        (
            "extra_special_tokens by name",
            "tokenizer_config.json",
            {**healthy.TOKENIZER, "extra_special_tokens": {f"{n[1:-1]}_token": n for n in names}},
        ),
        (
            "special_tokens_map.json",
            "special_tokens_map.json",
            {"additional_special_tokens": names},
        ),
    ):
        spoil = with_content(file, json.dumps(values).encode())
        yield Case(f"too many tokens in {name}", healthy.write_llama, spoil, file, is_heavy=True)


def other_tokenizers() -> Iterator[Case]:
    """Tokenizers that are made of other files than tokenizer.json, and too much of them."""
    many, long, digits = numbered(1_500_000), numbered(2_000, 500), numbered(499_000, 14)
    merges = {"vocab.json": lambda: b'{"a": 0}'}
    tables: tuple[tuple[str, str, dict[str, Callable[[], bytes]], str], ...] = (
        ("GPT2", "1.5 M words", {"vocab.json": lambda: words(many())}, "tokens"),
        ("GPT2", "30 M lists", {"vocab.json": lambda: b"[%b0]" % (b"[]," * 30_000_000)}, "tokens"),
        ("GPT2", "8 M merges", {**merges, "merges.txt": lambda: b"a b\n" * 8_000_000}, "tokens"),
        ("GPT2", "a long merge", {**merges, "merges.txt": lambda: b"a" * 90_000_000}, "letters"),
        ("Bert", "1.5 M lines", {"vocab.txt": lambda: "\n".join(many()).encode()}, "tokens"),
        ("T5", "1.5 M pieces", {"spiece.model": lambda: pieces(many())}, "tokens"),
        ("XLMRoberta", "long", {"sentencepiece.bpe.model": lambda: pieces(long())}, "long"),
        ("XLMRoberta", "99 MB", {"sentencepiece.bpe.model": lambda: bytes(99_000_000)}, ""),
        ("Llama", "long ranks", {"tiktoken.model": lambda: ranks(map(str.encode, long()))}, "long"),
        ("Qwen2", "many", {"a.tiktoken": lambda: ranks(map(str.encode, many()))}, "tokens"),
        ("Llama", "a tekken", {"tekken.json": lambda: tekken(many()[:600_000])}, "tokens"),
        ("Llama", "digits", {"tokenizer.model": lambda: ranks(map(str.encode, digits()))}, ""),
    )
    for kind, name, files, said in tables:
        spoil = made_of(kind, files)
        yield Case(f"made of: {kind}, {name}", healthy.write_llama, spoil, said, is_heavy=True)
    for file in ("sentencepiece.bpe.model", "vocab-src.json", "bpe.codes", "source.spm"):
        spoil = chained(made_of("XLMRoberta", {file: bytes}), sparse(file))
        yield Case(f"made of: 2 GB of {file}", healthy.write_llama, spoil, file)


def numbered(count: int, width: int = 0) -> Callable[[], list[str]]:
    """Makes so many words, when a case is written: all cases at once would take gigabytes."""
    return lambda: [f"{number:0{width}}" for number in range(count)]


def made_of(kind: str, files: Mapping[str, Callable[[], bytes]]) -> Spoil:
    """Puts files that some class reads in the place of tokenizer.json."""

    def spoil(folder: Path) -> None:
        (folder / "tokenizer.json").unlink()
        config = {**healthy.TOKENIZER, "tokenizer_class": f"{kind}Tokenizer"}
        healthy.write_json(folder / "tokenizer_config.json", config)
        for file, make in files.items():
            (folder / file).write_bytes(make())

    return spoil


def sparse(file: str) -> Spoil:
    """Makes a file large that takes no room."""
    return lambda folder: os.truncate(folder / file, HUGE)


def words(tokens: list[str]) -> bytes:
    """A vocab.json."""
    return json.dumps({token: at for at, token in enumerate(tokens)}).encode()


def tekken(tokens: list[str]) -> bytes:
    """A vocabulary of Mistral."""
    vocabulary = [
        {"rank": at, "token_bytes": b64encode(token.encode()).decode(), "token_str": token}
        for at, token in enumerate(tokens)
    ]
    return json.dumps({"config": {"pattern": "x"}, "vocab": vocabulary}).encode()


def pieces(tokens: list[str]) -> bytes:
    """A SentencePiece model of these words and one for all others: fields of protobuf by hand."""
    unknown = field(1, field(1, b"<unk>") + b"\x18\x02")
    return unknown + b"".join(field(1, field(1, token.encode())) for token in tokens)


def field(number: int, data: bytes) -> bytes:
    """A field of protobuf that holds bytes: its number and kind, its length in two bytes."""
    length = len(data)
    return bytes([number << 3 | 2, length & 127 | 128, length >> 7]) + data
