"""The chat in tmux: keys that only some terminals tell apart, and Ctrl-Z."""

from __future__ import annotations

import pytest

from tests.support.tmux import GLM, SHELL, Tmux, needs_tmux

pytestmark = [pytest.mark.pty, needs_tmux]
START = " ".join([*GLM, "chat", "-m", "echo:delay=0.02"])


@pytest.fixture
def chat(tmp_path):
    with Tmux(*GLM, "chat", "-m", "echo:delay=0.02", home=tmp_path) as tmux:
        yield tmux.at_prompt()


def test_shift_enter_makes_a_new_line(chat):
    chat.type("one", "S-Enter", "two", "C-Enter", "three", "M-Enter", "four").see("\n  four")
    chat.type("Enter").see("4 tokens").at_prompt()


def test_all_other_keys_are_what_they_were(chat):
    chat.type("abc", "C-S-a", "x", "C-e", "M-BSpace", "y").at_prompt("y")
    chat.type("C-c").at_prompt()
    chat.type("/tok", "Tab").at_prompt("/tokens").type("C-j", "z", "BSpace", "C-c").at_prompt()
    chat.type("C-c").see("Ctrl-C again")


def test_ctrl_z_and_the_end_give_the_keys_back_to_the_shell(tmp_path):
    with Tmux(*SHELL, home=tmp_path) as tmux:
        tmux.at_shell().type(START, "Enter").at_prompt()
        # tmux spells a key out that nobody asked it to tell apart
        tmux.type("C-z").see("Stopped").at_shell()
        tmux.type("echo ", "S-Enter", "Enter").see("\nS-Enter")
        tmux.at_shell().type("fg", "Enter").at_prompt()
        tmux.type("one", "S-Enter", "two").see("\n  two").type("C-c").at_prompt()
        tmux.type("C-d").at_shell().type("echo again", "S-Enter", "Enter").see("\nagainS-Enter")


def test_ctrl_z_in_mid_reply_shows_every_word_once_after_fg(tmp_path):
    with Tmux(*SHELL, home=tmp_path) as tmux:
        tmux.at_shell().type(START, "Enter").at_prompt()
        tmux.type(" ".join(f"w{n}" for n in range(90)), "Enter").see("\nw0 ").see("w20")
        tmux.type("C-z").see("Stopped").at_shell().type("fg", "Enter").see("90 tokens").at_prompt()
        assert tmux.text().split().count("w20") == 2  # the question and the reply
