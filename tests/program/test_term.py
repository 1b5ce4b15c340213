"""The terminals of the tests leave nothing behind."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import pytest

from tests.support.term import Term
from tests.support.tmux import SHELL, Tmux, needs_tmux

pytestmark = pytest.mark.pty
STUBBORN = """#!/bin/sh
trap "" HUP INT TERM
echo $$ > pid-of-it
echo WAITING
read line
while :; do sleep 1; done
"""


@pytest.fixture
def stubborn(tmp_path) -> Path:
    """A program that survives the end of its terminal, as an editor may."""
    program = tmp_path / "stubborn"
    program.write_text(STUBBORN)
    program.chmod(0o755)
    return program


def ends(folder: Path) -> bool:
    """Wait until it has ended: a killed process has a moment left."""
    deadline = time.monotonic() + 5
    while runs(folder) and time.monotonic() < deadline:
        pass
    return not runs(folder)


def runs(folder: Path) -> bool:
    """Whether the program that wrote its number into the folder still runs."""
    number = (folder / "pid-of-it").read_text().strip()
    state = subprocess.run(["ps", "-o", "stat=", "-p", number], capture_output=True, text=True)
    return bool(state.stdout.strip()) and not state.stdout.startswith("Z")


def test_the_end_of_a_test_kills_the_jobs_of_a_shell_that_has_ended(tmp_path, stubborn):
    with Term(home=tmp_path, shell=True) as term:
        term.at_shell().type(f"set +m; {stubborn} & disown\r").see("WAITING")
        term.type("exit\r").ended()
        assert runs(tmp_path)
    assert ends(tmp_path)


@needs_tmux
def test_the_end_of_a_test_kills_the_programs_in_tmux(tmp_path, stubborn):
    with Tmux(*SHELL, home=tmp_path) as tmux:
        tmux.at_shell().type(str(stubborn), "Enter").see("WAITING")
        assert runs(tmp_path)
    assert ends(tmp_path)


@needs_tmux
def test_what_tmux_refuses_fails_the_test(tmp_path):
    with Tmux(*SHELL, home=tmp_path) as tmux, pytest.raises(subprocess.CalledProcessError):
        tmux.run("paste-buffer", "-b", "no-such-buffer")
