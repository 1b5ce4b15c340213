"""Small files of a checkpoint: each that a library may open has a limit of size."""

from __future__ import annotations

import os

import pytest

from glmcli.errors import ModelError
from glmcli.models.files.small import LARGE, check_files


@pytest.mark.parametrize(
    "name",
    ["a.model", "b.tiktoken", "vocab-src.json", "source.spm", "bpe.codes", "x.vocab", "y.py"],
)
def test_a_file_of_any_name_that_a_library_may_open_has_a_limit(name, tmp_path):
    (tmp_path / name).touch()
    os.truncate(tmp_path / name, LARGE)
    check_files(tmp_path)
    os.truncate(tmp_path / name, LARGE + 1)
    with pytest.raises(ModelError, match=rf"{name} is too large"):
        check_files(tmp_path)


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin", "data.parquet"])
def test_weights_and_what_no_library_opens_may_be_of_any_size(name, tmp_path):
    (tmp_path / name).touch()
    os.truncate(tmp_path / name, 100 * LARGE)
    check_files(tmp_path)
