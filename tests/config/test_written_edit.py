"""`glm config edit` on a terminal, and several that change the same file."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from glmcli.cli.config.changing import put_settings
from glmcli.conversation.roles import role_path
from tests.support.term import Term


@pytest.fixture
def editing(tmp_path: Path):
    """`editing("rm $1")`: `glm config edit`, or another command, with that script as editor."""

    def start(script: str, *arguments: str) -> Term:
        editor = tmp_path / "editor"
        editor.write_text(f"#!/bin/sh\n{script}\n")
        editor.chmod(0o755)
        return Term(*(arguments or ("config", "edit")), home=tmp_path, cols=200, VISUAL=str(editor))

    return start


@pytest.mark.pty
@pytest.mark.parametrize("script", ['rm "$1"', 'rm "$1" && mkdir "$1"', 'rm "$1" && mkfifo "$1"'])
def test_an_editor_that_removes_its_file_changes_nothing(editing, tmp_path, script):
    (tmp_path / "config.toml").write_text("seed = 1\n")
    with editing(script) as term:
        assert term.see("the editor editor left no file behind").see("nothing was changed")
        assert term.ended() == 2
    assert (tmp_path / "config.toml").read_text() == "seed = 1\n"


@pytest.mark.pty
@pytest.mark.parametrize(
    ("answer", "code", "kept"), [("n", 2, "seed = 2\n"), ("y", 0, "seed = 3\n")]
)
def test_what_others_change_meanwhile_is_asked_about(editing, tmp_path, answer, code, kept):
    config = tmp_path / "config.toml"
    config.write_text("seed = 1\n")
    with editing(f'echo "seed = 2" > {config}; echo "seed = 3" > "$1"') as term:
        term.see("was changed while you edited it").see("in its place? [y/N]").type(f"{answer}\r")
        assert term.ended() == code
        kept_apart = re.search(r"your text is in (\S+)", term.text())
    assert config.read_text() == kept
    assert bool(kept_apart) == (answer == "n")
    if kept_apart:
        assert Path(kept_apart[1]).read_text() == "seed = 3\n"
        Path(kept_apart[1]).unlink()


@pytest.mark.pty
def test_a_role_that_another_makes_meanwhile_is_asked_about(editing, tmp_path, monkeypatch):
    monkeypatch.setenv("GLM_HOME", str(tmp_path))
    path = role_path("mine")
    script = f'mkdir -p {path.parent}; echo theirs > {path}; echo ours > "$1"'
    with editing(script, "roles", "edit", "mine") as term:
        term.see("was changed while you edited it").see("in its place? [y/N]").type("n\r")
        assert term.ended() == 2
    assert path.read_text() == "theirs\n"


def test_settings_that_are_set_at_once_are_all_kept(own_home):
    names = ("seed", "top_k", "max_tokens", "threads", "window", "width", "timeout", "notify")
    with ThreadPoolExecutor(len(names)) as pool:
        list(pool.map(lambda name: put_settings({name: 1}), names))
    lines = (own_home / "config.toml").read_text().splitlines()
    assert sorted(lines) == sorted(f"{name} = 1" for name in names)


@pytest.mark.pty
@pytest.mark.parametrize("more", [(), ("-",)])
def test_a_key_is_typed_unseen_on_a_terminal(editing, tmp_path, more):
    with editing("", "config", "set", "keys.lab.test", *more) as term:
        term.see("keys.lab.test (not shown):").type("k-1\r").see("keys.lab.test is")
        assert term.ended() == 0
        assert "k-1" not in term.text() and "history" not in term.text()
    assert '"lab.test" = "k-1"' in (tmp_path / "config.toml").read_text()


@pytest.mark.pty
@pytest.mark.parametrize("key", ["\x03", "\x04", "\r"])
def test_a_key_that_is_not_typed_changes_nothing(editing, tmp_path, key):
    with editing("", "config", "set", "api_key") as term:
        term.see("api_key (not shown):").type(key)
        assert term.ended() != 0
    assert not (tmp_path / "config.toml").exists()


@pytest.mark.pty
def test_a_terminal_names_sources_in_the_language_of_the_user(tmp_path):
    with Term("config", "show", home=tmp_path, rows=60, LC_ALL="zh_CN.UTF-8", GLM_SEED="1") as term:
        assert term.ended() == 0
        shown = {row.split()[0]: row.split()[-1] for row in term.lines() if row.strip()}
    assert shown["GLM_SEED"] == "环境变量" and shown["GLM_MODEL"] == "默认"
