"""What comes on stdin: all of it or an error, and a word to those who wait for its end."""

from __future__ import annotations

import socket
import struct
import subprocess

import pytest

from tests.support.shell import clean_env, command

ECHO = ("-m", "echo:")


def test_ask_reads_stdin(glm):
    assert glm("ask", *ECHO, stdin="from a pipe\n").out == "from a pipe\n"
    assert glm("ask", *ECHO, "-", stdin="from a pipe\n").out == "from a pipe\n"


def test_ask_puts_stdin_after_the_argument(glm):
    assert glm("ask", *ECHO, "review this", stdin="a\nb\n").out == "review this\n\na\nb\n"


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
