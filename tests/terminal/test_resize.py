"""A window that changes its size in the middle of a reply, in a terminal that wraps rows anew."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from glmcli.terminal.markdown import render
from tests.terminal.documents import SAMPLE, texts

pytestmark = [
    pytest.mark.pty,
    pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed"),
]
STEP = 5
FRAMES_A_KEY = 40
PROGRAM = """
import os, signal, sys, tty
from glmcli.terminal.markdown import MarkdownStream
from glmcli.terminal.painter import Painter
from glmcli.terminal.theme import DIM

text = open(sys.argv[1], encoding="utf-8").read()
size = os.get_terminal_size(1)
painter = Painter(sys.stdout.write, columns=size.columns, lines=size.lines)
stream, done = MarkdownStream(width=painter.width), 0
tty.setcbreak(0)
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGWINCH])

def paint():
    where = f"{done} {painter._columns}x{painter._lines}"
    painter.paint(stream.take(), stream.live(), ((where, DIM),))
    sys.stdout.flush()

paint()
while (key := os.read(0, 1)) != b"q":
    if key == b"r":
        while size == os.get_terminal_size(1):  # tmux takes its time
            signal.sigwait([signal.SIGWINCH])
        size = os.get_terminal_size(1)
        painter.resize(size.columns, size.lines, reflow=True)
        stream.resize(painter.width)
        paint()
    for _ in range(int(sys.argv[2]) if key == b"f" else 0):
        stream.feed(text[done : done + int(sys.argv[3])])
        done += int(sys.argv[3])
        paint()
stream.finish()
painter.paint(stream.take())
painter.finish()
print("END", flush=True)
os.read(0, 1)
"""


class Tmux:
    """A window of tmux with the program in it; every wait is for something that is seen."""

    def __init__(self, folder: Path, text: str, columns: int, lines: int) -> None:
        self._socket = str(folder / "socket")
        (folder / "program.py").write_text(PROGRAM, encoding="utf-8")
        (folder / "text").write_text(text, encoding="utf-8")
        program = [sys.executable, str(folder / "program.py"), str(folder / "text")]
        size = ["-x", str(columns), "-y", str(lines)]
        self._run("-f", "/dev/null", "new-session", "-d", *size, *program, str(FRAMES_A_KEY), "5")
        self.columns, self.lines, self.done = columns, lines, 0
        self._see(f"0 {columns}x{lines}")

    def feed(self) -> None:
        self._run("send-keys", "f")
        self.done += FRAMES_A_KEY * STEP
        self._see(f"{self.done} {self.columns}x{self.lines}")

    def resize(self, columns: int, lines: int) -> None:
        self._run("resize-window", "-x", str(columns), "-y", str(lines))
        self._wait(lambda: self._size() == f"{columns}x{lines}", "the new size")
        self.columns, self.lines = columns, lines
        self._run("send-keys", "r")
        self._see(f"{self.done} {columns}x{lines}")

    def end(self) -> str:
        self._run("send-keys", "q")
        self._see("END")
        return self.text().partition("END")[0]

    def close(self) -> None:
        self._run("kill-server")

    def text(self) -> str:
        return self._run("capture-pane", "-p", "-S", "-")

    def _size(self) -> str:
        return self._run("display-message", "-p", "#{pane_width}x#{pane_height}").strip()

    def _see(self, words: str) -> None:
        self._wait(lambda: words in self.text(), words)

    def _wait(self, seen, what: str) -> None:
        end = time.monotonic() + 20
        while not seen():
            assert time.monotonic() < end, f"waited for {what}; the screen:\n{self.text()}"

    def _run(self, *arguments: str) -> str:
        command = ["tmux", "-S", self._socket, *arguments]
        return subprocess.run(command, capture_output=True, text=True, encoding="utf-8").stdout


def letters(text: str) -> str:
    """What does not depend on the width: no blanks, no drawn lines."""
    return re.sub(r"[\s▌─]", "", text)


@pytest.mark.parametrize(
    "sizes",
    [
        [(60, 24), (40, 24), (100, 30)],
        [(40, 12), (120, 40), (70, 20)],
        [(100, 12), (60, 24), (80, 16)],
    ],
)
def test_nothing_is_lost_or_shown_twice_when_the_window_changes(tmp_path, sizes):
    window = Tmux(tmp_path, SAMPLE, columns=100, lines=30)
    try:
        for columns, lines in sizes:
            window.feed()
            window.resize(columns, lines)
        while window.done < len(SAMPLE):
            window.feed()
        shown = window.end()
    finally:
        window.close()
    assert letters(shown) == letters("".join(texts(render(SAMPLE, width=99))))
