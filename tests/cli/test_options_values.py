"""Options that may stand without a value, and the word behind them."""

from __future__ import annotations

import pytest

from glmcli.cli.options import with_values


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("ask --plain reader hi", "ask --plain reader hi"),
        ("ask --plain hi", "ask --plain=on hi"),
        ("ask hi --plain", "ask hi --plain=on"),
        ("ask --plain=off hi", "ask --plain=off hi"),
        ("ask --plain -m x", "ask --plain=on -m x"),
        ("chat --resume --plain", "chat --resume= --plain=on"),
        ("chat --resume 0abc", "chat --resume 0abc"),
        ("ask -- --plain --resume", "ask -- --plain --resume"),
        ("ask --plain -- reader", "ask --plain=on -- reader"),
    ],
)
def test_options_may_stand_without_their_value(typed, expected):
    assert " ".join(with_values(typed.split())) == expected


@pytest.mark.parametrize(
    "words", [("--plain", "reader", "hi"), ("hi", "--plain"), ("--plain", "hi")]
)
def test_a_word_behind_plain_is_its_value_if_it_can_be_one(glm, words):
    assert glm("ask", "-m", "echo:", *words).out == "hi\n"


def test_the_name_of_a_setting_is_no_option(glm):
    glm("config", "set", "--plain", "reader")
    assert glm("config", "get", "plain").out == "reader\n"
