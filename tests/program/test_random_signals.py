"""Signals at random moments from the first millisecond on: the terminal is as it was after them.

The program runs in a process group of its own in the foreground of a terminal, as a shell starts
it. What the interpreter shows before the first line of this program runs is not this program's.
"""

from __future__ import annotations

import fcntl
import os
import pty
import random
import re
import select
import signal
import struct
import sys
import termios
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.shell import clean_env, command, kill_session

pytestmark = pytest.mark.pty

LAUNCHER = """
import os, signal, sys
report, orders = int(sys.argv[1]), int(sys.argv[2])
start, wait = os.pipe()
program = os.fork()
if not program:
    os.setpgid(0, 0)
    signal.signal(signal.SIGTTOU, signal.SIG_IGN)
    os.tcsetpgrp(0, os.getpid())
    for signum in (signal.SIGTTOU, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(signum, signal.SIG_DFL)
    os.write(report, b"%d\\n" % os.getpid())
    os.execv(sys.argv[3], sys.argv[3:])
signal.signal(signal.SIGTTOU, signal.SIG_IGN)
while True:
    status = os.waitpid(program, os.WUNTRACED)[1]
    os.tcsetpgrp(0, os.getpgrp())
    if not os.WIFSTOPPED(status):
        os.write(report, b"%d\\n" % os.waitstatus_to_exitcode(status))
        os.read(orders, 1)
        break
    os.write(report, b"stopped\\n")
    os.read(orders, 1)
    os.tcsetpgrp(0, program)
    os.kill(program, signal.SIGCONT)
"""
"""A shell of one job: it says which process it began, that it stopped, and how it ended."""

DEADLY = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
HARMLESS = (signal.SIGTSTP, signal.SIGWINCH)
WORDS = " ".join(f"w{n}" for n in range(400))
CHATS = {
    "prompt": ("chat", "-m", "echo:"),
    "first turn": ("chat", "-m", "echo:delay=0.01", WORDS),
    "ask": ("ask", "-m", "echo:delay=0.01", WORDS),
    "list": ("history", "list"),
    "dumb": ("chat", "-m", "echo:"),
}
MODES = {"2004": False, "25": True, "7": True, "1": False, "1049": False}
"""Private modes of the terminal, and whether they are on when a program starts."""


class Job:
    """A program on a terminal, from its first moment to its end."""

    def __init__(self, arguments: tuple[str, ...], home: Path, **env: str) -> None:
        report, told = os.pipe()
        heard, orders = os.pipe()
        self.shell, self.terminal = pty.fork()
        if not self.shell:
            os.chdir(home)
            for end in (told, heard):
                os.set_inheritable(end, True)
            launcher = [sys.executable, "-IS", "-c", LAUNCHER, str(told), str(heard)]
            environment = clean_env(**({"TERM": "xterm-256color", "GLM_HOME": str(home)} | env))
            os.execve(sys.executable, [*launcher, *command(*arguments)], environment)
        os.close(told)
        os.close(heard)
        self._report = os.fdopen(report, "rb", buffering=0)
        self._orders = orders
        self.shown = b""
        fcntl.ioctl(self.terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        self.modes = termios.tcgetattr(self.terminal)
        self.program = int(self.told(20))
        self.began = time.monotonic()

    def told(self, timeout: float) -> str:
        """What the shell says next; "" if it says nothing in time."""
        until = time.monotonic() + timeout
        while time.monotonic() < until:
            ready, _, _ = select.select([self.terminal, self._report], [], [], 0.02)
            if self.terminal in ready:
                self._read()
            if self._report in ready:
                return self._report.readline().decode().strip()
        return ""

    def at(self, moment: float) -> None:
        """Wait until so many seconds have passed since the program began."""
        while (left := self.began + moment - time.monotonic()) > 0:
            if select.select([self.terminal], [], [], min(left, 0.02))[0]:
                self._read()

    def send(self, signum: int) -> None:
        """Send a signal to the program, unless it has ended."""
        with suppress(ProcessLookupError):
            os.kill(self.program, signum)

    def order(self) -> None:
        """Let the shell go on: bring a stopped program to the foreground again."""
        os.write(self._orders, b"\n")

    def close(self) -> None:
        """End all."""
        kill_session(self.shell)
        os.waitpid(self.shell, 0)
        self._report.close()
        os.close(self._orders)
        os.close(self.terminal)

    def rest(self) -> str:
        """All that was shown."""
        while select.select([self.terminal], [], [], 0)[0]:
            if not self._read():
                break
        return self.shown.decode("utf-8", "replace")

    def _read(self) -> bool:
        try:
            data = os.read(self.terminal, 65536)
        except OSError:
            return False
        self.shown += data
        return bool(data)


@dataclass(frozen=True)
class Run:
    """What is done to a program: which one, which signals, when."""

    kind: str
    signals: tuple[int, ...]
    moments: tuple[float, ...]

    def __str__(self) -> str:
        sent = zip(self.signals, self.moments, strict=True)
        return f"{self.kind}: " + ", ".join(f"{signal.Signals(s).name} {t:.3f}" for s, t in sent)


def a_run(dice: random.Random) -> Run:
    """Some signals that do no harm, then one that ends the program."""
    harmless = [dice.choice(HARMLESS) for _ in range(dice.choice((0, 0, 1, 2)))]
    count = len(harmless) + 1
    moments = sorted(dice.choice((0.1, 0.6, 2.5)) * dice.random() for _ in range(count))
    return Run(dice.choice([*CHATS]), (*harmless, dice.choice(DEADLY)), tuple(moments))


def faults(run: Run, home: Path) -> list[str]:
    """What went wrong in a run."""
    env = {"TERM": "dumb"} if run.kind == "dumb" else {}
    job = Job(CHATS[run.kind], home, **env)
    try:
        ended = ""
        for signum, moment in zip(run.signals, run.moments, strict=True):
            job.at(moment)
            if not ended:
                ended = job_after(job, signum)
        is_chat = CHATS[run.kind][0] == "chat"
        if not ended and is_chat and run.signals[-1] == signal.SIGINT:
            ended = job.told(0.5)  # stops a reply, and is a key at the prompt: neither ends a chat
            if not ended:
                job.send(signal.SIGTERM)
        ended = ended or job.told(20.0)
        if is_before_us(job.rest()):
            ended = str(-signal.SIGINT)
        return [*wrong_end(run, ended), *wrong_terminal(job)]
    finally:
        job.close()


def job_after(job: Job, signum: int) -> str:
    """Send a signal; one that suspends is followed by one that goes on. How the job ended, if so.

    What is wrong with the terminal while the program is suspended counts as such an end.
    """
    job.send(signum)
    if signum != signal.SIGTSTP:
        return ""
    said = job.told(5.0)
    if said == "stopped":
        wrong = wrong_terminal(job)
        job.order()
        return f"suspended: {wrong}" if wrong else ""
    return said


def wrong_end(run: Run, ended: str) -> list[str]:
    """Whether it ended by the signal itself; a list may be complete before one comes."""
    right = {str(-run.signals[-1])} | ({"0"} if run.kind == "list" else set())
    if run.signals[-1] == signal.SIGINT:
        right.add(str(-signal.SIGTERM))
    return [] if ended in right else [f"ended as {ended}"]


def is_before_us(shown: str) -> bool:
    """Whether Ctrl-C met the interpreter before it had read a line of this program."""
    return "KeyboardInterrupt" in shown and "glmcli" not in shown


def wrong_terminal(job: Job) -> list[str]:
    shown = job.rest()
    wrong = []
    if "Exception ignored" in shown or "glmcli" in shown.partition("Traceback")[2]:
        wrong.append("a traceback")
    if termios.tcgetattr(job.terminal) != job.modes:
        wrong.append("the terminal has other modes")
    for mode, was in MODES.items():
        found = re.findall(rf"\x1b\[\?{mode}([hl])", shown)
        if found and (found[-1] == "h") != was:
            wrong.append(f"mode {mode} is {'on' if not was else 'off'}")
    return wrong


def all_faults(seed: int, count: int, home: Path) -> list[str]:
    dice = random.Random(seed)
    found = []
    for _ in range(count):
        run = a_run(dice)
        if wrong := faults(run, home):
            found.append(f"{run}: {'; '.join(wrong)}")
    return found


def test_signals_at_random_moments_leave_the_terminal_as_it_was(tmp_path):
    assert all_faults(1, 20, tmp_path) == []


@pytest.mark.hostile
@pytest.mark.timeout(1800)
def test_three_hundred_signals_at_random_moments_leave_the_terminal_as_it_was(tmp_path):
    assert all_faults(2, 300, tmp_path) == []
