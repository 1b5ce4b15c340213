"""Foreign programs in a process of their own: who waits for one can stop waiting."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from glmcli.engines.local.prompt.apart import Apart, GivenUp, heeding
from glmcli.errors import ModelError

ENDLESS = "{{ 10**(10**10) > 1 }}"
needs_proc = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="no /proc")


@pytest.fixture
def process() -> Iterator[Apart]:
    made = Apart("the model's chat template", "choose another model")
    yield made
    made.close()


def render(process: Apart, source: str, **limits: float) -> str:
    text: str = process.ask("render", source=source, values={"x": "yes"}, letters=1_000, **limits)
    return text


def give_up(process: Apart, source: str) -> float:
    """Cancel a job that runs; returns the seconds until that was heard."""
    cancel, set_at = threading.Event(), []

    def stop() -> None:
        set_at.append(time.monotonic())
        cancel.set()

    threading.Timer(0.3, stop).start()
    with heeding(cancel), pytest.raises(GivenUp):
        render(process, source, cpu_s=60.0)
    return time.monotonic() - set_at[0]


def test_cancel_is_heard_while_a_program_runs(process):
    assert render(process, "{{ x }}!") == "yes!"
    best = min(give_up(process, ENDLESS) for _ in range(3))  # on a busy machine once is luck
    assert best < 0.2


def test_after_a_job_that_was_given_up_the_next_has_its_own_answer(process):
    for _ in range(2):
        give_up(process, ENDLESS)
        assert render(process, "{{ x }}!") == "yes!"


def test_what_is_cancelled_before_it_starts_leaves_the_process_of_use(process):
    cancel = threading.Event()
    cancel.set()
    for _ in range(3):
        with heeding(cancel), pytest.raises(GivenUp):
            render(process, ENDLESS)
    assert render(process, "{{ x }}!") == "yes!"


@needs_proc
def test_a_job_that_was_given_up_does_not_run_on(process):
    others = children_of(os.getpid())
    process.start()
    started = [pid for pid in children_of(os.getpid()) if pid not in others]
    give_up(process, ENDLESS)
    ended_by(time.monotonic() + 10, started)


@needs_proc
def test_a_job_ends_with_the_program_however_that_ends(tmp_path: Path):
    source = f"""
from glmcli.engines.local.prompt.apart import templates
templates().ask("render", source={ENDLESS!r}, values={{}}, letters=9, cpu_s=60.0)
"""
    for how in (signal.SIGKILL, signal.SIGTERM, signal.SIGINT):
        with subprocess.Popen([sys.executable, "-c", source], stderr=subprocess.DEVNULL) as program:
            while not (foreign := children_of(program.pid)):
                time.sleep(0.05)
            time.sleep(0.5)
            program.send_signal(how)
        ended_by(time.monotonic() + 10, foreign)


def children_of(pid: int) -> list[int]:
    """The processes for foreign programs that a process has started, as far as they still run."""
    running = (int(path.name) for path in Path("/proc").glob("[0-9]*"))
    return [each for each in running if parent_of(each) == pid]


def parent_of(pid: int) -> int | None:
    """The parent of a process for foreign programs; None if it is none, or has ended."""
    with suppress(OSError):
        state, parent = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[:2]
        if state != "Z" and "foreign.py" in Path(f"/proc/{pid}/cmdline").read_text():
            return int(parent)
    return None


def ended_by(deadline: float, processes: list[int]) -> None:
    assert processes
    while any(parent_of(pid) is not None for pid in processes):
        assert time.monotonic() < deadline, "still runs"
        time.sleep(0.05)


def test_a_job_that_only_waits_is_stopped_by_the_clock(process, tmp_path: Path):
    pipe = tmp_path / "tokenizer.model"
    os.mkfifo(pipe)
    with pytest.raises(ModelError, match="takes too long"):
        process.ask("load_pieces", path=str(pipe), wall_s=1.0)
    assert render(process, "{{ x }}!") == "yes!"


def test_nobody_is_cancelled_outside_of_the_block(process):
    cancel = threading.Event()
    cancel.set()
    with heeding(cancel):
        pass
    assert render(process, "{{ x }}!") == "yes!"
