"""What is said of files of the program's own that cannot be written."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from glmcli.errors import StoreError
from glmcli.ours import not_written, write_private

PATH = Path("/a/b.toml")


@pytest.mark.parametrize(
    ("code", "own", "other"),
    [
        (errno.ENOSPC, "free some space, or set GLM_HOME to", "free some space, or choose another"),
        (errno.EDQUOT, "free some space, or set GLM_HOME to", "free some space, or choose another"),
        (
            errno.EACCES,
            "check who may write to /a, or set GLM_HOME",
            "check who may write to /a, or",
        ),
        (
            errno.EPERM,
            "check who may write to /a, or set GLM_HOME",
            "check who may write to /a, or",
        ),
        (errno.EROFS, "set GLM_HOME to another folder", "choose another folder"),
        (errno.EIO, "set GLM_HOME to another folder", "choose another folder"),
    ],
)
def test_the_hint_for_a_file_that_cannot_be_written_is_about_the_reason(code, own, other):
    exc = OSError(code, os.strerror(code))
    assert not_written(PATH, exc, own=True).hint.startswith(own)
    assert not_written(PATH, exc).hint.startswith(other)
    assert not_written(PATH, exc).message == f"/a/b.toml cannot be written: {os.strerror(code)}"


def test_a_folder_that_cannot_be_made_is_no_matter_of_space(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(StoreError) as caught:
        write_private(tmp_path / "file" / "config.toml", "x")
    assert caught.value.hint == "set GLM_HOME to another folder"
