"""Weight files, read by their headers."""

from __future__ import annotations

import contextlib
import json
import zipfile
from functools import partial
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from glmcli.errors import ModelError
from glmcli.models.files import headers
from glmcli.models.files.headers import missing_weights, read_header, read_weights
from tests.support.folders import write_config, write_shards, write_zeros

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:0000\nsize 269060552\n"


def refused(folder: Path) -> ModelError:
    with pytest.raises(ModelError) as caught:
        read_weights(folder)
    error = caught.value
    assert "\n" not in error.message and "\n" not in error.hint and error.hint
    return error


def test_one_file_says_what_it_holds(tmp_path: Path):
    write_zeros(tmp_path / "model.safetensors", "a", "b")
    weights = read_weights(tmp_path)
    assert [path.name for path in weights.files] == ["model.safetensors"]
    assert weights.tensors["a"].shape == (96,)
    assert weights.tensors["a"].size_bytes == 4 * 96
    assert weights.tensors["a"].is_float
    assert weights.size_bytes == (tmp_path / "model.safetensors").stat().st_size


def test_shards_are_found_by_their_index(tmp_path: Path):
    weights = read_weights(write_shards(tmp_path))
    assert len(weights.files) == 2
    assert sorted(weights.tensors) == ["a", "b", "c"]


def test_safetensors_are_preferred_to_bin(tmp_path: Path):
    write_zeros(tmp_path / "model.safetensors", "a")
    (tmp_path / "pytorch_model.bin").write_bytes(b"not even looked at")
    assert read_weights(tmp_path).files[0].suffix == ".safetensors"


def test_a_folder_without_weights_is_refused(tmp_path: Path):
    write_config(tmp_path)
    assert "has no weights" in refused(tmp_path).message
    assert missing_weights(tmp_path) == ["model.safetensors"]


@pytest.mark.parametrize("keep", [0, 5, 60, -1])
def test_a_file_that_was_cut_off_is_refused(tmp_path: Path, keep: int):
    path = tmp_path / "model.safetensors"
    write_zeros(path, "a", "b")
    path.write_bytes(path.read_bytes()[:keep])
    assert "model.safetensors is damaged or cut off" in refused(tmp_path).message


def test_a_file_with_more_than_its_header_says_is_refused(tmp_path: Path):
    path = tmp_path / "model.safetensors"
    write_zeros(path, "a")
    path.write_bytes(path.read_bytes() + b"\0")
    assert "damaged" in refused(tmp_path).message


JSON = st.recursive(
    st.none() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["a", "dtype", "shape", "data_offsets"]), inner)
    ),
    max_leaves=8,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=100)
@given(header=st.binary(max_size=80) | JSON.map(json.dumps).map(str.encode))
def test_a_strange_header_is_refused_or_read_but_never_a_crash(tmp_path: Path, header: bytes):
    path = tmp_path / "model.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header)
    with contextlib.suppress(ModelError):
        assert isinstance(read_header(path), dict)


def entry(
    *, dtype: object = "F32", shape: object = (2,), place: object = (0, 8)
) -> dict[str, object]:
    return {"dtype": dtype, "shape": shape, "data_offsets": place}


@pytest.mark.parametrize(
    ("items", "said"),
    [
        ({"a": entry(shape=["a"])}, "the header of 'a' makes no sense"),
        ({"a": entry(shape=[-2])}, "the header of 'a' makes no sense"),
        ({"a": entry(shape=[1] * 100)}, "the header of 'a' makes no sense"),
        ({"a": entry(dtype=5)}, "the header of 'a' makes no sense"),
        ({"a": entry(place=[-8, 0])}, "the header of 'a' makes no sense"),
        ({"a": entry(shape=[10**9])}, "'a' has 8 bytes, which is not its shape"),
        ({"a": entry(), "b": entry()}, "is damaged"),  # one upon the other
        ({"a": entry(place=[4, 12])}, "is damaged"),  # a gap before it
        ({"a": entry(place=[0])}, "is damaged"),
        ({"a": entry(), "__metadata__": 5}, "is damaged"),
        ({"a": {"x": [[]] * 700_000}}, "the model has more than 300,000 tensors"),
    ],
)
def test_a_header_that_lies_is_refused(tmp_path: Path, items: object, said: str):
    header = json.dumps(items).encode()
    path = tmp_path / "model.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header + bytes(8))
    error = refused(tmp_path)
    assert error.message.startswith("model.safetensors")
    assert said in error.message
    assert error.hint == "download the model again"


def test_a_header_larger_than_any_is_never_read(tmp_path: Path):
    path = tmp_path / "model.safetensors"
    path.write_bytes((2 * 10**9).to_bytes(8, "little"))
    with path.open("rb+") as file:
        file.truncate(3 * 10**9)
    assert "is damaged" in refused(tmp_path).message


def write_links(folder: Path, count: int, path: Path) -> Path:
    """A checkpoint whose shards are all the same file."""
    folder.mkdir()
    names = [f"model-{shard:05}-of-{count:05}.safetensors" for shard in range(1, count + 1)]
    for name in names:
        (folder / name).symlink_to(path)
    table = {f"t{number}": name for number, name in enumerate(names)}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": table}))
    return folder


def test_a_tensor_in_two_shards_is_refused_at_the_second(tmp_path: Path):
    write_zeros(tmp_path / "one", "a")
    error = refused(write_links(tmp_path / "links", 3, tmp_path / "one"))
    assert error.message == "model-00002-of-00003.safetensors: 'a' is in another file too"


def test_headers_have_a_limit_together(tmp_path: Path):
    header = json.dumps({"__metadata__": {"a": "x" * 25_000_000}}).encode()
    (tmp_path / "one").write_bytes(len(header).to_bytes(8, "little") + header)
    error = refused(write_links(tmp_path / "links", 3, tmp_path / "one"))
    assert "model-00003-of-00003.safetensors: the headers" in error.message


def test_tensors_have_a_limit_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(headers, "Allowance", partial(headers.Allowance, tensors=2))
    error = refused(write_shards(tmp_path))
    assert error.message.startswith("model-00002-of-00002.safetensors: the model has more")


def test_an_index_of_more_files_than_any_is_refused(tmp_path: Path):
    error = refused(write_links(tmp_path / "links", 2_001, tmp_path / "missing"))
    assert "names more than 2,000 files" in error.message


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin"])
def test_a_git_lfs_pointer_is_called_one(tmp_path: Path, name: str):
    (tmp_path / name).write_bytes(POINTER)
    error = refused(tmp_path)
    assert "Git LFS pointer" in error.message
    assert f"git lfs pull in {tmp_path}" in error.hint


def test_shards_without_an_index_are_refused(tmp_path: Path):
    (write_shards(tmp_path) / "model.safetensors.index.json").unlink()
    assert "2 shards of weights but no model.safetensors.index.json" in refused(tmp_path).message
    assert missing_weights(tmp_path) == ["model.safetensors.index.json"]


def test_a_shard_that_is_missing_is_named(tmp_path: Path):
    (write_shards(tmp_path) / "model-00002-of-00002.safetensors").unlink()
    assert "model-00002-of-00002.safetensors" in refused(tmp_path).message
    assert missing_weights(tmp_path) == ["model-00002-of-00002.safetensors"]


def test_a_tensor_that_only_the_index_knows_is_refused(tmp_path: Path):
    first, second = "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"
    write_shards(tmp_path, {"a": first, "b": first, "c": second, "lost": second})
    assert f"lost is in {second}" in refused(tmp_path).message


def test_a_tensor_that_the_index_forgot_is_refused(tmp_path: Path):
    first, second = "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"
    write_shards(tmp_path, {"a": first, "c": second})
    assert f"b is in {first} but not in the index" in refused(tmp_path).message


def test_a_shard_that_the_index_forgot_is_refused(tmp_path: Path):
    first = "model-00001-of-00002.safetensors"
    write_shards(tmp_path, {"a": first, "b": first})
    assert "c is in model-00002-of-00002.safetensors but not" in refused(tmp_path).message


def test_files_of_another_set_are_no_business_of_the_index(tmp_path: Path):
    write_zeros(write_shards(tmp_path) / "consolidated.safetensors", "other")
    assert "other" not in read_weights(tmp_path).tensors


@pytest.mark.parametrize(
    "text", ["{", "[]", "{}", '{"weight_map": {}}', '{"weight_map": {"a": ["x"]}}', "\udc80"]
)
def test_an_index_that_makes_no_sense_is_refused(tmp_path: Path, text: str):
    path = write_shards(tmp_path) / "model.safetensors.index.json"
    path.write_text(text, errors="surrogateescape")
    assert path.name in refused(tmp_path).message


def test_an_index_cannot_reach_outside_the_folder(tmp_path: Path):
    write_zeros(tmp_path / "model.safetensors", "a")
    inside = write_shards(tmp_path / "inside", {"a": "../model.safetensors"})
    assert "not a file of weights" in refused(inside).message


def test_a_bin_that_was_cut_off_is_refused(tmp_path: Path):
    path = tmp_path / "pytorch_model.bin"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", b"x" * 100)
    assert read_weights(tmp_path).files == (path,)
    path.write_bytes(path.read_bytes()[:-30])
    assert "pytorch_model.bin is damaged or cut off" in refused(tmp_path).message


def test_a_bin_that_torch_has_not_written_is_refused(tmp_path: Path):
    path = tmp_path / "pytorch_model.bin"
    for packing, size, said in (
        (zipfile.ZIP_DEFLATED, 100, "is a packed zip"),
        (zipfile.ZIP_STORED, 10_000_001, "data.pkl has 10,000,001 bytes"),
    ):
        with zipfile.ZipFile(path, "w", packing) as archive:
            archive.writestr("archive/data.pkl", bytes(size))
        error = refused(tmp_path)
        assert error.message.startswith(f"pytorch_model.bin{':' * ('data' in said)} {said}")


def test_a_bin_shard_that_is_missing_is_named(tmp_path: Path):
    names = ["pytorch_model-00001-of-00002.bin", "pytorch_model-00002-of-00002.bin"]
    table = {"weight_map": {"a": names[0], "b": names[1]}}
    (tmp_path / "pytorch_model.bin.index.json").write_text(json.dumps(table))
    with zipfile.ZipFile(tmp_path / names[0], "w") as archive:
        archive.writestr("archive/data.pkl", b"x")
    assert names[1] in refused(tmp_path).message
