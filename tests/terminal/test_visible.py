"""Text from outside cannot steer the terminal."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glmcli.terminal.visible import BIDI_CONTROLS, steady, visible, visible_line


@pytest.mark.parametrize(
    ("hostile", "shown"),
    [
        ("\x1b]52;c;cm0gLXJm\x07", "␛]52;c;cm0gLXJm␇"),
        ("\x1b[2J\x1b[H", "␛[2J␛[H"),
        ("\x9b31m", "<U+009B>31m"),
        ("safe\u202egnp.exe", "safe<U+202E>gnp.exe"),
        ("\x7f\x00\r", "␡␀␍"),
        ("a\u2028b", "a<U+2028>b"),
        ("\ud800", "\N{REPLACEMENT CHARACTER}"),
    ],
)
def test_what_would_steer_a_terminal_becomes_a_symbol(hostile, shown):
    assert visible(hostile) == shown


@pytest.mark.parametrize("text", ["a\tb\nc", "中文，标点。", "👩‍👩‍👧 🇨🇳 ❤️", "naïve café", "नमस्ते"])
def test_ordinary_text_stays_as_it_is(text):
    assert visible(text) == text


@given(st.text())
def test_no_control_character_is_left(text):
    for char in visible(text):
        assert char in "\t\n" or unicodedata.category(char) not in ("Cc", "Cs", "Zl", "Zp")
        assert ord(char) not in BIDI_CONTROLS


@given(st.text(), st.text())
def test_a_text_may_be_given_in_parts(one, other):
    assert visible(one) + visible(other) == visible(one + other)


def test_a_title_takes_one_line():
    assert visible_line("first\nsecond\tthird\x1b[0m\n") == "first second third␛[0m"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("family 👨‍👩‍👧‍👦 title", "family 👨 title"),
        ("❤️ ☁️ 1️⃣", "❤ ☁ 1"),
        ("👍🏽 🇩🇪", "👍 DE"),
        ("🏳️‍🌈 👩🏽‍⚕️", "🏳 👩"),
        ("क्‍ष é 中文", "क्ष é 中文"),
    ],
)
def test_what_terminals_measure_differently_is_left_out(text, shown):
    assert steady(text) == shown
