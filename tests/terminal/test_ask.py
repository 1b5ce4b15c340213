"""One-shots on a real pseudo-terminal."""

from __future__ import annotations

import signal

import pytest

from tests.term import Term

pytestmark = pytest.mark.pty


def test_a_one_shot_is_rendered_like_the_chat(tmp_path):
    with Term("ask", "-m", "echo:", "some **bold** words", home=tmp_path) as term:
        term.see("some bold words")
        assert term.ended() == 0
        assert "**" not in term.text()


def test_plain_leaves_markdown_as_it_is(tmp_path):
    with Term("ask", "--plain", "-m", "echo:", "some **bold** words", home=tmp_path) as term:
        term.see("some **bold** words")
        assert term.ended() == 0


def test_ctrl_c_keeps_what_was_shown_and_ends_by_the_signal(tmp_path):
    story = " ".join(f"word{n}" for n in range(400))
    with Term("ask", "-m", "echo:delay=0.02", story, home=tmp_path) as term:
        term.see("word20").type("\x03")
        assert term.ended() == -signal.SIGINT
        shown = term.text().split()
        assert shown[:10] == [f"word{n}" for n in range(10)]
        assert "Traceback" not in term.raw
        assert term.raw.rstrip().endswith("\x1b[?25h")


def test_ctrl_z_and_fg_show_every_word_once_even_with_a_pipe_before(tmp_path):
    story = " ".join(f"w{n}" for n in range(100))
    (tmp_path / "story").write_text(story)
    with Term("ask", "-m", "echo:delay=0.02", home=tmp_path, shell=True) as term:
        term.at_shell().type(f"cat story | {term.command_line}\r").see("\nw0 ").see("w20")
        term.type("\x1a").see("Stopped").at_shell().type("fg\r").see("w99").at_shell()
        assert term.text().split().count("w20") == 1


def test_stats_say_where_the_model_runs(tmp_path):
    with Term("ask", "--stats", "-m", "echo:", "hello", home=tmp_path) as term:
        term.see("1 token")
        assert term.ended() == 0
