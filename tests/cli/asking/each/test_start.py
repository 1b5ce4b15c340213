"""What the first lines tell before a model is loaded: the wrong kind of file, a field of none."""

from __future__ import annotations

import os
from contextlib import nullcontext

import pytest

from glmcli.cli.asking.each.filling import FilledPrompt
from glmcli.cli.asking.each.lines import LINES_AHEAD, LineReader, open_lines
from glmcli.cli.asking.each.start import check_start
from glmcli.cli.asking.each.tasks import LineForm
from glmcli.errors import UsageError
from glmcli.types import GenerationParams, Message

ONE = '{"prompt": "one"}\n'
NEEDED = 'it needs a "prompt", or "messages" that end with one of the user'


def never() -> bool:
    return False


def form(prompt: str = "", name: str = "in") -> LineForm:
    filled = FilledPrompt(prompt) if prompt else None
    is_json = name.endswith(".jsonl") or None
    return LineForm(GenerationParams(), prompt=filled, is_json=is_json)


@pytest.fixture
def start(tmp_path, monkeypatch):
    """`start("one\n", "{text}")`: what is said of a file of these lines."""
    monkeypatch.chdir(tmp_path)

    def check(data: str | bytes, prompt: str = "", name: str = "in") -> list[str]:
        (tmp_path / name).write_bytes(data.encode() if isinstance(data, str) else data)
        return [*check_start(open_lines(name), form(prompt, name), never)]

    return check


@pytest.mark.parametrize("name", ["in", "in.json", "in.jsonl"])
@pytest.mark.parametrize(
    ("data", "way"),
    [
        (f"[\n{ONE.strip()},\n{ONE}]\n", "jq -c '.[]'"),
        ('[{"prompt": "one"}, {"prompt": "two"}]', "jq -c '.[]'"),
        ('["one", "two"]\n', "jq -c '.[]'"),
        ('["one",\n"two"]\n', "jq -c '.[]'"),
        ('[\n  {\n    "prompt": "one"\n  }\n]\n', "jq -c '.[]'"),
        ('{\n  "prompt": "one"\n}\n{\n  "prompt": "two"\n}\n', "jq -c ."),
    ],
)
def test_json_that_is_not_a_line_each_is_refused_with_a_way_to_make_it_so(start, data, way, name):
    with pytest.raises(UsageError) as raised:
        start(data, name=name)
    assert raised.value.message == f"{name} is JSON, but not an object a line"
    assert raised.value.hint == f"{way} {name} makes it so"


@pytest.mark.parametrize("first", ["# prompts", "id,prompt", "{broken", "null"])
def test_a_first_line_that_is_no_object_does_not_make_text_of_the_others(start, first):
    with pytest.raises(UsageError, match="line 2 of in is no JSON object, but 3 lines behind it"):
        start(f"\n{first}\n{ONE * 3}")
    assert start(f"{first}\n{ONE * 3}", name="in.jsonl") == []


@pytest.mark.parametrize(
    "data",
    [
        "",
        "one\ntwo\n" + ONE,
        "[1] what is that?\nand this\n",
        '["a", "b"]\n["c", "d"]\n',
        "{x}\n",
        ONE + "# no comment\n",
        "\ufeff" + ONE,
        ONE.replace("\n", "\r\n") * 2,
        b"\xff\n" + ONE.encode(),
    ],
)
def test_all_else_is_read_as_its_first_line_is_and_nothing_of_it_is_lost(start, tmp_path, data):
    assert start(data) == []


def test_lines_that_were_looked_at_are_still_taken(tmp_path):
    (tmp_path / "in").write_text("one\n\ntwo\n")
    reader = open_lines(str(tmp_path / "in"))
    assert [it.data for it in reader.ahead(never)] == [b"one", b"two"]
    assert not reader.is_over
    assert [reader.take(never).data for _ in range(2)] == [b"one", b"two"]
    assert reader.take(never) is None
    assert (reader.is_over, reader.found, reader.blank) == (True, 2, 1)


def test_a_table_is_told_to_be_lines(start):
    said = start("id,prompt\n1,one\n", name="in.csv")
    assert said == ["in.csv is not read as a table: each of its lines is a prompt, the first too"]
    assert start(ONE, name="in.csv") == []


def test_lines_that_end_with_cr_alone_are_told_to_be_one_prompt(start):
    (told,) = start("one\rtwo\rthree\r")
    assert told.startswith("the lines of in end with CR alone: all of it is one prompt; tr '\\r'")
    assert start("one\r\ntwo\r\n") == []


def test_names_between_nuls_are_no_utf_16(start):
    assert start("a\0b\0c\0") == []


@pytest.mark.parametrize("ends", ["utf-16-le", "utf-16-be", "utf-16"])
def test_utf_16_is_told_with_and_without_its_mark(start, ends):
    with pytest.raises(UsageError, match="in is UTF-16"):
        start("one\ntwo\n".encode(ends))


@pytest.mark.parametrize(
    ("data", "hint"),
    [
        ("one\ntwo\n", "its fields: text"),
        (ONE * 2, "its fields: prompt"),
        ('{"nope": null}\n', "it has none"),
        ('{"nope": null, "q": 1}\n', "its fields: q"),
    ],
)
def test_a_field_that_no_line_has_is_told_once_and_before(start, data, hint):
    with pytest.raises(UsageError) as raised:
        start(data, "x {nope}")
    assert raised.value.message == "no line has a value for 'nope'"
    assert raised.value.hint == hint


def test_a_field_that_some_line_has_is_an_error_of_the_others_alone(start):
    assert start(ONE * 3 + '{"nope": 1}\n', "x {nope}") == []
    assert start("# broken\n{}\n" + '{"nope": 1}\n', "x {nope}", name="in.jsonl") == []


TEXTS = '{"id": 1, "lang": "fr", "text": "Say it", "n": 7, "no name": "Say more", "x": null}\n'


@pytest.mark.parametrize(
    ("data", "hint"),
    [
        (TEXTS * 3, '--prompt "{text}" sends a field of each line; its fields: lang, text, n'),
        ('{"n": 7}\n', '--prompt "{n}" sends a field of each line; its fields: n'),
        ("{}\n" + TEXTS, '--prompt "{text}" sends a field of each line; its fields: lang, text, n'),
        ('{"id": 1, "prompt": null, "seed": 1, "no name": "x"}\n', NEEDED),
        ("{}\n", NEEDED),
    ],
)
def test_lines_without_a_prompt_are_refused_with_a_field_that_can_be_sent(start, data, hint):
    with pytest.raises(UsageError) as raised:
        start(data)
    assert (raised.value.message, raised.value.hint) == ("no line has a prompt", hint)


@pytest.mark.parametrize("field", ['"prompt": "one"', '"messages": []', '"prompt": 7'])
def test_where_some_line_has_a_prompt_that_is_an_error_of_the_others_alone(start, field):
    assert start(TEXTS * 3 + f"{{{field}}}\n") == []


def test_lines_without_a_prompt_of_a_long_file_are_refused_by_its_first_lines(start):
    with pytest.raises(UsageError, match=r"none of the first 1,000 lines has a prompt"):
        start(TEXTS * (LINES_AHEAD + 1))


def test_lines_need_no_prompt_where_that_stands_before_them_all(tmp_path):
    (tmp_path / "in").write_text(TEXTS)
    for role, is_enough in (("user", True), ("assistant", False)):
        made = LineForm(GenerationParams(), earlier=[Message(role, "Hi")])
        with nullcontext() if is_enough else pytest.raises(UsageError):
            assert [*check_start(open_lines(str(tmp_path / "in")), made, never)] == []


@pytest.mark.parametrize("data", ["one\ntwo\n", "{'prompt': 'one'}\n", '"one"\n"two"\n', "7\n"])
def test_a_file_that_is_called_jsonl_and_has_no_object_is_refused(start, data):
    with pytest.raises(UsageError) as raised:
        start(data, name="in.jsonl")
    assert raised.value.message == "no line of in.jsonl is a JSON object"
    assert raised.value.hint.startswith('each needs a form like {"prompt": "Hi"};')
    assert start(data.encode() + b"\xff\n", name="in.jsonl") == []
    with pytest.raises(UsageError, match=r"none of the first 1,000 lines of in\.jsonl is"):
        start(data * (LINES_AHEAD + 1), name="in.jsonl")


def test_of_a_long_file_the_first_lines_are_looked_at(start):
    with pytest.raises(UsageError, match=r"none of the first 1,000 lines has a value for 'nope'"):
        start(ONE * (LINES_AHEAD + 1), "x {nope}")


def test_of_a_pipe_only_what_is_there_is_looked_at_and_later_lines_may_have_a_field():
    read, write = os.pipe()
    reader = LineReader(read, "pipe")
    os.write(write, ONE.encode())
    assert [*check_start(reader, form("x {nope}"), never)] == []
    os.close(write)
    os.close(read)
    assert reader.take(never).data == ONE.strip().encode()
