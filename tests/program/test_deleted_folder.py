"""A working folder that was deleted: one line and a hint wherever a relative path is named."""

from __future__ import annotations

import subprocess

import pytest

from tests.support.shell import clean_env, command

GONE = 'mkdir gone; cd gone; rmdir ../gone; exec "$@"'


@pytest.fixture
def glm_in_none(tmp_path):
    def run(*arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["sh", "-c", GONE, "sh", *command(*arguments)],
            input=stdin,
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env=clean_env(GLM_HOME=str(tmp_path / "home")),
            timeout=60,
            check=False,
        )

    return run


@pytest.mark.parametrize(
    ("typed", "name"),
    [
        (["ask", "-m", "echo:", "-a", "x", "hi"], "x"),
        (["ask", "-m", "echo:", "@.", "hi"], "."),
        (["ask", "-m", "echo:", "-a", "*.py", "hi"], "*.py"),
        (["ask", "-m", "echo:", "--messages", "x"], "x"),
        (["ask", "-m", "echo:", "-s", "@x", "hi"], "x"),
        (["ask", "-m", ".", "hi"], "."),
        (["history", "import", "x"], "x"),
        (["config", "trust"], "."),
        (["config", "set", "adapter", "x"], "x"),
    ],
)
def test_a_relative_path_says_that_the_folder_is_gone(glm_in_none, typed, name):
    done = glm_in_none(*typed)
    assert done.stderr.splitlines() == [
        f"glm: {name}: the working folder was deleted",
        "hint: give a full path, or go to another folder first",
    ]
    assert done.returncode == 2


def test_a_chat_goes_on_and_takes_full_paths(glm_in_none, tmp_path):
    typed = f"hello\n/attach .\n/save y.md\n/save {tmp_path}/y.md\n"
    done = glm_in_none("chat", "-m", "echo:", "--commands", stdin=typed)
    hint = "hint: give a full path"
    assert done.stderr.splitlines()[:4] == [
        "glm: .: the working folder was deleted",
        hint,
        "glm: y.md: the working folder was deleted",
        hint,
    ]
    assert "hello" in (tmp_path / "y.md").read_text()


def test_what_names_no_path_works(glm_in_none):
    assert glm_in_none("ask", "-m", "echo:", "hi").stdout == "hi\n"
    assert glm_in_none("history", "list").returncode == 0
