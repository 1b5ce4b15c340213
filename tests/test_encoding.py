"""An output that lacks letters: what is written in their place, and that it is said."""

from __future__ import annotations

import json

import pytest

from glmcli.encoding import TELLING, in_json, lacking

TEXT = "你好 é 😀"


@pytest.mark.parametrize("encoding", ["latin-1", "ascii", "utf-8", "gb18030", "cp1252"])
def test_json_loses_no_letter_in_any_encoding(encoding):
    text = json.dumps([TEXT, "\udcff"] if encoding != "gb18030" else [TEXT], ensure_ascii=False)
    written = in_json(text, encoding).encode(encoding)
    assert json.loads(written.decode(encoding)) == json.loads(text)


def glm_in(glm, *arguments, encoding="latin-1", **env):
    """What a command writes with this encoding: the bytes as such letters, stderr, the code."""
    done = glm(*arguments, PYTHONIOENCODING=encoding, **env)
    return done.out, done.err, done.code


@pytest.mark.parametrize("arguments", [("ask", "-q"), ("ask", "-q", "--no-stream"), ("chat",)])
def test_that_a_pipe_lacks_letters_is_said_once(glm, arguments):
    stdin = {"stdin": "你好\n"} if arguments[0] == "chat" else {}
    words = () if stdin else ("你好",)
    out, err, code = glm_in(glm, *arguments, "-m", "echo:", *words, **stdin)
    assert (out, code) == ("??\n", 0)
    assert err.count("stdout is latin-1: ") == 1 and "PYTHONIOENCODING=utf-8" in err


@pytest.mark.parametrize("format", ["json", "jsonl", "records"])
def test_a_format_for_programs_has_escapes_and_nothing_to_say(glm, format):
    out, err, _ = glm_in(glm, "ask", "-q", "-m", "echo:", "-f", format, "你好", encoding="ascii")
    assert "\\u4f60\\u597d" in out and err == ""


def test_lists_and_exports_say_it_too(glm):
    glm("ask", "-m", "echo:", "你好")
    out, err, code = glm_in(glm, "history", "list", "--all")
    assert "??" in out and code == 0 and "stdout is latin-1: " in err
    out, err, _ = glm_in(glm, "history", "list", "--all", "--json")
    assert json.loads(out)[0]["title"] == "你好" and err == ""


@pytest.mark.parametrize(("text", "encoding"), [("é", "utf-8"), ("plain", "ascii")])
def test_where_every_letter_can_be_written_nothing_is_said(glm, text, encoding):
    assert glm_in(glm, "ask", "-q", "-m", "echo:", text, encoding=encoding) == (f"{text}\n", "", 0)


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("--system", "a\udcff", "the system prompt is not valid UTF-8"),
        ("--stop", "\udcff", "a text of --stop is not valid UTF-8"),
    ],
)
def test_bytes_that_are_no_text_are_sent_to_nobody(glm, option, value, said):
    done = glm("ask", "-q", "-m", "echo:", option, value, "hi")
    assert (done.out, done.code) == ("", 2)
    assert said in done.err


def test_half_of_a_surrogate_pair_is_nothing_that_another_encoding_has():
    before = lacking()
    assert "x\ud800\udfffy".encode("utf-8", TELLING) == b"x??y"
    assert lacking() == before
