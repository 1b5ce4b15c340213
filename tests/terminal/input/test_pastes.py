from __future__ import annotations

import pytest
from prompt_toolkit.layout.processors import Transformation, TransformationInput

from glmcli.terminal.input.pastes import FIRST, LAST, Pastes, Placeholders


def test_a_short_paste_is_itself():
    assert Pastes().fold("one\ntwo") == "one\ntwo"


def test_a_long_paste_is_one_character_that_expands_to_the_whole():
    pastes = Pastes()
    first, second = "a\n" * 300, "b" * 5000
    draft = f"see {pastes.fold(first)} and {pastes.fold(second)}."
    assert len(draft) == len("see 1 and 2.")
    shown = "see [paste 1: 300 lines] and [paste 2: 5,000 characters]."
    assert pastes.shown(draft) == shown
    assert pastes.expand(draft) == f"see {first} and {second}."


@pytest.mark.parametrize("end", ["", "\n"])
def test_a_line_end_at_the_end_makes_no_line_more(end):
    pastes = Pastes()
    nine, ten = "\n".join("x" * 9) + end, "\n".join("x" * 10) + end
    assert pastes.fold(nine) == nine
    assert pastes.shown(pastes.fold(ten)) == "[paste 1: 10 lines]"


def test_a_paste_that_comes_again_is_the_same_character():
    pastes = Pastes()
    first, second, again = (pastes.fold(f"{n}\n" * 300) for n in (1, 2, 1))
    assert first == again != second


@pytest.mark.parametrize("text", ["[paste 1: 300 lines]", chr(FIRST + 7), "plain"])
def test_what_stands_for_no_paste_stays(text):
    pastes = Pastes()
    pastes.fold("a\n" * 300)
    assert pastes.expand(text) == pastes.shown(text) == text


def test_a_character_that_would_stand_for_an_earlier_paste_is_text():
    pastes = Pastes()
    pastes.fold("a\n" * 300)
    for made in (pastes.fold, pastes.plain):
        draft = made(f"x{chr(FIRST)}y")
        assert pastes.expand(draft) == f"x{chr(FIRST)}y"
        assert pastes.shown(draft) == "x[paste 2: 1 character]y"


def test_without_a_character_left_no_paste_is_taken_for_another():
    pastes = Pastes()
    for number in range(FIRST, LAST + 2):
        last = pastes.fold(f"{number}" * 300)
    assert last == f"{LAST + 1}" * 300
    assert pastes.expand(pastes.fold(f"x{chr(FIRST)}y")) == "x\ufffdy"


def test_what_would_steer_a_terminal_is_a_symbol_of_several_cells():
    done = transformed(Pastes(), "a\u202eb\u2028c")
    assert "".join(text for _, text, *_ in done.fragments) == "a<U+202E>b<U+2028>c"
    assert [done.source_to_display(at) for at in range(6)] == [0, 1, 9, 10, 18, 19]
    assert [done.display_to_source(at) for at in (0, 1, 8, 9, 10)] == [0, 1, 1, 2, 3]


def transformed(pastes: Pastes, draft: str) -> Transformation:
    asked = TransformationInput(None, None, 0, lambda at: at, [("", draft)], 80, 24)  # type: ignore[arg-type]
    return Placeholders(pastes).apply_transformation(asked)


def test_the_cursor_goes_over_a_placeholder_in_one_step():
    pastes = Pastes()
    draft = f"a{pastes.fold('x' * 5000)}b"
    done = transformed(pastes, draft)
    shown = "".join(text for _, text, *_ in done.fragments)
    assert shown == "a[paste 1: 5,000 characters]b"
    ends = [done.source_to_display(at) for at in range(5)]
    assert ends == [0, 1, len(shown) - 1, len(shown), len(shown) + 1]
    assert [done.display_to_source(at) for at in (0, 1, 5, ends[2], ends[3])] == [0, 1, 1, 2, 3]
