"""A file that is named and reached by a link: where it leads is said, whatever reads it."""

from __future__ import annotations

import json

import pytest

ECHO = ("-m", "echo:")


@pytest.fixture
def place(tmp_path):
    """A folder of somebody else's, with links out of it: a file's, and a folder's."""
    (tmp_path / "private").mkdir()
    secret = tmp_path / "private" / "talk.json"
    secret.write_text(json.dumps([{"role": "user", "content": "hi"}]))
    folder = tmp_path / "clone"
    folder.mkdir()
    (folder / "notes.txt").symlink_to(secret)
    (folder / "more").symlink_to("../private")
    (folder / "plain.txt").write_text("[]")
    return folder


@pytest.mark.parametrize("name", ["notes.txt", "more/talk.json"])
@pytest.mark.parametrize(
    "arguments",
    [
        ("ask", *ECHO, "-q", "x", "@NAME"),
        ("ask", *ECHO, "-q", "-a", "NAME", "-a", "NAME", "x"),
        ("ask", *ECHO, "-q", "-s", "@NAME", "x"),
        ("ask", *ECHO, "-q", "--messages", "NAME", "x"),
        ("chat", *ECHO, "-q", "-s", "@NAME", "x"),
        ("history", "import", "NAME"),
    ],
    ids=" ".join,
)
def test_a_link_is_said_once_whatever_is_quiet(glm, place, name, arguments):
    done = glm(*(each.replace("NAME", name) for each in arguments), cwd=place)
    assert done.code == 0
    target = place.parent / "private" / "talk.json"
    assert done.err_lines == [f"{name} is a link to {target}"]


def test_of_a_file_that_is_none_nothing_is_said(glm, place):
    done = glm("ask", *ECHO, "-q", "-s", "@plain.txt", "x", "@plain.txt", cwd=place)
    assert done.err == ""


def test_a_link_is_said_in_a_chat_too(glm, place):
    lines = "/system @notes.txt\n/load notes.txt\n/attach notes.txt\nlook @notes.txt\n"
    done = glm("chat", *ECHO, "--commands", stdin=lines, cwd=place)
    target = place.parent / "private" / "talk.json"
    assert done.err.count(f"link to {target}") == 4
