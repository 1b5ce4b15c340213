"""A long text in parts: nothing is lost, each part fits, and ends where a reader would stop."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glmcli.cli.asking.parts import cut_text

TEXTS = st.text(st.sampled_from("ab Z.!?\n\t。！”é\r\u0301😀"), max_size=400)


def weight(text: str) -> int:
    return len(text.encode())


@given(TEXTS, st.integers(4, 60), st.integers(1, 1000))
def test_parts_are_the_text_and_each_of_them_fits(text, most, guess):
    parts = list(cut_text(text, lambda part: weight(part) <= most, guess))
    assert "".join(parts) == text
    assert all(parts)
    assert all(weight(part) <= most for part in parts)


@given(TEXTS.filter(bool), st.integers(1, 1000))
def test_where_nothing_fits_parts_are_single_characters(text, guess):
    assert list(cut_text(text, lambda part: False, guess)) == list(text)


@given(st.integers(65, 4000), st.integers(1, 10_000))
def test_parts_are_about_as_long_as_they_can_be(most, guess):
    first, *_ = cut_text("x" * 10_000, lambda part: len(part) <= most, guess)
    assert 0.98 * min(most, 10_000) <= len(first) <= most


@given(st.integers(100, 5000), st.integers(1, 100_000))
def test_the_size_of_a_part_is_found_in_few_steps(most, guess):
    asked = []

    def fits(part: str) -> bool:
        asked.append(part)
        return len(part) <= most

    parts = list(cut_text("x" * 20_000, fits, guess))
    assert len(asked) <= 20 + 10 * len(parts)


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("One. Two here.\n\nThree. Four five", "One. Two here.\n\n"),
        ("One two three. Four five six", "One two three. "),
        ("一二三四五六七八。九十一二三", "一二三四五六七八。"),
        ("first line,\nsecond line, third", "first line,\n"),
        ("one two three four five six se", "one two three four "),
        ("a" * 40, "a" * 20),
    ],
)
def test_a_part_ends_with_a_paragraph_or_a_sentence_or_a_word(text, first):
    parts = list(cut_text(text, lambda part: len(part) <= min(20, len(text) - 3), 20))
    assert parts[0] == first
