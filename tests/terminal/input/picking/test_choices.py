"""Typing filters, arrows move: what is shown and what is chosen then."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from glmcli.store import Summary
from glmcli.terminal.input.picking.choices import Choices

ENTRIES = [
    Summary("aaaa1111", "Why is the SKY blue?", "zai-org/glm-4-9b", 1, None, 9.0, "chat"),
    Summary("bbbb2222", "the sea", "echo:", 1, None, 8.0, "ask"),
    Summary("cccc3333", "天气怎么样", "echo:", 1, None, 7.0, "chat"),
    Summary("dddd4444", "of old", "echo:", 1, None, 6.0, ""),
]


def shown(choices):
    return [each.id[0] for each in choices.shown]


def test_asks_are_kept_out_until_they_are_asked_for():
    choices = Choices(ENTRIES, "chat")
    assert (shown(choices), choices.total, choices.has_others) == (["a", "c", "d"], 3, True)
    choices.move(1)
    choices.toggle()
    assert (shown(choices), choices.total) == (["a", "b", "c", "d"], 4)
    assert choices.current == ENTRIES[2]  # the same as before
    choices.toggle()
    assert shown(choices) == ["a", "c", "d"]


def test_where_the_last_of_the_kind_is_deleted_the_others_can_be_shown():
    choices = Choices(ENTRIES[:2], "chat")
    choices.remove(ENTRIES[0].id)
    assert (shown(choices), choices.has_others) == ([], True)
    choices.toggle()
    assert (shown(choices), choices.has_others) == (["b"], False)


def test_where_there_are_only_others_they_are_shown():
    choices = Choices(ENTRIES[1:2], "chat")
    assert shown(choices) == ["b"]
    choices.toggle()
    assert shown(choices) == ["b"]
    assert shown(Choices(ENTRIES, "")) == ["a", "b", "c", "d"]
    assert not Choices(ENTRIES, "").has_others
    assert not Choices([each for each in ENTRIES if each.kind == "ask"], "chat").has_others


def test_words_are_looked_for_in_titles_and_models_and_at_the_start_of_ids():
    choices = Choices(ENTRIES)
    wanted = {"sky": "a", "the e": "ab", "blue why": "a", "GLM-4": "a", "气": "c", "dddd": "d"}
    for words, found in wanted.items():
        choices.narrow(words)
        assert "".join(shown(choices)) == found, words
    for words in ("4444", "nowhere", "sky sea"):
        choices.narrow(words)
        assert (shown(choices), choices.current) == ([], None), words


def test_what_a_search_finds_comes_after_what_fits():
    choices = Choices(ENTRIES, "chat")
    choices.narrow("sky")
    choices.add_found(
        {"dddd4444": "in the sky", "bbbb2222": "an ask", "aaaa1111": "sky", "gone": ""}
    )
    assert shown(choices) == ["a", "d"]
    assert choices.line_around("dddd4444") == "in the sky"
    choices.toggle()
    assert shown(choices) == ["a", "d", "b"]
    choices.narrow("sk")
    assert (shown(choices), choices.line_around("dddd4444")) == (["a"], "")


def test_what_was_deleted_is_not_shown_and_the_next_is_chosen():
    choices = Choices(ENTRIES)
    choices.move(1)
    choices.remove("bbbb2222")
    assert (shown(choices), choices.current) == (["a", "c", "d"], ENTRIES[2])
    choices.move(9)
    choices.remove("dddd4444")
    assert choices.current == ENTRIES[2]
    for each in ENTRIES:
        choices.remove(each.id)
    assert (choices.current, choices.total) == (None, 0)


STEPS = st.one_of(
    st.tuples(st.just("move"), st.integers(-9, 9)),
    st.tuples(st.just("narrow"), st.sampled_from(["", "s", "sky", "e", "zz"])),
    st.tuples(st.just("add_found"), st.sampled_from([{}, {"dddd4444": "x"}, {"none": ""}])),
    st.tuples(st.just("remove"), st.sampled_from([each.id for each in ENTRIES])),
    st.tuples(st.just("toggle"), st.none()),
)


@given(st.lists(STEPS, max_size=20))
def test_what_is_chosen_is_always_one_of_those_shown(steps):
    choices = Choices(ENTRIES, "chat")
    for name, value in steps:
        getattr(choices, name)(*([] if value is None else [value]))
        assert len(set(shown(choices))) == len(choices.shown) <= choices.total
        if choices.shown:
            assert choices.current is choices.shown[choices.at]
        else:
            assert (choices.current, choices.at) == (None, 0)
