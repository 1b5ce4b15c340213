"""What is said of the models on this machine."""

from __future__ import annotations

import errno
import json
import os
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from huggingface_hub import constants
from safetensors.numpy import save_file

from glmcli import machine
from glmcli.config.models import Cache, ModelOptions
from glmcli.errors import ModelError
from glmcli.models.library.listing import describe_all
from glmcli.models.library.removing import remove_model
from glmcli.models.library.showing import describe
from tests.support.folders import write_config, write_shards, write_zeros

SHA = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def hub_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


@pytest.fixture
def options(tmp_path: Path, hub_cache: Path) -> ModelOptions:
    return ModelOptions(cache=Cache(tmp_path / "cache"))


@pytest.fixture
def in_cache(options: ModelOptions) -> Path:
    """A model in the cache folder."""
    folder = options.cache.models / "mine"
    write_zeros(write_config(folder) / "model.safetensors", "a")
    (folder / "tokenizer.json").write_text("{}")
    return folder


@pytest.fixture
def from_hub(hub_cache: Path) -> Path:
    """A model in the hub's cache, as its client lays it out."""
    repo = hub_cache / "models--org--tiny"
    blobs, snapshot = repo / "blobs", repo / "snapshots" / SHA
    write_zeros(write_config(blobs) / "model.safetensors", "a")
    snapshot.mkdir(parents=True)
    for blob in blobs.iterdir():
        (snapshot / blob.name).symlink_to(blob)
    (repo / "refs").mkdir()
    (repo / "refs" / "main").write_text(SHA)
    return snapshot


def test_the_built_in_model_is_listed_before_it_was_fetched(options: ModelOptions):
    (model,) = describe_all(options)
    assert (model.name, model.path, model.size_bytes) == ("smollm2", "", None)
    assert (model.family, model.window) == ("llama", 8192)


def test_everything_on_this_machine_is_listed(
    options: ModelOptions, in_cache: Path, from_hub: Path
):
    (options.cache.models / ".half-made").mkdir()
    models = describe_all(options)
    assert [model.name for model in models] == ["smollm2", "mine", "org/tiny"]
    mine = models[1]
    assert Path(mine.path) == in_cache
    assert mine.size_bytes == sum(path.stat().st_size for path in in_cache.iterdir())
    assert mine.window == 128
    told = ["name", "path", "family", "size_bytes", "window", "bits", "source"]
    assert list(asdict(mine)) == told
    assert [model.source for model in models] == ["", "", "hub"]


def test_a_model_is_described_without_loading_it(in_cache: Path, options: ModelOptions):
    tensors = {"a": np.zeros((64, 32), np.float16), "b": np.zeros(7, np.float16)}
    save_file(tensors | {"ids": np.zeros(96, np.int64)}, in_cache / "model.safetensors")
    details = describe("mine", options)
    assert details.parameters == 64 * 32 + 7
    assert details.layers == 2
    # Keys and values, 2 bytes each, of 128 tokens in 2 layers with 2 heads of 8.
    assert details.cache_bytes == 2 * 2 * 128 * 2 * 2 * 8
    rest = 96 * 8 + details.cache_bytes
    assert details.memory_bytes["fp16"] == 2 * details.parameters + rest
    # A row has a scale; what is no matrix stays in 16 bits.
    assert details.memory_bytes["int8"] == 64 * 32 + 4 * 64 + 2 * 7 + rest
    assert details.memory_bytes["int4"] < details.memory_bytes["int8"]
    assert (details.remote_code, details.missing, details.problem) == (False, (), "")


@pytest.mark.parametrize(
    ("free", "fits", "auto"),
    [(10**9, ("bfloat16", "int8"), "bfloat16"), (4000, ("int8",), "int8"), (0, (), "int8")],
)
def test_what_fits_the_memory_is_named(
    free: int,
    fits: tuple[str, ...],
    auto: str,
    in_cache: Path,
    options: ModelOptions,
    monkeypatch: pytest.MonkeyPatch,
):
    save_file({"a": np.zeros((64, 32), np.float16)}, in_cache / "model.safetensors")
    monkeypatch.setattr(machine, "free_bytes", lambda: free)
    monkeypatch.setattr(machine, "has_bfloat16", lambda: True)
    details = describe("mine", replace(options, device="cpu"))
    assert (details.free_bytes, details.fits, details.auto) == (free, fits, auto)


def test_chatglm_has_words_of_its_own(tmp_path: Path, options: ModelOptions):
    config = {
        "model_type": "chatglm",
        "num_layers": 28,
        "hidden_size": 4096,
        "num_attention_heads": 32,
        "kv_channels": 128,
        "multi_query_group_num": 2,
        "seq_length": 8192,
        "auto_map": {"AutoConfig": "x.Y"},
    }
    (tmp_path / "config.json").write_text(json.dumps(config))
    details = describe(str(tmp_path), options)
    assert (details.layers, details.model.window) == (28, 8192)
    assert details.cache_bytes == 2 * 2 * 8192 * 28 * 2 * 128
    assert not details.remote_code


def test_a_model_of_many_kinds_is_described_by_its_text_part(tmp_path: Path, options: ModelOptions):
    text = {"num_hidden_layers": 5, "max_position_embeddings": 64, "model_type": "part"}
    write_config(tmp_path, text_config=text, model_type="whole")
    details = describe(str(tmp_path), options)
    assert (details.layers, details.model.window) == (5, 64)
    assert details.model.family == "whole"


def test_what_is_missing_is_named(tmp_path: Path, options: ModelOptions):
    (write_shards(tmp_path) / "model-00002-of-00002.safetensors").unlink()
    details = describe(str(tmp_path), options)
    assert details.missing == ("model-00002-of-00002.safetensors", "tokenizer.json")
    assert "model-00002-of-00002.safetensors" in details.problem
    (tmp_path / "config.json").unlink()
    assert describe(str(tmp_path), options).missing[0] == "config.json"


def test_a_name_in_an_index_that_no_file_can_have_is_missing(tmp_path: Path, options: ModelOptions):
    long = f"{'é' * 200}.bin"
    index = write_config(tmp_path) / "pytorch_model.bin.index.json"
    index.write_text(json.dumps({"weight_map": {"a": long}}))
    details = describe(str(tmp_path), options)
    assert details.missing == (long, "tokenizer.json")
    assert "File name too long" in details.problem


def test_nothing_is_said_to_be_missing_in_a_folder_that_is_locked(
    tmp_path: Path, options: ModelOptions, monkeypatch: pytest.MonkeyPatch
):
    look = os.stat

    def locked(path, *args, **kwargs):
        if str(path).startswith(f"{tmp_path}/"):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return look(path, *args, **kwargs)

    write_config(tmp_path)
    monkeypatch.setattr("os.stat", locked)
    details = describe(str(tmp_path), options)
    assert details.missing == ()
    assert "cannot be read: Permission denied" in details.problem


def test_code_that_would_have_to_run_is_told(in_cache: Path, options: ModelOptions):
    write_config(in_cache, model_type="hal9000", auto_map={"AutoConfig": "x.Y"})
    assert describe("mine", options).remote_code


def test_packed_weights_are_counted_where_their_layout_is_known(
    in_cache: Path, options: ModelOptions
):
    """They take the memory of whole ones on a processor."""
    stated = {"quant_method": "awq", "bits": 4, "version": "gemm", "zero_point": True}
    write_config(in_cache, quantization_config=stated, dtype="float16")
    parts = {
        "a.qweight": np.zeros((64, 4), np.int32),
        "a.qzeros": np.zeros((2, 4), np.int32),
        "a.scales": np.zeros((2, 32), np.float16),
    }
    save_file(parts, in_cache / "model.safetensors")
    details = describe("mine", options)
    assert details.model.bits == "int4"
    assert details.parameters == 64 * 32
    assert details.cache_bytes is not None
    assert details.memory_bytes["fp16"] == 2 * 64 * 32 + details.cache_bytes
    save_file(parts | {"a.scales": np.zeros((3, 32), np.float16)}, in_cache / "model.safetensors")
    assert "scales is F16 of 3 × 32" in describe("mine", options).problem


def test_packed_weights_of_unknown_layouts_are_not_counted(in_cache: Path, options: ModelOptions):
    write_config(in_cache, quantization_config={"quant_method": "gptq"})
    details = describe("mine", options)
    assert details.parameters is None
    assert details.memory_bytes == {}


@pytest.mark.parametrize("name", ["smollm2", "org/other"])
def test_what_is_not_here_can_be_pulled(name: str, options: ModelOptions):
    with pytest.raises(ModelError, match="is not on this machine") as caught:
        describe(name, options)
    assert caught.value.hint == f"fetch it: glm models pull {name}"


def test_a_model_in_the_cache_can_be_removed(in_cache: Path, options: ModelOptions):
    size = describe_all(options)[1].size_bytes
    assert remove_model("mine", options) == size
    assert not list(in_cache.parent.iterdir())


def test_a_model_of_the_hub_can_be_removed(from_hub: Path, options: ModelOptions):
    assert remove_model("org/tiny", options) > 0
    assert [model.name for model in describe_all(options)] == ["smollm2"]


def test_a_folder_of_the_users_own_is_never_removed(tmp_path: Path, options: ModelOptions):
    folder = write_config(tmp_path / "own")
    with pytest.raises(ModelError, match="a folder of your own"):
        remove_model(str(folder), options)
    assert folder.is_dir()


def test_a_folder_that_nobody_can_read_is_a_row_without_facts(
    in_cache: Path, options: ModelOptions
):
    (in_cache / "config.json").unlink()
    os.mkfifo(in_cache / "config.json")
    (in_cache / "loop").symlink_to("loop")
    row = next(model for model in describe_all(options) if model.name == "mine")
    assert (row.family, row.window) == ("", None)
    assert "config.json is a pipe, not a file" in describe("mine", options).problem
