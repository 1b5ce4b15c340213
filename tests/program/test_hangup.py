"""A terminal that goes away, and what goes wrong inside the editor's loop: both end the chat."""

from __future__ import annotations

import json
import os
import re
import select
import signal

import pytest

from tests.support.shell import in_session, run_glm
from tests.support.term import Term

pytestmark = pytest.mark.pty
IGNORED = ["", "HUP"]
WORDS = " ".join(f"w{n}" for n in range(200))


def a_chat(home, *, ignoring="", **env) -> Term:
    return Term("chat", "-m", "echo:delay=0.02", home=home, ignoring=ignoring, **env)


def an_editor(home, script: str) -> str:
    editor = home / "editor.sh"
    editor.write_text(f"#!/bin/sh\n{script}\n")
    editor.chmod(0o755)
    return str(editor)


@pytest.mark.parametrize("ignoring", IGNORED)
@pytest.mark.parametrize("terminal", ["xterm-256color", "dumb"])
def test_a_chat_ends_with_its_terminal_at_the_prompt(tmp_path, ignoring, terminal):
    with a_chat(tmp_path, ignoring=ignoring, TERM=terminal) as term:
        assert term.at_prompt().type("a draft").at_prompt("a draft").hang_up() == -signal.SIGHUP


@pytest.mark.parametrize("ignoring", IGNORED)
def test_a_chat_ends_with_its_terminal_in_mid_reply_and_keeps_what_arrived(tmp_path, ignoring):
    with a_chat(tmp_path, ignoring=ignoring) as term:
        term.at_prompt().type(f"{WORDS}\r").see("\nw0 w1 w2 w3")
        assert term.hang_up() == -signal.SIGHUP
    listed = run_glm("history", "list", "--all", cwd=tmp_path, GLM_HOME=str(tmp_path)).out
    shown = run_glm("history", "show", listed.split("\t")[0], cwd=tmp_path, GLM_HOME=str(tmp_path))
    assert shown.out.count("w3") > 1


def test_a_draft_is_brought_back_by_up_after_the_terminal_went_away(tmp_path):
    with a_chat(tmp_path) as term:
        term.at_prompt().type("half a draft").at_prompt("half a draft").hang_up()
    with a_chat(tmp_path) as term:
        term.at_prompt().type("\x1b[A").at_prompt("half a draft")


@pytest.mark.parametrize("signum", [signal.SIGHUP, signal.SIGTERM])
def test_a_draft_is_brought_back_where_python_drops_what_the_signal_raises(tmp_path, signum):
    (tmp_path / "dropping.py").write_text(
        "import os, weakref\n"
        "from glmcli import cli\n"
        "from glmcli.chat.terminal import TerminalChat\n"
        "old = TerminalChat.draft_changed\n"
        f"def ended(reference): os.kill(os.getpid(), {signum:d}); print()\n"
        "def changed(self, draft, *, pasted):\n"
        "    old(self, draft, pasted=pasted)\n"
        "    if draft == 'half a draft':\n"
        "        each = {1}\n"
        "        reference = weakref.ref(each, ended)\n"
        "        del each\n"
        "TerminalChat.draft_changed = changed\n"
        "cli.main()\n"
    )
    with a_chat(tmp_path, module="dropping") as term:
        term.at_prompt().type("half a draft")
        assert term.ended() == -signum
    with a_chat(tmp_path) as term:
        term.at_prompt().type("\x1b[A").at_prompt("half a draft")


def test_what_waited_during_a_reply_is_brought_back_by_up_after_the_terminal_went_away(tmp_path):
    with a_chat(tmp_path) as term:
        term.at_prompt().type(f"{WORDS}\r").see("\nw0 w1 w2 w3")
        term.type("one more\rand half").see("and half").hang_up()
    with a_chat(tmp_path) as term:
        term.at_prompt().type("\x1b[A").at_prompt("and half")
        term.type("\x1b[A").at_prompt("one more")


@pytest.mark.parametrize("ignoring", IGNORED)
@pytest.mark.parametrize("script", ["echo EDITING; read line", "echo EDITING; exec sleep 600"])
def test_a_chat_ends_with_its_terminal_in_the_editor(tmp_path, ignoring, script):
    if ignoring and "sleep" in script:
        script = "echo EDITING; read line; exit 3"
    with a_chat(tmp_path, ignoring=ignoring, EDITOR=an_editor(tmp_path, script)) as term:
        term.at_prompt().type("a draft\x18\x05").see("EDITING")
        assert term.hang_up() == -signal.SIGHUP


@pytest.mark.parametrize("ignoring", IGNORED)
def test_a_chat_ends_with_its_terminal_in_a_question(tmp_path, ignoring):
    (tmp_path / "there.md").write_text("before")
    with a_chat(tmp_path, ignoring=ignoring) as term:
        term.at_prompt().type("one\r").see("1 token").at_prompt()
        term.type("/save there.md\r").see("[y/N]")
        assert term.hang_up() == -signal.SIGHUP
    assert (tmp_path / "there.md").read_text() == "before"


def test_a_chat_of_a_shell_ends_with_the_terminal(tmp_path):
    editor = an_editor(tmp_path, "echo EDITING; read line")
    with Term("chat", "-m", "echo:", home=tmp_path, shell=True, EDITOR=editor) as term:
        term.at_shell().type(term.command_line + "\r").at_prompt().type("abc")
        term.at_prompt("abc").type("\x18\x05").see("EDITING")
        started = [os.pidfd_open(pid) for pid in in_session(term.process.pid)]
        term.hang_up()
        for process in started:
            ended(process)


def test_a_second_kill_ends_a_chat_that_hangs_while_it_leaves(tmp_path):
    (tmp_path / "hanging.py").write_text(
        "from glmcli import cli\n"
        "from glmcli.terminal import leaving, quiet\n"
        "leaving._GRACE_S = 0.0\n"
        "def hang(self, *exc):\n"
        "    print('HANGING', flush=True)\n"
        "    while True: pass\n"
        "quiet.Quiet.__exit__ = hang\n"
        "cli.main()\n"
    )
    with a_chat(tmp_path, module="hanging") as term:
        term.at_prompt()
        os.kill(term.process.pid, signal.SIGTERM)
        term.see("HANGING")
        os.kill(term.process.pid, signal.SIGTERM)
        assert term.ended() == -signal.SIGTERM


@pytest.mark.parametrize("where", ["status", "edit_draft", "handle"])
def test_a_bug_behind_the_prompt_ends_the_chat_with_a_note_and_the_terminal_restored(
    tmp_path, where
):
    (tmp_path / "broken.py").write_text(
        "from glmcli import cli\n"
        "from glmcli.chat.terminal import TerminalChat\n"
        f"TerminalChat.{where} = lambda self, *given: 1 / 0\n"
        "cli.main()\n"
    )
    with a_chat(tmp_path, module="broken") as term:
        if where != "status":
            term.at_prompt().type({"edit_draft": "\x18\x05", "handle": "\x0f"}[where])
        term.see("internal error: ZeroDivisionError")
        assert term.ended() == 1
        assert "ENTER" not in term.raw
        assert term.has_lines()


def test_a_toolbar_that_breaks_ends_the_chat_with_a_note(tmp_path):
    (tmp_path / "broken.py").write_text(
        "from pathlib import Path\n"
        "from glmcli import cli\n"
        "from glmcli.chat.terminal import TerminalChat\n"
        "old = TerminalChat.status\n"
        "TerminalChat.status = lambda self, n: 1 / (not Path('break').exists()) and old(self, n)\n"
        "cli.main()\n"
    )
    with a_chat(tmp_path, module="broken") as term:
        term.at_prompt()
        (tmp_path / "break").touch()
        assert term.type("x").see("internal error: ZeroDivisionError").ended() == 1
        assert term.has_lines()


def test_a_note_of_a_bug_that_shows_where_does_not_say_how_to_see_it(tmp_path):
    broken = "from glmcli import cli\ncli.run = lambda arguments: 1 / 0\ncli.main()\n"
    (tmp_path / "broken.py").write_text(broken)
    with a_chat(tmp_path, module="broken", GLM_DEBUG="1") as term:
        assert term.see("internal error: ZeroDivisionError").ended() == 1
        assert "Traceback" in term.text()
        assert "shows where" not in term.text()


def ended(process: int) -> None:
    """Wait for the end of a process, given a descriptor of it."""
    assert select.select([process], [], [], 20)[0]
    os.close(process)


def test_a_reply_that_a_kill_cut_is_told_of_as_interrupted_wherever_it_is_shown(tmp_path):
    said = "interrupted; what arrived is kept"
    with a_chat(tmp_path) as term:
        term.at_prompt().type(f"{WORDS}\r")
        term.until(lambda t: t.text().count(" w90 ") == 2, "most of a second second")
        os.kill(term.process.pid, signal.SIGKILL)
        term.ended()
    with Term("chat", "-m", "echo:", "-c", home=tmp_path, rows=60) as term:
        term.at_prompt().see(f"{said}; /continue goes on")
        term.type("/redraw\r").until(lambda t: t.text().count(said) == 2, "the note again")
        term.type("a new one\r").see("3 tokens").at_prompt()
        name = re.search(r"resumed (\w+):", term.text())[1]
    with Term("history", "show", name, home=tmp_path, rows=60) as term:
        assert term.see("a new one").ended() == 0
        assert term.text().count(said) == 1
    with Term("chat", "-m", "echo:", "-c", home=tmp_path, rows=60) as term:
        assert term.at_prompt().text().count(said) == 1
    shown = run_glm("history", "show", name, "--json", cwd=tmp_path, GLM_HOME=str(tmp_path))
    reply = json.loads(shown.out)["messages"][1]
    assert reply["finish_reason"] == "interrupted"
    assert " w10 " in reply["content"]
