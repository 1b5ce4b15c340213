from __future__ import annotations

import pytest
from prompt_toolkit.input.vt100_parser import Vt100Parser
from prompt_toolkit.key_binding import KeyPress
from prompt_toolkit.keys import Keys

from glmcli.terminal.input.keys.keyboard import bursts_pasted, typed_early, without_answers


def keys_of(data: str) -> list[KeyPress]:
    keys: list[KeyPress] = []
    Vt100Parser(keys.append).feed_and_flush(data)
    return keys


@pytest.mark.parametrize(
    "line", ["hello\n", "hello\r", "he\x1b[Dllo\n", "\x1b[200~a\nb\x1b[201~\n"]
)
def test_one_line_typed_before_the_first_prompt_is_sent(line):
    assert typed_early(keys_of(line))[-1] == KeyPress(Keys.ControlM, "\r")


@pytest.mark.parametrize(
    "lines",
    ["/save x\n/exit\n", "one\ntwo", "\x1b[31mone\n/exit\n", "one\n/e\x1b[Axit\n", "one\n/exit\r"],
)
def test_more_than_a_line_before_the_first_prompt_comes_as_a_paste(lines):
    assert typed_early(keys_of(lines)) == [KeyPress(Keys.BracketedPaste, lines)]


def test_a_line_that_was_not_ended_before_the_first_prompt_is_typed():
    assert typed_early(keys_of("hel\x1b[Dlo")) == keys_of("hel\x1b[Dlo")


def test_what_the_terminal_says_of_its_cursor_is_no_key():
    keys, row = without_answers(keys_of("a\x1b[12;1Rb\x1b[7;3Rc"))
    assert [press.key for press in keys] == ["a", "b", "c"]
    assert row == 7
    assert without_answers(keys_of("ab")) == (keys_of("ab"), 0)


def test_text_that_comes_faster_than_anybody_types_is_a_paste():
    text = "a long line,\tas it is pasted " * 100
    keys = bursts_pasted(keys_of(f"\x1b[D{text}\rhello\x03"))
    assert keys == [
        *keys_of("\x1b[D"),
        KeyPress(Keys.BracketedPaste, text),
        *keys_of("\rhello\x03"),
    ]


@pytest.mark.parametrize("typed", ["hello", "/help\r" * 400, "\x1b[D" * 2000, "a" * 500])
def test_what_can_have_been_typed_stays_typed(typed):
    assert bursts_pasted(keys_of(typed)) == keys_of(typed)
