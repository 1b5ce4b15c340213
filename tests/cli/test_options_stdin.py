"""What comes on stdin: all of it or an error, and a word to those who wait for its end."""

from __future__ import annotations

import socket
import struct
import subprocess
from pathlib import Path

import pytest

from glmcli.chat import repl
from tests.support.shell import clean_env, command

ECHO = ("-m", "echo:")


def test_ask_reads_stdin(glm):
    assert glm("ask", *ECHO, stdin="from a pipe\n").out == "from a pipe\n"
    assert glm("ask", *ECHO, "-", stdin="from a pipe\n").out == "from a pipe\n"


def test_ask_puts_stdin_after_the_argument(glm):
    assert glm("ask", *ECHO, "review this", stdin="a\nb\n").out == "review this\n\na\nb\n"


def test_ask_says_that_stdin_goes_with_the_argument(glm):
    line = "stdin goes with the question (2 lines); --no-stdin ignores it"
    assert line in glm("ask", *ECHO, "review this", stdin="a\nb\n").err
    assert line not in glm("ask", *ECHO, "-q", "review this", stdin="a\nb\n").err
    for words in (("-",), ("--no-stdin", "review this"), ()):
        assert "stdin" not in glm("ask", *ECHO, *words, stdin="a\nb\n").err
    assert "stdin" not in glm("ask", *ECHO, "review this", stdin="").err


def test_ask_can_ignore_stdin(glm):
    assert glm("ask", *ECHO, "--no-stdin", "only this", stdin="not this").out == "only this\n"


def test_ask_says_that_it_waits_for_a_stdin_that_nobody_closes(tmp_path):
    process = subprocess.Popen(
        command("ask", *ECHO, "hello"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=clean_env(GLM_HOME=str(tmp_path)),
    )
    with process:
        process.stdin.write(b"some of it")  # which is not yet the end
        process.stdin.flush()
        assert b"stdin" in process.stderr.readline()
        out, _ = process.communicate(b"", timeout=20)
    assert out == b"hello\n\nsome of it\n"


@pytest.mark.parametrize("arguments", [("chat", *ECHO), ("ask", *ECHO)])
def test_a_stdin_that_breaks_off_is_an_error_and_none_of_it_is_sent(tmp_path, arguments):
    with socket.create_server(("127.0.0.1", 0)) as server:
        stdin = socket.create_connection(server.getsockname())
        feeder, _ = server.accept()
    with (
        stdin,
        subprocess.Popen(
            command(*arguments),
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=clean_env(GLM_HOME=str(tmp_path / "home")),
        ) as process,
    ):
        feeder.sendall(b"half a li")
        feeder.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        feeder.close()  # with a reset
        out, err = process.communicate(timeout=60)
    assert (out, process.returncode) == (b"", 2)
    assert err.startswith(b"glm: stdin cannot be read: Connection reset by peer\n")


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (("ask", *ECHO, "hi"), "stdin"),
        (("ask", *ECHO, "-"), "stdin"),
        (("chat", *ECHO), "line 1 of stdin"),
    ],
)
def test_a_stdin_without_end_is_refused_like_a_file_that_is_too_large(tmp_path, arguments, name):
    with (
        Path("/dev/zero").open("rb") as endless,
        subprocess.Popen(
            command(*arguments),
            stdin=endless,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=clean_env(GLM_HOME=str(tmp_path)),
        ) as process,
    ):
        out, err = process.communicate(timeout=60)
    assert (out, process.returncode) == ("", 2)
    assert err == (
        f"glm: {name} is too large: 32,000,000 bytes is the limit\n"
        "hint: send a part of it, for example with head -c\n"
    )


def test_many_lines_together_may_be_more_than_one_line_may(monkeypatch):
    sent = [b"a" * 60, b"b\nc", b"\n" + b"d" * 90]
    monkeypatch.setattr(repl, "LARGEST_MESSAGE", 100)
    monkeypatch.setattr(repl, "read_stdin", lambda stopped: sent.pop(0) if sent else b"")
    lines = repl.lines_of_stdin(None, lambda: False)
    assert list(lines) == [(1, "a" * 60 + "b"), (2, "c"), (3, "d" * 90)]


def test_blank_lines_on_stdin_are_said_not_to_be_sent(glm):
    done = glm("ask", "-m", "echo:", "hi", stdin="\n" * 40_000)
    assert done.out == "hi\n"
    assert "stdin holds blank lines only: nothing of it goes with the question" in done.err
    assert "blank lines" not in glm("ask", "-m", "echo:", "hi", stdin="").err
