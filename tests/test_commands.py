from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

import pytest

from glmcli.commands import COMMANDS, Chat, is_command, literal, run_command
from glmcli.config import Settings
from glmcli.engines.echo import EchoEngine
from glmcli.errors import GlmError, UsageError
from glmcli.session import Session
from glmcli.store import open_store
from glmcli.terminal.view import BaseView
from glmcli.types import GenerationParams, Message, Omission


class Quiet(Chat):
    def ask(self, text, *, after=None):
        self.session.ask(text, BaseView(), after=after)


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
        ("/help!", True),
        ("/* a comment */", False),
        ("// another", False),
        ("/ and nothing", False),
        ("/路径", True),
        ("/?", True),
        ("/?? what", False),
        ("help", False),
        ("1/2", False),
        ("", False),
    ],
)
def test_what_is_a_command(line, expected):
    assert is_command(line) is expected


def test_a_double_slash_sends_a_literal_one():
    assert literal("//help") == "/help"
    assert literal("  //help me") == "  /help me"
    assert literal("// a comment") == "// a comment"
    assert literal("plain") == "plain"


@pytest.fixture(autouse=True)
def english(monkeypatch):
    for name in ("LANGUAGE", "LC_ALL", "LC_MESSAGES", "LANG"):
        monkeypatch.delenv(name, raising=False)


def test_every_command_has_a_help_line_that_is_a_sentence():
    for item in COMMANDS.values():
        assert item.help[0].isupper(), item.name
        assert len(item.help) < 90, item.name


def test_help_lists_every_command(chat):
    shown = run_command(chat, "/help")
    for name in COMMANDS:
        assert f"/{name}" in shown


def test_help_is_in_chinese_where_the_locale_is(chat, monkeypatch):
    monkeypatch.setenv("LC_ALL", "zh_CN.UTF-8")
    shown = run_command(chat, "/help")
    assert "退出" in shown
    for name, item in COMMANDS.items():
        assert any("\u4e00" <= char <= "\u9fff" for char in item.help), name


def test_help_of_one_command(chat):
    assert run_command(chat, "/help save").startswith("/save [FILE]")
    with pytest.raises(UsageError):
        run_command(chat, "/help nonsense")


@pytest.mark.parametrize(("typed", "meant"), [("/rest", "/reset"), ("/toknes", "/tokens")])
def test_an_unknown_command_suggests_the_nearest(chat, typed, meant):
    with pytest.raises(UsageError) as caught:
        run_command(chat, typed)
    assert meant in caught.value.hint


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("/clear", "/reset starts a new conversation"),
        ("/new", "/reset starts a new conversation"),
        ("/stop", "Ctrl-C stops a reply"),
        ("/bye", "/exit leaves"),
        ("/list", "/history lists"),
        ("/search sea", "/history lists"),
        ("/退出", "/exit 退出"),
        ("/xyzzy", "/help lists the commands"),
    ],
)
def test_a_command_of_other_chats_is_told_what_it_is_called_here(chat, typed, meant):
    with pytest.raises(UsageError) as caught:
        run_command(chat, typed)
    assert caught.value.hint.startswith(meant)
    assert caught.value.hint.endswith(f"; //{typed.split()[0][1:]} sends it as text")


def test_a_question_mark_is_help(chat):
    assert run_command(chat, "/?") == run_command(chat, "/help")
    assert run_command(chat, "/? save") == run_command(chat, "/help save")


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
    for line in ("/retry max_tokens=x", "/retry nonsense=1", "/retry top_k", "/retry stats=off"):
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
    assert asked == [f"{tmp_path / 'old.md'} exists already: overwrite it?"]
    assert ((tmp_path / "old.md").read_text() == "mine") is not agreed
    assert str(tmp_path / "old.md") in said


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


def test_continue_goes_on_with_the_same_reply(chat):
    run_command(chat, "/set max_tokens 2")
    chat.ask("a b c")
    assert texts(chat) == ["a b c", "a b "]
    run_command(chat, "/continue")
    assert texts(chat) == ["a b c", "a b c"]
    stored = chat.session.store.load(chat.session.conversation.id)
    assert [item.text for item in stored.messages] == texts(chat)


def test_edit_goes_on_from_an_earlier_question(chat):
    chat.ask("one")
    chat.ask("two")
    chat.edit = lambda text: text.replace("one", "uno") + "\n"
    run_command(chat, "/edit 1")
    assert texts(chat) == ["uno", "uno"]


def test_an_edit_that_is_emptied_changes_nothing(chat):
    chat.ask("one")
    chat.edit = lambda text: "\n"
    run_command(chat, "/edit")
    assert texts(chat) == ["one", "one"]


def test_copy_takes_the_reply_or_a_code_block(chat):
    copied = []
    chat.copy = copied.append
    chat.ask("look:\n\n```python\nx = 1\n```\n\nand\n\n```\ny\n```")
    run_command(chat, "/copy")
    run_command(chat, "/copy 1")
    run_command(chat, "/copy 2")
    assert copied[0].startswith("look:")
    assert copied[1:] == ["x = 1\n", "y\n"]
    with pytest.raises(UsageError, match="3"):
        run_command(chat, "/copy 3")


def test_redraw_shows_the_last_reply(chat):
    shown = []
    chat.show = lambda message: shown.append(message.text)
    with pytest.raises(UsageError):
        run_command(chat, "/redraw")
    chat.ask("hello")
    run_command(chat, "/redraw")
    assert shown == ["hello"]


def test_branches_can_be_seen_and_gone_back_to(chat):
    chat.ask("one")
    chat.ask("two")
    run_command(chat, "/undo")
    chat.ask("zwei")
    tree = run_command(chat, "/tree").splitlines()
    assert tree == ["  1 * one → one", "  2     two → two", "  3 *   zwei → zwei"]
    run_command(chat, "/goto 2")
    assert texts(chat) == ["one", "one", "two", "two"]
    for line in ("/goto 9", "/goto", "/goto x"):
        with pytest.raises(UsageError):
            run_command(chat, line)


def test_a_reply_that_was_asked_for_again_can_be_gone_back_to(chat):
    chat.ask("one two three")
    run_command(chat, "/retry max_tokens=1")
    assert run_command(chat, "/tree").split("\n") == [
        "  1   one two three → one two three",
        "  2 * one two three → one",
    ]
    run_command(chat, "/goto 1")
    assert texts(chat) == ["one two three", "one two three"]
    chat.ask("a question that is longer than a line of the tree may be")
    assert run_command(chat, "/tree").split("\n")[1] == (
        "  3 * a question that is longer than… → a question that is longer than…"
    )


def test_rows_of_the_tree_are_as_wide_as_they_look(chat):
    chat.ask("天" * 100)
    assert run_command(chat, "/tree") == f"  1 * {'天' * 15}… → {'天' * 15}…"


def test_a_tool_s_call_and_result_are_turns_of_the_tree(chat):
    chat.session.conversation.messages += [Message("user", "weather?"), Message("assistant", "f()")]
    chat.session.ask(Message("tool", "22"), BaseView())
    assert run_command(chat, "/tree").split("\n") == ["  1 * weather? → f()", "  2 * 22 → weather?"]


def test_a_question_without_a_reply_is_in_the_tree(chat):
    chat.session.conversation.messages.append(Message("user", "alone"))
    chat.session.store.save(chat.session.conversation)
    assert run_command(chat, "/tree") == "  1 * alone"


def test_fork_leaves_the_original_as_it_is(chat):
    chat.ask("one")
    before = chat.session.conversation.id
    run_command(chat, "/fork")
    chat.ask("two")
    assert chat.session.conversation.id != before
    assert [item.text for item in chat.session.store.load(before).messages] == ["one", "one"]


@pytest.mark.parametrize("line", ["/fork", "/tree", "/goto 1"])
def test_branches_need_a_history(chat, tmp_path, line):
    chat.session.store = open_store(tmp_path / "none", enabled=False)
    chat.ask("one")
    with pytest.raises(UsageError, match="not saved"):
        run_command(chat, line)


def test_history_and_resume(chat):
    shown = []
    chat.show = lambda message: shown.append(message.text)
    run_command(chat, "/set temperature 0.3")
    chat.ask("the first one")
    first = chat.session.conversation.id
    run_command(chat, "/reset")
    run_command(chat, "/set temperature default")
    chat.ask("another")
    assert first in run_command(chat, "/history")
    marked = []
    chat.mark = lambda head, pieces: marked.append((head, pieces))
    assert run_command(chat, "/history first") == ""
    assert marked == [(first, [("the ", False), ("first", True), (" one", False)])]
    assert run_command(chat, "/history nowhere") == "nothing found"
    said = run_command(chat, "/resume")
    assert first in said
    assert texts(chat) == ["the first one", "the first one"]
    assert shown == texts(chat)
    assert chat.session.params.temperature == 0.3


def test_settings_from_the_command_line_outlive_those_of_another_conversation(chat):
    run_command(chat, "/set temperature 0.9")
    run_command(chat, "/set top_p 0.5")
    chat.ask("the first one")
    first = chat.session.conversation.id
    run_command(chat, "/save talk.json")
    run_command(chat, "/reset")
    chat.settings = Settings(temperature=0.1)
    for line in (f"/resume {first}", "/load talk.json"):
        chat.session.params = GenerationParams()
        with suppress(UsageError):
            run_command(chat, line)
        assert (chat.session.params.temperature, chat.session.params.top_p) == (0.1, 0.5), line


def test_a_summary_is_shown_and_given_up(chat):
    assert run_command(chat, "/summary") == "the whole conversation is sent"
    with pytest.raises(UsageError, match="/summary does not know on"):
        run_command(chat, "/summary on")
    chat.ask("one two")
    chat.ask("three")
    chat.session.conversation.omitted = Omission(2, "in short")
    chat.session.store.summarise(chat.session.conversation)
    assert run_command(chat, "/summary") == "instead of the oldest turn (2 tokens): in short"
    run_command(chat, "/resume " + chat.session.conversation.id)
    assert chat.session.conversation.omitted == Omission(2, "in short")
    with pytest.raises(UsageError):
        run_command(chat, "/summary on")
    run_command(chat, "/summary off")
    assert len(chat.session.conversation.prompt()) == 4
    run_command(chat, "/resume " + chat.session.conversation.id)
    assert chat.session.conversation.omitted is None


def test_what_becomes_of_a_full_window_is_a_setting(chat):
    assert run_command(chat, "/set context summarise") == "context is summarise"
    assert chat.session.context == "summarise"
    assert run_command(chat, "/set context default") == "context is drop-oldest"
    assert "drop-oldest" in run_command(chat, "/set")
    with pytest.raises(UsageError, match="half"):
        run_command(chat, "/set context half")


def test_title(chat):
    chat.ask("what is the weather like?")
    assert "weather" in run_command(chat, "/title")
    run_command(chat, "/title the sky")
    assert chat.session.store.load(chat.session.conversation.id).title == "the sky"


def test_model_goes_on_with_another_engine(chat):
    chat.ask("one")
    run_command(chat, "/model echo:window=100")
    chat.ask("two")
    assert texts(chat) == ["one", "one", "two", "two"]
    assert chat.session.engine.context_tokens == 100
    assert "echo:window=100" in run_command(chat, "/model")


def test_display_settings(chat):
    run_command(chat, "/set markdown off")
    assert chat.settings.plain
    assert run_command(chat, "/thinking hide") == "thinking is hide"
    assert chat.settings.thinking == "hide"
    run_command(chat, "/think off")
    assert chat.session.params.think is False
    run_command(chat, "/think default")
    assert chat.session.params.think is None
    with pytest.raises(UsageError):
        run_command(chat, "/thinking loud")


def test_stats_count_the_session(chat):
    chat.ask("a b c")
    assert "reply tokens" in run_command(chat, "/stats")


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


def test_a_folder_is_no_file_to_save_to(chat, tmp_path):
    chat.ask("hello")
    with pytest.raises(GlmError, match="is a folder"):
        run_command(chat, f"/save {tmp_path}")


def test_edit_leaves_what_was_written_for_the_next_prompt(chat):
    chat.edit = lambda text: text + "from the editor"
    run_command(chat, "/edit")
    assert chat.draft == "from the editor"
    assert texts(chat) == []


def test_an_edited_question_that_cannot_be_sent_takes_nothing_back(chat):
    chat.ask("one")
    before = texts(chat)
    for edited in ("a\0b", "", "one", "one\n", "\ud800"):
        chat.edit = lambda text, edited=edited: edited
        with suppress(UsageError):
            run_command(chat, "/edit 1")
        assert texts(chat) == before


def test_what_cannot_be_sent_again_stays(chat):
    chat.ask("one")
    chat.session.conversation.messages[0] = Message("user", "a\0b")
    for line in ("/retry", "/continue"):
        with pytest.raises(UsageError, match="NUL"):
            run_command(chat, line)
        assert len(texts(chat)) == 2


def test_a_command_without_arguments_refuses_them(chat):
    chat.ask("one")
    for line in ("/undo 3", "/reset all", "/exit now", "/fork x", "/continue now"):
        with pytest.raises(UsageError, match="takes nothing after it"):
            run_command(chat, line)
    assert texts(chat) == ["one", "one"]


def test_display_settings_can_be_given_back(chat):
    for name, value, default in [
        ("notify", "5", "default"),
        ("thinking", "show", "fold"),
        ("markdown", "off", "on"),
        ("stats", "off", "on"),
    ]:
        run_command(chat, f"/set {name} {value}")
        assert run_command(chat, f"/set {name} default").startswith(f"{name} is {default}"[:9])
    run_command(chat, "/set notify 5")
    for off in ("off", "default"):
        assert run_command(chat, f"/set notify {off}") == "notify is off"
        assert chat.settings.notify is None


def test_a_wrong_value_is_named_as_it_was_typed(chat):
    with pytest.raises(UsageError, match="markdown is 'x', not on or off") as caught:
        run_command(chat, "/set markdown x")
    assert caught.value.hint == "whether replies are rendered"
    with pytest.raises(UsageError, match="/goto needs a number"):
        run_command(chat, "/goto")
    with pytest.raises(UsageError, match="notify is -1"):
        run_command(chat, "/set notify -1")
    with pytest.raises(UsageError, match="has no value"):
        run_command(chat, "/set = 5")
    assert run_command(chat, "/set temperature = 0.5") == "temperature is 0.5"


def test_the_system_prompt_can_be_a_file(chat, tmp_path):
    (tmp_path / "system.txt").write_text("be brief\n")
    assert run_command(chat, "/system @system.txt") == "system: be brief"


def test_the_numbers_of_code_blocks_are_those_of_the_screen(chat):
    copied = []
    chat.copy = copied.append
    chat.session.conversation.messages += [
        Message("user", "code"),
        Message("assistant", "<div>\n```py\none\n```\n</div>\n\n- item\n\n  ```sh\n  two\n  ```\n"),
    ]
    run_command(chat, "/copy 1")
    run_command(chat, "/copy 2")
    assert copied == ["one\n", "two\n"]


def test_a_reply_without_text_can_be_neither_copied_nor_continued(chat):
    chat.session.conversation.messages += [
        Message("user", "why"),
        Message("assistant", "", thinking="because", finish_reason="length"),
    ]
    for line, hint in (("/copy", "/retry"), ("/continue", "/retry")):
        with pytest.raises(UsageError) as caught:
            run_command(chat, line)
        assert hint in caught.value.hint


def test_titles_of_several_lines_are_one_row_of_the_list(chat):
    chat.ask("one")
    run_command(chat, "/title a\nb")
    assert len(run_command(chat, "/history").splitlines()) == 1


def test_what_may_follow_is_known_for_completion(chat):
    chat.ask("one")
    follows = {
        ("think", ""): "off",
        ("thinking", ""): "fold",
        ("set", ""): "temperature ",
        ("set", "thinking "): "thinking show",
        ("set", "context "): "context summarise",
        ("help", ""): "undo",
        ("resume", ""): chat.session.conversation.id,
        ("retry", "seed=1 "): "seed=1 top_p=",
        ("summary", ""): "off",
        ("model", ""): "smollm2",
    }
    for (name, typed), word in follows.items():
        words = [known for known, _ in COMMANDS[name].words(chat, typed)]
        assert word in words, name
        assert len(words) == len(set(words)), name
