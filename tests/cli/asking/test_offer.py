import os
import time

import pytest

from tests.support.kept import kill_kept
from tests.support.term import Term

SLOW = ("ask", "-m", "echo:load=2.1", "hi")
OFFER = "--keep 10m"


@pytest.fixture
def after(tmp_path):
    """`after(2)`: the program has started slowly so often today."""
    home = tmp_path / "home"
    home.mkdir(mode=0o700)

    def already(times, days_ago=0):
        file = home / "slow-starts"
        file.write_bytes(b"." * times)
        file.chmod(0o600)
        then = time.time() - days_ago * 86_400
        os.utime(file, (then, then))

    return already


def test_the_third_slow_start_of_a_day_is_told_how_to_do_without_and_no_other(glm, after):
    assert OFFER not in glm(*SLOW).err
    after(2)
    done = glm(*SLOW)
    assert (done.out, OFFER in done.err, len(done.err_lines)) == ("hi\n", True, 1)
    after(2)
    assert OFFER not in glm(*SLOW).err


def test_starts_of_another_day_do_not_count(glm, after):
    after(2, days_ago=1)
    assert OFFER not in glm(*SLOW).err


@pytest.mark.parametrize(
    "line", [("--no-save",), ("-q",), ("--keep", "1s")], ids=lambda line: line[0]
)
def test_who_wants_no_word_no_trace_or_keeps_it_already_is_offered_nothing(glm, after, line):
    after(2)
    assert OFFER not in glm(*SLOW, *line).err


def test_a_start_that_is_not_slow_does_not_count(glm, after, tmp_path):
    after(2)
    assert OFFER not in glm("ask", "-m", "echo:", "hi").err
    assert (tmp_path / "home" / "slow-starts").read_bytes() == b".."


@pytest.mark.pty
def test_that_a_process_stays_is_said_once_a_day_and_to_who_reads_notices(tmp_path, own_runtime):
    keep = ("ask", "-m", "echo:", "--keep", "10m", "hi")
    said = []
    for line in (("-q",), ("--no-save",), (), ()):
        with Term(*keep, *line, home=tmp_path, cols=100) as term:
            assert term.ended() == 0
            said.append("echo: stays in memory for 10 min" in term.text())
    kill_kept(own_runtime)
    assert said == [False, False, True, False]


def test_in_a_pipe_it_is_not_said(glm, own_runtime):
    assert glm("ask", "-m", "echo:", "--keep", "10m", "hi").err == ""
    kill_kept(own_runtime)
