"""How far it is, as a person sees it: a row that leaves nothing behind, or words."""

from __future__ import annotations

import json
import re
import signal

import pytest

from tests.support.term import Term

pytestmark = pytest.mark.pty


@pytest.fixture
def start(tmp_path):
    """A shell in a terminal, which asks lines that take a while; answers go to `out`."""
    terms = []

    def open_(*options: str, to: str = "> out", lines: int = 20, **env) -> Term:
        (tmp_path / "in").write_text("one two\n" * lines)
        arguments = ("ask", "-m", "echo:delay=0.05", "--each", "in", *options)
        terms.append(Term(*arguments, home=tmp_path, shell=True, cols=100, **env))
        return terms[-1].at_shell().type(f"{terms[-1].command_line} {to}\r")

    yield open_
    for term in terms:
        term.close()


def test_a_row_says_how_far_it_is_and_how_long_it_takes_yet(start, tmp_path):
    term = (
        start(lines=200)
        .see("of 200 lines done")
        .see("tokens, about")
        .see("s left")
        .type("\x03")
        .at_shell()
    )
    assert "lines done" not in term.text()
    assert 1 <= len((tmp_path / "out").read_text().splitlines()) < 200


def test_before_the_first_answer_the_row_counts_tokens_and_fits_a_narrow_terminal(tmp_path):
    (tmp_path / "in").write_text("one two three four\n" * 9)
    arguments = ("ask", "-m", "echo:delay=0.3", "--each", "in", "--skip-done", "out")
    with Term(*arguments, home=tmp_path, cols=60) as term:
        term.see("0 of 9 lines done, 2 tokens").see("1 of 9 lines done, 6 tokens, about ").see(
            "s left"
        )
        assert all(not row or "lines done" in row for row in term.text().splitlines()[1:])
        term.type("\x03")
        assert term.ended() == -signal.SIGINT


def test_lines_on_a_terminal_do_not_mix_with_the_row(start):
    term = start(to="").see("of 20 lines done").at_shell()
    rows = [row for row in term.text().splitlines() if '"id"' in row]
    assert len(rows) == 20
    assert all(row.startswith('{"id"') for row in rows)
    assert "lines done" not in term.text()


def test_what_another_program_makes_of_answers_does_not_mix_with_the_row(start):
    term = start(to="| grep -o '\"text\"'; echo $((40 + 2))").see("\n42")
    assert term.text().split().count('"text"') == 20


def test_quiet_says_nothing(start, tmp_path):
    term = start("-q", to="> out; echo $((40 + 2))").see("\n42")
    assert len((tmp_path / "out").read_text().splitlines()) == 20
    assert "done" not in term.raw


def test_a_listener_is_told_in_words_and_not_too_often(start):
    term = start(GLM_PLAIN="reader").see("18 of 20 lines done").at_shell()
    told = [int(n) for n in re.findall(r"(\d+) of 20 lines done", term.text())]
    assert told == sorted({*told})
    assert 3 <= len(told) <= 11
    assert "\x1b" not in term.raw.split(" 0 of")[-1].split("18 of 20")[0].split("0 of 20")[-1]


def test_ctrl_c_leaves_whole_lines_and_takes_the_row_back(tmp_path):
    (tmp_path / "in").write_text("one two three four five six seven eight nine ten\n" * 200)
    arguments = ("ask", "-m", "echo:delay=0.05", "--each", "in", "--skip-done", "out")
    with Term(*arguments, home=tmp_path, cols=200) as term:
        term.see("3 of 200 lines done, 32 tokens").type("\x03")
        assert term.ended() == -signal.SIGINT
        text = term.text()
        assert "lines done" not in text
    said = r"stopped: (\d+) answers are written; 1 line was being answered; the same command asks"
    (told,) = re.findall(said, text)
    lines = (tmp_path / "out").read_text().splitlines()
    assert 3 <= len(lines) == int(told) < 200
    assert {json.loads(line)["text"] for line in lines} == {
        "one two three four five six seven eight nine ten"
    }


def test_prompts_can_be_typed(tmp_path):
    with Term("ask", "-m", "echo:", "--each", "-", home=tmp_path, cols=200) as term:
        term.see("type a prompt a line").type("hello there\r").see('"text": "hello there"')
        term.type("\x04")
        assert term.ended() == 0
