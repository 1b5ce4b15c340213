"""Ctrl-C and the signals that end a program, at the moments when they are easily lost."""

from __future__ import annotations

import os
import re
import signal
import sqlite3
import subprocess
import time
from contextlib import closing

import pytest

from tests.support.shell import clean_env, command, run_glm
from tests.support.term import Term, pause, state

pytestmark = pytest.mark.pty
IGNORING = 'trap "" HUP INT; exec "$@"'
WORDS = " ".join(f"w{n}" for n in range(200))


@pytest.fixture
def shell(open_term):
    """`shell("chat", …)`: a shell, in which `term.command_line` starts the program."""
    return lambda *arguments: open_term(*arguments, shell=True).at_shell()


@pytest.mark.parametrize("how", ["{} | cat", "cat | {}", "{} > replies"])
def test_ctrl_c_ends_a_chat_of_which_only_one_side_is_a_terminal(shell, how, tmp_path):
    term = shell("chat", "-m", "echo:delay=0.1")
    term.type(f"echo begun-$((6*7)); {how.format(term.command_line)}; echo over-$((6*7))\r")
    term.see("begun-42").until(Term.has_lines, "a program that reads").type("one two three\r")
    replies = tmp_path / "replies"
    term.until(
        lambda t: t.text().count("one two") == 2 or (replies.exists() and replies.read_text()),
        "the reply",
    )
    term.type("\x03").at_shell()
    assert "over-42" not in term.text()


def test_ctrl_c_at_once_after_enter_stops_the_reply_that_comes(tmp_path):
    with Term("chat", "-m", "echo:delay=0.05", home=tmp_path) as term:
        for turn in range(3):
            term.at_prompt().type(f"turn {turn} {WORDS}\r\x03")
            term.until(lambda t, n=turn + 1: t.text().count("stopped") == n, "the stop")


EARLY = """
import runpy, signal
from prompt_toolkit import PromptSession

prompt = PromptSession.prompt

def pressed_before(self, *arguments, **options):
    signal.raise_signal(signal.SIGINT)
    return prompt(self, *arguments, **options)

PromptSession.prompt = pressed_before
runpy.run_module("glmcli", run_name="__main__")
"""
"""Presses Ctrl-C just before each prompt."""


def test_ctrl_c_before_a_prompt_stops_nothing_that_is_asked_for_later(tmp_path):
    (tmp_path / "early.py").write_text(EARLY)
    (tmp_path / "there.md").write_text("before")
    with Term("chat", "-m", "echo:", home=tmp_path, module="early") as term:
        term.at_prompt().type("y z\r").see("2 tokens").at_prompt()
        term.type("/retry\r").until(lambda t: t.text().count("2 tokens") == 2, "the reply")
        term.at_prompt().type("/save there.md\r").see("[y/N]").type("y\r").see("saved to")
        assert "stopped" not in term.at_prompt().text()


@pytest.mark.parametrize("presses", [2, 3])
@pytest.mark.parametrize("terminal", ["xterm-256color", "dumb"])
def test_quick_presses_of_ctrl_c_stop_one_reply_and_nothing_else(tmp_path, presses, terminal):
    with Term("chat", "-m", "echo:delay=0.02", home=tmp_path, rows=60, TERM=terminal) as term:
        term.at_prompt()
        for turn in range(1, 13):
            term.type(f"turn {turn} {WORDS}\r").see(f"\nturn {turn} w0 w1")
            for _ in range(presses):
                term.type("\x03")
                pause(term, turn / 1000)
            term.until(lambda t, n=turn: t.text().count("arrived is kept") == n, "the stop")
            pause(term, 0.1)  # a terminal that echoes itself may show ^C right before the prompt
            term.until(lambda t: t.prompt_row() in (">", "^C>"), "the prompt")
            term.type(f"next-{turn}\r").see(f"\nnext-{turn}\n").at_prompt()
        assert "stopped before" not in term.text()
        assert "Ctrl-C again" not in term.text()


def test_ctrl_c_leaves_some_time_after_it_stopped_a_reply(tmp_path):
    with Term("chat", "-m", "echo:delay=0.02", home=tmp_path) as term:
        term.at_prompt().type(f"{WORDS}\r").see("\nw0 w1").type("\x03").see("arrived is kept")
        pause(term.at_prompt(), 0.6)
        assert term.type("\x03").see("Ctrl-C again").type("\x03").ended() == 0


def test_ctrl_c_stops_a_first_turn_that_was_an_argument(tmp_path):
    with Term("chat", "-m", "echo:load=1", WORDS, home=tmp_path) as term:
        term.see("> w0").type("\x03").see("stopped before").at_prompt()


def test_a_loop_of_the_shell_ends_at_one_ctrl_c(shell):
    term = shell("ask", "-m", "echo:", "-")
    term.type(f"for i in 1 2 3; do echo turn-$i; {term.command_line}; done\r")
    term.see("Ctrl-D ends the prompt").type("\x03").at_shell()
    assert "turn-2" not in term.text()


def test_a_loop_ends_at_one_ctrl_c_that_ends_the_reader_of_the_pipe_too(shell):
    term = shell("ask", "-m", "echo:delay=0.05", WORDS)
    term.type(f"for i in 1 2 3; do echo turn-$i; {term.command_line} | cat; done\r")
    term.see("turn-1\n").see("\nw0 w1 w2 w3").type("\x03").at_shell()
    assert "turn-2" not in term.text()


def test_a_chat_that_is_suspended_when_its_window_closes_keeps_the_reply(tmp_path):
    with Term("chat", "-m", "echo:delay=0.02", WORDS, home=tmp_path) as term:
        term.see("\nw0 w1 w2 w3")
        for signum in (signal.SIGHUP, signal.SIGTERM):  # both at once, as shells do
            os.kill(term.process.pid, signum)
        assert term.ended() in (-signal.SIGHUP, -signal.SIGTERM)
    assert "w20" in stored(tmp_path)


def test_ctrl_backslash_gives_the_terminal_back(tmp_path):
    with Term("chat", "-m", "echo:delay=0.02", WORDS, home=tmp_path) as term:
        term.see("\nw0 w1 w2 w3").type("\x1c")
        assert term.ended() == -signal.SIGQUIT
        assert term.raw.rindex("\x1b[?2004l") > term.raw.rindex("\x1b[?2004h")
        assert term.has_lines()
    assert "w20" in stored(tmp_path)


def test_what_nohup_ignores_stays_ignored(tmp_path):
    program = subprocess.Popen(
        ["sh", "-c", IGNORING, "sh", *command("ask", "-m", "echo:delay=0.02", WORDS)],
        cwd=tmp_path,
        env=clean_env(GLM_HOME=str(tmp_path)),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        bufsize=0,
    )
    assert program.stdout is not None
    begun = program.stdout.read(5)
    for signum in (signal.SIGHUP, signal.SIGINT):
        program.send_signal(signum)
    rest, _ = program.communicate(timeout=60)
    assert (begun + rest).decode() == f"{WORDS}\n"
    assert program.returncode == 0


def test_how_a_prompt_ends_is_said_again_after_it_was_suspended(shell):
    term = shell("ask", "-m", "echo:", "-")
    term.type(term.command_line + "\r").see("Ctrl-D ends").type("\x1a").see("Stopped")
    term.at_shell().type("fg\r").until(lambda t: t.text().count("Ctrl-D ends") == 2, "the words")
    term.type("two\r\x04").see("\ntwo\ntwo\n").at_shell()


def test_kill_ends_a_suspended_chat(shell):
    term = shell("chat", "-m", "echo:delay=0.02", WORDS)
    term.type(term.command_line + "\r").see("\nw0 w1 w2 w3").type("\x1a").see("Stopped").at_shell()
    term.type("kill %1\r").see("w0 w1 w2 w3 w4")
    term.type("while jobs %1; do sleep 0.1; done; echo gone-$((6*7))\r").see("gone-42")


def test_a_suspended_editor_comes_back_with_the_terminal_that_it_had(shell, tmp_path):
    editor = tmp_path / "editor.sh"
    editor.write_text('#!/bin/sh\necho EDITING-$$-\nread line\nprintf "%s" "$line" > "$1"\n')
    editor.chmod(0o755)
    term = shell("chat", "-m", "echo:").type(f"export EDITOR={editor}\r")
    term.at_shell().type(term.command_line + "\r").at_prompt()
    term.type("\x18\x05").until(lambda t: re.search(r"EDITING-\d+-", t.text()), "the editor")
    pid = int(term.text().split("EDITING-")[1].split("-")[0])
    term.type("\x1a").see("Stopped").at_shell()
    # The shell comes back when the chat has stopped; until the editor has too, it reads what is
    # typed for the shell.
    term.until(lambda t: state(pid) == "T", "an editor that is stopped")
    term.type("fg\r").until(Term.has_lines, "the editor").type("written\r").at_prompt("written")


def test_a_history_that_is_locked_costs_no_patience(tmp_path):
    with Term("chat", "-m", "echo:", home=tmp_path) as term:
        term.at_prompt().type("one\r").see("1 token").at_prompt()
        with closing(sqlite3.connect(tmp_path / "history.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            term.type("two words\r").see("not saved: ", timeout=4).at_prompt()
            term.see("not saved\n")  # in the toolbar, for as long as it is true
        term.type("three more words\r").see("3 tokens").at_prompt()
        assert "not saved" not in term.lines()[-1]
    assert "two words" in stored(tmp_path)
    assert "three more words" in stored(tmp_path)


@pytest.mark.parametrize("leave", ["/exit\r", "\x04", "\x03\x03"])
def test_a_chat_that_is_not_saved_is_left_only_knowingly(tmp_path, leave):
    with Term("chat", "-q", "-m", "echo:", home=tmp_path) as term:
        term.at_prompt().type("one\r").see("1 token").at_prompt()
        with closing(sqlite3.connect(tmp_path / "history.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            term.type("two words\r").see("not saved: ", timeout=4).at_prompt()
            term.type(leave).see("the last turns are not saved: ").see("/save FILE").at_prompt()
            term.type(leave).see("the last turns were not saved: ")
            assert term.ended() == 0
    assert "two words" not in stored(tmp_path)


def test_what_could_not_be_saved_is_saved_on_leaving_if_it_can_be_now(tmp_path):
    with Term("chat", "-m", "echo:", home=tmp_path) as term:
        term.at_prompt().type("one\r").see("1 token").at_prompt()
        with closing(sqlite3.connect(tmp_path / "history.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            term.type("two words\r").see("not saved: ", timeout=4).at_prompt()
        term.type("/exit\r").see("to come back: ")
        assert term.ended() == 0 and "the last turns" not in term.text()
    assert "two words" in stored(tmp_path)


def stored(home) -> str:
    """The last conversation, as the history shows it."""
    ids = run_glm("history", "list", "--all", cwd=home, GLM_HOME=str(home)).out.split("\t")
    return run_glm("history", "show", ids[0], cwd=home, GLM_HOME=str(home)).out


def test_ctrl_c_drops_what_waits_and_keeps_it_in_the_history(tmp_path):
    words = " ".join(f"word{n}" for n in range(100_000))
    (tmp_path / "words.md").write_text(words)
    with Term("chat", "-m", "echo:window=10000000", home=tmp_path) as term:
        term.at_prompt().type("@words.md\r").see("answering · ")
        seen = len(term.raw)
        term.until(lambda t: len(t.raw) > seen + 20_000, "a flood")
        before = len(term.raw)
        started = time.monotonic()
        term.type("\x03").see("stopped; what arrived is kept")
        took = time.monotonic() - started
        term.at_prompt()
        # What was on its way to the terminal at that moment, and what comes after it.
        assert len(term.raw) - before < 40_000
        assert took < 5
    assert "word50 " in stored(tmp_path)


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_pipe_that_nobody_reads_does_not_keep_the_program(tmp_path, signum):
    reader, writer = os.pipe()
    program = subprocess.Popen(
        command("ask", "-m", "echo:window=10000000", "-"),
        cwd=tmp_path,
        env=clean_env(GLM_HOME=str(tmp_path)),
        stdin=subprocess.PIPE,
        stdout=writer,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    os.close(writer)
    try:
        assert program.stdin is not None
        program.stdin.write(WORDS.encode() * 200)
        program.stdin.close()
        os.read(reader, 1)
        time.sleep(0.3)  # until the pipe is full, or nearly so
        program.send_signal(signum)
        assert program.wait(20) == -signum
    finally:
        program.kill()
        os.close(reader)
