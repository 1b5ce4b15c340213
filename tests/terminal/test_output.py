"""Output: what an interrupt meets is whole, or the next text begins on a row of its own."""

import os
import pty
import select
import signal
from contextlib import suppress

import pytest

from glmcli.terminal.output import CUT, Output, wants_colours


def test_a_short_row_that_an_interrupt_meets_is_not_taken_for_half_a_row(monkeypatch):
    def interrupt(signum, frame):
        raise KeyboardInterrupt

    monkeypatch.setenv("TERM", "xterm-256color")
    leader, follower = pty.openpty()
    os.set_blocking(leader, False)
    before = signal.signal(signal.SIGALRM, interrupt)
    shown = b""
    try:
        with os.fdopen(follower, "w") as stream:
            out = Output(stream)
            assert out.is_live
            for number in range(200):
                try:
                    signal.setitimer(signal.ITIMER_REAL, 0.0001 + number * 1e-6)
                    while True:
                        out.write("\rrow")
                except KeyboardInterrupt:
                    with suppress(BlockingIOError):  # it may have come before the first row
                        shown += os.read(leader, 65_536)
            out.write("\rend")
            while not shown.endswith(b"end"):  # the system hands rows on in pieces, and in its time
                assert select.select([leader], [], [], 10)[0], "the last row did not arrive"
                shown += os.read(leader, 65_536)
    finally:
        signal.signal(signal.SIGALRM, before)
        os.close(leader)
    assert CUT.encode()[:1] not in shown


@pytest.mark.parametrize(
    ("env", "on_terminal", "in_pipe"),
    [
        ({}, True, False),
        ({"NO_COLOR": "1"}, False, False),
        ({"NO_COLOR": "1", "FORCE_COLOR": "1"}, False, False),
        ({"NO_COLOR": ""}, True, False),
        ({"FORCE_COLOR": "1"}, True, True),
        ({"FORCE_COLOR": "0"}, False, False),
        ({"CLICOLOR_FORCE": "1", "CLICOLOR": "0"}, True, True),
        ({"CLICOLOR_FORCE": "0"}, True, False),
        ({"CLICOLOR_FORCE": "0", "CLICOLOR": "0"}, False, False),
        ({"CLICOLOR_FORCE": ""}, True, False),
        ({"CLICOLOR": "0"}, False, False),
        ({"CLICOLOR": "1"}, True, False),
    ],
)
def test_colours_are_used_where_they_are_wanted(env, on_terminal, in_pipe):
    assert wants_colours(env, is_live=True) is on_terminal
    assert wants_colours(env, is_live=False) is in_pipe


@pytest.mark.parametrize(
    ("background", "mark"),
    [("", "1;36"), ("15;0", "1;36"), ("15;default;0", "1;36"), ("0;15", "1;34"), ("0;7", "1;34")],
)
def test_colours_suit_the_background_that_colorfgbg_tells_of(monkeypatch, background, mark):
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLORFGBG", background)
    leader, follower = pty.openpty()
    with os.fdopen(follower, "w") as stream:
        Output(stream).write("\x1b[1;36m> \x1b[39m36m\x1b[31m!\x1b[0m")
        assert os.read(leader, 1000).decode() == f"\x1b[{mark}m> \x1b[39m36m\x1b[31m!\x1b[0m"
    os.close(leader)


@pytest.mark.parametrize(
    ("term", "shown"),
    [("xterm", "\x1b[3ma\x1b[0m\x1b[1;3mb"), ("screen-256color", "\x1b[4ma\x1b[0m\x1b[1mb")],
)
def test_screen_gets_no_italics_which_it_shows_in_reverse(monkeypatch, term, shown):
    monkeypatch.setenv("TERM", term)
    monkeypatch.delenv("COLORFGBG", raising=False)
    leader, follower = pty.openpty()
    with os.fdopen(follower, "w") as stream:
        Output(stream).write("\x1b[3ma\x1b[0m\x1b[1;3mb")
        assert os.read(leader, 1000).decode() == shown
    os.close(leader)
