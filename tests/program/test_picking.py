"""Going back to an earlier chat: the list to pick from, in the chat and before it."""

from __future__ import annotations

import signal
import time

import pytest

from glmcli.store import open_store
from glmcli.types import Conversation, Message
from tests.support.shell import run_glm
from tests.support.term import Term
from tests.support.tmux import GLM, SHELL, Tmux, needs_tmux

pytestmark = pytest.mark.pty

KEYS = "Enter opens"
SAID = [("the sky", "why is it blue?"), ("the sea", "why is it green?")]


@pytest.fixture
def home(tmp_path):
    """A history of two chats; the newer one is about the sea."""
    store = open_store(tmp_path)
    for ago, (title, asked) in zip((90_000, 80_000), SAID, strict=True):
        messages = [Message("user", asked), Message("assistant", "who knows", finish_reason="stop")]
        updated = time.time() - ago
        store.take_in(
            Conversation(
                title=title, messages=messages, kind="chat", model="echo:", updated=updated
            )
        )
    store.close()
    return tmp_path


def titles(home):
    store = open_store(home)
    found = [each.title for each in store.list()]
    store.close()
    return found


@needs_tmux
def test_two_keys_lead_from_a_new_chat_to_yesterday_s_and_the_list_leaves_nothing_behind(home):
    with Tmux(*GLM, "chat", "-m", "echo:", home=home) as tmux:
        tmux.see("Ctrl-G earlier chats").at_prompt()
        tmux.type("C-g").see(KEYS).type("Enter").see("> why is it green?").see(
            "resumed"
        ).at_prompt()
        assert KEYS not in tmux.text()
        assert tmux.text().count("> /history") == 1


@needs_tmux
def test_a_window_that_changes_its_size_tears_nothing(home):
    with Tmux(*GLM, "chat", "-m", "echo:", home=home, cols=90) as tmux:
        tmux.at_prompt().type("C-g").see("first words")
        tmux.resize(50, 24).see("Esc").type("Escape").at_prompt()
        assert [line for line in tmux.text().split("\n") if "the sea" in line] == []
        assert tmux.text().count("> /history") == 1


def test_what_was_being_typed_is_the_draft_again(home):
    with Term("chat", "-m", "echo:", home=home) as term:
        term.at_prompt().type("half a draft\x07").see(KEYS).type("\x1b").at_prompt("half a draft")
        term.type("\x07").see(KEYS).type("sky\r").see("resumed").at_prompt("half a draft")
        term.type("\r").see("3 tokens")


def test_a_pasted_history_is_text_and_no_list(home):
    with Term("chat", "-m", "echo:", home=home) as term:
        term.at_prompt().type("\x1b[200~/history\x1b[201~\r").see("was not typed").see("1 token")


def test_keys_typed_ahead_find_the_list_too(home):
    with Term("chat", "-m", "echo:", home=home) as term:
        term.at_prompt().type("/history\r\x1b[B\r").see("> why is it blue?").see("resumed")


def test_a_chat_is_deleted_from_the_list_and_one_line_says_how_to_take_that_back(home):
    with Term("chat", "-m", "echo:", home=home, cols=100) as term:
        term.at_prompt().type("/history\r").see(KEYS).type("\x1b[3~").see("delete 'the sea'? y/n")
        term.type("y").see("brings it back").type("\x1b").see("takes that back for 30 days")
        term.at_prompt()
    assert titles(home) == ["the sky"]


def test_history_list_opens_the_chat_that_is_picked(home):
    with Term("history", "list", home=home) as term:
        term.see(KEYS).type("blue\r").see("> why is it blue?").see("resumed").at_prompt()
        assert term.type("\x04").ended() == 0


@pytest.mark.parametrize("key", ["\x1b", "\x03"])
def test_the_list_is_left_without_a_change(home, key):
    with Term("history", "list", home=home) as term:
        assert term.see(KEYS).type(key).ended() == 0
        assert "resumed" not in term.text()
    with Term("chat", "--resume", home=home) as term:
        assert term.see(KEYS).type(key).ended() == 2
        assert "no conversation was chosen" in term.text()
    assert titles(home) == ["the sea", "the sky"]


def test_resume_opens_the_one_that_is_picked(home):
    with Term("chat", "--resume", home=home) as term:
        term.see(KEYS).type("\x1b[B\r").see("> why is it blue?").see("resumed").at_prompt()


def test_an_empty_history_has_nothing_to_pick_from(tmp_path):
    with Term("chat", "--resume", home=tmp_path) as term:
        assert term.see("there is no conversation to continue").ended() == 2
    with Term("history", "list", home=tmp_path) as term:
        assert term.see("the history is empty").ended() == 0
    with Term("chat", "-m", "echo:", home=tmp_path) as term:
        term.see("/help lists the commands, Ctrl-D leaves.").at_prompt()
        term.type("\x07").see("there is no other conversation").at_prompt()


@pytest.mark.parametrize("env", [{"TERM": "dumb"}, {"GLM_PLAIN": "reader"}])
def test_without_rows_to_move_about_in_there_is_a_table(home, env):
    with Term("history", "list", home=home, **env) as term:
        assert term.see("first words").see("the sky").ended() == 0
        assert KEYS not in term.text()
    with Term("chat", "--resume", home=home, **env) as term:
        assert term.see("--resume needs an id here").ended() == 2
    with Term("chat", "-m", "echo:", home=home, **env) as term:
        term.see("Ctrl-D leaves").type("/history\r").see("first words").see("the sky")
        term.see("/resume ID opens one")
        assert KEYS not in term.text()


def test_options_that_print_do_so_on_a_terminal_and_a_pipe_is_never_asked(home):
    for option in (["-n", "1"], ["--plain"], ["--json"]):
        with Term("history", "list", *option, home=home) as term:
            assert term.see("the sea").ended() == 0
            assert KEYS not in term.text()
    done = run_glm("history", "list", cwd=home, GLM_HOME=str(home))
    rows = [line.split("\t") for line in done.out.splitlines()]
    assert [row[2:] for row in rows] == [["1", "echo:", *said] for said in reversed(SAID)]
    assert run_glm("chat", "--resume", cwd=home, GLM_HOME=str(home)).code == 2


def test_a_signal_or_a_hang_up_ends_the_list_and_gives_the_terminal_back(home):
    with Term("history", "list", home=home) as term:
        term.see(KEYS).process.kill(signal.SIGTERM)
        assert term.ended() == -signal.SIGTERM
        assert "\x1b[?1049l" in term.raw
    for arguments in (["history", "list"], ["chat", "--resume"], ["chat", "-m", "echo:"]):
        with Term(*arguments, home=home) as term:
            if "-m" in arguments:
                term.at_prompt().type("\x07")
            assert term.see(KEYS).hang_up() == -signal.SIGHUP


@needs_tmux
def test_ctrl_z_suspends_the_list_and_fg_shows_it_again(home):
    with Tmux(*SHELL, home=home) as tmux:
        tmux.at_shell().type(" ".join([*GLM, "history", "list"]), "Enter").see(KEYS)
        tmux.type("C-z").see("Stopped").at_shell()
        tmux.type("fg", "Enter").see(KEYS).type("Escape").at_shell()
