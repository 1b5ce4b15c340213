"""The history as a person meets it: on a real terminal."""

from __future__ import annotations

import json
import os
import signal
import time
from contextlib import closing
from dataclasses import replace

import pytest

from glmcli.store import open_store
from glmcli.types import Conversation, Message
from tests.support.shell import run_glm
from tests.support.term import Term

pytestmark = pytest.mark.pty


@pytest.fixture
def talk(tmp_path):
    """Two stored conversations in the home that `start` uses too."""

    def glm(*arguments, **options):
        return run_glm(*arguments, cwd=tmp_path, **options)

    glm("ask", "-m", "echo:", "why is the sky blue \u202e today?")
    glm("ask", "-m", "echo:", "今天天气怎么样")
    return glm


def is_bold(term, words):
    """Whether these words stand somewhere on the screen, all of them bold."""
    width = len(words)
    for y, line in enumerate(term.lines()):
        starts = [at for at in range(len(line)) if line.startswith(words, at)]
        if any(all(term.screen.buffer[y][at + n].bold for n in range(width)) for at in starts):
            return True
    return False


def test_what_was_searched_for_is_bold_on_a_terminal(talk, tmp_path):
    with Term("history", "search", "sky", home=tmp_path / "home", cols=100) as term:
        term.ended()
        assert is_bold(term, "sky")
        assert not is_bold(term, "why is the")
        assert "\u202e" not in term.raw


def test_a_search_in_a_pipe_is_plain_and_as_json_says_where(talk):
    plain = talk("history", "search", "天气")
    assert "\x1b" not in plain.out
    assert [line.split("\t")[3] for line in plain.out.splitlines()] == ["今天天气怎么样"]
    (hit,) = json.loads(talk("history", "search", "--json", "天气").out)
    assert [hit["excerpt"][start:end] for start, end in hit["spans"]] == ["天气"]


def test_a_search_that_finds_nothing_says_so_in_a_pipe_and_fails(talk):
    for more, out in (((), ""), (("--json",), "[]\n")):
        done = talk("history", "search", "nowhere", *more)
        assert (done.out, done.code) == (out, 1)
        assert done.err_lines[0] == "glm: nothing found"


def test_a_search_in_the_chat_sets_off_what_it_found(talk, tmp_path):
    with Term("chat", "-m", "echo:", home=tmp_path / "home") as term:
        term.at_prompt().type("/history sky\r").see("why is the")
        term.until(lambda term: is_bold(term, "sky"), "bold words")


@pytest.mark.parametrize(("keys", "written"), [("y\r", True), ("\r", False), ("\x03", False)])
def test_a_file_that_exists_is_overwritten_only_when_the_user_says_so(tmp_path, keys, written):
    taken = tmp_path / "taken.md"
    taken.write_text("mine")
    with Term("chat", "-m", "echo:", "hello", home=tmp_path, cols=200) as term:
        term.see("hello").at_prompt().type("/save taken.md\r")
        term.see(f"{taken} already exists: overwrite it? [y/N]").type(keys)
        term.see(f"saved to {taken}" if written else f"{taken} was not changed")
        term.at_prompt().type("again\r").see("> again").at_prompt()
    assert (taken.read_text() != "mine") is written


def test_a_stored_conversation_is_rendered_on_a_terminal(talk, tmp_path):
    talk("ask", "-m", "echo:", "**loud**\x1b[41m")
    with Term("history", "list", "--all", "--plain", home=tmp_path / "home", cols=100) as term:
        term.ended()
        assert "title" in term.lines()[0]
        ident = next(line.split()[0] for line in term.lines() if "loud" in line)
    with Term("history", "show", ident, home=tmp_path / "home") as term:
        term.ended()
        assert "> **loud**" in term.text()
        assert is_bold(term, "loud")
        assert "\x1b[41m" not in term.raw


def test_no_line_about_a_conversation_is_cut_in_an_id(tmp_path):
    title = "why is the sky blue at noon and red in the evening"
    messages = [Message("user", "q"), Message("assistant", "a")]
    for width, id in ((60, "kr6ybjty"), (50, "kr6ybjtz")):
        with closing(open_store(tmp_path)) as store:
            talk = Conversation(id=id, title=title, model="echo:", messages=messages)
            store.take_in(replace(talk, others=[(0, Message("user", "other"))]))

        def rows(*arguments, width=width):
            with Term("history", *arguments, home=tmp_path, cols=width) as term:
                term.ended()
                return "\n".join(line.rstrip() for line in term.lines())

        shown = rows("show", id)
        assert f"json {id}\nholds" in shown or f"{id} holds" in shown
        with Term("history", "delete", id, home=tmp_path, cols=width) as term:
            term.see("[y/N]").type("n\r").ended()
            asked = term.text().partition("? [y")[0].split("'")[1]
            assert title.split() == asked.split()
        assert title.split() == rows("delete", "-y", id).split("glm ")[0].split("'")[1].split()
        assert title.split() == rows("undelete", id).split("'")[1].split()
        assert all(word in shown.split() for word in title.split())


def test_purging_a_chat_takes_what_was_typed_and_pasted_there_from_the_up_key_too(tmp_path):
    with Term("chat", "-m", "echo:", home=tmp_path) as term:
        term.at_prompt().type("my PIN is 9911\r").see("\nmy PIN is 9911").at_prompt()
        term.type("\x1b[200~a pasted\nSECRET\x1b[201~").see("SECRET").type("\r")
        term.see("\nSECRET").at_prompt().type("of both\r").see("\nof both").at_prompt()
        term.type("/reset\r").at_prompt().type("of both\r").at_prompt().type("\x04").ended()

    def glm(*arguments):
        return run_glm(*arguments, cwd=tmp_path, GLM_HOME=str(tmp_path))

    file = tmp_path / "prompt_history"
    chat = glm("history", "list").out.splitlines()[-1].split("\t")[0]
    before = file.read_text()
    assert "9911" in before and "+SECRET" in before
    glm("history", "delete", "-y", chat)
    assert file.read_text() == before
    assert glm("history", "delete", "-y", "--purge", chat).code == 0
    typed = [line for line in file.read_text().splitlines() if line.startswith("+")]
    assert typed == ["+of both", "+/reset", "+of both"]


def test_an_empty_answer_is_said_on_a_terminal(talk, tmp_path):
    with Term("history", "search", "nowhere", home=tmp_path / "home") as term:
        assert term.see("nothing found").ended() == 1
    (tmp_path / "new").mkdir()
    with Term("history", "list", "--all", home=tmp_path / "new") as term:
        term.see("the history is empty").ended()


def test_a_terminal_is_asked_before_conversations_are_deleted(talk, tmp_path):
    ids = [line.split("\t")[0] for line in talk("history", "list", "--all").out.splitlines()]
    for keys, left in (("n\r", 2), ("y\r", 0)):
        with Term("history", "delete", *ids, home=tmp_path / "home", cols=200) as term:
            term.see("[y/N]").type("\x1b[200~y\n\x1b[201~").see("a paste does not answer it")
            term.until(lambda term: term.text().count("[y/N]") == 2, "the question again")
            term.type(keys).ended()
        assert len(talk("history", "list", "--all").out.splitlines()) == left


WORDS = " ".join("word" for _ in range(30))


def test_a_summary_is_announced_while_it_is_made_and_shown_when_asked_for(tmp_path):
    chat = ("chat", "-m", "echo:delay=0.02,window=200", "--context", "summarise")
    with Term(*chat, home=tmp_path, cols=100, rows=40) as term:
        for turn in range(3):
            term.at_prompt().type(f"{WORDS} {turn}\r")
            term.until(lambda term, n=turn: term.text().count("31 tokens") > n, "the reply")
        term.at_prompt().type(f"{WORDS} 3\r").see("summarising the oldest turns")
        term.type("\x03").see("stopped").at_prompt()
        term.type("/retry\r").see("the window is full: the oldest").see("/summary shows it")
        term.at_prompt().type("/summary\r").see("instead of the oldest").at_prompt()
        term.type("\x04").ended()
    with Term("chat", "-c", home=tmp_path, cols=100) as term:
        term.see("its beginning is sent as a summary").at_prompt()


def test_a_killed_chat_is_told_of_once_and_not_where_it_goes_on(tmp_path):
    def killed(*options):
        with Term("chat", *options, home=tmp_path, cols=100) as term:
            term.at_prompt().type("one two three four five six\r").see("\none two")
            time.sleep(1.2)  # the reply is journaled once a second
            os.kill(term.process.pid, signal.SIGKILL)
            term.process.wait()

    slow = ("-m", "echo:delay=0.4")
    killed(*slow)
    run_glm("history", "list", cwd=tmp_path, GLM_HOME=str(tmp_path))
    with Term("chat", *slow, home=tmp_path, cols=100) as term:
        term.see("the last chat broke off: /resume").at_prompt()
    killed("-c")
    with Term("chat", "-c", home=tmp_path, cols=100) as term:
        assert "the last chat broke off" not in term.see("resumed").at_prompt().text()


def test_a_question_that_no_model_answered_comes_back_with_up(tmp_path):
    with Term("chat", "-m", "./nosuch", "from the shell", home=tmp_path, cols=100) as term:
        term.see("check the path").at_prompt().type("typed here\r").until(
            lambda term: term.text().count("check the path") > 1, "another error"
        )
    assert run_glm("history", "list", "--all", cwd=tmp_path, GLM_HOME=str(tmp_path)).out == ""
    with Term("chat", "-m", "echo:", home=tmp_path, cols=100) as term:
        term.at_prompt().type("\x1b[A").at_prompt("typed here")
        term.type("\x1b[A").at_prompt("from the shell")


def test_on_leaving_a_chat_one_line_says_how_to_come_back(tmp_path):
    def left(*options, asked="hi\r"):
        with Term("chat", "-m", "echo:", *options, home=tmp_path, cols=100) as term:
            term.at_prompt().type(asked)
            if asked:
                term.see("\nhi").at_prompt()
            assert term.type("\x04").ended() == 0
            return term.text()

    assert "to come back" not in left(asked="")
    assert "to come back" not in left("--no-save")
    assert "to come back" not in left("-q")
    said = left().rstrip().splitlines()[-1]
    last = run_glm("history", "list", cwd=tmp_path, GLM_HOME=str(tmp_path)).out.split("\t")[0]
    assert said == f"to come back: glm chat -c, or glm chat --resume {last}"
    left()
    assert f"to come back: glm chat --resume {last}" in left("--resume", last, asked="")
    piped = run_glm("chat", "-m", "echo:", cwd=tmp_path, GLM_HOME=str(tmp_path), stdin="hi\n")
    assert "to come back" not in piped.out + piped.err


def test_a_second_terminal_on_a_living_chat_is_told_so_and_offered_a_copy(tmp_path):
    def piped(*arguments):
        done = run_glm(*arguments, cwd=tmp_path, GLM_HOME=str(tmp_path), stdin="x\n")
        return done.out, " ".join(done.err.split())

    told = "it is open in another terminal too"
    warned = "is open in another terminal: if it goes on there, it is stored again"
    with Term("chat", "-m", "echo:", home=tmp_path, cols=100) as first:
        first.at_prompt().type("hi\r").see("\nhi").at_prompt()
        with Term("chat", "-c", home=tmp_path, cols=100) as second:
            second.see("resumed").at_prompt()
            assert told in " ".join(second.text().split())
            second.type("/fork\r").see("a copy of")
        chat = piped("history", "list")[0].splitlines()[-1].split("\t")[0]
        told_in_pipe = piped("chat", "--resume", chat)[1]
        assert told in told_in_pipe
        assert "/fork" not in told_in_pipe
        for how in ([], ["--purge"]):
            assert f"{chat} {warned}" in piped("history", "delete", "-y", *how, chat)[1]
        first.type("hu\r").see("\nhu").at_prompt()
        assert chat in piped("history", "list")[0]
        first.type("/reset\r").at_prompt().type("ho\r").see("\nho").at_prompt()
        assert told not in piped("chat", "--resume", chat)[1]
        assert warned not in piped("history", "delete", "-y", chat)[1]
