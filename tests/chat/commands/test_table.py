"""Which lines are commands, what they are called, and what may follow them."""

from __future__ import annotations

from pathlib import Path

import pytest

from glmcli.chat.commands import COMMANDS, command_for, run_command
from glmcli.chat.commands.table import columns
from glmcli.conversation.lines import is_command, literal
from glmcli.conversation.typed import Line
from glmcli.errors import UsageError
from tests.support.chats import texts


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
        ("／help", True),
        ("/?? what", False),
        ("help", False),
        ("1/2", False),
        ("", False),
    ],
)
def test_what_is_a_command(line, expected):
    assert is_command(Line(line)) is expected


def test_a_double_slash_sends_a_literal_one():
    assert literal(Line("//help")).text == "/help"
    assert literal(Line("  //help me")).text == "  /help me"
    assert literal(Line("// a comment")).text == "// a comment"
    assert literal(Line("plain")).text == "plain"


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


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("retyr", "did you mean /help retry?"),
        ("/Resett", "did you mean /help reset?"),
        ("clear", "did you mean /help reset?"),
        ("xyzzy", "/help lists the commands"),
    ],
)
def test_help_of_a_command_that_there_is_not_names_the_one_meant(chat, typed, meant):
    with pytest.raises(UsageError) as caught:
        run_command(chat, f"/help {typed}")
    assert caught.value.hint == meant


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
        ("/files a.py", "did you mean /attach a.py?"),
        ("/models", "in a shell: glm models list"),
        ("/file f.txt say why", "did you mean @f.txt say why?"),
        ("/show info", "did you mean /model?"),
        ("/run ls", "a chat runs no programs"),
        ("/nothink", "did you mean /think off?"),
        ("/stop", "Ctrl-C stops a reply"),
        ("/bye", "/exit leaves"),
        ("/list", "did you mean /history?"),
        ("/search sea", "did you mean /history sea?"),
        ("/saev x.md", "did you mean /save x.md?"),
        ("/pull a/b", "in a shell: glm models pull a/b"),
        ("/退出", "/exit leaves"),
        ("/temperature 0.5", "did you mean /set temperature 0.5?"),
        ("/regenrate", "did you mean /retry?"),
        ("/config set temperature 0.3", "did you mean /set temperature 0.3?"),
        ("/keep 10m", "in a shell: glm config set keep 10m"),
        ("/设置 temperature 0.3", "did you mean /set temperature 0.3?"),
        ("/t：0.5", "did you mean /set temperature 0.5?"),
        ("/格式 json", "in a shell: glm ask --format json"),
        ("/xyzzy", "/help lists the commands"),
    ],
)
def test_a_command_of_other_chats_is_told_what_it_is_called_here(chat, typed, meant):
    Path("f.txt").write_text("f")
    with pytest.raises(UsageError) as caught:
        run_command(chat, typed)
    assert caught.value.hint.startswith(meant)
    assert caught.value.hint.endswith(f" //{typed.split()[0][1:]} sends it as text")
    assert "?;" not in caught.value.hint


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("help", "did you mean /help?"),
        ("帮助", "did you mean /help?"),
        ("?", "did you mean /help?"),
        ("\\help", "did you mean /help?"),
        ("/ help", "did you mean /help?"),
        ("glm models list", "in a shell: glm models list"),
        ("!ls", "a chat runs no programs: that is for a shell"),
        ("ls -l", "a chat runs no programs: that is for a shell"),
        ("git status", "a chat runs no programs: that is for a shell"),
        ("glm ask hello", "here the question alone is typed: hello"),
        (".exit", "/exit leaves"),
        ("、help", "did you mean /help?"),
        ("。退出", "/exit leaves"),
        ("！set temperature 1", "did you mean /set temperature 1?"),
        ("—temperature 0.5", "did you mean /set temperature 0.5?"),
        ("－－temperature＝０．５", "did you mean /set temperature 0.5?"),
        ("-t 0.5", "did you mean /set temperature 0.5?"),
        ("--max-tokens=5", "did you mean /set max_tokens 5?"),
        ("—help", "did you mean /help?"),
        ("—－格式 json", "in a shell: glm ask --format json"),
        ("—model trains are nice", ""),
        ("— help", ""),
        ("-x 5", ""),
        ("-5", ""),
        ("---", ""),
        ("--foo", ""),
        ("find me a cat", ""),
        ("git is good", ""),
        ("glm ask what?", ""),
        ("glm is good", ""),
        ("help me", ""),
        ("hello", ""),
    ],
)
def test_what_is_a_command_elsewhere_is_no_question(typed, meant):
    assert command_for(typed) == meant


def test_a_question_mark_is_help(chat):
    assert run_command(chat, "/?") == run_command(chat, "/help")
    assert run_command(chat, "/? save") == run_command(chat, "/help save")


def test_a_command_without_arguments_refuses_them(chat):
    chat.ask("one")
    for line in ("/undo 3", "/reset all", "/exit now", "/fork x", "/continue now"):
        with pytest.raises(UsageError, match="takes nothing after it"):
            run_command(chat, line)
    assert texts(chat) == ["one", "one"]


def test_what_may_follow_is_known_for_completion(chat):
    chat.ask("one")
    earlier = chat.session.conversation.id
    run_command(chat, "/reset")
    chat.ask("two")
    follows = {
        ("think", ""): "off",
        ("thinking", ""): "fold",
        ("set", ""): "temperature ",
        ("set", "thinking "): "thinking show",
        ("set", "context "): "context summarise",
        ("help", ""): "undo",
        ("resume", ""): earlier,
        ("retry", "seed=1 "): "seed=1 top_p=",
        ("summary", ""): "off",
        ("model", ""): "smollm2",
    }
    for (name, typed), word in follows.items():
        words = [known for known, _ in COMMANDS[name].words(chat, typed)]
        assert word in words, name
        assert len(words) == len(set(words)), name


def test_columns_are_aligned_by_what_is_seen():
    assert columns([("turns", "1"), ("轮数", "2"), ("", "")]) == "turns  1\n轮数   2\n"


@pytest.mark.parametrize("locale", ["C.UTF-8", "zh_CN.UTF-8"])
def test_only_words_of_other_programs_are_no_message(monkeypatch, locale):
    monkeypatch.setenv("LC_ALL", locale)
    assert [command_for(text) for text in ("hello", "你好", "")] == ["", "", ""]
    assert command_for("exit") != ""
