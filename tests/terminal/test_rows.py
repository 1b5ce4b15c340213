"""Rows fit, lose nothing, and never change once another one follows."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glmcli.terminal.rows import (
    WordRows,
    common,
    fold,
    graphemes,
    hang,
    merged,
    plain,
    trimmed,
    width,
    wrap,
)
from glmcli.terminal.theme import BOLD, PLAIN

FAMILY = "👨‍👩‍👧"
TEXTS = st.text(
    st.sampled_from("aaaaB3  -_.,(［\n\t，，。（）“”中文字👍🏽\u200d\ufe0fé\u0301🇨🇳"), max_size=80
)


def lines(text: str, columns: int) -> list[str]:
    return [plain(trimmed(row)) for row in wrap([(text, PLAIN)], columns)]


def test_words_stay_whole():
    assert lines("the quick brown fox", 10) == ["the quick", "brown fox"]


def test_chinese_breaks_between_characters_and_beside_english_words():
    assert lines("使用PyTorch进行训练", 13) == ["使用PyTorch进", "行训练"]


@pytest.mark.parametrize("closer", "，。！？）】》”、：；")
def test_no_row_begins_with_a_closing_mark(closer):
    for columns in range(6, 20):
        rows = lines(f"一二三{closer}四五六七{closer}八九十百{closer}千" * 3, columns)
        assert not any(row.startswith(closer) for row in rows)


def test_a_closing_mark_after_a_blank_stays_with_the_word_before_it():
    assert lines("使用这个框架 PyTorch ，然后继续", 20) == ["使用这个框架", "PyTorch ，然后继续"]


def test_a_long_word_gives_a_closing_mark_its_last_character():
    assert lines("x" * 20 + "。", 10) == ["x" * 10, "x" * 9, "x。"]
    assert lines("x" * 20 + "。”", 10) == ["x" * 10, "x" * 9, "x。”"]
    assert lines("x" * 20 + " ，y", 10) == ["x" * 10, "x" * 9, "x ，y"]
    assert lines("x" * 18 + "。y", 10) == ["x" * 10, "x" * 8 + "。", "y"]
    assert lines("http://example.org/abc。", 11) == ["http://exam", "ple.org/ab", "c。"]


@pytest.mark.parametrize("opener", "（【《“")
def test_no_row_ends_with_an_opening_mark(opener):
    for columns in range(6, 20):
        rows = lines(f"一二三{opener}四五六七{opener}八九API{opener}十百千" * 3, columns)
        assert not any(row.endswith(opener) for row in rows)


def test_a_line_end_in_the_text_ends_its_row():
    assert lines("a\n\nb\n", 10) == ["a", "", "b", ""]


def test_a_long_word_is_cut():
    assert lines("x" * 25, 10) == ["x" * 10, "x" * 10, "x" * 5]


def test_emoji_sequences_are_never_cut():
    parts = [FAMILY, "🇨🇳", "👍🏽", "❤️", "e\u0301"]
    assert list(graphemes("".join(parts))) == parts
    for columns in range(6, 14):
        for row in lines("".join(parts) * 5, columns):
            assert "".join(graphemes(row)) == row
            assert not row.startswith(("\u200d", "\ufe0f", "🏽", "\u0301"))


ONE_EACH = {
    "line end": ["\r\n", "\n"],
    "Devanagari": ["क्षि", "क्षि"],
    "Thai": ["น", "ก\u0e33"],
    "Hangul": ["\u1112\u1161\u11ab", "\u1100\u1173\u11af"],
    "variants": ["葛\U000e0100", "辻\U000e0101"],
    "kana": ["か\u3099", "は\u309a", "ん"],
    "narrow kana": ["ｶﾞ", "ﾊﾟ", "ﾝ"],
}


@pytest.mark.parametrize("parts", ONE_EACH.values(), ids=ONE_EACH)
def test_characters_are_what_people_take_for_one(parts):
    assert list(graphemes("".join(parts))) == parts


@pytest.mark.parametrize("parts", [*ONE_EACH.values()][1:], ids=[*ONE_EACH][1:])
def test_no_row_begins_inside_a_character(parts):
    for columns in range(6, 16):
        for after in ("", "，", "abc"):
            text = ("".join(parts) + after) * 9
            for cut in (wrap, fold):
                rows = [plain(row) for row in cut([(text, PLAIN)], columns)]
                assert [c for row in rows for c in graphemes(row)] == list(graphemes(text))


def test_joined_emoji_are_measured_as_terminals_show_them_that_cannot_join():
    assert width([(FAMILY, PLAIN)]) == 6


def test_styles_are_cut_with_their_text():
    assert wrap([("one ", PLAIN), ("two three", BOLD)], 8) == [
        (("one ", PLAIN), ("two ", BOLD)),
        (("three", BOLD),),
    ]


def test_neighbours_of_one_style_are_one_span():
    spans = [("a", PLAIN), ("b", PLAIN), ("", BOLD), ("c", PLAIN), ("d", BOLD)]
    assert merged(spans) == [("abc", PLAIN), ("d", BOLD)]


def test_what_two_sequences_share_at_their_start_is_counted():
    assert [common("abc", other) for other in ("abd", "ab", "abcd", "xbc", "")] == [2, 2, 3, 0, 0]


def test_code_is_folded_at_the_very_edge():
    assert [plain(row) for row in fold([("if x: 中文", PLAIN)], 7)] == ["if x: ", "中文"]


@settings(max_examples=300, derandomize=True)
@given(TEXTS, st.integers(6, 30))
def test_rows_fit_and_joined_are_the_text(text, columns):
    for cut in (wrap, fold) if "\n" not in text else (wrap,):
        rows = cut([(text, PLAIN)], columns)
        assert "".join(map(plain, rows)) == text
        assert all(width(trimmed(row)) <= columns for row in rows)


@settings(max_examples=300, derandomize=True)
@given(TEXTS, TEXTS, st.integers(6, 30))
def test_text_that_follows_changes_the_last_row_only(text, more, columns):
    short, full = wrap([(text, PLAIN)], columns), wrap([(text + more, PLAIN)], columns)
    assert full[: len(short) - 1] == short[:-1]


def test_notes_are_cut_between_words_and_keep_their_second_column():
    text = "/save [FILE]  write all of it to a file\nno columns in this line\n/a  中文说明文字"
    assert hang(text, 26).split("\n") == [
        "/save [FILE]  write all of",
        "              it to a file",
        "no columns in this line",
        "/a  中文说明文字",
    ]
    assert hang(text, 12).split("\n")[:3] == ["/save [FILE]", "write all of", "it to a file"]
    assert hang("  indented as a whole", 12).split("\n") == ["  indented", "  as a whole"]
    assert hang("saved to /a/very/long/path", 16) == "saved to /a/very/long/path"


@given(
    st.lists(
        st.sampled_from(["word ", "longer-than-all ", "中文，", "（好）", "\n", "  ", "a", "```\n"])
    ),
    st.integers(1, 7),
)
def test_rows_of_words_are_the_same_however_the_text_comes(pieces, size):
    text = "".join(pieces)
    whole, parts = WordRows(), WordRows()
    once = whole.feed(text, 12) + whole.finish(12)
    chunks = [text[at : at + size] for at in range(0, len(text), size)]
    assert "".join([parts.feed(chunk, 12) for chunk in chunks]) + parts.finish(12) == once
    assert "".join(once.split()) == "".join(text.split())


def test_a_row_of_words_ends_between_them_and_code_is_left_as_it_is():
    rows = WordRows()
    said = rows.feed(
        "one two three four\n```\none two three four\n```\nan-address-that-is-long x", 10
    )
    said += rows.finish(10)
    assert said.split("\n") == [
        *("one two", "three four", "```", "one two three four", "```"),
        *("an-address-that-is-long", "x"),
    ]
