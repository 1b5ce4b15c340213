"""Reasoning that stands in a reply's text is split off; marks that are merely mentioned stay."""

from __future__ import annotations

import time

import pytest

from glmcli.conversation.reasoning import PAIRS, split_reasoning
from glmcli.types import Message


@pytest.mark.parametrize(("begin", "end"), PAIRS)
@pytest.mark.parametrize("text", ["{}hm{}yo", "\n{}\nhm\n{}\n\nyo", " {} hm {}yo", "{}hm{}\nyo"])
def test_reasoning_at_the_start_of_a_reply_is_split_off(begin, end, text):
    split = split_reasoning(Message("assistant", text.format(begin, end)))
    assert (split.thinking, split.text) == ("hm", "yo")


@pytest.mark.parametrize("text", ["hm\n</think>\n\nyo", "hm</think> \nyo", "</think>yo"])
def test_the_beginning_may_be_missing_where_the_template_wrote_it(text):
    split = split_reasoning(Message("assistant", text))
    assert (split.thinking, split.text) == (text.partition("</think>")[0].strip(), "yo")


def test_only_the_first_reasoning_is_split_off():
    split = split_reasoning(Message("assistant", "<think>a</think>b <think>c</think>"))
    assert (split.thinking, split.text) == ("a", "b <think>c</think>")


@pytest.mark.parametrize(
    "message",
    [
        Message("assistant", "<think> is how it begins"),
        Message("assistant", "`</think>` ends it"),
        Message("assistant", "so: <think>a</think>\nb"),
        Message("assistant", "```\n<think>\n</think>\n```"),
        Message("assistant", "<think>a</think>b", thinking="c"),
        Message("assistant", "<think>a</think>b", name="tool"),
        Message("user", "<think>a</think>b"),
        Message("tool", "a\n</think>\nb"),
    ],
)
def test_what_is_no_reasoning_stays(message):
    assert split_reasoning(message) == message


@pytest.mark.parametrize(
    "text",
    [
        "a</think>" * 50_000,
        "a </think>" * 50_000,
        "</think> x " * 50_000,
        "<think>" * 50_000,
        " " * 300_000,
        ("</think>" + " " * 999) * 300,
    ],
)
def test_it_takes_time_in_proportion_to_the_text(text):
    began = time.process_time()
    split_reasoning(Message("assistant", text + "</think>"))
    assert time.process_time() - began < 1
