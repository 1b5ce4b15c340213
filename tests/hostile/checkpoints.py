"""Hostile checkpoints, each made of a healthy one by one thing that is wrong in it.

Always the same ones: what is random in them comes of one seed.
"""

from __future__ import annotations

import io
import json
import os
import pickle
import random
import shutil
import socket
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import chdir
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.hostile import healthy

SEED = 13
HUGE = 2_000_000_000
GONE = object()
"""In place of a value: the field is not there."""
Spoil = Callable[[Path], None]


@dataclass(frozen=True, slots=True)
class Case:
    """One hostile checkpoint."""

    name: str
    base: Callable[[Path], Path]
    """Makes the healthy one."""
    spoil: Spoil
    said: str = ""
    """What its refusal has to name."""
    is_harmless: bool = False
    """Whether the right answer is as good as a refusal."""

    def write(self, folder: Path, copies: Path) -> Path:
        """Make the checkpoint in `folder`; healthy ones are made once, in `copies`."""
        original = copies / self.base.__name__
        if not original.exists():
            self.base(original)
        shutil.copytree(original, folder)
        self.spoil(folder)
        return folder


def every_case() -> list[Case]:
    """The whole corpus."""
    return [
        *fields(),
        *whole_files(),
        *headers(),
        *indexes(),
        *pickles(),
        *tokenizers(),
        *folders(),
    ]


NUMBERS = ["x", [], {}, True, -3, 10**30]
"""What no size may be."""
CONFIG: Mapping[str, list[Any]] = {
    "architectures": [5, "LlamaForCausalLM", [5], {}, [["a"]]],
    "model_type": [5, [], {}, GONE, None, "no such\nfamily", "../../x", "x" * 100_000],
    "num_hidden_layers": [*NUMBERS, 1.5, 0, 10**5, 10**9, 1],
    "hidden_size": [*NUMBERS, 64.5, 0, 4096, 10**6],
    "num_attention_heads": [*NUMBERS, 0, 3, 10**6],
    "num_key_value_heads": [*NUMBERS, 0, 3],
    "head_dim": [*NUMBERS, 1.5, 0, 10**6],
    "intermediate_size": [*NUMBERS, 0, 10**7],
    "vocab_size": [*NUMBERS, 0, 10**8, 17],
    "max_position_embeddings": [*NUMBERS, 0, 1.5],
    "rms_norm_eps": ["x", [], {}, float("nan"), float("inf")],
    "rope_parameters": [
        *([], 5, "x", {"rope_type": 5}, {"rope_type": "no such", "rope_theta": 1.0}),
        *({"rope_type": "default", "rope_theta": value} for value in ("x", [], 0, -1.0, None)),
        *({"rope_type": "linear", "rope_theta": 1e4, "factor": value} for value in ("x", 0, GONE)),
        {"rope_type": "llama3", "rope_theta": 1e4, "factor": 8.0, "low_freq_factor": []},
        {"rope_type": "yarn", "rope_theta": 1e4, "factor": "x"},
    ],
    "rope_scaling": [[], 5, "x", {"type": 5, "factor": []}],
    "hidden_act": [5, [], "no such function"],
    "tie_word_embeddings": ["x", 5, [], {}],
    "dtype": [5, [], "no such", {"": 1}],
    "eos_token_id": ["x", 1.5, {}, ["x"], [[]], -5, 10**30, 10**9],
    "quantization_config": [5, [], "x", {}, {"quant_method": 5}, {"quant_method": "no such"}],
    "auto_map": [5, [], {"AutoConfig": 5}],
    "layer_types": [5, ["x"], [5], {}],
    "sliding_window": ["x", [], -1],
    "text_config": [5, [], "x", {"num_hidden_layers": "x"}],
    "attention_dropout": ["x", []],
}
CHATGLM: Mapping[str, list[Any]] = {
    "num_layers": [*NUMBERS, 1.5, 0, 10**5],
    "hidden_size": [*NUMBERS, 0, 4096],
    "padded_vocab_size": ["x", 0, 17, 10**8],
    "seq_length": ["x", -3, 1.5],
    "kv_channels": ["x", -16, 10**6],
    "multi_query_group_num": ["x", 0, 3],
    "rope_ratio": ["x", [], float("nan"), -1, 0],
    "layernorm_epsilon": ["x", []],
    "torch_dtype": [5, "no such"],
    "eos_token_id": ["x", {}, ["x"]],
}
GENERATION: Mapping[str, list[Any]] = {
    "temperature": ["x", [], -1, float("nan")],
    "top_k": ["x", 1.5, -1],
    "top_p": ["x", 5],
    "repetition_penalty": ["x", -1, 0],
    "do_sample": ["x", 5],
    "eos_token_id": ["x", [[]], 1.5],
}
TOKENIZER: Mapping[str, list[Any]] = {
    "model_max_length": ["abc", [], -3, {}],
    "chat_template": [5, [5], {"a": 5}, "{{", "x" * 20_000_000],
    "eos_token": [5, [], {"content": 5}, {}],
    "tokenizer_class": [5, [], "NoSuchTokenizer"],
    "added_tokens_decoder": [5, [], {"x": 5}, {"5": {"content": 5}}],
    "extra_special_tokens": [5, {"a": 5}],
    "auto_map": [5, {"AutoTokenizer": 5}],
}
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


def fields() -> Iterator[Case]:
    """One field of one JSON file holds what it cannot."""
    tables = (
        (healthy.write_llama, "config.json", CONFIG),
        (healthy.write_llama, "generation_config.json", GENERATION),
        (healthy.write_llama, "tokenizer_config.json", TOKENIZER),
        (healthy.write_chatglm, "config.json", CHATGLM),
    )
    for base, file, table in tables:
        for field, values in table.items():
            for value in values:
                shown = "gone" if value is GONE else f"{value!r:.30}"
                name = f"{base.__name__[6:]} {file} {field}={shown}"
                # What no answer depends on may be left alone.
                yield Case(name, base, with_field(file, field, value), is_harmless=True)


def with_field(file: str, field: str, value: Any) -> Spoil:
    """Writes another value into a JSON file."""

    def spoil(folder: Path) -> None:
        values = json.loads((folder / file).read_text(encoding="utf-8"))
        values[field] = value
        if isinstance(value, dict):
            values[field] = {key: each for key, each in value.items() if each is not GONE}
        if value is GONE:
            del values[field]
        healthy.write_json(folder / file, values)

    return spoil


def whole_files() -> Iterator[Case]:
    """A file that is not one, or not of its kind."""
    noise = random.Random(SEED).randbytes(5_000)
    contents = {
        "nothing": b"",
        "noise": noise,
        "NUL": bytes(5_000),
        "half": None,
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
            spoil = with_content(file, data)
            harmless = file in ("chat_template.jinja", "special_tokens_map.json")
            yield Case(
                f"{base.__name__[6:]} {file} holds {name}", base, spoil, is_harmless=harmless
            )
    yield Case("llama config.json with a BOM", healthy.write_llama, with_bom, is_harmless=True)


def replaced(file: str, make: Callable[[Path], object]) -> Spoil:
    """Puts something else in the place of a file."""

    def spoil(folder: Path) -> None:
        (folder / file).unlink(missing_ok=True)
        make(folder / file)

    return spoil


def make_socket(path: Path) -> None:
    """A socket in a folder; its path is too long to be bound from elsewhere."""
    with chdir(path.parent), socket.socket(socket.AF_UNIX) as bound:
        bound.bind(path.name)


def make_huge(path: Path) -> None:
    """A file of two gigabytes that takes no room on the disk."""
    with path.open("wb") as file:
        file.truncate(HUGE)


def with_content(file: str, data: bytes | None) -> Spoil:
    """Writes other bytes into a file; None: half of its own."""

    def spoil(folder: Path) -> None:
        path = folder / file
        half = path.read_bytes() if path.exists() else b"{"
        path.write_bytes(half[: len(half) // 2] if data is None else data)

    return spoil


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
        "a million tensors": lambda items: items.update(
            (f"t{number}", {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]})
            for number in range(300_000)
        ),
        "metadata is a number": lambda items: items.update(__metadata__=5),
        "metadata of numbers": lambda items: items.update(__metadata__={"a": 5}),
        "a name with NUL": lambda items: items.update({"a\0b": items.pop(first)}),
    }
    for name, lie in lies.items():
        yield Case(f"header: {name}", healthy.write_llama, with_header(lie))
    lengths = {"2^63": 1 << 63, "2 GB": HUGE, "longer than the file": 10**6, "0": 0, "1": 1}
    for name, length in lengths.items():
        yield Case(f"header of {name} bytes", healthy.write_llama, with_length(length))
    yield Case("header of 90 MB of lists", healthy.write_llama, with_lists(90_000_000))
    yield Case("header of 20 MB of lists", healthy.write_llama, with_lists(20_000_000))


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
    for table in (5, [], {}, "x", None):
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
    plain = {
        "a plain pickle runs": pickle.dumps({"a": Runs()}, protocol=2),
        "a plain pickle of a list": pickle.dumps([1, 2], protocol=2),
        "a plain pickle of text": pickle.dumps({"a": "b"}, protocol=2),
        "a pickle without end": b"\x80\x02" + b"(" * 1_000_000,
        "an empty zip": zipped({}),
        "a zip of other things": zipped({"a.txt": b"a"}),
        "a pickle in a zip runs": zipped({"archive/data.pkl": pickle.dumps(Runs(), protocol=2)}),
        "a zip bomb": zipped({"archive/data.pkl": bytes(HUGE // 4)}),
        "a zip whose name escapes": zipped({"../data.pkl": b"\x80\x02}."}),
        "a list of a billion": b"\x80\x02]" + b"J\xff\xff\xff\x7f" * 10 + b".",
    }
    for name, data in plain.items():
        yield Case(f"bin: {name}", healthy.write_bin, with_content("pytorch_model.bin", data))


def zipped(files: Mapping[str, bytes]) -> bytes:
    """A zip of these files, packed as tightly as it goes."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
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
    model = healthy.pieces()
    contents = {
        "a changed piece": model.replace(b"\x0a", b"\x0b", 50),
        "no pieces": b"\x12\x00",
        "two halves": model[len(model) // 2 :] + model[: len(model) // 2],
        "ranks that are none": b"aGk= x\naGk= 1\n",
        "one rank of two": b"aGk= 1\n!!! 2\n",
        "a rank of 10^30": b"aGk= 1\naGs= " + b"1" + b"0" * 30 + b"\n",
        "a rank below nothing": b"aGk= 0\naGs= -5\n",
        "a rank of 5,000 digits": b"aGk= 0\naGs= " + b"1" * 5_000 + b"\n",
        "a token of 20 KB": b"aGk= 0\n" + b"YWFh" * 6_666 + b" 1\n",
    }
    for name, data in contents.items():
        spoil = with_content("tokenizer.model", data)
        yield Case(f"tokenizer.model: {name}", healthy.write_chatglm, spoil)


def with_far_ids(folder: Path) -> None:
    """A tokenizer whose ids lie beyond the embedding."""
    path = folder / "tokenizer.json"
    values = json.loads(path.read_text(encoding="utf-8"))
    values["model"]["vocab"] = {key: 10**6 + id for key, id in values["model"]["vocab"].items()}
    healthy.write_json(path, values)


def folders() -> Iterator[Case]:
    """A folder with too much, too little, or another thing in it."""
    adapter = {"peft_type": "LORA", "base_model_name_or_path": "/nonexistent"}
    for name, value in (("LoRA", adapter), ("an empty object", {}), ("a number", 5)):
        yield Case(f"adapter alone: {name}", healthy.write_llama, alone(value))
    yield Case("gguf alone", healthy.write_llama, only({"model.gguf": b"GGUF" + bytes(100)}))
    yield Case("nothing", healthy.write_llama, only({}))
    yield Case("no tokenizer", healthy.write_llama, without("tokenizer.json"))
    yield Case("no weights", healthy.write_llama, without("model.safetensors"))
    yield Case("no config.json", healthy.write_llama, without("config.json"))
    yield Case("ChatGLM without a tokenizer", healthy.write_chatglm, without("tokenizer.model"))
    code = "open('PWNED', 'w').close()\n"
    for family in ("hal9000", "llama"):
        yield Case(
            f"Python comes with a {family}",
            healthy.write_llama,
            with_code(family, code),
            is_harmless=family == "llama",
        )


def only(files: Mapping[str, bytes]) -> Spoil:
    """Empties a folder, then writes these files."""

    def spoil(folder: Path) -> None:
        for path in folder.iterdir():
            path.unlink()
        for name, data in files.items():
            (folder / name).write_bytes(data)

    return spoil


def alone(config: Any) -> Spoil:
    """A folder that holds an adapter's config.json and nothing else."""
    return only({"adapter_config.json": json.dumps(config).encode()})


def without(file: str) -> Spoil:
    """Takes a file away."""
    return lambda folder: (folder / file).unlink()


def with_code(family: str, code: str) -> Spoil:
    """Python files beside the weights, and a config.json that names them."""

    def spoil(folder: Path) -> None:
        names = {"AutoConfig": "configuration_x.X", "AutoModelForCausalLM": "modeling_x.X"}
        with_field("config.json", "auto_map", names)(folder)
        with_field("config.json", "model_type", family)(folder)
        for name in ("configuration_x.py", "modeling_x.py"):
            (folder / name).write_text(code)

    return spoil
