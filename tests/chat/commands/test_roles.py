"""What /role sets, and gives back."""

from __future__ import annotations

from dataclasses import replace

import pytest

from glmcli.chat.commands import run_command
from glmcli.chat.commands.roles import role_words
from glmcli.config import ROLE, TYPED
from glmcli.conversation.roles import parse_role, roles_folder
from glmcli.errors import UsageError


@pytest.fixture
def write():
    """Write a role of the user's own."""
    roles_folder().mkdir(parents=True)
    return lambda name, text: (roles_folder() / f"{name}.md").write_text(text)


def test_a_role_is_taken_and_given_back(chat, write):
    write("a", "---\ntemperature: 0.2\nstats: off\ncontext: summarise\n---\nBe brief.")
    run_command(chat, "/set temperature 0.7")
    run_command(chat, "/system Mine.")
    assert "/role off" in run_command(chat, "/role a")
    assert chat.session.conversation.system == "Be brief."
    assert (chat.session.params.temperature, chat.session.context) == (0.2, "summarise")
    assert chat.settings.stats is False
    assert "0.2  (/role)" in run_command(chat, "/set")
    assert "a has ended" in run_command(chat, "/role off")
    assert chat.session.conversation.system == "Mine."
    assert (chat.session.params.temperature, chat.session.context) == (0.7, "stop")
    assert chat.settings.stats is True
    assert "0.7  (/set)" in run_command(chat, "/set")
    with pytest.raises(UsageError):
        run_command(chat, "/role off")


def test_another_role_keeps_nothing_of_the_one_before(chat, write):
    write("a", "---\ntemperature: 0.2\n---\nBe brief.")
    write("b", "---\ntop_k: 3\n---\n<$input>")
    run_command(chat, "/role a")
    run_command(chat, "/role b")
    assert (chat.session.params.temperature, chat.session.params.top_k) == (None, 3)
    assert chat.session.conversation.system is None
    assert chat.role.framed("x") == "<x>"


def test_a_role_that_cannot_be_taken_changes_nothing(chat, write):
    write("a", "---\ntemperature: 0.2\n---\nBe brief.")
    write("bad", "---\ntop_k: many\n---\n")
    run_command(chat, "/role a")
    for name in ("bad", "none", "../a"):
        with pytest.raises(Exception) as caught:
            run_command(chat, f"/role {name}")
        assert caught.value.exit_code == 2 and caught.value.hint
    assert (chat.role.name, chat.session.params.temperature) == ("a", 0.2)


def test_what_the_user_set_since_stays_only_where_the_role_did_not(chat, write):
    write("a", "Be brief.")
    run_command(chat, "/role a")
    run_command(chat, "/system Other.")
    run_command(chat, "/role off")
    assert chat.session.conversation.system == "Other."


def test_a_role_of_the_command_line_ends_in_the_users_settings(chat, monkeypatch, tmp_path):
    monkeypatch.setenv("GLM_TOP_K", "9")
    monkeypatch.setenv("GLM_SYSTEM", "Own.")
    chat.role = parse_role("---\ntop_k: 3\nseed: 1\n---\nx", tmp_path / "r.md")
    chat.settings = replace(chat.settings, sources={"top_k": ROLE, "seed": TYPED})
    chat.session.set_param("seed", 5)
    chat.session.set_param("top_k", 3)
    chat.session.set_system("x")
    run_command(chat, "/role off")
    assert (chat.session.params.top_k, chat.session.params.seed) == (9, 5)
    assert chat.session.conversation.system == "Own."


def test_a_role_brings_its_model(chat, write):
    write("a", "---\nmodel: echo:delay=0\n---\n")
    run_command(chat, "/role a")
    assert chat.session.model == "echo:delay=0"
    run_command(chat, "/role off")
    assert chat.session.model == "echo:delay=0"


def test_roles_are_listed_and_completed(chat, write):
    write("mine", "Be brief.\nx")
    run_command(chat, "/role mine")
    assert "* mine" in run_command(chat, "/role")
    assert ("mine", "Be brief.") in role_words(chat, "")
    assert role_words(chat, "")[-1][0] == "off"
