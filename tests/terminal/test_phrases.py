"""Times in words."""

from __future__ import annotations

import time

from glmcli.terminal.phrases import age, question_rows


def test_an_age_is_in_the_largest_unit_that_fits():
    assert age(time.time() - 3 * 86400 - 5) == "3 d"
    assert age(time.time() - 65) == "1 min"
    assert age(time.time() + 1000) == "0 s"


def test_the_age_of_an_unknown_time_is_unknown():
    assert age(0.0) == "?"


def test_a_question_is_broken_between_words_below_its_own_text():
    rows = question_rows("some words that are long\nshort", columns=20)
    assert rows == "> some words that\n  are long\n  short\n"
    assert question_rows("some words that are long") == "> some words that are long\n"
    path = "/a/path/that/is/longer/than/the/window is kept"
    assert question_rows(path, columns=20) == f"> {path}\n"
