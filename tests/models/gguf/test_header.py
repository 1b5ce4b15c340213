"""Headers of GGUF files, as they are and as strangers may have made them."""

from __future__ import annotations

import struct
import time
from pathlib import Path

import gguf
import pytest
from hypothesis import given
from hypothesis import strategies as st

from glmcli.errors import ModelError
from glmcli.models.gguf.header import FORMAT_SIZES, MIXES, read_gguf
from tests.support import gguf_files
from tests.support.gguf_files import TOKENS, write_chat


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_chat(tmp_path_factory.mktemp("tiny") / "tiny.gguf")


def text(value: str) -> bytes:
    data = value.encode()
    return struct.pack("<Q", len(data)) + data


def pair(key: str, kind: int, value: bytes) -> bytes:
    return text(key) + struct.pack("<I", kind) + value


ARCHITECTURE = pair("general.architecture", 8, text("llama"))


def written(
    path: Path, *pairs: bytes, tensors: bytes = b"", counts: tuple[int, int] | None = None
) -> Path:
    """A file of these fields; `counts` are what it says of tensors and fields."""
    n, m = counts or (0, len(pairs))
    path.write_bytes(b"GGUF" + struct.pack("<IQQ", 3, n, m) + b"".join(pairs) + tensors)
    return path


def refused(path: Path) -> str:
    with pytest.raises(ModelError) as caught:
        read_gguf(path)
    assert caught.value.exit_code == 3
    assert caught.value.hint
    assert "\n" not in caught.value.message
    return caught.value.message


def test_a_header_says_what_the_model_is(tiny: Path):
    found = read_gguf(tiny)
    assert (found.family, found.layers, found.window) == ("llama", 2, 512)
    assert found.size_bytes == tiny.stat().st_size
    reader = gguf.GGUFReader(tiny)
    assert found.parameters == sum(int(tensor.n_elements) for tensor in reader.tensors)
    assert found.bits == "F32"
    # Two layers of two groups of heads, keys and values of 16 numbers in two bytes each.
    assert found.token_bytes == 2 * 2 * (16 + 16) * 2
    assert "tokenizer.ggml.tokens" not in found.fields


def test_the_vocabulary_is_read_where_it_is_asked_for(tiny: Path):
    fields = read_gguf(tiny, vocabulary=True).fields
    assert fields["tokenizer.ggml.tokens"] == TOKENS
    assert len(fields["tokenizer.ggml.token_type"]) == len(TOKENS)


def test_the_formats_are_those_of_the_library():
    for number, (name, block, size) in FORMAT_SIZES.items():
        kind = gguf.GGMLQuantizationType(number)
        assert (kind.name, gguf.GGML_QUANT_SIZES[kind]) == (name, (block, size))
    for number, name in MIXES.items():
        assert gguf.LlamaFileType(number).name.partition("_")[2] == name


def test_heads_may_differ_from_layer_to_layer(tmp_path: Path):
    groups = pair("llama.attention.head_count_kv", 9, struct.pack("<IQII", 4, 2, 3, 1))
    numbers = {"embedding_length": 64, "block_count": 2, "attention.head_count": 4}
    pairs = [pair(f"llama.{key}", 4, struct.pack("<I", n)) for key, n in numbers.items()]
    found = read_gguf(written(tmp_path / "x.gguf", ARCHITECTURE, groups, *pairs))
    assert found.token_bytes == 2 * (3 + 1) * (16 + 16)


def test_a_file_that_was_cut_off_is_told_with_both_sizes(tiny: Path, tmp_path: Path):
    data = tiny.read_bytes()
    cut = tmp_path / "cut.gguf"
    cut.write_bytes(data[:-4096])
    assert f"{len(data) - 4096:,} of" in refused(cut)


def test_wherever_a_file_ends_it_is_a_line(tiny: Path, tmp_path: Path):
    data, cut = tiny.read_bytes(), tmp_path / "cut.gguf"
    for size in (0, 3, 4, 9, 23, 30, 200, 1000, 5000, 9000):
        cut.write_bytes(data[:size])
        refused(cut)


HUGE = struct.pack("<Q", 1 << 62)
HOSTILE = {
    "a text without end": (ARCHITECTURE, pair("x", 8, HUGE)),
    "a name without end": (HUGE,),
    "a list without end": (ARCHITECTURE, pair("x", 9, struct.pack("<I", 4) + HUGE)),
    "texts without end": (ARCHITECTURE, pair("x", 9, struct.pack("<I", 8) + HUGE)),
    "a list of lists": (ARCHITECTURE, pair("x", 9, struct.pack("<IQ", 9, 1))),
    "no known kind": (ARCHITECTURE, pair("x", 77, b"")),
    "no architecture": (pair("x", 4, bytes(4)),),
    "an architecture that is a number": (pair("general.architecture", 4, bytes(4)),),
    "an architecture of control characters": (pair("general.architecture", 8, text("a\x1b[31m")),),
}


@pytest.mark.parametrize("pairs", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_header_ends_in_a_line_at_once(pairs: tuple[bytes, ...], tmp_path: Path):
    started = time.monotonic()
    refused(written(tmp_path / "x.gguf", *pairs))
    assert time.monotonic() - started < 2


@pytest.mark.parametrize("counts", [(1 << 60, 0), (0, 1 << 60), (1, 1)])
def test_more_than_there_is_ends_in_a_line(counts: tuple[int, int], tmp_path: Path):
    refused(written(tmp_path / "x.gguf", ARCHITECTURE, counts=counts))


@pytest.mark.parametrize(
    "tensor",
    [
        text("a") + struct.pack("<IQQIQ", 2, 1 << 39, 1 << 39, 0, 0),
        text("a") + struct.pack("<IQIQ", 1, 1 << 50, 0, 0),
        text("a") + struct.pack("<I", 9) + bytes(200),
        text("a") + struct.pack("<IQIQ", 1, 8, 0, 1 << 62),
    ],
)
def test_a_tensor_that_cannot_be_ends_in_a_line(tensor: bytes, tmp_path: Path):
    refused(written(tmp_path / "x.gguf", ARCHITECTURE, tensors=tensor, counts=(1, 1)))


def test_what_cannot_be_read_is_told(tmp_path: Path):
    path = tmp_path / "model.gguf"
    path.symlink_to("/proc/self/mem")
    assert "model.gguf cannot be read: " in refused(path)


def test_what_is_no_gguf_is_told(tmp_path: Path):
    path = tmp_path / "x.gguf"
    for data, said in (
        (b"version https://git-lfs.github.com/spec/v1\n" + bytes(200), "Git LFS"),
        (b"PK\3\4" + bytes(100), "not a GGUF file"),
        (b"GGUF" + struct.pack(">I", 3) + bytes(100), "other order"),
        (b"GGUF" + struct.pack("<I", 1) + bytes(100), "version 1"),
    ):
        path.write_bytes(data)
        assert said in refused(path)


@given(at=st.integers(0, 6000), value=st.integers(0, 255))
def test_a_byte_that_is_another_is_read_or_refused(tiny: Path, at: int, value: int):
    data = bytearray(tiny.read_bytes())
    data[at] = value
    other = tiny.with_name("other.gguf")
    other.write_bytes(data)
    try:
        found = read_gguf(other, vocabulary=True)
    except ModelError:
        return
    assert isinstance(found.bits, str)
    assert found.token_bytes is None or found.token_bytes > 0
    assert found.window is None or found.window > 0


def test_of_a_model_in_several_files_all_count(tiny: Path, tmp_path: Path):
    names = [tmp_path / f"x-0000{n}-of-00002.gguf" for n in (1, 2)]
    half = [*gguf_files.shapes()][:5]
    rest = [name for name in gguf_files.shapes() if name not in half]
    write_chat(names[0], leave_out=half)
    assert f"{names[1].name} is not beside it" in refused(names[0])
    write_chat(names[1], leave_out=rest)
    found = read_gguf(names[0])
    assert found.parameters == read_gguf(tiny).parameters
    assert found.size_bytes == sum(path.stat().st_size for path in names)
