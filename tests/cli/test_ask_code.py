"""`glm ask -x` and `--code`: a pipe gets code and nothing else."""

from __future__ import annotations

import json

import pytest

TEXT = "First:\n\n```py\nx = 1\n```\n\n- then\n\n  ~~~sh\n  ls\n\n  ~~~\n\nand"


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (["-x"], "ls\n"),
        (["--code", "1"], "x = 1\n"),
        (["-x", "--code", "all", "-q"], "x = 1\n\nls\n"),
        (["-x", "--no-stream", "--stats"], "ls\n"),
    ],
)
def test_only_the_code_is_printed(glm, options, code):
    done = glm("ask", "-m", "echo:", *options, TEXT)
    assert (done.out, done.code) == (code, 0)


def test_json_holds_the_code_in_place_of_the_text(glm):
    done = glm("ask", "-m", "echo:", "-x", "-f", "json", TEXT)
    assert json.loads(done.out)["text"] == "ls\n\n"


@pytest.mark.parametrize(
    "options", [["-x"], ["-x", "-f", "text"], ["--code", "3"], ["--code", "all"]]
)
def test_without_the_code_nothing_is_printed_and_one_line_says_why(glm, options):
    text = TEXT if "3" in options else "no code"
    done = glm("ask", "-m", "echo:", *options, text)
    assert (done.out, done.code) == ("", 1)
    line, hint = done.err_lines
    assert "the reply has " in line
    assert "glm history show " in hint


@pytest.mark.parametrize("which", ["0", "-1", "two", "9" * 5000, ""])
def test_what_is_no_number_of_a_block_is_refused_before_the_model_is_asked(glm, which):
    done = glm("ask", "-m", "echo:", f"--code={which}", TEXT)
    assert (done.out, done.code) == ("", 2)


@pytest.mark.parametrize("format", ["markdown", "jsonl", "records"])
def test_forms_that_have_no_place_for_code_are_refused(glm, format):
    done = glm("ask", "-m", "echo:", "-x", "-f", format, TEXT)
    assert ('"error"' in done.out, done.code) == (format == "jsonl", 2)
    assert "-f json" in done.err


def test_code_that_was_cut_before_its_first_line_is_none(glm):
    done = glm("ask", "-m", "echo:", "-x", "-q", "--max-tokens", "1", "```py\nx\n```")
    assert (done.out, done.code) == ("", 1)
    assert done.err_lines[0] == "glm: there is nothing in the code block of the reply"


def test_code_of_a_reply_that_was_cut_is_printed_and_said_to_be_cut(glm):
    done = glm("ask", "-m", "echo:", "-x", "--max-tokens", "2", "```py\none two three")
    assert (done.out.strip(), done.code) == ("one", 0)
    assert "limit" in done.err
