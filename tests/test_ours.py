"""What is said of files of the program's own that cannot be written."""

from __future__ import annotations

import errno
import fcntl
import os
from contextlib import contextmanager
from pathlib import Path

import pytest

from glmcli.errors import StoreError
from glmcli.ours import not_written, one_at_a_time, write_private

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


@contextmanager
def locked(folder):
    """The folder's lock, as another program holds it."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield handle
    finally:
        os.close(handle)


def test_a_folder_that_another_program_keeps_locked_is_said_and_then_an_error(tmp_path):
    said = []
    with (
        locked(tmp_path),
        pytest.raises(StoreError, match=r"keeps .+ locked") as caught,
        one_at_a_time(tmp_path / "x", said.append, wait_s=1.1),
    ):
        raise AssertionError("it was locked")
    assert said == [f"waiting for another program that has {tmp_path} locked"]
    assert f"fuser -v {tmp_path}" in caught.value.hint


def test_a_lock_that_is_let_go_of_is_waited_for(tmp_path):
    said = []
    with locked(tmp_path) as handle:

        def let_go(line):
            said.append(line)
            fcntl.flock(handle, fcntl.LOCK_UN)

        with one_at_a_time(tmp_path / "x", let_go):
            pass
    assert len(said) == 1
