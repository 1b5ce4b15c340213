from __future__ import annotations

from glmcli.terminal.pastes import Pastes


def test_a_short_paste_is_itself():
    assert Pastes().fold("one\ntwo") == "one\ntwo"


def test_a_long_paste_is_a_placeholder_that_expands_to_the_whole():
    pastes = Pastes()
    first, second = "a\n" * 300, "b" * 5000
    draft = f"see {pastes.fold(first)} and {pastes.fold(second)}."
    assert "301 lines" in draft
    assert len(draft) < 80
    assert pastes.expand(draft) == f"see {first} and {second}."


def test_what_looks_like_a_placeholder_and_is_none_stays():
    text = "[paste 7: 12 lines]"
    assert Pastes().expand(text) == text
