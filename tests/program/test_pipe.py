"""A chat whose lines are typed on a terminal and whose replies go into a pipe."""

from __future__ import annotations

import pytest

from tests.support.term import Term

pytestmark = pytest.mark.pty


def test_words_of_other_chats_are_not_sent_from_a_terminal(tmp_path):
    with Term("chat", "-m", "echo:", home=tmp_path, shell=True) as term:
        pipe = f"{term.command_line} | sed 's/^/got /'"
        term.at_shell().type(f"echo begun; {pipe}; echo left\r")
        term.see("\nbegun").type("exit\r").see("/exit leaves").type("hello\r/exit\r").see("\nleft")
        assert "got hello" in term.text()
        assert "got exit" not in term.text()
