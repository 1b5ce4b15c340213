"""Which model a conversation goes on with, wherever one is."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing

from tests.support import tiny
from tests.support.tiny_chat import TOKENIZER

ECHO = ("-m", "echo:")


def test_a_conversation_goes_on_with_the_folder_that_it_began_with(glm, tmp_path):
    home = {"GLM_HOME": str(tmp_path / "home"), "GLM_CACHE": str(tmp_path / "cache")}
    for place in ("ours", "theirs"):
        (tmp_path / place / "net").mkdir(parents=True)
    folder = tmp_path / "ours" / "net"
    tiny.llama(len(TOKENIZER), max_position_embeddings=300).save_pretrained(folder)
    TOKENIZER.save_pretrained(folder)
    for typed in ("./net", "net", "local:net"):
        begun = glm("ask", "-m", typed, "--max-tokens", "2", "hi", cwd=tmp_path / "ours", **home)
        assert begun.code == 0
        assert json.loads(glm("history", "list", "--json", **home).out)[0]["model"] == str(folder)
    there = glm("ask", "-c", "on", cwd=tmp_path / "theirs", **home)
    assert there.code == 0
    assert "theirs" not in there.err
    listed = glm("history", "list", "--all", **home).out
    assert "\tnet\t" in listed
    assert "Model: net\n" in glm("history", "show", listed[:8], **home).out


def test_a_relative_folder_of_an_older_history_is_not_one_of_another_place(glm, tmp_path):
    (tmp_path / "net").mkdir()
    glm("ask", *ECHO, "hi")
    with closing(sqlite3.connect(tmp_path / "home" / "history.db")) as db:
        db.execute("UPDATE conversation SET model = './net', kind = ''")
        db.commit()
    typed = glm("ask", "-c", "-m", "./net", "on")
    assert "it was with" not in typed.err
    with closing(sqlite3.connect(tmp_path / "home" / "history.db")) as db:
        db.execute("UPDATE conversation SET model = './net', kind = ''")
        db.commit()
    for again in (("ask", "-c", "on"), ("chat", "-c")):
        done = glm(*again, stdin="more\n")
        assert "the conversation was with ./net, and there is such a folder here" in done.err
        assert "use --model ./net for the folder" in done.err
        assert done.code == 3
