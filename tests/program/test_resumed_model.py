"""Which model a conversation goes on with, wherever one is."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing

ECHO = ("-m", "echo:")


def test_a_conversation_goes_on_with_the_folder_that_it_began_with(glm, tmp_path):
    home = {"GLM_HOME": str(tmp_path / "home")}
    for place in ("ours", "theirs"):
        (tmp_path / place / "net").mkdir(parents=True)
    model = str(tmp_path / "ours" / "net")
    for typed in ("./net", "net", "local:net", model):
        begun = glm("ask", "-m", typed, "hi", cwd=tmp_path / "ours", **home)
        assert begun.code == 3  # there is nothing in it
        assert json.loads(glm("history", "list", "--json").out)[0]["model"] == model
        for again in (("ask", "-c", "on"), ("chat", "-c")):
            there = glm(*again, stdin="more\n", cwd=tmp_path / "theirs", **home)
            assert model in there.err
            assert "theirs" not in there.err
    assert glm("history", "list").out.split("\t")[2] == "net"
    assert "Model: net\n" in glm("history", "show", glm("history", "list").out[:8]).out


def test_a_relative_folder_of_an_older_history_is_not_one_of_another_place(glm, tmp_path):
    (tmp_path / "net").mkdir()
    glm("ask", *ECHO, "hi")
    with closing(sqlite3.connect(tmp_path / "home" / "history.db")) as db:
        db.execute("UPDATE conversation SET model = './net'")
        db.commit()
    typed = glm("ask", "-c", "-m", "./net", "on")
    assert "it was with" not in typed.err
    with closing(sqlite3.connect(tmp_path / "home" / "history.db")) as db:
        db.execute("UPDATE conversation SET model = './net'")
        db.commit()
    for again in (("ask", "-c", "on"), ("chat", "-c")):
        done = glm(*again, stdin="more\n")
        assert "the conversation was with ./net, and there is such a folder here" in done.err
        assert "use --model ./net for the folder" in done.err
        assert done.code == 3
