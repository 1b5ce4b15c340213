"""A program in a window of tmux, a terminal that wraps rows again and knows keys by name.

Every test has a server of its own. Tests wait for what a person would see; they never sleep.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.shell import clean_env, command, kill_session
from tests.support.term import TIMEOUT_S

needs_tmux = pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed")
GLM = tuple(command())
SHELL = ("env", "PS1=$ ", "bash", "--norc", "--noprofile")


class Tmux:
    """`with Tmux(*GLM, "chat", home=tmp_path) as tmux: tmux.at_prompt().type("hi", "Enter")`."""

    def __init__(self, *program: str, home: Path, cols: int = 80, rows: int = 24, **env: str):
        self._socket = str(home / "tmux")
        self._env = clean_env(**{"GLM_HOME": str(home), **env})
        self._home = home
        size = ["-x", str(cols), "-y", str(rows)]
        begin = ["-f", os.devnull, "new-session", "-d", *size, "-P", "-F", "#{pane_pid}"]
        self._pid = int(self.run(*begin, shlex.join(program)))

    def __enter__(self) -> Tmux:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """End the program and its window."""
        kill_session(self._pid)
        self._tmux("kill-server")  # nothing is left to end where the program has ended

    def run(self, *arguments: str) -> str:
        """Run a tmux command; returns what it prints."""
        done = self._tmux(*arguments)
        done.check_returncode()
        return done.stdout

    def _tmux(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["tmux", "-S", self._socket, *arguments],
            stdout=subprocess.PIPE,
            encoding="utf-8",
            env=self._env,
            cwd=self._home,
        )

    def type(self, *keys: str) -> Tmux:
        """Press keys, by their names in tmux; all else is typed as it is."""
        self.run("send-keys", *keys)
        return self

    def resize(self, cols: int, rows: int) -> Tmux:
        """Change the size of the window, and wait until it has changed."""
        self.run("resize-window", "-x", str(cols), "-y", str(rows))
        size = "#{pane_width}x#{pane_height}"
        return self.until(
            lambda _: self.run("display-message", "-p", size).strip() == f"{cols}x{rows}",
            f"{cols} columns, {rows} rows",
        )

    def text(self) -> str:
        """Scrollback and screen."""
        return self.run("capture-pane", "-p", "-S", "-").rstrip("\n")

    def lines(self) -> list[str]:
        """The rows of the screen."""
        return self.run("capture-pane", "-p").split("\n")

    def row(self) -> str:
        """The row that the cursor is in."""
        return self.lines()[int(self.run("display-message", "-p", "#{cursor_y}"))].rstrip()

    def until(self, seen: Callable[[Tmux], bool], what: str) -> Tmux:
        """Wait until `seen(self)`; on a timeout the error shows the screen."""
        end = time.monotonic() + TIMEOUT_S
        while not seen(self):
            assert time.monotonic() < end, f"waited for {what}; the screen:\n{self.text()}"
        return self

    def see(self, words: str) -> Tmux:
        """Wait until the words are on the screen or in the scrollback."""
        return self.until(lambda window: words in window.text(), repr(words))

    def at_prompt(self, draft: str = "") -> Tmux:
        """Wait for the prompt, with `draft` typed into it."""
        wanted = f"> {draft}".rstrip()
        return self.until(lambda window: window.row() == wanted, f"the prompt {wanted!r}")

    def at_shell(self) -> Tmux:
        """Wait for the prompt of the shell; what is typed before it is shown twice."""
        return self.until(lambda window: window.row() == "$", "the prompt of the shell")
