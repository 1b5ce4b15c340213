"""What a search finds: exactly what stands in a text, whatever the script."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glmcli.store.search import excerpt, fold_letters, index_words, match_expressions, matches

LETTERS = "你好世界한국カキが龘"


def finds(query, *texts):
    """The numbers of the texts that a real index finds."""
    with closing(sqlite3.connect(":memory:")) as db:
        db.execute("CREATE VIRTUAL TABLE word USING fts5 (text, content = '', tokenize = ascii)")
        for number, text in enumerate(texts):
            db.execute("INSERT INTO word (rowid, text) VALUES (?, ?)", (number, index_words(text)))
        found: list[int] = []
        for expression in match_expressions(query):
            rows = db.execute("SELECT rowid FROM word WHERE word MATCH ? ORDER BY 1", (expression,))
            found += [row[0] for row in rows if row[0] not in found]
        return found


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("世界", "你好世界"),
        ("好世", "你好世界"),
        ("界", "你好世界"),
        ("你好世界", "他说你好世界吧"),
        ("한국", "대한국민"),
        ("カタ", "カタカナ"),
        ("カタ", "ｶﾀｶﾅ"),
        ("ガ", "ｶﾞ"),
        ("が", "か\u3099"),
        ("สวัส", "สวัสดีครับ"),
        ("gpu", "在GPU上"),
        ("在gpu上", "现在GPU上面"),
        ("gpu", "ＧＰＵ"),
        ("cafe", "Café"),
        ("café", "CAFE"),
        ("größe", "GRÖSSE"),
        ("हिन्दी", "यह हिन्दी है"),
        ("ПРИВЕТ", "привет"),
        ("spar", "x.sparse_layout = 1"),
        ("layout", "x.sparse_layout = 1"),
        ("no-save", "use --no-save here"),
        ("here use", "use --no-save here"),
        ('"no save here"', "use --no-save here"),
        ('"no save', "use --no-save here"),
        ("𠀀𠀁", "extension B: 𠀀𠀁"),
        ("12", "a 12 b"),
    ],
)
def test_it_finds(query, text):
    assert finds(query, text) == [0]
    assert matches(text, query)


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("界你", "你好世界"),
        ("好界", "你好世界"),
        ("世界", "世,界"),
        ("世界 gpu", "你好世界"),
        ('"here use"', "use --no-save here"),
        ("ache", "cache"),
        ("a", "all apples"),
        ("12", "123"),
        ("か", "が"),
    ],
)
def test_it_does_not_find(query, text):
    assert finds(query, text) == []
    assert not matches(text, query)


@pytest.mark.parametrize("query", ["", "  ", '"', '""', "!?", "*", "\0", "\udcff", "🙂"])
def test_a_query_without_letters_finds_nothing(query):
    assert match_expressions(query) == []
    assert excerpt("some text", query) == ("some text", ())


@given(st.text())
def test_no_query_is_a_syntax_error(query):
    finds(query, "some text")


@given(st.text(LETTERS, min_size=1, max_size=4), st.lists(st.text(LETTERS + " a，"), max_size=5))
def test_characters_of_scripts_without_blanks_are_found_wherever_they_stand(query, texts):
    expected = [
        number for number, text in enumerate(texts) if fold_letters(query) in fold_letters(text)
    ]
    assert finds(query, *texts) == expected


@given(st.text(), st.text(LETTERS + "ab é", min_size=1))
def test_an_excerpt_marks_parts_of_its_line(text, query):
    line, spans = excerpt(text + query, query)
    assert "\n" not in line
    for start, end in spans:
        assert 0 <= start < end <= len(line)


def test_whole_words_come_before_words_that_only_begin_so():
    assert finds("cat", "category", "cat", "cats", "a cat") == [1, 3, 0, 2]
    assert finds("ca", "category", "ca") == [1]


def test_an_excerpt_is_around_the_first_match():
    text = "word " * 100 + "and then\nthe Café on the corner " + "word " * 100
    line, ((start, end),) = excerpt(text, "cafe")
    assert line[start:end] == "Café"
    assert "and then the Café on the corner" in line
    assert line[0] == line[-1] == "…"
    assert len(line) <= 122


def test_a_message_of_any_size_is_indexed():
    assert len(index_words("word " * 10_000_000)) <= 1_000_000
