"""Keys that are pressed before anybody reads them: each reaches the one that it was meant for."""

from __future__ import annotations

import time

import pytest

from tests.support.shell import run_glm
from tests.support.term import Term
from tests.support.tmux import GLM, Tmux, needs_tmux

pytestmark = pytest.mark.pty
WORDS = " ".join(f"w{n}" for n in range(40))


@pytest.fixture
def term(tmp_path):
    with Term("chat", "-m", "echo:delay=0.05", home=tmp_path) as term:
        yield term.at_prompt()


@pytest.fixture
def shell(tmp_path):
    with Term("chat", "-m", "echo:delay=0.05", home=tmp_path, shell=True) as term:
        yield term.at_shell().type(term.command_line + "\r").at_prompt()


def test_up_and_ctrl_r_find_earlier_texts_though_they_are_pressed_in_mid_reply(term):
    term.type("alpha beta gamma delta\r").see("\nalpha beta").type("\x1b[A")
    term.see("4 tokens").at_prompt("alpha beta gamma delta").type("\x03").at_prompt()
    term.type("one two three four\r").see("\none two").type("\x12gam")
    term.see("backward: gam").see("> alpha beta gamma delta").type("\r\r")
    term.until(lambda t: t.text().count("\nalpha beta gamma delta") == 2, "the reply")


def test_keys_that_follow_an_arrow_in_mid_reply_come_after_it(term):
    term.type("one two three four\r").see("\none two").type("\x1b[A five")
    term.see("4 tokens").at_prompt("one two three four five")


def test_ctrl_z_right_behind_enter_suspends_the_reply(shell):
    shell.type(f"{WORDS}\r\x1a").see("Stopped").at_shell()
    assert shell.text().split().count("w39") == 1  # the question
    shell.type("fg\r").see("40 tokens").at_prompt()


def test_lines_that_are_typed_in_mid_reply_are_shown_and_the_last_is_taken_back(term):
    term.type(f"{WORDS}\r").see("\nw0 w1").type("second one\rthird one\r").see(
        "> third one · waits"
    )
    assert "> second one\n> third one" in "\n".join(term.lines())
    term.type("\x1b[A, changed").see("> third one, changed_").type("\r")
    term.until(lambda t: t.text().count("\nthird one, changed") == 1, "its reply").at_prompt()
    assert term.text().count("\nsecond one") == 1
    assert "waits" not in term.text()


def test_ctrl_c_stops_the_reply_and_makes_a_draft_of_what_waits(term):
    paste = "\r".join(f"row {n}" for n in range(40))
    term.type(f"{WORDS}\r").see("\nw0 w1").type(f"second\r\x1b[200~{paste}\x1b[201~\rlast")
    term.see("> last_").type("\x03").see("arrived is kept").see(
        "> second\n  [paste 1: 40 lines]\n  last"
    )
    term.type("\r").see("row 39\nlast").at_prompt()
    assert "\nsecond\nrow 0\nrow 1\n" in term.text()


def test_ctrl_c_runs_no_command_that_waits_and_joins_none_with_a_question(term, tmp_path):
    term.type(f"{WORDS}\r").see("\nw0 w1").type("/title\rreview the plan\r").see("plan · waits")
    assert "+/title\n" in (tmp_path / "prompt_history").read_text()  # a kill loses nothing
    term.type("\x03").see("/title was not run").at_prompt("review the plan").type("\r")
    term.see("3 tokens").at_prompt()


def test_lines_that_wait_behind_a_line_that_failed_become_a_draft(term):
    term.type("two words\r").see("\ntwo").type("/model nosuch:x\rand then?\r")
    term.see("no engine called").see("not sent yet, since the line before").at_prompt("and then?")


@pytest.mark.parametrize("terminal", ["xterm-256color", "dumb"])
def test_a_question_is_asked_again_after_it_was_suspended(open_term, tmp_path, terminal):
    (tmp_path / "there.md").write_text("before")
    shell = open_term("chat", "-m", "echo:", shell=True, TERM=terminal).at_shell()
    shell.type(shell.command_line + "\r").at_prompt().type("one\r").see("1 token").at_prompt().type(
        "/save there.md\r"
    ).see("[y/N]")
    shell.type("\x1a").see("Stopped").at_shell().type("fg\r")
    shell.until(lambda t: t.prompt_row().endswith("[y/N]"), "the question").type("y\r")
    shell.see("saved to").at_prompt()


def test_an_answer_that_is_typed_ahead_of_its_question_answers_it(term, tmp_path):
    (tmp_path / "there.md").write_text("before")
    term.type("one\r").see("1 token").at_prompt()
    term.type("/save there.md\ry\rthree more words\r").see("saved to").see("3 tokens").at_prompt()
    assert "[y/N] y\n" in term.text()


def test_the_beginning_of_an_answer_may_be_typed_ahead(term, tmp_path):
    (tmp_path / "there.md").write_text("before")
    term.type("one\r").see("1 token").at_prompt()
    term.type("/save there.md\rye").see("[y/N] ye").type("s\r").see("saved to").at_prompt()


@pytest.mark.parametrize("terminal", ["xterm-256color", "dumb"])
def test_a_question_in_a_chat_is_asked_until_it_is_answered(tmp_path, terminal):
    (tmp_path / "there.md").write_text("before")
    with Term("chat", "-m", "echo:", home=tmp_path, TERM=terminal) as term:
        term.at_prompt().type("one\r").see("1 token").at_prompt().type("/save there.md\r")
        term.see("[y/N]").type("maybe\r").see("type y or n")
        term.until(lambda t: t.prompt_row().endswith("[y/N]"), "the question again")
        assert (tmp_path / "there.md").read_text() == "before"
        term.type("Y\r").see("saved to").at_prompt()


@pytest.mark.parametrize("terminal", ["xterm-256color", "dumb"])
def test_the_files_of_a_folder_are_listed_once_however_often_is_asked(tmp_path, terminal):
    (tmp_path / "docs").mkdir()
    for name in ("one.md", "two.md"):
        (tmp_path / "docs" / name).write_text("text")
    with Term("chat", "-m", "echo:", home=tmp_path, TERM=terminal) as term:
        term.at_prompt().type("/attach docs/\r").see("[y/N]")
        for count in (1, 2):
            term.type("maybe\r")
            term.until(lambda t, n=count: t.text().count("type y or n") == n, "what may be typed")
            term.until(lambda t: t.prompt_row() == "send these 2 files? [y/N]", "the question")
        assert term.text().count("docs/one.md") == 1
        term.type("y\r").at_prompt()


def test_the_list_to_pick_from_is_shown_again_after_it_was_suspended(tmp_path):
    with Term("chat", "-m", "echo:", "--resume", home=tmp_path, shell=True) as term:
        run_glm("ask", "-m", "echo:", "hi there", cwd=tmp_path, GLM_HOME=str(tmp_path))
        term.at_shell().type(term.command_line + "\r").see("Enter opens")
        term.type("\x1a").see("Stopped").at_shell()
        term.screen.reset()
        term.type("fg\r").see("Enter opens").type("\r").see("> hi there").at_prompt()


def test_a_line_that_is_typed_behind_an_answer_is_sent(term, tmp_path):
    (tmp_path / "there.md").write_text("before")
    term.type("one\r").see("1 token").at_prompt().type("/save there.md\r").see("[y/N]")
    term.type("y\rthree more words\r").see("saved to").see("3 tokens").at_prompt()


def test_escape_and_then_enter_sends_with_vi_keys_however_soon_they_are_seen(tmp_path):
    with Term("chat", "--vi", "-m", "echo:", home=tmp_path) as term:
        term.at_prompt().type("hello").at_prompt("hello").type("\x1b")
        next_key = time.monotonic() + 0.3  # a quick person; time is what tells it from Alt-Enter
        term.until(lambda t: time.monotonic() > next_key, "a moment").type("\r").see("1 token")


@needs_tmux
@pytest.mark.parametrize("columns", [40, 120])
def test_what_waits_is_shown_once_when_the_window_changes(tmp_path, columns):
    with Tmux(*GLM, "chat", "-m", "echo:delay=0.1", home=tmp_path, cols=80) as window:
        window.at_prompt().type(WORDS, "Enter").see("\nw0 w1").type("second line", "Enter")
        window.see("> second line · waits").resize(columns, 24)
        window.until(lambda w: "> second line · waits" in "\n".join(w.lines()), "the queue")
        assert window.text().count("second line") == 1
        window.see("40 tokens").see("\nsecond line\n")
        assert "waits" not in window.text()


def test_a_large_paste_in_mid_reply_is_shown_at_once_and_ctrl_c_behind_it_is_heard(term):
    term.type(f"{WORDS} {WORDS}\r").see("\nw0 w1")
    began = time.monotonic()
    term.type("\x1b[200~" + "a line of some text\r" * 20_000 + "\x1b[201~").see("[paste 1: 20,000")
    term.type("\x03").see("stopped")
    assert time.monotonic() - began < 3  # the reply takes four seconds, 1 KB a tick took twenty
