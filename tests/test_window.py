from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from glmcli.types import Message
from glmcli.window import is_full, left_out, shortened


def chat(*sizes, system=True):
    head = [Message("system", "s " * 2)] if system else []
    turns = [
        item
        for number, size in enumerate(sizes)
        for item in (Message("user", f"q{number} " * size), Message("assistant", "a " * size))
    ]
    return [*head, *turns, Message("user", "last")]


def words(messages):
    return sum(len(item.text.split()) for item in messages)


def test_nothing_is_known_to_be_full_without_numbers():
    assert not is_full(None, 100)
    assert not is_full(100, None)
    assert not is_full(90, 100)
    assert is_full(95, 100)


def test_whole_turns_go_the_oldest_first_and_the_system_prompt_stays():
    prompt = chat(20, 20, 5)
    sent = shortened(prompt, words, 60)
    assert sent[0].role == "system"
    assert sent[1].text.startswith("q2")
    assert sent[-1].text == "last"
    assert words(sent) <= 45
    assert left_out(prompt, sent) == 2


def test_a_single_message_that_is_too_long_cannot_be_shortened():
    assert shortened([Message("user", "w " * 100)], words, 50) is None
    assert shortened([*chat(5, system=False)[:-1], Message("user", "w " * 100)], words, 50) is None


def test_without_counts_one_turn_goes_at_a_time():
    prompt = chat(5, 5)
    assert left_out(prompt, shortened(prompt, lambda messages: None, 50)) == 1


@given(st.lists(st.integers(1, 30), max_size=8), st.integers(8, 200), st.booleans())
def test_what_is_sent_is_always_well_formed(sizes, window, system):
    prompt = chat(*sizes, system=system)
    sent = shortened(prompt, words, window)
    if sent is None:
        return
    body = [item for item in sent if item.role != "system"]
    assert [item.role for item in body] == ["user", "assistant"] * (len(body) // 2) + ["user"]
    assert words(sent) < window
    assert prompt[-len(body) :] == body
