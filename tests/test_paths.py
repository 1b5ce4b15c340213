"""Names that people type as paths, whatever they are."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from glmcli.paths import is_file, is_folder, is_something, with_home

LONG = "a" * 300
NO_NAMES = [LONG, f"{LONG}/x", f"x/{LONG}", "a/" * 2_500, "word " * 1_000, "a\0b", "\ud800"]
LOOKS = [is_file, is_folder, is_something]


@pytest.mark.parametrize("look", LOOKS)
@pytest.mark.parametrize("name", NO_NAMES)
def test_what_no_file_can_be_called_is_not_there(look, name):
    assert look(Path(name)) is False


@pytest.mark.parametrize("look", LOOKS)
def test_what_is_behind_a_locked_folder_is_not_there(look, tmp_path, monkeypatch):
    def locked(path, *args, **kwargs):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    monkeypatch.setattr("os.stat", locked)
    assert look(tmp_path) is False


def test_a_file_and_a_folder_are_told_apart(tmp_path):
    file = tmp_path / "file"
    file.touch()
    assert [look(file) for look in LOOKS] == [True, False, True]
    assert [look(tmp_path) for look in LOOKS] == [False, True, True]


def test_a_home_folder_of_nobody_is_a_name_like_any_other(monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    assert with_home("~/x") == Path("/home/me/x")
    assert with_home("~nosuch/x") == Path("~nosuch/x")
    assert with_home("~\0") == Path("~\0")
