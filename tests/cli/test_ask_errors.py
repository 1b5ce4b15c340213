"""What goes wrong at a door is said in words that fit."""

from __future__ import annotations

import json

import pytest


def test_a_home_that_is_a_file_is_said_to_be_no_folder(glm, tmp_path):
    (tmp_path / "home").touch()
    said = f"GLM_HOME is not a folder: {tmp_path}/home"
    done = glm("history", "list", "--all")
    assert (done.code, done.err_lines[0]) == (1, f"glm: {said}")
    assert "GLM_HOME" in done.err_lines[1]
    done = glm("ask", "-m", "echo:", "hi")
    assert (done.out, done.err_lines) == ("hi\n", [f"not saved: {said}"])
    assert glm("ask", "-m", "echo:", "--no-save", "hi").err == ""


def test_save_into_a_missing_folder_gets_a_hint_that_fits(glm, tmp_path):
    done = glm("chat", "-m", "echo:", "--commands", stdin="hi\n/save nowhere/x.md\n")
    assert done.err_lines == [
        f"glm: {tmp_path}/nowhere/x.md cannot be written: {tmp_path}/nowhere is no folder",
        "hint: make it first, or choose another folder",
    ]


def test_an_empty_prompt_is_a_usage_error_before_any_notice(glm):
    for prompt in ("", " ", "\n"):
        done = glm("ask", prompt)
        assert (done.code, len(done.err_lines)) == (2, 2)
        assert done.err_lines[0] == "glm: the prompt is empty"


def test_untrust_of_a_folder_that_nothing_was_decided_about_says_it_once(glm):
    line, hint = glm("config", "untrust").err_lines
    assert "nothing was decided" in line and "nothing was decided" not in hint


FAILING = {
    3: "-m nosuch -f json hi",
    1: "-m echo: -xfjson no code",
    4: "-m echo: --format=json --window 1 one two three",
    2: "-f json --nosuch hi",
}


@pytest.mark.parametrize(
    ("code", "line"), [*FAILING.items(), (2, "-m echo: -f json --resume abcd hi")]
)
def test_who_asks_for_json_reads_a_failure_as_json(glm, code, line):
    done = glm("ask", *line.split())
    error = json.loads(done.out)["error"]
    assert done.code == error["code"] == code
    assert f"glm: {error['message']}\n" in done.err and error["hint"] in done.err


@pytest.mark.parametrize("code", [2, 3, 4])
def test_who_asks_for_lines_of_json_reads_a_failure_once(glm, code):
    done = glm("ask", *FAILING[code].replace("json", "jsonl").split())
    (event,) = map(json.loads, done.out.splitlines())
    assert (event["type"], event["exit"]) == ("error", code)
    assert f"glm: {event['error']}\n" in done.err


@pytest.mark.parametrize("line", ["-m nosuch hi", "-m nosuch -f text -- -f json"])
def test_who_asks_for_text_reads_no_failure_on_stdout(glm, line):
    done = glm("ask", *line.split())
    assert (done.code, done.out) == (3, "")
