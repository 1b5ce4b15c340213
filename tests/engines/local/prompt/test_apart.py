"""Foreign programs in a process of their own: who waits for one can stop waiting."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from glmcli.engines.local.prompt.apart import Apart, GivenUp, heeding
from glmcli.errors import ModelError

ENDLESS = "{{ 10**(10**10) > 1 }}"


@pytest.fixture
def process() -> Iterator[Apart]:
    made = Apart("the model's chat template", "choose another model")
    yield made
    made.close()


def render(process: Apart, source: str) -> str:
    text: str = process.ask("render", source=source, values={"x": "yes"}, letters=1_000)
    return text


def give_up(process: Apart, source: str) -> float:
    """Cancel a job that runs; returns the seconds until that was heard."""
    cancel, set_at = threading.Event(), []

    def stop() -> None:
        set_at.append(time.monotonic())
        cancel.set()

    threading.Timer(0.3, stop).start()
    with heeding(cancel), pytest.raises(GivenUp):
        render(process, source)
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
