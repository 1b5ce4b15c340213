from __future__ import annotations

import pytest
from prompt_toolkit.input.vt100_parser import Vt100Parser
from prompt_toolkit.key_binding import KeyPress

from glmcli.conversation.lines import is_command
from glmcli.terminal.input.keys.queue import Queue
from glmcli.terminal.input.pastes import Pastes

UP, PASTE = "\x1b[A", "\x1b[200~{}\x1b[201~"
LONG = "\r".join(f"row {n}" for n in range(40))


def keys_of(data: str) -> list[KeyPress]:
    keys: list[KeyPress] = []
    Vt100Parser(keys.append).feed_and_flush(data)
    return keys


def said(data: str, *, enter_sends: bool = True, is_stopped: bool = False) -> tuple:
    queue = Queue(Pastes(), is_command)
    keys = queue.settled(keys_of(data), enter_sends=enter_sends, is_held_back=is_stopped)
    return queue.said(keys)[:2]


@pytest.mark.parametrize(
    ("typed", "lines", "draft"),
    [
        ("one\rtwo", ("one",), "two"),
        ("one\rtwo\r", ("one", "two"), ""),
        ("one\r \r", ("one",), " \n"),
        ("onx\x7fe\r", ("one",), ""),
        ("lost\x15one\r", ("one",), ""),
        ("one\\\rtwo\r", ("one\\\ntwo",), ""),
        ("one\x1b\rtwo\r", ("one\ntwo",), ""),
        ("ab\x1b[Dc\r", ("ab…c",), ""),
        (PASTE.format("a\rb") + "\r", ("a\nb",), ""),
        (PASTE.format(LONG) + "\rmore", ("[paste 1: 40 lines]",), "more"),
        (PASTE.format(LONG) + "\x7fmore", (), "more"),
    ],
)
def test_keys_that_wait_are_seen_as_the_lines_that_they_will_be(typed, lines, draft):
    assert said(typed) == (lines, draft)


def test_with_multiline_alt_enter_ends_a_line():
    assert said("one\rtwo\x1b\rthree", enter_sends=False) == (("one\ntwo",), "three")


@pytest.mark.parametrize(
    ("typed", "lines", "draft"),
    [
        (f"one\rtwo\r{UP}", ("one",), "two"),
        (f"one\rtwo\r{UP}{UP}", (), "one\ntwo"),
        (f"one\rtw{UP}", (), "one\ntw"),
        (f"one\r{UP} more\r", ("one more",), ""),
        (f"{UP}one", (), "…one"),
    ],
)
def test_up_takes_the_last_line_back_and_loses_nothing(typed, lines, draft):
    assert said(typed) == (lines, draft)


def test_a_stop_makes_one_draft_of_all_that_waits_and_a_paste_stays_a_paste():
    typed = f"one\r{PASTE.format(LONG)}\rthree\r"
    assert said(typed, is_stopped=True) == ((), "one\n[paste 1: 40 lines]\nthree")


def test_what_is_typed_after_a_stop_of_nothing_waiting_is_sent():
    queue = Queue(Pastes())
    assert queue.settled([], enter_sends=True, is_held_back=True) == []
    keys = keys_of("next\r")
    assert queue.settled(keys, enter_sends=True, is_held_back=True) == keys


def test_what_is_typed_behind_a_queue_that_became_the_draft_goes_on_in_it():
    queue = Queue(Pastes())
    first = queue.settled(keys_of("one\r"), enter_sends=True, is_held_back=True)
    both = queue.settled([*first, *keys_of(" more\r")], enter_sends=True, is_held_back=True)
    assert queue.said(both)[:2] == ((), "one more")


@pytest.mark.parametrize(
    ("typed", "draft", "apart"),
    [
        ("/title\rplease review the plan\r", "please review the plan", ["/title"]),
        ("please review\r/help\rmore\r", "please review\nmore", ["/help"]),
        ("please review\r/he", "please review", ["/he"]),
        ("/reset\r/help\r", "", ["/reset", "/help"]),
        ("/reset\r", "/reset", []),
        (PASTE.format("/reset") + "\rmore\r", "/reset\nmore", []),
    ],
)
def test_a_command_that_waits_is_never_joined_with_other_lines(typed, draft, apart):
    queue = Queue(Pastes(), is_command)
    keys = queue.settled(keys_of(typed), enter_sends=True, is_held_back=True)
    assert queue.said(keys)[:2] == ((), draft)
    told = queue.about_draft(keys)
    assert told.partition(" w")[0] == ", ".join(apart)
    assert {*apart} <= {line.text for line in queue.lines}


@pytest.mark.parametrize(
    ("typed", "is_told"), [("one\rtwo", True), ("/help\rone\r", True), ("one", False), ("", False)]
)
def test_that_lines_wait_behind_one_that_failed_is_told(typed, is_told):
    queue = Queue(Pastes(), is_command)
    queue.has_failed = True
    for _ in range(2):
        keys = queue.settled(keys_of(typed), enter_sends=True, is_held_back=True)
    assert ("since the line before it failed" in queue.about_draft(keys)) == is_told
