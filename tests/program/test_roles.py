"""Roles on a terminal: the editor, and a chat in one."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.pty


def test_edit_copies_a_built_in_role_and_keeps_nothing_wrong(open_term, tmp_path):
    editor = tmp_path / "editor"
    editor.write_text('#!/bin/sh\nsed -i "s/^temperature.*/$1/" "$2"\n')
    editor.chmod(0o755)
    path = tmp_path / "roles" / "shell.md"
    with open_term("roles", "edit", "shell", VISUAL=f"{editor} temprature:1") as term:
        term.see("line 2: a role cannot set temprature").see("[y/N]").type("n\r")
        assert term.ended() == 2
    assert not path.exists()
    with open_term("roles", "edit", "shell", VISUAL=f"{editor} seed:1") as term:
        term.see("written:")
        assert term.ended() == 0
    assert path.read_text().startswith("---\nseed:1\n---\nYou write")
    assert path.stat().st_mode & 0o077 == 0
    with open_term("roles", "edit", "shell", VISUAL="true") as term:
        term.see("nothing was changed")


def test_a_chat_in_a_role_shows_what_was_typed_and_sends_it_in_place(open_term, tmp_path):
    (tmp_path / "roles").mkdir()
    (tmp_path / "roles" / "mine.md").write_text("Look at $input here.")
    with open_term("chat", "-m", "echo:", cols=60) as term:
        term.at_prompt().type("/role mi\t\r").see("/role off ends it").at_prompt()
        term.type("this\r").see("Look at this here.").at_prompt()
        term.type("/role off\r").see("mine has ended").at_prompt()
        term.type("alone\r").until(lambda it: it.text().count("alone") == 2, "the echo")
