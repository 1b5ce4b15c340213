"""Help, leaving, starting again; files that are saved, loaded and attached; sizes."""

from __future__ import annotations

import json
import re
import sqlite3
from contextlib import closing, suppress
from pathlib import Path

import pytest

from glmcli.chat.commands import run_command
from glmcli.engines.echo import EchoEngine
from glmcli.errors import GlmError, UsageError
from glmcli.session import Session
from glmcli.store import Store
from glmcli.terminal.rows import hang
from glmcli.types import GenerationParams, Message
from tests.support.chats import texts


def test_exit_leaves(chat):
    run_command(chat, "/exit")
    assert chat.leaving


def test_a_command_in_letters_of_full_width_is_run(chat):
    assert run_command(chat, "／ｔｏｋｅｎｓ") == run_command(chat, "/tokens")
    with pytest.raises(UsageError, match="there is no command /ｎｏｎｅ"):
        run_command(chat, "／ｎｏｎｅ")


def test_a_text_that_is_loaded_gets_the_line_that_sends_it(chat, tmp_path):
    (tmp_path / "notes.txt").write_text("Buy milk.")
    with pytest.raises(UsageError) as found:
        run_command(chat, f"/load {tmp_path}/notes.txt")
    assert f"did you mean /attach {tmp_path}/notes.txt?" in found.value.hint
    (tmp_path / "talk.json").write_text("Buy milk.")
    with pytest.raises(UsageError) as found:
        run_command(chat, f"/load {tmp_path}/talk.json")
    assert "/attach" not in found.value.hint


def test_reset_starts_again_and_keeps_the_old_conversation_in_the_history(chat):
    chat.ask("hello")
    old = chat.session.conversation.id
    run_command(chat, "/reset")
    assert texts(chat) == []
    assert [item.text for item in chat.session.store.load(old).messages] == ["hello", "hello"]


@pytest.fixture
def unsaved(chat, tmp_path):
    """The chat, with a turn that another process did not let it save."""
    chat.ask("one")
    path, before = tmp_path / "home" / "history.db", chat.session
    hasty = Store(path, wait_s=0.01)
    chat.session = Session(before.engine, hasty, params=GenerationParams(), model="echo:")
    chat.session.resume(before.conversation)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        chat.ask("two")
        yield chat


@pytest.mark.parametrize("line", ["/exit", "/reset", "/load talk.json", "/resume {old}"])
def test_what_is_not_saved_is_left_only_knowingly(unsaved, line):
    run_command(unsaved, "/save talk.json")
    unsaved.ask("three")
    line = line.format(old=unsaved.session.conversation.id)
    with pytest.raises(UsageError, match="the last turns are not saved: ") as caught:
        run_command(unsaved, line)
    assert "/save FILE" in caught.value.hint
    assert texts(unsaved)[-1] == "three" and not unsaved.leaving
    run_command(unsaved, line)
    assert unsaved.leaving or "three" not in texts(unsaved)


def test_each_new_turn_that_is_not_saved_is_told_again_on_leaving(unsaved):
    for text in ("three", "four"):
        with pytest.raises(UsageError):
            run_command(unsaved, "/exit")
        unsaved.ask(text)


def test_a_conversation_that_was_left_knowingly_is_not_told_of_again(unsaved):
    with pytest.raises(UsageError):
        run_command(unsaved, "/reset")
    run_command(unsaved, "/reset")
    assert unsaved.session.journal.problem == ""
    run_command(unsaved, "/exit")
    assert unsaved.leaving


def test_what_was_written_to_a_file_needs_no_second_word(unsaved):
    run_command(unsaved, "/save talk.md")
    run_command(unsaved, "/exit")
    assert unsaved.leaving and unsaved.is_kept()


def test_tokens_add_up(chat):
    chat.session.set_system("be brief")
    chat.ask("a b c")
    *rows, bar, _ = run_command(chat, "/tokens").splitlines()
    assert bar == "#------------------- 0% of the window"
    shown = dict(row.rsplit(maxsplit=1) for row in rows)
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
    chat.session.set_system("be brief")
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


def test_loading_brings_the_settings_along_if_there_are_any(chat, tmp_path):
    run_command(chat, "/set temperature 0.3")
    chat.ask("hello")
    run_command(chat, "/save chat.json")
    run_command(chat, "/set temperature 0.9")
    assert run_command(chat, "/load chat.json").endswith("chat.json, with its settings")
    assert chat.session.params.temperature == 0.3
    (tmp_path / "other.json").write_text('[{"role": "user", "content": "hi"}]')
    assert "settings" not in run_command(chat, "/load other.json")
    assert chat.session.params.temperature == 0.3


def test_save_never_overwrites(chat, tmp_path):
    chat.ask("hello")
    (tmp_path / "taken.md").write_text("mine")
    with pytest.raises(GlmError):
        run_command(chat, "/save taken.md")
    assert (tmp_path / "taken.md").read_text() == "mine"


@pytest.mark.parametrize("agreed", [True, False])
def test_save_asks_before_it_overwrites(chat, tmp_path, agreed):
    asked = []
    chat.confirm = lambda question: (asked.append(question), agreed)[1]
    chat.ask("one")
    run_command(chat, "/save new.md")
    assert asked == []
    (tmp_path / "old.md").write_text("mine")
    said = run_command(chat, "/save old.md")
    assert asked == [f"{tmp_path / 'old.md'} already exists: overwrite it?"]
    assert ((tmp_path / "old.md").read_text() == "mine") is not agreed
    assert str(tmp_path / "old.md") in said


def reply_with_code(chat):
    chat.session.conversation.messages += [
        Message("user", "code"),
        Message("assistant", "```py\none\n```\n\n1. ```sh\n   two\n   ```\n"),
    ]


def test_save_with_a_number_writes_that_block_of_code(chat, tmp_path):
    reply_with_code(chat)
    assert run_command(chat, "/save run.sh 2") == f"saved to {tmp_path / 'run.sh'}"
    run_command(chat, '/save "my file 2" 1')
    assert (tmp_path / "run.sh").read_text() == "two\n"
    assert (tmp_path / "my file 2").read_text() == "one\n"
    run_command(chat, '/save "talk 2"')
    assert (tmp_path / "talk 2").read_text().startswith("# Conversation\n")


@pytest.mark.parametrize("agreed", [True, False, None])
def test_a_block_of_code_goes_over_a_file_only_if_that_is_agreed(chat, tmp_path, agreed):
    reply_with_code(chat)
    chat.confirm = lambda question: agreed
    (tmp_path / "old.py").write_text("mine")
    with suppress(UsageError):
        run_command(chat, "/save old.py 1")
    assert (tmp_path / "old.py").read_text() == ("one\n" if agreed else "mine")


def test_a_block_of_code_goes_through_no_link(chat, tmp_path):
    reply_with_code(chat)
    chat.confirm = lambda question: True
    (tmp_path / "link.py").symlink_to(tmp_path / "target.py")
    with pytest.raises(UsageError, match="symbolic link"):
        run_command(chat, "/save link.py 1")
    assert not (tmp_path / "target.py").exists()


@pytest.mark.parametrize("number", ["0", "3", "2026"])
def test_a_number_that_no_block_has_writes_nothing(chat, tmp_path, number):
    reply_with_code(chat)
    with pytest.raises(UsageError) as caught:
        run_command(chat, f"/save run.sh {number}")
    assert "2 code blocks" in caught.value.hint
    assert not (tmp_path / "run.sh").exists()


def test_an_export_is_always_of_the_conversation(chat, tmp_path):
    reply_with_code(chat)
    run_command(chat, "/export talk 1")
    assert (tmp_path / "talk 1").read_text().startswith("# Conversation\n")


def test_load_of_what_cannot_be_loaded(chat, tmp_path):
    chat.ask("hello")
    (tmp_path / "bad.json").write_text("{")
    for line in ("/load", "/load nowhere.json", "/load bad.json"):
        with pytest.raises(GlmError):
            run_command(chat, line)
    assert texts(chat) == ["hello", "hello"]


@pytest.mark.parametrize("line", ["/save x.pdf", "/export s.DOCX"])
def test_what_cannot_be_written_is_refused_and_not_written_as_something_else(chat, tmp_path, line):
    chat.ask("hello")
    with pytest.raises(UsageError, match=r"cannot be saved as \.") as caught:
        run_command(chat, line)
    assert ".md, .json or .jsonl" in caught.value.hint
    assert not (tmp_path / line.split()[1]).exists()


@pytest.mark.parametrize("name", ["talk", "talk.md", "talk.MARKDOWN", "talk.txt"])
def test_markdown_is_what_people_read(chat, tmp_path, name):
    chat.ask("hello")
    run_command(chat, f"/save {name}")
    assert (tmp_path / name).read_text().startswith("# hello\n")


def test_save_of_nothing(chat):
    with pytest.raises(UsageError):
        run_command(chat, "/save")


def test_an_attached_file_waits_for_the_next_message(chat, tmp_path):
    (tmp_path / "notes.txt").write_text("alpha beta")
    said = run_command(chat, "/attach notes.txt")
    header = f"File: {tmp_path / 'notes.txt'} (10 bytes, sha256 "
    assert said.startswith(header)
    assert said.endswith("), 10 tokens: goes with the next message")
    assert "alpha beta" in chat.attached[0]
    assert run_command(chat, "/attach") == header + chat.attached[0][len(header) :].split("\n")[0]
    run_command(chat, "/attach notes.txt")
    assert len(chat.attached) == 1  # once is enough
    with pytest.raises(UsageError):
        run_command(chat, "/attach nowhere.txt")
    assert run_command(chat, "/attach off") == "no file goes with the next message"
    assert chat.attached == []


class Uncounted(EchoEngine):
    def count(self, messages, cancel=None, think=None):
        return None


@pytest.mark.parametrize("engine", [EchoEngine, Uncounted])
def test_a_file_that_alone_exceeds_the_window_is_not_attached(chat, tmp_path, engine):
    chat.session.use(engine(context_tokens=50), "echo:")
    (tmp_path / "long.txt").write_text("word " * 100)
    with pytest.raises(UsageError, match="this alone fills the window of 50 tokens") as caught:
        run_command(chat, "/attach long.txt")
    assert caught.value.hint.startswith('glm ask --long map "QUESTION" -a FILE answers')
    assert chat.attached == []
    (tmp_path / "short.txt").write_text("word " * 20)
    assert "goes with the next message" in run_command(chat, "/attach short.txt")


def test_a_path_may_be_quoted_or_escaped_as_in_a_shell(chat, tmp_path):
    (tmp_path / "my notes.txt").write_text("alpha")
    for typed in ('"my notes.txt"', "'my notes.txt'", "my\\ notes.txt", "my notes.txt"):
        run_command(chat, "/attach off")
        assert "my notes.txt (5 bytes" in run_command(chat, f"/attach {typed}")
    chat.ask("hello")
    run_command(chat, '/save "my talk.json"')
    assert json.loads((tmp_path / "my talk.json").read_text())["messages"]
    assert "loaded 1 turn" in run_command(chat, "/load 'my talk.json'")


@pytest.mark.parametrize("path", ["~nobody/x", "x" * 300, "a\0b", "", "/root\0/x"])
@pytest.mark.parametrize("command", ["attach", "load", "save", "export", "system @"])
def test_a_path_that_can_be_none_is_refused_in_one_line(chat, command, path):
    chat.ask("hello")
    line = f"/{command}{path}" if command == "system @" else f"/{command} {path}"
    if path or command not in ("attach", "save"):
        with pytest.raises(GlmError) as caught:
            run_command(chat, line)
        assert caught.value.message
        assert "\n" not in caught.value.message


def test_a_conversation_cannot_be_saved_to_a_folder(chat, tmp_path):
    chat.ask("hello")
    with pytest.raises(GlmError, match="is a folder"):
        run_command(chat, f"/save {tmp_path}")


@pytest.mark.parametrize("command", ["/save", "/export"])
@pytest.mark.parametrize("there", [True, False])
def test_a_link_is_never_followed_out_of_what_was_named(chat, tmp_path, command, there):
    outside = tmp_path / "home" / "config.toml"
    if there:
        outside.parent.mkdir(exist_ok=True)
        outside.write_text("before")
    (tmp_path / "talk.md").symlink_to(outside)
    chat.ask("hello")
    with pytest.raises(UsageError, match=r"talk\.md is a symbolic link to .*config\.toml"):
        run_command(chat, f"{command} talk.md")
    assert (outside.read_text() if there else outside.exists()) == ("before" if there else False)


def test_help_names_every_command_once_and_fits_24_rows_of_80_columns(chat):
    from glmcli.chat.commands import COMMANDS

    shown = run_command(chat, "/help")
    named = re.findall(r"(?m)(?:^| )/([a-z]+)(?= |$)", shown.split("COMMAND says")[0])
    assert {*COMMANDS} <= {*named}
    assert all(named.count(name) == 1 for name in {*COMMANDS} - {"edit", "copy", "help"})
    assert shown.splitlines()[0].startswith("/reset")
    assert len(hang(shown, 80).splitlines()) <= 24 - 2  # the prompt and the row below it


def test_help_of_one_command_says_all_about_it(chat):
    assert "NAME=VALUE" in run_command(chat, "/help retry")
