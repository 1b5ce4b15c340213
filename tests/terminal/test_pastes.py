from __future__ import annotations

import pytest
from prompt_toolkit.layout.processors import TransformationInput

from glmcli.terminal.pastes import FIRST, Pastes, Placeholders


def test_a_short_paste_is_itself():
    assert Pastes().fold("one\ntwo") == "one\ntwo"


def test_a_long_paste_is_one_character_that_expands_to_the_whole():
    pastes = Pastes()
    first, second = "a\n" * 300, "b" * 5000
    draft = f"see {pastes.fold(first)} and {pastes.fold(second)}."
    assert len(draft) == len("see 1 and 2.")
    shown = "see [paste 1: 301 lines] and [paste 2: 5,000 characters]."
    assert pastes.shown(draft) == shown
    assert pastes.expand(draft) == f"see {first} and {second}."


@pytest.mark.parametrize("text", ["[paste 1: 301 lines]", chr(FIRST + 7), "plain"])
def test_what_stands_for_no_paste_stays(text):
    pastes = Pastes()
    pastes.fold("a\n" * 300)
    assert pastes.expand(text) == pastes.shown(text) == text


def test_the_cursor_goes_over_a_placeholder_in_one_step():
    pastes = Pastes()
    draft = f"a{pastes.fold('x' * 5000)}b"
    asked = TransformationInput(None, None, 0, lambda at: at, [("", draft)], 80, 24)  # type: ignore[arg-type]
    done = Placeholders(pastes).apply_transformation(asked)
    shown = "".join(text for _, text, *_ in done.fragments)
    assert shown == "a[paste 1: 5,000 characters]b"
    ends = [done.source_to_display(at) for at in range(5)]
    assert ends == [0, 1, len(shown) - 1, len(shown), len(shown) + 1]
    assert [done.display_to_source(at) for at in (0, 1, 5, ends[2], ends[3])] == [0, 1, 1, 2, 3]
