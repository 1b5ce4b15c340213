"""Where what was typed is kept: a file of the user's own, or memory alone."""

from __future__ import annotations

import os
import re
import threading
from pathlib import Path

import pytest

from glmcli import ours
from glmcli.conversation.attachments import attachment, join_files
from glmcli.conversation.roles import load_role
from glmcli.conversation.typed import Line
from glmcli.terminal.input.history import PromptHistory, forget_said, make_history
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


OTHER = "\n# 2026-01-01 10:00:00 typed\n+other\n# 2026-01-01 10:00:01 refused /x\n"


@pytest.mark.parametrize(
    ("entry", "question"),
    [
        ("my PIN is 9911", "my PIN is 9911"),
        ("two\n\n+lines\n", "two\n\n+lines\n"),
        ("//etc is full", "/etc is full"),
        ("//etc is full", "//etc is full"),
        ("see @a.txt", join_files("see @a.txt", [attachment(b"a", Path("a.txt"), where="/a.txt")])),
        ("the sea", load_role("commit").framed("the sea")),
        ("half \udcff", "half \udcff"),
    ],
)
def test_an_entry_is_forgotten_by_the_question_that_it_became(tmp_path, entry, question):
    path = tmp_path / "prompt_history"
    history = history_in(path)
    for text in (entry, "other", entry):
        history.append_string(text)
    history.refuse("/x")
    history.append_string(entry)
    path.chmod(0o644)
    forget_said(path, ["elsewhere"])
    assert len(list(history_in(path).load_history_strings())) == 4
    forget_said(path, [question, "elsewhere"])
    assert re.sub(r"# \S+ \S+", "#", path.read_text()) == re.sub(r"# \S+ \S+", "#", OTHER)
    assert path.stat().st_mode & 0o777 == 0o600
    history.append_string("more")
    assert list(history_in(path).load_history_strings()) == ["more", "other"]
    assert list(tmp_path.iterdir()) == [path]


def test_a_link_to_the_file_stays_and_what_is_no_file_is_let_be(tmp_path):
    path, target = tmp_path / "prompt_history", tmp_path / "target"
    path.symlink_to(target)
    forget_said(path, ["x"])
    history_in(path).append_string("x")
    forget_said(path, ["x"])
    assert path.is_symlink()
    assert target.read_bytes() == b""
    path.unlink()
    path.symlink_to("/dev/null")
    forget_said(path, ["x"])
    assert path.is_symlink()


def test_what_is_typed_elsewhere_while_entries_are_forgotten_is_not_lost(tmp_path, monkeypatch):
    path = tmp_path / "prompt_history"
    history = history_in(path)
    history.append_string("secret")
    real, typing = ours.replace_file, []

    def replace_slowly(*arguments, **options):
        typing.append(threading.Thread(target=history.append_string, args=["typed meanwhile"]))
        typing[0].start()
        typing[0].join(0.1)
        real(*arguments, **options)

    monkeypatch.setattr("glmcli.terminal.input.history.replace_file", replace_slowly)
    forget_said(path, ["secret"])
    typing[0].join()
    assert list(history_in(path).load_history_strings()) == ["typed meanwhile"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a file of another user's")
def test_another_user_s_file_is_left_as_it_is(tmp_path):
    path = tmp_path / "prompt_history"
    path.write_text("")
    os.chown(path, 12345, 12345)
    path.chmod(0o644)
    history_in(path).append_string("hello")
    assert path.stat().st_mode & 0o777 == 0o644
    assert path.read_text() == ""
