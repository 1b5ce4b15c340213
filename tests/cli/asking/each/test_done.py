"""Which last lines of a file of answers are only the beginning of one."""

from __future__ import annotations

import pytest

from glmcli.cli.asking.each.done import broke_off
from glmcli.files import json_text

ANSWER = {
    "id": "é",
    "text": 'two "words"\n\\ 中\x01',
    "usage": {"prompt_tokens": -12, "tokens_per_second": 1.5e-07, "cached": None, "exact": True},
    "more": [False, [], {}, 10],
}
LINE = json_text(ANSWER).encode()


def test_every_beginning_of_an_answer_is_one():
    assert [size for size in range(len(LINE)) if not broke_off(LINE[:size])] == []
    assert not broke_off(LINE)


@pytest.mark.parametrize("text", ["\\", "\\u", "\\ud83", "\\ud83d", "\\ud83d\\", "\\ud83d\\ude0"])
def test_a_text_that_breaks_inside_an_escape_is_one(text):
    assert broke_off(b'{"id": 1, "text": "a' + text.encode())


@pytest.mark.parametrize(
    "line",
    [
        b"words",
        b'{ "id": 1',
        b'{"id": 1} {"id": 2',
        b'{"id": 1},',
        b'{"id": 1,,',
        b'{"id": 1 2',
        b'{"id": 1]',
        b'{"id": 01',
        b'{"id": 1.5.',
        b'{"id": trx',
        b'{"id": "\\x',
        b'{"id": "\\u12g',
        b'{"id": "\xff", "text": "',
        b'{"id": "a\0b',
        b'{"id": "mine", "note": "" "oops": 1, "text": "',
        b'{"id": ' + b"[" * 100_000,
        b'{"id": ' + b"[" * 1_000_001,
    ],
)
def test_what_is_wrong_before_its_end_is_none(line):
    assert not broke_off(line)


def test_a_number_of_any_length_is_no_end():
    assert broke_off(b'{"id": ' + b"9" * 9_999)
    assert not broke_off(b'{"id": ' + b"9" * 9_999 + b"}")
