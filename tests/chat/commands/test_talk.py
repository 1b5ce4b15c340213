"""Commands that ask again, go on, or change how the model answers."""

from __future__ import annotations

from contextlib import suppress

import pytest

from glmcli.chat.commands import run_command
from glmcli.conversation.typed import untyped_line
from glmcli.errors import UsageError
from glmcli.types import Message
from tests.support.chats import texts


def test_undo_takes_back_the_last_turn(chat):
    chat.ask("one")
    chat.ask("two")
    assert "two" in run_command(chat, "/undo")
    assert texts(chat) == ["one", "one"]
    chat.ask("three")
    stored = chat.session.store.load(chat.session.conversation.id)
    assert [item.text for item in stored.messages] == ["one", "one", "three", "three"]


def test_undo_shows_that_its_line_is_cut(chat):
    chat.ask("word " * 20)
    assert run_command(chat, "/undo") == "took back: " + "word " * 11 + "word…"
    chat.ask("short")
    assert run_command(chat, "/undo") == "took back: short"


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
    assert "(empty)" in run_command(chat, '/system ""')
    assert chat.session.conversation.system == ""
    run_command(chat, "/system off")
    assert chat.session.conversation.system is None


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
    chat.show = lambda message, **_: shown.append(message.text)
    with pytest.raises(UsageError):
        run_command(chat, "/redraw")
    chat.ask("hello")
    run_command(chat, "/redraw")
    assert shown == ["hello"]


def test_edit_leaves_what_was_written_for_the_next_prompt(chat):
    chat.edit = lambda text: text + "from the editor"
    run_command(chat, "/edit")
    assert chat.draft == untyped_line("from the editor")
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


def test_the_name_of_a_file_as_a_system_prompt_is_told(chat, tmp_path):
    (tmp_path / "p.md").write_text("be brief")
    said = "p.md is the system prompt as a word; /system @p.md reads the file"
    assert said in run_command(chat, "/system p.md")
    assert said not in run_command(chat, "/system q.md")
    with pytest.raises(UsageError) as caught:
        run_command(chat, "/set system p.md")
    assert caught.value.hint == "did you mean /system @p.md?"


def test_a_system_prompt_of_several_lines_is_shown_as_it_is(chat):
    chat.session.set_system("Be brief.\n\tBe kind.")
    assert run_command(chat, "/system") == "system: Be brief.\n\tBe kind."
