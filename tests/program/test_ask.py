"""One-shots on a real pseudo-terminal."""

from __future__ import annotations

import re
import signal

import pytest

from tests.support.shell import run_glm
from tests.support.term import Term

pytestmark = pytest.mark.pty


def test_a_one_shot_is_rendered_like_the_chat(tmp_path):
    with Term("ask", "-m", "echo:", "some **bold** words", home=tmp_path) as term:
        term.see("some bold words")
        assert term.ended() == 0
        assert "**" not in term.text()


def test_plain_leaves_markdown_as_it_is(tmp_path):
    with Term("ask", "--plain", "-m", "echo:", "some **bold** words", home=tmp_path) as term:
        term.see("some **bold** words")
        assert term.ended() == 0


@pytest.mark.parametrize(("form", "is_rendered"), [("text", False), ("markdown", True)])
def test_a_form_that_is_named_is_that_on_a_terminal_too(tmp_path, form, is_rendered):
    with Term("ask", "-m", "echo:", "-f", form, "**bold** words", home=tmp_path) as term:
        term.see("words")
        assert term.ended() == 0
        assert ("**" not in term.text()) is is_rendered


COLOUR = re.compile(r"\x1b\[(?:\d+;)*(?:3[0-7]|9[0-7])m")


@pytest.mark.parametrize(
    ("env", "is_coloured"),
    [
        ({}, True),
        ({"NO_COLOR": "1", "CLICOLOR_FORCE": "1"}, False),
        ({"FORCE_COLOR": "0"}, False),
        ({"CLICOLOR": "0"}, False),
        ({"CLICOLOR": "0", "FORCE_COLOR": "1"}, True),
        ({"CLICOLOR_FORCE": "0"}, True),
        ({"NO_COLOR": "1", "FORCE_COLOR": "1"}, False),
    ],
)
def test_colours_on_a_terminal_follow_the_users_variables(tmp_path, env, is_coloured):
    with Term("ask", "-m", "echo:", "# Title\n\nand `code`", home=tmp_path, **env) as term:
        term.see("and code")
        assert term.ended() == 0
        assert bool(COLOUR.search(term.raw)) is is_coloured


@pytest.mark.parametrize("env", [{"FORCE_COLOR": "1"}, {"CLICOLOR_FORCE": "1"}])
def test_a_pipe_gets_the_answer_alone_however_much_colours_are_wanted(glm, env):
    for answer in ("# Title\n\nand `code`\n", "plain\n"):
        assert glm("ask", "-m", "echo:", answer, **env).out == answer
    assert "\x1b" not in glm("config", "show", **env).out
    assert "\x1b" not in glm("ask", "-m", "./missing", "x", **env).err


def test_ctrl_c_keeps_what_was_shown_and_ends_by_the_signal(tmp_path):
    story = " ".join(f"word{n}" for n in range(400))
    with Term("ask", "-m", "echo:delay=0.02", story, home=tmp_path) as term:
        term.see("word20").type("\x03")
        assert term.ended() == -signal.SIGINT
        shown = term.text().split()
        assert shown[:10] == [f"word{n}" for n in range(10)]
        assert "Traceback" not in term.raw
        assert term.raw.rstrip().endswith("\x1b[?25h")


def test_ctrl_z_and_fg_show_every_word_once_even_with_a_pipe_before(tmp_path):
    story = " ".join(f"w{n}" for n in range(100))
    (tmp_path / "story").write_text(story)
    with Term("ask", "-m", "echo:delay=0.02", home=tmp_path, shell=True) as term:
        term.at_shell().type(f"cat story | {term.command_line}\r").see("\nw0 ").see("w20")
        term.type("\x1a").see("Stopped").at_shell().type("fg\r").see("w99").at_shell()
        assert term.text().split().count("w20") == 1


def test_stats_say_where_the_model_runs(tmp_path):
    with Term("ask", "--stats", "-m", "echo:", "hello", home=tmp_path) as term:
        term.see("1 token")
        assert term.ended() == 0


HOSTILE = "a\x1b]0;owned\x07b \x9b31m c\u202ed \x08\x7f end"
"""A title, colours, a change of direction: what must not reach a terminal."""


def is_harmless(term: Term) -> bool:
    return "\x1b]0;" not in term.raw and not {"\x9b", "\u202e", "\x08", "\x7f"} & set(term.raw)


@pytest.mark.parametrize(
    "arguments",
    [
        ("ask", "-m", "echo:", "--no-stream", HOSTILE),
        ("ask", "-m", "echo:", "--format", "json", HOSTILE),
        ("ask", "-m", "echo:", "--format", "jsonl", HOSTILE),
        ("ask", "-m", "echo:", "--format", "records", HOSTILE),
        ("ask", "-m", f"/nowhere/{HOSTILE}", "end"),
        ("ask", "--messages", f"/nowhere/{HOSTILE}", "end"),
        ("ask", f"--{HOSTILE}"),
        ("history", "import", f"/nowhere/{HOSTILE}"),
    ],
)
def test_hostile_text_is_harmless_in_a_one_shot(tmp_path, arguments):
    with Term(*arguments, home=tmp_path, cols=200) as term:
        term.ended()
        assert "end" in term.text()
        assert is_harmless(term)


@pytest.mark.parametrize("how", ["chat -m echo: < text", "history export", "history show x --json"])
def test_hostile_text_is_harmless_wherever_a_terminal_shows_it(tmp_path, how):
    (tmp_path / "text").write_text(HOSTILE + "\n")
    run_glm("chat", "-m", "echo:", stdin=HOSTILE, cwd=tmp_path, GLM_HOME=str(tmp_path))
    id = run_glm("history", "list", "--all", cwd=tmp_path, GLM_HOME=str(tmp_path)).out.split("\t")[
        0
    ]
    with Term(home=tmp_path, shell=True, cols=200) as term:
        program = term.command_line
        term.at_shell().type(f"{program} {how.replace(' x ', f' {id} ')}; echo done\r")
        term.see("\ndone").at_shell()
        assert " end" in term.text()
        assert is_harmless(term)


def test_without_streaming_a_terminal_shows_markdown_too(tmp_path):
    text = "# A title\n\nsome **bold** words"
    with Term("ask", "-m", "echo:", "--no-stream", text, home=tmp_path) as term:
        assert term.ended() == 0
        assert term.text().split() == ["A", "title", "some", "bold", "words"]


def test_a_chat_with_lines_from_a_file_is_rendered_on_a_terminal(tmp_path):
    (tmp_path / "lines").write_text("some **bold** words\n/nonsense\n")
    with Term("chat", "-m", "echo:", "--commands", home=tmp_path, shell=True) as term:
        term.at_shell().type(term.command_line + " < lines\r").see("no command /nonsense")
        term.see("some bold words").at_shell()


def test_a_reply_that_was_cut_is_said_so_to_a_person(tmp_path):
    with Term("ask", "-m", "echo:", "--max-tokens", "2", "one two three", home=tmp_path) as term:
        term.see("one two").see("cut at the token limit")
        assert term.ended() == 0
    done = run_glm("ask", "-m", "echo:", "--max-tokens", "2", "one two three", cwd=tmp_path)
    assert (done.out, done.err) == ("one two \n", "cut at the token limit\n")


def test_what_is_typed_does_not_show_among_the_rows_where_stdin_is_no_terminal(tmp_path):
    with Term("ask", "-m", "echo:load=4", "hi", home=tmp_path, shell=True) as term:
        term.at_shell().type(f"{term.command_line} < /dev/null; stty -a\r").see(", 1 s")
        term.type("zzqq").see(", 3 s")
        assert "zzqq" not in term.text()
        term.see("\nhi").see(" icanon iexten echo echoe").see("$ zzqq")
