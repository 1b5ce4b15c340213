"""Where what was typed is kept: a file of the user's own, or memory alone."""

from __future__ import annotations

import os

import pytest
from prompt_toolkit.history import InMemoryHistory

from glmcli.terminal.pastes import Pastes
from glmcli.terminal.recall import PrivateHistory, make_history


def test_what_others_could_read_is_closed_to_them(tmp_path):
    path = tmp_path / "prompt_history"
    path.write_text("")
    path.chmod(0o644)
    assert isinstance(make_history(path, Pastes()), PrivateHistory)
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_pipe_in_its_place_is_not_waited_for(tmp_path):
    path = tmp_path / "prompt_history"
    os.mkfifo(path)
    assert isinstance(make_history(path, Pastes()), InMemoryHistory)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a file of another user's")
def test_another_user_s_file_is_left_as_it_is(tmp_path):
    path = tmp_path / "prompt_history"
    path.write_text("")
    os.chown(path, 12345, 12345)
    path.chmod(0o644)
    assert isinstance(make_history(path, Pastes()), InMemoryHistory)
    assert path.stat().st_mode & 0o777 == 0o644
