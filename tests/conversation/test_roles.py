"""Roles: what a file may hold, and where one comes from."""

from __future__ import annotations

from pathlib import Path

import pytest

from glmcli.conversation.roles import (
    BUILT_IN_ROLES,
    ROLE_SETTINGS,
    about_roles,
    load_role,
    parse_role,
    role_names,
    role_path,
)
from glmcli.errors import ConfigError, UsageError

PATH = Path("r.md")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("GLM_HOME", str(tmp_path))
    (tmp_path / "roles").mkdir()
    return tmp_path / "roles"


def test_settings_stand_above_the_system_prompt():
    settings = ["temperature: 0.2", "# a note", "", "top-p: .9", 'stop: "END|X"', "think: on"]
    settings += ["model: openai:m", "plain: on"]
    text = "\n".join(["---", *settings, "---", "", "Be brief.", "---", "Always."])
    role = parse_role(text, PATH)
    assert role.name == "r"
    assert role.system == role.text == "Be brief.\n---\nAlways."
    assert role.settings == {
        "temperature": 0.2,
        "top_p": 0.9,
        "stop": ("END", "X"),
        "think": True,
        "model": "openai:m",
        "plain": "on",
    }
    assert role.framed("hi") == "hi"


@pytest.mark.parametrize("text", ["Be brief.", "\n---\nx: 1\n---\nBe brief."])
def test_without_settings_on_top_all_is_the_prompt(text):
    role = parse_role(text, PATH)
    assert (role.system, role.settings) == (text.strip(), {})


def test_input_is_where_the_text_goes_as_it_is():
    role = parse_role("Say: $input. Again: $input, not $inputs", PATH)
    assert role.system is None
    assert role.framed(r"\1 $input") == r"Say: \1 $input. Again: \1 $input, not $inputs"


def test_a_role_of_settings_alone_has_no_prompt():
    assert parse_role("---\nseed: 1\n---\n", PATH).system is None


@pytest.mark.parametrize(
    ("lines", "said", "hint"),
    [
        (["temprature: 1"], "line 2: a role cannot set temprature", "temperature"),
        (["", "api_key: x"], "line 3: a role cannot set api_key", "one of: model"),
        (["system: x"], "line 2: a role cannot set system", "below"),
        (["temperature: hot"], "line 2: temperature is 'hot', not a number", ""),
        (["temperature: -1"], "line 2: temperature cannot be -1", "at least"),
        (["temperature"], "line 2: 'temperature' is not NAME: VALUE", "temperature: 0.2"),
        (["seed: 1", "seed: 2"], "line 3: seed is set twice", ""),
        (["thinking: loud"], "line 2: thinking cannot be 'loud'", "fold"),
    ],
)
def test_what_cannot_be_is_refused_by_line(lines, said, hint):
    with pytest.raises(ConfigError) as caught:
        parse_role("\n".join(["---", *lines, "---", "Be brief."]), PATH)
    assert f"r.md, {said}" in caught.value.message
    assert hint in caught.value.hint


def test_settings_without_an_end_are_refused():
    with pytest.raises(ConfigError, match="line 1"):
        parse_role("---\nseed: 1\nBe brief.", PATH)


def test_a_role_decides_nothing_of_where_things_go():
    others = "api_key base_url adapter home cache history offline trust_remote_code template"
    assert not {*others.split(), "system"} & {*ROLE_SETTINGS}


@pytest.mark.parametrize("name", BUILT_IN_ROLES)
def test_the_built_in_roles_can_be_used(folder, name):
    role = load_role(name)
    assert role.settings and role.text


@pytest.mark.parametrize(
    "name", ["", "../x", "a/b", ".", "a.b", "-x", "off", "a b", "x\n", "x" * 65]
)
def test_a_name_is_never_a_path(folder, name):
    with pytest.raises(UsageError) as caught:
        role_path(name)
    assert caught.value.hint


def test_the_users_file_replaces_a_built_in_one(folder):
    (folder / "shell.md").write_text("Mine.")
    (folder / "评审.md").write_text("Check.")
    (folder / "a.b.md").write_text("not a name")
    (folder / "notes.txt").write_text("no role")
    assert load_role("shell").text == "Mine."
    assert role_names() == ["commit", "reviewer", "shell", "评审"]
    nameless = "no role can have this name: use letters, digits, - and _; not off"
    assert [*about_roles()][2:] == [
        ("shell", "Mine.", folder / "shell.md"),
        ("评审", "Check.", folder / "评审.md"),
        ("a.b", nameless, folder / "a.b.md"),
    ]


def test_a_role_that_is_wrong_is_listed_with_what_is_wrong(folder):
    (folder / "bad.md").write_text("---\nx: 1\n---\n")
    name, about, path = next(about_roles())
    assert (name, path) == ("bad", folder / "bad.md")
    assert about.startswith("line 2: ")


def test_the_working_folder_has_no_roles(folder, tmp_path, monkeypatch):
    (tmp_path / "repo" / "roles").mkdir(parents=True)
    (tmp_path / "repo" / "roles" / "evil.md").write_text("x")
    (tmp_path / "repo" / "evil.md").write_text("x")
    (tmp_path / "repo" / ".env").write_text(f"GLM_HOME={tmp_path / 'repo'}\n")
    monkeypatch.chdir(tmp_path / "repo")
    with pytest.raises(UsageError, match="there is no role evil"):
        load_role("evil")


def test_a_name_that_is_nearly_one_is_named(folder):
    with pytest.raises(UsageError) as caught:
        load_role("reviewr")
    assert "reviewer" in caught.value.hint
