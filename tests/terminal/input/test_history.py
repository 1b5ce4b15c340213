"""Where what was typed is kept: a file of the user's own, or memory alone."""

from __future__ import annotations

import os

import pytest

from glmcli.conversation.typed import Line
from glmcli.terminal.input.history import PromptHistory, make_history
from glmcli.terminal.input.pastes import Pastes


def history_in(path) -> PromptHistory:
    return make_history(path, Pastes(), sent=Line)


def test_what_others_could_read_is_closed_to_them(tmp_path):
    path = tmp_path / "prompt_history"
    path.write_text("")
    path.chmod(0o644)
    history_in(path).append_string("hello")
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(history_in(path).load_history_strings()) == ["hello"]


def test_all_of_a_file_that_is_not_the_user_s_own_counts_as_pasted(tmp_path):
    path = tmp_path / "prompt_history"
    path.write_text("\n# 2026-01-01 10:00:00 typed\n+/save x.md\n")
    for own in (True, False):
        history = make_history(path, Pastes(), sent=Line, own=own)
        assert list(history.load_history_strings()) == ["/save x.md"]
        line = history.recalled("/save x.md")
        assert line is not None and line.is_typed(0, 10) is own
    history.append_string("/exit")
    assert history.recalled("/exit") == Line("/exit")


def test_a_line_that_waits_is_kept_at_once_and_once(tmp_path):
    path = tmp_path / "prompt_history"
    history = history_in(path)
    for _ in range(2):
        history.remember_early([Line("/title x")])
    assert list(history_in(path).load_history_strings()) == ["/title x"]
    history.append_string("/title x")
    assert list(history_in(path).load_history_strings()) == ["/title x"]
    history.append_string("/title x")
    assert len(list(history_in(path).load_history_strings())) == 2


@pytest.mark.timeout(10)
def test_a_pipe_in_its_place_is_not_waited_for(tmp_path):
    path = tmp_path / "prompt_history"
    os.mkfifo(path)
    history = history_in(path)
    history.append_string("hello")
    assert history.get_strings() == ["hello"]
    assert list(history.load_history_strings()) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a file of another user's")
def test_another_user_s_file_is_left_as_it_is(tmp_path):
    path = tmp_path / "prompt_history"
    path.write_text("")
    os.chown(path, 12345, 12345)
    path.chmod(0o644)
    history_in(path).append_string("hello")
    assert path.stat().st_mode & 0o777 == 0o644
    assert path.read_text() == ""
