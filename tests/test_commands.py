from __future__ import annotations

import json
from pathlib import Path

import pytest

from glmcli.commands import COMMANDS, Chat, is_command, literal, run_command
from glmcli.config import Settings
from glmcli.engines.echo import EchoEngine
from glmcli.errors import GlmError, UsageError
from glmcli.session import Session
from glmcli.store import open_store
from glmcli.terminal.view import BaseView
from glmcli.types import GenerationParams


class Quiet(Chat):
    def ask(self, text):
        self.session.ask(text, BaseView())


@pytest.fixture
def chat(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    session = Session(
        EchoEngine(), open_store(tmp_path / "home"), params=GenerationParams(), model="echo:"
    )
    return Quiet(session, Settings())


def texts(chat):
    return [message.text for message in chat.session.conversation.messages]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("/help", True),
        ("  /help", True),
        ("/nonsense", True),
        ("//help", False),
        ("/usr/bin/env is a path", False),
        ("help", False),
        ("1/2", False),
        ("", False),
    ],
)
def test_what_is_a_command(line, expected):
    assert is_command(line) is expected


def test_a_double_slash_sends_a_literal_one():
    assert literal("//help") == "/help"
    assert literal("plain") == "plain"


def test_every_command_has_a_help_line_that_is_a_sentence():
    for item in COMMANDS.values():
        assert item.help[0].isupper(), item.name
        assert len(item.help) < 90, item.name


def test_help_lists_every_command(chat):
    shown = run_command(chat, "/help")
    for name in COMMANDS:
        assert f"/{name}" in shown


def test_help_of_one_command(chat):
    assert run_command(chat, "/help save").startswith("/save [FILE]")
    with pytest.raises(UsageError):
        run_command(chat, "/help nonsense")


@pytest.mark.parametrize(("typed", "meant"), [("/rest", "/reset"), ("/toknes", "/tokens")])
def test_an_unknown_command_suggests_the_nearest(chat, typed, meant):
    with pytest.raises(UsageError) as caught:
        run_command(chat, typed)
    assert meant in caught.value.hint


def test_exit_leaves(chat):
    run_command(chat, "/exit")
    assert chat.leaving


def test_reset_starts_anew_and_keeps_the_old_one_in_the_history(chat):
    chat.ask("hello")
    old = chat.session.conversation.id
    run_command(chat, "/reset")
    assert texts(chat) == []
    assert [item.text for item in chat.session.store.load(old).messages] == ["hello", "hello"]


def test_undo_takes_back_the_last_turn(chat):
    chat.ask("one")
    chat.ask("two")
    assert "two" in run_command(chat, "/undo")
    assert texts(chat) == ["one", "one"]
    chat.ask("three")
    stored = chat.session.store.load(chat.session.conversation.id)
    assert [item.text for item in stored.messages] == ["one", "one", "three", "three"]


def test_undo_with_nothing_to_take_back(chat):
    with pytest.raises(UsageError):
        run_command(chat, "/undo")


def test_retry_asks_again_with_other_settings_for_once(chat):
    chat.ask("a b c")
    run_command(chat, "/retry max_tokens=2")
    assert texts(chat) == ["a b c", "a b "]
    assert chat.session.params.max_tokens is None


def test_a_retry_with_a_bad_setting_loses_nothing(chat):
    chat.ask("a b c")
    for line in ("/retry max_tokens=none_such", "/retry nonsense=1", "/retry max_tokens"):
        with pytest.raises(UsageError):
            run_command(chat, line)
    assert texts(chat) == ["a b c", "a b c"]


def test_system_is_shown_and_set(chat):
    assert "(none)" in run_command(chat, "/system")
    run_command(chat, "/system be brief, please")
    assert chat.session.conversation.system == "be brief, please"
    run_command(chat, "/system off")
    assert chat.session.conversation.system == ""


def test_set_shows_and_changes(chat):
    run_command(chat, "/set temperature 0.2")
    run_command(chat, "/set top-p=0.5")
    assert (chat.session.params.temperature, chat.session.params.top_p) == (0.2, 0.5)
    assert "0.2" in run_command(chat, "/set")
    run_command(chat, "/set temperature default")
    assert chat.session.params.temperature is None


@pytest.mark.parametrize(
    "line", ["/set temperature abc", "/set temperature", "/set nonsense 1", "/set top_p 7"]
)
def test_set_refuses_what_makes_no_sense(chat, line):
    with pytest.raises(UsageError) as caught:
        run_command(chat, line)
    assert caught.value.hint


def test_tokens_add_up(chat):
    chat.session.conversation.system = "be brief"
    chat.ask("a b c")
    shown = dict(line.rsplit(maxsplit=1) for line in run_command(chat, "/tokens").splitlines()[:-1])
    count = {name: int(value.replace(",", "")) for name, value in shown.items()}
    assert (count["system"], count["user"], count["assistant"]) == (2, 3, 3)
    assert count["prompt"] == 8
    assert count["left"] == count["window"] - 8


def test_tokens_of_nothing(chat):
    assert "prompt" in run_command(chat, "/tokens")


def test_save_writes_markdown_to_a_dated_file_and_says_where(chat, tmp_path):
    chat.ask("hello there")
    path = Path(run_command(chat, "/save").removeprefix("saved to "))
    assert path.is_absolute()
    assert path.parent == tmp_path
    assert path.suffix == ".md"
    assert "hello there" in path.read_text()


def test_two_saves_in_a_row_write_two_files(chat):
    chat.ask("hello")
    assert run_command(chat, "/save") != run_command(chat, "/save")


def test_json_that_was_saved_can_be_loaded(chat, tmp_path):
    chat.session.conversation.system = "be brief"
    chat.ask("hello there")
    before = chat.session.conversation.messages
    run_command(chat, "/save chat.json")
    assert json.loads((tmp_path / "chat.json").read_text())
    run_command(chat, "/reset")
    run_command(chat, "/load chat.json")
    assert chat.session.conversation.messages == before
    assert chat.session.conversation.system == "be brief"
    chat.ask("go on")
    assert texts(chat) == ["hello there", "hello there", "go on", "go on"]


def test_save_never_overwrites(chat, tmp_path):
    chat.ask("hello")
    (tmp_path / "taken.md").write_text("mine")
    with pytest.raises(GlmError):
        run_command(chat, "/save taken.md")
    assert (tmp_path / "taken.md").read_text() == "mine"


def test_load_of_what_cannot_be_loaded(chat, tmp_path):
    chat.ask("hello")
    (tmp_path / "bad.json").write_text("{")
    for line in ("/load", "/load nowhere.json", "/load bad.json"):
        with pytest.raises(GlmError):
            run_command(chat, line)
    assert texts(chat) == ["hello", "hello"]


def test_save_of_nothing(chat):
    with pytest.raises(UsageError):
        run_command(chat, "/save")
