"""A program on a real pseudo-terminal, its bytes fed to a terminal emulator.

Tests wait for what a person would see; they never sleep.
"""

from __future__ import annotations

import os
import select
import shlex
import termios
import time
from collections.abc import Callable
from pathlib import Path

import pexpect
import pyte
from wcwidth import wcwidth

from tests.support.shell import clean_env, command, kill_session

TIMEOUT_S = 20


class Screen(pyte.HistoryScreen):
    """pyte drops what follows a zero-width character in a chunk, so leave those out."""

    def draw(self, data: str) -> None:
        super().draw("".join(char for char in data if wcwidth(char) != 0))


class Term:
    """`with Term("chat", "-m", "echo:", home=tmp_path) as term: term.see("> ").type("hi\\r")`."""

    def __init__(
        self,
        *arguments: str,
        home: Path,
        cols: int = 80,
        rows: int = 24,
        shell: bool = False,
        module: str = "glmcli",
        ignoring: str = "",
        **env: str,
    ):
        argv = command(*arguments, module=module)
        if ignoring:  # signals, as a shell ignores them for what it starts
            argv = ["sh", "-c", f'trap "" {ignoring}; exec "$@"', "sh", *argv]
        self.command_line = shlex.join(argv)
        if shell:
            argv = ["bash", "--norc", "--noprofile"]
            env = {"PS1": "$ "} | env
        self.screen = Screen(cols, rows, history=100_000, ratio=1e-9)
        self.stream = pyte.Stream(self.screen)
        self.raw = ""
        self.process = pexpect.spawn(
            argv[0],
            argv[1:],
            dimensions=(rows, cols),
            encoding="utf-8",
            codec_errors="replace",
            cwd=str(home),
            env=clean_env(**{"TERM": "xterm-256color", "GLM_HOME": str(home), **env}),
        )
        self.process.delaybeforesend = None
        self.screen.write_process_input = self.process.send

    def __enter__(self) -> Term:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """End the program and all that it started, and wait for it."""
        kill_session(self.process.pid)
        if self.process.isalive():
            self.process.wait()  # a busy machine takes longer over it than `close` waits
        self.process.close(force=True)

    def has_lines(self) -> bool:
        """Whether the terminal echoes and edits lines, as programs find it and have to leave it."""
        wanted = termios.ECHO | termios.ICANON
        return termios.tcgetattr(self.process.child_fd)[3] & wanted == wanted

    def hang_up(self, timeout: float = TIMEOUT_S) -> int:
        """Take the terminal away and wait for the end; the exit code, or minus the signal."""
        gone = os.pidfd_open(self.process.pid)
        try:
            self.process.ptyproc.fileobj.close()
            assert select.select([gone], [], [], timeout)[0], "the program outlives its terminal"
        finally:
            os.close(gone)
        return self.code()

    def pump(self) -> bool:
        """Feed what has arrived to the emulator; False if nothing had."""
        try:
            data = self.process.read_nonblocking(65536, 0.02)
        except (pexpect.TIMEOUT, pexpect.EOF):
            return False
        self.raw += data
        self.stream.feed(data)
        return True

    def lines(self) -> list[str]:
        """The rows of the screen."""
        return [self._row(self.screen.buffer[y]) for y in range(self.screen.lines)]

    def text(self) -> str:
        """Scrollback and screen."""
        return "\n".join([self._row(line) for line in self.screen.history.top] + self.lines())

    def _row(self, cells) -> str:
        return "".join(cells[x].data for x in range(self.screen.columns)).rstrip()

    def until(self, seen: Callable[[Term], bool], what: str, timeout: float = TIMEOUT_S) -> Term:
        """Wait until `seen(self)`; on a timeout the error shows the screen."""
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            if seen(self):
                return self
            if not self.pump() and not self.process.isalive():
                while self.pump():
                    pass
                if seen(self):
                    return self
                break
        raise AssertionError(f"waited for {what}; the screen:\n" + "\n".join(self.lines()))

    def see(self, words: str, timeout: float = TIMEOUT_S) -> Term:
        """Wait until the words are on the screen or in the scrollback."""
        return self.until(lambda term: words in term.text(), repr(words), timeout)

    def at_prompt(self, draft: str = "") -> Term:
        """Wait for the prompt, with `draft` typed into it."""
        wanted = f"> {draft}".rstrip()
        return self.until(lambda term: term.prompt_row() == wanted, f"the prompt {wanted!r}")

    def at_shell(self) -> Term:
        """Wait for the prompt of the shell; what is typed before it is shown twice."""
        return self.until(lambda term: term.prompt_row() == "$", "the prompt of the shell")

    def prompt_row(self) -> str:
        """The row the cursor is in."""
        return self._row(self.screen.buffer[self.screen.cursor.y])

    def type(self, keys: str) -> Term:
        """Press keys."""
        self.process.send(keys)
        return self

    def ended(self, timeout: float = TIMEOUT_S) -> int:
        """Wait for the end; the exit code, or minus the signal."""
        self.until(lambda term: not term.process.isalive(), "the end", timeout)
        while self.pump():  # its last words
            pass
        return self.code()

    def code(self) -> int:
        """How it ended: the exit code, or minus the signal."""
        assert not self.process.isalive()
        if self.process.signalstatus is not None:
            return -self.process.signalstatus
        return self.process.exitstatus


def state(pid: int) -> str:
    """What a process does: S sleeps, R runs, T is stopped."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def pause(term: Term, seconds: float) -> None:
    """A person takes time between two keys; it is what tells them apart."""
    end = time.monotonic() + seconds
    term.until(lambda t: time.monotonic() > end, "a moment")
