from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from glmcli.conversation.window import REQUEST, is_full, summarise, without_oldest
from glmcli.types import RECAP, Conversation, Message, Omission


def chat(*sizes, system=True, last="last"):
    messages = [
        item
        for number, size in enumerate(sizes)
        for item in (Message("user", f"q{number} " * size), Message("assistant", "a " * size))
    ]
    return Conversation(
        system="s " * 2 if system else None, messages=[*messages, Message("user", last)]
    )


def words(messages):
    return sum(len(item.text.split()) for item in messages)


def unknown(messages):
    return None


def sent(conversation, omitted):
    return replace(conversation, omitted=omitted).prompt()


class Writer:
    """Writes summaries of a few words; remembers what it was asked, and checks that it fits."""

    def __init__(self, window, text="in short"):
        self.window = window
        self.text = text
        self.requests = []

    def __call__(self, request, room):
        assert words(request) + room <= self.window
        self.requests.append(request)
        return self.text and f"{self.text} {len(self.requests)}"


def test_nothing_is_known_to_be_full_without_numbers():
    assert not is_full(None, 100)
    assert not is_full(100, None)
    assert not is_full(90, 100)
    assert is_full(95, 100)


def test_whole_turns_go_the_oldest_first_and_the_system_prompt_stays():
    conversation = chat(20, 20, 5)
    omitted = without_oldest(conversation, words, 60)
    prompt = sent(conversation, omitted)
    assert omitted == Omission(4)
    assert prompt[0].role == "system"
    assert prompt[1].text.startswith("q2")
    assert prompt[-1].text == "last"


def test_a_single_message_that_is_too_long_cannot_be_shortened():
    long = "w " * 100
    assert without_oldest(Conversation(messages=[Message("user", long)]), words, 50) is None
    assert without_oldest(chat(5, last=long), words, 50) is None


def test_without_counts_one_turn_goes_at_a_time():
    conversation = chat(5, 5)
    conversation.omitted = without_oldest(conversation, unknown, 50)
    assert conversation.omitted == Omission(2)
    assert without_oldest(conversation, unknown, 50) == Omission(4)


def test_the_oldest_turns_become_a_summary_in_the_model_s_words():
    conversation = chat(30, 30, 20)
    write = Writer(200)
    omitted = summarise(conversation, words, 200, write)
    assert omitted == Omission(4, "in short 1")
    (request,) = write.requests
    assert [item.text.split()[0] for item in request[1:-1]] == ["q0", "a", "q1", "a"]
    assert request[-1] == Message("user", REQUEST)
    assert [item.text for item in sent(conversation, omitted)[1:3]] == [RECAP, "in short 1"]


def test_a_summary_becomes_part_of_the_next_one():
    conversation = chat(20, 20, 20)
    conversation.omitted = Omission(2, "once upon a time")
    write = Writer(200)
    omitted = summarise(conversation, words, 160, write)
    assert omitted.messages == 4
    assert [item.text for item in write.requests[0][1:3]] == [RECAP, "once upon a time"]
    assert write.requests[0][3].text.startswith("q1")


def test_what_cannot_be_read_at_once_is_summarised_step_by_step():
    conversation = chat(*[30] * 5)
    write = Writer(200)
    assert summarise(conversation, words, 200, write).messages >= 6
    assert len(write.requests) > 1
    assert write.requests[1][2].text == "in short 1"


def test_turns_that_were_left_out_are_in_a_later_summary():
    conversation = chat(30, 30, 20)
    conversation.omitted = Omission(2)
    write = Writer(200)
    summarise(conversation, words, 200, write)
    assert write.requests[0][1].text.startswith("q0")


def test_without_counts_half_of_the_turns_are_summarised():
    write = Writer(10_000)
    assert summarise(chat(1, 1, 1, 1), unknown, 800, write) == Omission(6, "in short 1")


def test_no_summary_is_made_where_there_is_no_room_for_it():
    write = Writer(200)
    assert summarise(chat(20, 20, last="w " * 95), words, 100, write) is None
    assert summarise(chat(last="w " * 200), words, 100, write) is None
    assert write.requests == []


def test_a_turn_that_cannot_be_read_beside_the_request_is_not_summarised():
    write = Writer(200)
    assert summarise(chat(45), words, 100, write) is None
    assert write.requests == []


def test_a_summary_that_was_stopped_is_none():
    assert summarise(chat(30, 30, 20), words, 200, Writer(200, text="")) is None


conversations = st.builds(
    lambda sizes, system: chat(*sizes, system=system),
    st.lists(st.integers(1, 30), max_size=8),
    st.booleans(),
)


def check(conversation, omitted, window):
    prompt = sent(conversation, omitted)
    body = [item for item in prompt if item.role != "system"]
    assert [item.role for item in body] == ["user", "assistant"] * (len(body) // 2) + ["user"]
    assert words(prompt) < window
    assert prompt[-1] == conversation.messages[-1]
    assert ("system" in {item.role for item in prompt}) == (conversation.system is not None)


@given(conversations, st.integers(8, 200))
def test_what_is_sent_is_always_well_formed(conversation, window):
    if (omitted := without_oldest(conversation, words, window)) is not None:
        check(conversation, omitted, window)


@given(conversations, st.integers(64, 400))
def test_what_is_sent_with_a_summary_is_always_well_formed(conversation, window):
    if (omitted := summarise(conversation, words, window, Writer(window))) is not None:
        check(conversation, omitted, window)
        assert conversation.messages[omitted.messages].role == "user"
