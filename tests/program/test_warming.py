"""What the engine is given to read before Enter, seen on a real pseudo-terminal."""

from __future__ import annotations

from pathlib import Path

import pytest

from glmcli.conversation.attachments import read_attachment
from tests.support.telling import warmed

pytestmark = pytest.mark.pty
ROOT = str(Path(__file__).parents[2])
PASTE = "\x1b[200~{}\x1b[201~"


@pytest.fixture
def start(open_term, tmp_path):
    def make(warm="on"):
        term = open_term(
            *("chat", "-m", f"telling:{tmp_path / 'told'}"),
            module="tests.support.telling",
            PYTHONPATH=ROOT,
            GLM_WARM=warm,
        )
        return term.at_prompt()

    return make


@pytest.fixture
def told(tmp_path):
    """`told(term, "hello")`: wait until the engine was given these texts to read."""

    def wait(term, *texts):
        seen = tmp_path / "told"
        return term.until(lambda _: [*texts] in warmed(seen), f"{texts} to be read")

    wait.all = lambda: warmed(tmp_path / "told")
    return wait


def test_a_draft_is_read_when_it_pauses_and_again_when_it_was_edited(start, told):
    term = told(start())
    term.type("one two").at_prompt("one two")
    told(term, "one two").type(" three")
    told(term, "one two three").type("\x01zero ")
    told(term, "zero one two three").type("\r").see("4 tokens").at_prompt()
    told(term, "zero one two three", "zero one two three").type("and").at_prompt("and")
    told(term, *["zero one two three"] * 2, "and").type("\x03").at_prompt()
    term.type("\r").at_prompt().type("yes\r").see("1 token").at_prompt()
    assert "Traceback" not in term.raw


def test_a_paste_is_read_whole_and_at_once(start, told):
    text = "\n".join(f"line {number}" for number in range(50))
    term = told(start())
    term.type(PASTE.format(text)).at_prompt("[paste 1: 50 lines]")
    told(term, text).type(" why?")
    told(term, f"{text} why?").type("\r").see("line 49 why?").at_prompt()


def test_a_mentioned_file_is_read_as_it_will_be_sent_and_again_when_it_is(start, told, tmp_path):
    notes = tmp_path / "notes.txt"
    notes.write_text("alpha beta")
    line = "what is in @notes.txt"
    term = told(start())
    term.type(line).at_prompt(line)
    told(term, f"{line}\n\n{read_attachment(notes)}")
    notes.write_text("gamma")
    term.type("\r").see("gamma").at_prompt()
    assert "alpha" not in term.text()


def test_an_attached_file_is_read_with_the_draft(start, told, tmp_path):
    (tmp_path / "notes.txt").write_text("alpha beta")
    term = told(start())
    term.type("/attach notes.txt\r").see("goes with").at_prompt()
    term.type("why?")
    told(term, f"why?\n\n{read_attachment(tmp_path / 'notes.txt')}")


def test_commands_and_words_of_other_chats_are_never_read(start, told):
    term = told(start())
    for line in ("/tokens", "exit", "/nonsense"):
        seen = len(told.all())
        term.type(line).at_prompt(line)
        term.until(lambda _, seen=seen: len(told.all()) > seen, "a pause")
        term.type("\x03").at_prompt()
    assert told.all() == [[]] * len(told.all())


def test_a_literal_slash_is_read_as_it_is_sent(start, told):
    term = told(start())
    told(term.type("//not a command"), "/not a command")


def test_off_reads_nothing_ahead(start, told):
    term = start("off")
    term.type("one two").at_prompt("one two").type("\r").see("\n2 tokens").at_prompt()
    term.type("three\r").see("1 token").at_prompt()
    assert told.all() == []
