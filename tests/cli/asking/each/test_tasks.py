"""What a line asks for: what is read of it, what is refused, and in which words."""

from __future__ import annotations

import json

import pytest

from glmcli.cli.asking.each.filling import FilledPrompt
from glmcli.cli.asking.each.lines import RawLine
from glmcli.cli.asking.each.tasks import BadLine, LineForm, Task
from glmcli.errors import UsageError
from glmcli.types import GenerationParams, Message

TYPED = GenerationParams(temperature=0.5, seed=7)


def made(line: object, **form) -> Task | BadLine:
    data = line if isinstance(line, bytes) else json.dumps(line).encode()
    return LineForm(TYPED, **form).task(RawLine(3, data))


def test_a_line_of_text_is_the_prompt_and_its_number_the_id():
    task = made(b"Why? {text}")
    assert task == Task(3, 3, (Message("user", "Why? {text}"),), TYPED)


def test_an_object_has_its_own_settings_and_the_others_are_those_that_were_typed():
    task = made({"id": "a", "prompt": "Hi", "temperature": 0, "stop": "x", "max_tokens": None})
    assert task.id == "a"
    assert task.params == GenerationParams(temperature=0, seed=7, stop=("x",))


def test_the_system_prompt_of_a_line_goes_before_that_of_its_messages_and_that_before_all():
    turns = [{"role": "system", "content": "of messages"}, {"role": "user", "content": "Hi"}]
    for line, system in [
        ({"prompt": "Hi"}, "of all"),
        ({"messages": turns}, "of messages"),
        ({"messages": turns, "system": "of the line"}, "of the line"),
    ]:
        sent = made(line, system="of all").messages
        assert sent == (Message("system", system), Message("user", "Hi"))


def test_messages_are_sent_before_the_prompt_and_behind_those_of_all_lines():
    earlier = [Message("user", "1"), Message("assistant", "2")]
    turns = [{"role": "user", "content": "3"}, {"role": "assistant", "content": "4"}]
    sent = made({"messages": turns, "prompt": "5"}, earlier=earlier).messages
    assert [each.text for each in sent] == ["1", "2", "3", "4", "5"]
    assert len(earlier) == 2


def test_the_words_of_a_role_stand_around_a_prompt_and_files_behind_it():
    task = made({"prompt": "Hi"}, framed=lambda text: f"<{text}>", files=["File: a"])
    assert task.messages[-1].text == "<Hi>\n\nFile: a"


@pytest.mark.parametrize(
    ("text", "sent"),
    [
        ("Say {text}", "Say hello {n}"),
        ("{n} times {text}: {list}", '3 times hello {n}: ["é"]'),
        ('Write {"a": {"b": 1}} for {n}', 'Write {"a": {"b": 1}} for 3'),
        ("{{text}} is {n}", "{text} is 3"),
        ("{a.b-c}", "dotted"),
    ],
)
def test_fields_are_filled_in_once_and_all_other_braces_stay(text, sent):
    line = {"text": "hello {n}", "n": 3, "list": ["é"], "a.b-c": "dotted"}
    assert made(line, prompt=FilledPrompt(text)).messages[-1].text == sent


def test_a_prompt_without_a_field_would_be_the_same_for_every_line():
    with pytest.raises(UsageError, match="names no field") as raised:
        FilledPrompt("Translate {{text}}")
    assert raised.value.hint == '{text} is the line: --prompt "Translate: {text}"'


@pytest.mark.parametrize("line", [{"text": "x"}, {"text": "x", "nosuch": None}, b"x"])
def test_a_line_without_the_field_is_told_which_it_has(line):
    bad = made(line, prompt=FilledPrompt("{nosuch}"))
    assert bad.error.message == "the line has no value for 'nosuch'"
    assert bad.error.hint.startswith("its fields: text")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"{", "the line is not JSON"),
        (b"[" * 100 + b"]" * 100, "nested too deeply"),
        (b'"text"', "the line is a text, not an object"),
        (b"null", "the line is null, not an object"),
        ({"id": True, "prompt": "x"}, "'id' is true or false"),
        ({"id": 1.5, "prompt": "x"}, "'id' is a number, not a text or a whole number"),
        ({"prompt": 3}, "'prompt' is not text but a number"),
        ({"prompt": "x", "system": ["x"]}, "'system' is not text but a list"),
        ({"prompt": " \n"}, "the prompt is empty"),
        ({}, "there is no prompt in the line"),
        ({"messages": []}, "there is no prompt in the line"),
        ({"messages": [{"role": "assistant", "content": "x"}]}, "there is no prompt in the line"),
        ({"messages": "x"}, "a list of messages is needed"),
        ({"messages": [{"role": "boss", "content": "x"}]}, "has the role 'boss'"),
        ({"prompt": "x", "temperature": -1}, "temperature cannot be -1"),
        ({"prompt": "x", "temperature": "hot"}, "'temperature' is not a number but a text"),
        ({"prompt": "x", "max_tokens": 0}, "max_tokens cannot be 0"),
        ({"prompt": "x", "seed": 1.5}, "seed is 1.5, not a whole number"),
        ({"prompt": "x", "think": 5}, "think is 5, not on or off"),
        ({"prompt": "x", "think": "maybe"}, "'think' is not true or false but a text"),
        ({"prompt": "x", "stop": ["a", 5]}, "'stop' has a number among its texts"),
        ({"prompt": "x", "stop": {}}, "'stop' is not a list of texts but an object"),
        ({"prompt": "x", "stop": 5}, "stop is 5, not a list of texts"),
        ({"prompt": "a\0b"}, "holds a NUL character"),
        ({"prompt": "x", "system": "a\0b"}, "holds a NUL character"),
        (b'{"prompt": "\\ud800"}', "is not valid UTF-8"),
        (b'{"prompt": "x", "system": "\\ud800"}', "is not valid UTF-8"),
        (b'{"prompt": "\xff"}', "line 3 is not valid UTF-8 (byte 12)"),
    ],
)
def test_a_bad_line_is_told_and_not_raised(line, message):
    bad = made(line, is_json=True)
    assert isinstance(bad, BadLine)
    assert message in bad.error.message
    assert bad.error.hint
    assert "conversation" not in bad.error.hint
    assert (bad.line, bad.error.exit_code) == (3, 2)


@pytest.mark.parametrize(
    ("line", "hint"),
    [
        ({"prompt": "x", "seed": "1"}, 'without quotes: "max_tokens": 9'),
        ({"prompt": "x", "stop": ["a", 5]}, '"stop" is a list of texts'),
        ({"messages": [1]}, '"messages": [{"role": "user", "content": "Hi"}]'),
        ({"messages": [{"role": "user", "content": None}]}, "leave the line out"),
        ({"messages": [{"role": "user", "content": " "}]}, "leave the line out"),
    ],
)
def test_a_hint_is_for_what_is_wrong_in_the_line(line, hint):
    assert hint in made(line, is_json=True).error.hint


def test_a_bad_line_keeps_its_id_if_that_can_be_read():
    assert made({"id": "a", "prompt": 3}, is_json=True).id == "a"
    assert made({"prompt": 3}, is_json=True).id == 3
    assert made(b"{", is_json=True).id is None


@pytest.mark.parametrize(
    ("first", "is_json"),
    [(b'{"prompt": "x"}', True), (b"{x}", False), (b"[1]", False), (b"x", False), (b"{}", True)],
)
def test_the_first_line_decides_what_all_are(first, is_json):
    form = LineForm(TYPED)
    form.task(RawLine(1, first))
    assert form.is_json is is_json
    then = form.task(RawLine(2, b"just words"))
    assert isinstance(then, BadLine) is is_json


def test_objects_that_are_asked_as_text_are_counted():
    form = LineForm(TYPED)
    for line in (b"words", b'{"prompt": "x"}', b"{x}", b'{"prompt": "y"}'):
        assert isinstance(form.task(RawLine(1, line)), Task)
    assert form.objects == 2


def test_fields_that_nothing_reads_are_remembered():
    form = LineForm(TYPED, is_json=True)
    for line in (b'{"prompt": "x", "extra": 1}', b'{"prompt": "x", "top": 2, "extra": 3}'):
        form.task(RawLine(1, line))
    assert [*form.unread] == ["extra", "top"]
