"""A closing mark of thinking that has no opening one: what is one, and what only looks like one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glmcli.conversation.reasoning import PAIRS, split_reasoning
from glmcli.engines.remote.stream import Words
from glmcli.engines.reply import Growing, Marks, Reasoning
from glmcli.types import Chunk, Message
from tests.support.documents import pieces


def read(deltas) -> tuple[str, str]:
    """(thinking, text) of a reply as the session keeps it."""
    words, growing = Words(()), Growing()
    for delta in deltas:
        growing.add(words.push(delta))
    growing.add(words.flush())
    message = growing.message("stop")
    return message.thinking, message.text


SIZES = (1, 2, 3, 5, 7, 1000)
MARKS = [
    ("Two and two is four.\n</think>\n\nFour.", "Two and two is four.", "Four."),
    ("It is four.</think>Four.", "It is four.", "Four."),
    ("It is four.</think> Four.", "It is four.", "Four."),
    ("It is four</think>\nFour.", "It is four", "Four."),
    ("是四。</think>四。", "是四。", "四。"),
    ("是四\n</think>\n\n四", "是四", "四"),
    ("</think>\n\nFour.", "", "Four."),
    ("\n\n</think>\n\nFour.", "", "Four."),
    ("</think>Four.", "", "Four."),
    ("Hm.\n</think>  \nFour.", "Hm.", "Four."),
    ("Hm.\n</think>", "Hm.", ""),
    ("Hm.\r\n</think>\r\n\r\nFour.", "Hm.", "Four."),
    (
        "Use `x`.\n```\ncode\n```\nDone.\n</think>\nFour.",
        "Use `x`.\n```\ncode\n```\nDone.",
        "Four.",
    ),
    ("Hm.</think>\nThe tag is </think>.", "Hm.", "The tag is </think>."),
    ("Hm.</think>\n</think>\nFour.", "Hm.", "Four."),
    ("So 4. </think>\n\n4", "So 4.", "4"),
    ("So 4. </think>4", "So 4.", "4"),
    ("So 4. </think>", "So 4.", ""),
    ("so it is 4 </think>\n\n4", "so it is 4", "4"),
    ("so it is 4\t</think> \r\n\r\n4", "so it is 4", "4"),
    ("abc</think>def</think>42", "abc\n\ndef", "42"),
    ("abc\n</think>\n\ndef\n</think>\n\n42", "abc\n\ndef", "42"),
    ("<think>abc</think>def</think>42", "abc\n\ndef", "42"),
    ("<think>\nabc\n</think>\n\n</think>\n\n42", "abc", "42"),
    ("</think></think>42", "", "42"),
    ("abc</think>Use `</think>` or </think>, so", "abc", "Use `</think>` or </think>, so"),
    ("a</think>b</think>Say <think>c</think>", "a\n\nb", "Say <think>c</think>"),
]
TEXTS = [
    "The tag </think> ends the thinking.",
    "The tag `</think>` ends it.",
    "`</think>`\n\nends it.",
    "</think> is a tag.",
    "</think>, so to speak",
    'It is "</think>" that ends it.',
    "It is (</think>) that ends it.",
    "- </think>: the end\n- more",
    "```\nHm.\n</think>\nFour.\n```\nSo it ends.",
    "~~~ text\n</think>\n~~~",
    "So:\n\n    </think>\n\nends it.",
    "Models write <think> first and\n</think>\nlast.",
    "它用</think>表示结束。",
    "a < b </thin",
    "no mark at all",
    "</ThInK>\nno mark",
    "``a`b`` and </think> too",
    "The tag is </think>\nand that is it.",
    "It ends. </think> is the tag.",
    "It ends. </think>, that is the tag.",
    "The tag is </think>",
    "The tag is </think>\n",
    "1. </think>\n2. more",
    "- </think>\n\n- more",
    "  10. </think>\n\nmore",
]


@pytest.mark.parametrize(("reply", "thinking", "text"), MARKS)
@pytest.mark.parametrize("size", SIZES)
def test_what_came_before_a_lone_mark_was_thinking(reply, thinking, text, size):
    assert read(pieces(reply, size)) == (thinking, text)


@pytest.mark.parametrize("reply", TEXTS + [reply for reply, _, _ in MARKS])
def test_a_stream_and_a_whole_text_are_read_by_one_rule(reply):
    whole = split_reasoning(Message("assistant", reply))
    assert {read(pieces(reply, size)) for size in SIZES} == {(whole.thinking, whole.text)}


@given(
    st.lists(
        st.sampled_from(["a", " ", "\n", ". ", "</think>", "`", "是", "\n\n", "<think>", ",", "1"])
    )
)
def test_whatever_a_text_has_a_stream_of_it_is_read_alike(parts):
    text = "".join(parts)
    found = {read(pieces(text, size)) for size in (1, 2, 7, 1000)}
    assert len(found) == 1
    assert "<think>" in text or read_as_tokens(parts) == read([text])


def read_as_tokens(parts):
    """The same, of a model that has the marks as tokens."""
    reasoning, growing = Reasoning(Marks(open_id=1, close_id=2)), Growing()
    for part in parts:
        if part == "</think>" and reasoning.awaits(2):
            parted = reasoning.switch(2, "", part)
        else:
            parted = reasoning.push(part)
        growing.add(Chunk(parted.text, parted.thinking, was_thinking=parted.turned))
    parted = reasoning.flush()
    growing.add(Chunk(parted.text, parted.thinking, was_thinking=parted.turned))
    message = growing.message("stop")
    return message.thinking, message.text


@pytest.mark.parametrize("reply", TEXTS)
@pytest.mark.parametrize("size", SIZES)
def test_a_mark_that_is_talked_about_is_text(reply, size):
    assert read(pieces(reply, size)) == ("", reply)


@pytest.mark.parametrize(("opening", "closing"), PAIRS)
def test_the_marks_of_every_family_are_known(opening, closing):
    assert read(f"Hm.\n{closing}\n\nFour.") == ("Hm.", "Four.")
    assert read(f"{opening}\nHm.\n{closing}\n\nFour.") == ("Hm.", "Four.")


def test_thinking_that_is_sent_apart_leaves_the_text_alone():
    words = Words(())
    assert words.push("", "Hm.") == Chunk(thinking="Hm.")
    assert words.push("a\n</think>\n\nb") == Chunk("a\n</think>\n\nb")


def test_only_the_text_so_far_is_turned_and_nothing_is_shown_twice():
    words = Words(("STOP",))
    chunks = [words.push(delta) for delta in ("Hm", "m. S", "\n</thi", "nk>\n\nFo", "ur. STOP it")]
    assert [chunk.was_thinking for chunk in chunks] == [False, False, False, True, False]
    assert [chunk.text for chunk in chunks] == ["Hm", "m. ", "S\n", "Fo", "ur. "]
    assert words.stopped


def test_what_a_stop_string_held_back_is_thinking_too():
    words, growing = Words(("END",)), Growing()
    for chunk in (words.push("so E"), words.push("</think>Four."), words.flush()):
        growing.add(chunk)
    message = growing.message("stop")
    assert (message.thinking, message.text) == ("so E", "Four.")


@pytest.mark.parametrize(
    ("before", "turns"),
    [("Hm.\n", True), ("It is `", False), ("It is ", True), ("Hm", True), ("Hm. ", True)],
)
def test_a_mark_that_is_a_token_stands_alone_by_the_same_rule(before, turns):
    reasoning = Reasoning(Marks(open_id=1, close_id=2))
    assert not reasoning.awaits(3)
    reasoning.push(before)
    assert reasoning.awaits(2)
    first = reasoning.switch(2, "", "</think>")
    second = reasoning.push("\n\nFour.")
    assert (first.turned or second.turned) == turns
    assert (first.text + second.text).removeprefix("</think>\n\n") == "Four."


def test_a_token_that_closes_at_the_start_has_closed_nothing():
    reasoning = Reasoning(Marks(open_id=1, close_id=2))
    assert reasoning.awaits(2)
    assert not any(reasoning.switch(2, ""))
    assert reasoning.push("\nFour.").text == "Four."
