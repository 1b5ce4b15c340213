"""One set of columns, in a window of any width."""

from __future__ import annotations

import time

import pytest
import wcwidth

from glmcli.store import Summary
from glmcli.terminal.input.picking.columns import (
    COLUMNS,
    KIND_COLUMN,
    MOST_WORDS,
    ColumnLayout,
    list_rows,
    new_words,
)


def entry(name="abcd1234", title="the sky", model="echo:", turns=3, kind="chat", ago=3600.0):
    return Summary(name, title, model, turns, None, time.time() - ago, kind)


SEVERAL = [
    entry("dddd4444", "family \U0001f468\u200d\U0001f469\u200d\U0001f466 \u2764\ufe0f", "echo:", 1),
    entry("aaaa1111", "why is the sky blue?", "/models/zai-org/glm-4-9b-chat", 12),
    entry("bbbb2222", "天" * 30, "openai:gpt-5-mini", 1, "ask", 59),
    entry("cccc3333", "evil\x1b[31m\x07\ttitle\u202e\nof two lines", "m\x1b[5m", 1, "", 86400 * 40),
]
WORDS = {"aaaa1111": "why is the sky blue? And why", "cccc3333": "red\x1b]0;pwned\x07\nmore"}


@pytest.mark.parametrize("room", [20, 40, 58, 80, 100, 200])
@pytest.mark.parametrize("with_kinds", [False, True])
def test_no_row_is_wider_than_its_room_and_none_steers_the_terminal(room, with_kinds):
    rows = list_rows(SEVERAL, WORDS, with_kinds=with_kinds, room=room)
    assert len(rows) == 5
    for row in rows:
        assert 0 < wcwidth.wcswidth(row) <= room  # -1 for control characters
        assert {"\u202e", "\u200d", "\ufe0f"}.isdisjoint(row)


def test_a_wide_window_shows_all_columns_and_a_narrow_one_the_title_at_last():
    heads = [list_rows(SEVERAL, WORDS, with_kinds=True, room=room)[0].split() for room in (160, 58)]
    assert heads[0] == ["id", "age", "turns", "model", "title", "first", "words", "kind"]
    assert heads[1] == ["id", "age", "turns", "title", "kind"]
    narrow = list_rows(SEVERAL, WORDS, with_kinds=False, room=34)
    assert narrow[0].split() == ["id", "age", "title"]
    assert narrow[2].startswith("aaaa1111  1 h ")


@pytest.mark.parametrize(
    ("title", "words", "shown"),
    [
        ("why is the sky…", "why is the sky blue?", ""),
        ("the sky", "why is\n it   blue?", "why is it blue?"),
        ("", "why?", "why?"),
        ("the sky", "", ""),
        ("the sky", "w" * 100, "w" * (MOST_WORDS - 1) + "…"),
    ],
)
def test_first_words_are_those_that_the_title_does_not_say(title, words, shown):
    assert new_words(entry(title=title), words) == shown


def test_columns_stay_where_they_are_while_a_list_is_scrolled():
    layout = ColumnLayout((*COLUMNS, KIND_COLUMN))

    def title_starts(entries):
        head = layout.rows(entries, {}, 80)[0]
        return sum(map(len, head[:3]))

    long = title_starts(SEVERAL)
    assert title_starts([entry(model="m", turns=1)]) == long
    assert ColumnLayout(COLUMNS).rows([entry(model="m")], {}, 80)[0][2] == "model  "
