"""Times in words."""

from __future__ import annotations

import time

import pytest

from glmcli.terminal.phrases import age, question_rows, span


def test_an_age_is_in_the_largest_unit_that_fits():
    assert age(time.time() - 3 * 86400 - 5) == "3 d"
    assert age(time.time() - 65) == "1 min"
    assert age(time.time() + 1000) == "0 s"


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0.0, "0 s"),
        (9.4, "9 s"),
        (119, "119 s"),
        (591, "10 min"),
        (5400, "1 h 30 min"),
        (7199, "2 h"),
    ],
)
def test_a_time_is_in_units_that_people_read(seconds, said):
    assert span(seconds) == said


def test_the_age_of_an_unknown_time_is_unknown():
    assert age(0.0) == "?"


def test_a_question_is_broken_between_words_below_its_own_text():
    rows = question_rows("some words that are long\nshort", columns=20)
    assert rows == "> some words that\n  are long\n  short\n"
    assert question_rows("some words that are long") == "> some words that are long\n"
    path = "/a/path/that/is/longer/than/the/window is kept"
    assert question_rows(path, columns=20) == f"> {path}\n"
