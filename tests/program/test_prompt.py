"""The line editor on a real terminal: what is typed and pasted, whole and only when it is sent."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

from tests.support.term import Term
from tests.support.tmux import GLM, Tmux, needs_tmux

pytestmark = pytest.mark.pty
SLOW = "echo:delay=0.1"
LONG = "\r".join(f"line{n}" for n in range(40))


@pytest.fixture
def start(open_term):
    return lambda *options, **env: open_term("chat", "-m", "echo:", *options, **env).at_prompt()


@pytest.fixture
def window(tmp_path):
    with Tmux(*GLM, "chat", "-m", SLOW, home=tmp_path) as tmux:
        yield tmux.at_prompt()


def pasted(text: str) -> str:
    return f"\x1b[200~{text}\x1b[201~"


@needs_tmux
def test_pasting_while_a_reply_streams_never_sends(window):
    window.type(" ".join("abcdefghijklmno"), "Enter").see("\na b c")
    window.run("set-buffer", "pasted one\npasted two\n")
    window.run("paste-buffer", "-p")
    window.see("15 tokens").see("> pasted one\n  pasted two")
    assert window.text().count("pasted one") == 1
    window.type("C-c").at_prompt()


@needs_tmux
def test_pasting_right_after_enter_never_sends(window):
    window.type("one", "Enter")
    window.run("set-buffer", "pasted one\npasted two\n")
    window.run("paste-buffer", "-p")
    window.see("1 token").see("> pasted one\n  pasted two")
    assert window.text().count("pasted two") == 1


def test_ctrl_c_stops_a_reply_behind_a_paste_that_fills_the_terminals_buffer(tmp_path):
    with Term("chat", "-m", SLOW, home=tmp_path) as term:
        term.at_prompt().type(" ".join(f"w{n}" for n in range(200)) + "\r").see("\nw0 w1")
        term.type(pasted("x" * 20_000)).type("\x03").see("stopped")
        term.at_prompt("[paste 1: 20,000 characters]")


def test_chinese_pasted_in_the_middle_of_a_reply_arrives_whole(tmp_path):
    text = "春江潮水连海平，海上明月共潮生。" * 500
    with Term("chat", "-m", "echo:delay=0.02", home=tmp_path) as term:
        term.at_prompt().type(" ".join(f"w{n}" for n in range(20)) + "\r").see("\nw0 w1")
        term.type(pasted(text)).see("20 tokens").at_prompt("[paste 1: 8,000 characters]")
        term.type("\x7f").at_prompt()


def test_backspace_deletes_a_placeholder_whole_and_undo_brings_it_back(start):
    term = start().type("see " + pasted(LONG)).at_prompt("see [paste 1: 40 lines]")
    term.type("\x7f").at_prompt("see").type("\x1f").at_prompt("see [paste 1: 40 lines]")
    term.type("\r").see("41 tokens").at_prompt()
    assert term.text().count("[paste 1: 40 lines]") == 1


def test_a_placeholder_is_expanded_wherever_the_cursor_is(start):
    term = start().type(pasted(LONG) + "end").at_prompt("[paste 1: 40 lines]end")
    term.type("\x01\x0f").until(lambda t: "[paste" not in t.text(), "the whole paste")
    term.type("\r").see("line39end\n40 tokens")


def test_a_placeholder_stays_one_and_says_what_comes_before_it_counts_as_typed(start):
    term = start().type(pasted(LONG)).at_prompt("[paste 1: 40 lines]").type("\x14")
    term.see("Ctrl-O first shows the whole paste").at_prompt("[paste 1: 40 lines]")
    term.type("\r").see("line39\n40 tokens").at_prompt()


def test_text_that_looks_like_a_placeholder_is_text(start):
    term = start().type(pasted(LONG)).at_prompt("[paste 1: 40 lines]").type("\x03").at_prompt()
    term.type("[paste 1: 40 lines]\r").see("4 tokens").at_prompt()


@pytest.mark.parametrize("how", ["pasted", "typed", "edited", "recalled"])
def test_a_character_of_the_private_use_brings_no_earlier_paste_along(start, tmp_path, how):
    char = "\U0010fe00"
    editor = tmp_path / "editor.sh"
    editor.write_text(f'#!/bin/sh\nprintf "x{char}y" > $1\n')
    editor.chmod(0o755)
    if how == "recalled":
        (tmp_path / "prompt_history").write_text(f"\n# then\n+x{char}y\n")
    term = start(EDITOR=str(editor)).type(pasted(LONG)).see(": 40 lines]").type("\x03").at_prompt()
    term.type(
        {
            "pasted": pasted(f"x{char}y"),
            "typed": f"x{char}y",
            "edited": "\x18\x05",
            "recalled": "\x1b[A",
        }[how]
    )
    term.until(lambda t: t.prompt_row().startswith("> x"), "the draft")
    term.type("\r").see("1 token ")
    assert "line0" not in term.text()


def test_control_characters_look_the_same_in_a_draft_and_when_sent(start, tmp_path):
    (tmp_path / "no\u202etes.txt").write_text("alpha")
    (tmp_path / "prompt_history").write_text("\n# then\n+old\u2066line\n")
    term = start().type(pasted("a\u202eb\u2028c\u2029d")).at_prompt("a<U+202E>b<U+2028>c<U+2029>d")
    term.type("\r").see("\na<U+202E>b").at_prompt()
    term.type("/attach no\t").at_prompt("/attach no<U+202E>tes.txt").type("\x03").at_prompt()
    term.type("ol").at_prompt("old<U+2066>line")
    assert not {"\u202e", "\u2028", "\u2029", "\u2066"} & set(term.raw)


def test_tabs_in_a_paste_are_shown_as_blanks_and_sent_as_tabs(start):
    term = start().type(pasted("if x:\r\ty")).see("> if x:\n      y").type("\r").see("3 tokens")
    assert "^I" not in term.text()


def test_a_backslash_makes_a_new_line_in_the_middle_of_a_draft_too(start):
    start().type("onetwo\x1b[D\x1b[D\x1b[D\\\r").see("> one\n  two")


def test_with_multiline_alt_enter_sends_what_ends_in_a_backslash(start):
    term = start().type("/multiline\r").see("Alt-Enter sends").at_prompt()
    term.type("a\\\x1b\r").see("1 token").at_prompt()


def test_ctrl_space_which_toggles_input_methods_changes_nothing(start):
    start().type("abc\x00 def 你好").at_prompt("abc def 你好")


def test_delete_takes_what_people_see_as_one_character(start):
    term = start().type("👍🏽x\x01").at_prompt("👍🏽x")
    term.type("\x1b[3~").at_prompt("x").type("\x05👍🏽\x1b[D\x1b[D").at_prompt("x👍🏽")
    term.type("\x04").at_prompt("x")


def test_alt_enter_makes_a_new_line_with_vi_keys_and_escape_then_enter_sends(start):
    term = start("--vi").type("one\x1b\rtwo").see("> one\n  two")
    term.type("\x1b").until(lambda t: t.screen.cursor.x == 4, "the cursor on the last letter")
    term.type("\r").see("\n2 tokens").at_prompt()


def test_multiline_with_vi_keys_can_be_left_again(start):
    term = start("--vi").type("/multiline\r").see("Alt-Enter sends").at_prompt()
    term.type("one\rtwo\x1b\r").see("\n2 tokens").at_prompt()
    term.type("three\x1b").until(lambda t: t.screen.cursor.x == 6, "the navigation mode")
    term.type("\r").see("1 token").at_prompt()


def test_ctrl_c_goes_back_to_vis_insert_mode(start):
    term = start("--vi").type("draft\x1b").until(lambda t: t.screen.cursor.x == 6, "the mode")
    term.type("\x03").at_prompt().type("word").at_prompt("word")


def test_ctrl_c_twice_leaves_only_at_the_same_prompt(start):
    term = start().type("\x03").see("Ctrl-C again").type("hello\r").see("1 token").at_prompt()
    term.type("\x03").see("Ctrl-C again").at_prompt().type("x").at_prompt("x")
    assert "Ctrl-C again" not in term.text()


def test_a_slash_that_begins_no_command_is_text(start):
    term = start().type(pasted("/* a comment */\rint x;") + "\r").see("6 tokens").at_prompt()
    term.type("// another comment\r").until(lambda t: "3 tokens" in t.text(), "the reply")
    assert term.text().count("// another comment") == 2


def test_a_long_line_is_not_suggested(start):
    term = start().type("{" + "x" * 400 + "\r").see("1 token").at_prompt()
    term.type("{").at_prompt("{").type("\x03").at_prompt()


def test_a_command_that_failed_is_not_suggested_in_this_chat_nor_the_next(start):
    term = start().type("/set temperature 0.5\r").see("temperature").at_prompt()
    term.type("/set temperature hot\r").see("not a number").at_prompt()
    term.type("/set t").at_prompt("/set temperature 0.5").type("\x03").at_prompt().type("\x04")
    term.ended()
    term = start().at_prompt().type("/set t").at_prompt("/set temperature 0.5")
    term.type("\x03").at_prompt().type("\x1b[A").at_prompt("/set temperature hot")


def test_the_engine_opens_though_the_first_line_is_a_command(start):
    start().type("/title\r").see("(no title yet)").at_prompt().see("echo · 0 / 8,192 tokens")


def test_what_follows_a_command_is_completed(start):
    term = start().type("/set thinki\t").at_prompt("/set thinking")
    term.type("sh\t").at_prompt("/set thinking show").type("\x03").at_prompt()
    term.type("/help cop\t").at_prompt("/help copy").type("\x03").at_prompt()
    term.type("/thinking h\t").at_prompt("/thinking hide").type("\x03").at_prompt()
    term.type("/think of\t").at_prompt("/think off").type("\x03").at_prompt()
    term.type("/retry temp\t0.5 se\t").at_prompt("/retry temperature=0.5 seed=")


def test_a_folder_is_completed_with_a_slash(start, tmp_path):
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "a.txt").write_text("alpha")
    term = start().type("read @not\t").at_prompt("read @notes/")
    term.type("\t").at_prompt("read @notes/a.txt")


def test_a_menu_of_one_is_taken_by_tab_so_that_enter_sends(start):
    term = start().type("/titl").see("/title  ").type("\t").at_prompt("/title")
    term.type("\r").see("(no title yet)").at_prompt()


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("exit 3", "ended with 3"),
        ("rm $1", "left no file behind"),
        (r"printf '\377' > $1", "did not save UTF-8"),
    ],
)
def test_an_editor_that_fails_loses_no_draft(start, tmp_path, script, said):
    editor = tmp_path / "editor.sh"
    editor.write_text(f"#!/bin/sh\n{script}\n")
    editor.chmod(0o755)
    term = start(EDITOR=str(editor)).type("draft").at_prompt("draft").type("\x18\x05").see(said)
    term.at_prompt("draft")
    assert "Traceback" not in term.raw


def test_the_editor_may_save_line_ends_of_windows(start, tmp_path):
    editor = tmp_path / "editor.sh"
    editor.write_text('#!/bin/sh\nprintf "one\\r\\ntwo\\n" > $1\n')
    editor.chmod(0o755)
    start(EDITOR=str(editor)).type("\x18\x05").see("> one\n  two")


def test_a_missing_editor_is_said_so(start):
    start(EDITOR="no-such-editor").type("draft\x18\x05").see("cannot be used").at_prompt("draft")


def test_the_editor_gets_a_paste_whole(start, tmp_path):
    editor = tmp_path / "editor.sh"
    editor.write_text('#!/bin/sh\nprintf "%s lines" $(grep -c line $1) > $1\n')
    editor.chmod(0o755)
    start(EDITOR=str(editor)).type(pasted(LONG) + "\x18\x05").at_prompt("40 lines")


def test_ctrl_c_in_the_editor_is_the_editors_business(start, tmp_path):
    editor = tmp_path / "editor.sh"
    editor.write_text("#!/bin/sh\ntrap 'exit 1' INT\necho EDITING\nread line\n")
    editor.chmod(0o755)
    term = start(EDITOR=str(editor)).type("draft\x18\x05").see("EDITING")
    term.type("\x03").see("ended with 1").at_prompt("draft")


def test_a_draft_higher_than_the_window_is_shown_once_when_it_is_sent(tmp_path):
    with Term("chat", "-m", "echo:", home=tmp_path, cols=40, rows=10) as term:
        draft = "\n".join(f"row{n}" for n in range(15))
        term.at_prompt().type(draft.replace("\n", "\x0a")).see("row14")
        term.type("\x1b[A" * 14).see("row0").type("\r").see("15 tokens").at_prompt()
        assert [term.text().split().count(f"row{n}") for n in range(15)] == [2] * 15
        assert term.text().count("tokens") == 2  # the reply's, and the toolbar


@needs_tmux
def test_a_draft_is_there_once_after_the_window_changed(window):
    draft = "a draft of some forty seven characters, or more"
    window.type("/help", "Enter").see("/undo").at_prompt().type(draft).at_prompt(draft)
    for columns in (50, 30, 100, 40):  # at once, as when a window is dragged
        window.resize(columns, 24)
    window.see("characters\n  , or more")
    window.resize(20, 24).see("rty seven characte\n  rs, or more")
    window.resize(80, 24).at_prompt(draft)
    assert window.text().count("> a draft") == 1


@pytest.mark.parametrize("rows", [3, 5])
def test_a_window_of_few_rows_has_a_prompt(tmp_path, rows):
    with Term("chat", "-m", "echo:", home=tmp_path, rows=rows) as term:
        term.at_prompt().type("hello\r").see("1 token").at_prompt()


@needs_tmux
def test_shift_space_is_a_blank_where_terminals_tell_it_apart(window):
    window.type("abc", "Escape", "[32;2u", "def").at_prompt("abc def")


def test_on_a_dumb_terminal_ctrl_c_clears_the_line_and_twice_leaves(start):
    term = start(TERM="dumb").type("draft").see("draft")
    term.type("\x03").see("Ctrl-C again").at_prompt()
    term.type("one\\\rtwo three\r").see("3 tokens").at_prompt()
    assert "\x1b" not in term.raw
    term.type("\x03").until(lambda t: t.text().count("Ctrl-C again") == 2, "the hint")
    term.at_prompt().type("\x03").see("to come back: ")
    assert term.ended() == 0 and "^Cto" not in term.text()


def test_on_a_dumb_terminal_ctrl_d_leaves_the_last_line_on_a_row_of_its_own(start):
    term = start(TERM="dumb").type("one\r").see("1 token").at_prompt().type("\x04")
    term.see("\nto come back: ")
    assert term.ended() == 0


def test_on_a_dumb_terminal_no_key_is_promised_that_does_nothing(start):
    term = start(TERM="dumb").type("/help\r").see("behind a backslash").at_prompt()
    shown = term.text()
    for key in ("Alt-Enter", "Tab", "Ctrl-R", "Ctrl-X", "Ctrl-O", "Ctrl-T", "Ctrl-J"):
        assert key not in shown
    term.type("/multiline\r").see("Enter always sends here").at_prompt()


def test_on_a_dumb_terminal_ctrl_c_twice_leaves_only_where_nothing_was_typed_between(start):
    term = start(TERM="dumb").type("\x03").see("Ctrl-C again").at_prompt().type("\r")
    term.until(lambda t: t.lines().count(">") == 2, "another prompt").type("\x03")
    term.until(lambda t: t.text().count("Ctrl-C again") == 2, "the hint").at_prompt()


def test_a_dumb_terminal_needs_no_line_editor(tmp_path):
    code = "import sys, glmcli.terminal.input.plain_prompt; print('prompt_toolkit' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, check=True)
    assert done.stdout == b"False\n"


def test_on_a_dumb_terminal_the_prompt_is_there_again_after_it_was_suspended(tmp_path):
    with Term("chat", "-m", "echo:", home=tmp_path, shell=True, TERM="dumb") as term:
        term.at_shell().type(term.command_line + "\r").at_prompt().type("\x1a").see("Stopped")
        term.at_shell().type("fg\r").at_prompt().type("one\r").see("1 token")


def test_an_editor_that_ctrl_c_stops_is_said_so_on_a_row_of_its_own(start, tmp_path):
    editor = tmp_path / "editor.sh"
    editor.write_text("#!/bin/sh\necho EDITING\nread line\n")
    editor.chmod(0o755)
    term = start(EDITOR=str(editor)).type("one\r").see("1 token").at_prompt()
    term.type("/edit 1\r").see("EDITING").type("\x03")
    term.see("\nthe editor editor.sh was stopped\n").at_prompt()


def test_on_a_dumb_terminal_text_typed_ahead_is_there_at_the_prompt(tmp_path):
    with Term("chat", "-m", "echo:delay=0.05", home=tmp_path, TERM="dumb") as term:
        term.at_prompt().type("a b c d e f g h\r").see("\na b c").type("ahead")
        term.see("8 tokens").at_prompt("ahead").type(" of time\r").see("3 tokens")


def test_a_line_that_is_typed_before_the_first_prompt_is_sent(tmp_path):
    with Term("chat", "-m", "echo:", home=tmp_path) as term:
        term.type("hello there\r").see("\n2 tokens").at_prompt()


def test_the_toolbar_shows_what_matters_in_a_narrow_window(tmp_path):
    model = "/nowhere/" + "very-" * 20 + "long"
    with Term("chat", "-m", model, home=tmp_path, cols=40) as term:
        term.at_prompt().see("there is no folder").type("\x03").see("Ctrl-D leaves")
    with Term("chat", "-m", "echo:window=8192,delay=0", home=tmp_path, cols=36) as term:
        term.at_prompt().see("0 / 8,192 tokens")


def rows_below(term: Term) -> list[str]:
    """What stands from the prompt on."""
    rows = term.lines()
    while rows and not rows[-1]:
        rows.pop()
    return rows[max(n for n, row in enumerate(rows) if row.startswith(">")) :]


def test_no_row_above_the_toolbar_is_empty_but_those_of_an_open_menu(start):
    term = start()
    term.see(" echo · 0 / 8,192 tokens")
    assert len(rows_below(term)) == 2
    term.type("/re").see("/reset")
    assert len(rows_below(term)) == 6
    term.type("\x03").at_prompt().until(lambda t: len(rows_below(t)) == 2, "the toolbar below")
    term.type("one\ntwo\nthree\x0a").see("three")
    term.type("\x03").at_prompt().until(lambda t: len(rows_below(t)) == 2, "the toolbar below")
    assert "/reset" not in term.text()


@pytest.mark.parametrize("env", [{}, {"NO_COLOR": "1"}])
def test_a_question_is_bold_and_marked_and_its_reply_is_not(start, env):
    term = start(**env).type("hello there\r").see("2 tokens").at_prompt()
    rows = [term.screen.buffer[y] for y in range(term.screen.lines)]
    mark, question = next((row[0], row[2]) for row in rows if row[0].data == ">")
    reply = next(row[0] for row in rows if row[0].data == "h")
    assert question.bold
    assert not reply.bold
    assert mark.fg == ("default" if env else "cyan")
    assert question.fg == reply.fg == "default"


@pytest.mark.parametrize("pause", [0.0, 0.6])
def test_a_command_behind_an_escape_is_one_all_the_same(start, pause):
    term = start()
    term.type("\x1b")
    time.sleep(pause)
    term.type("/title seen\r").see("seen").at_prompt()
    term.type("/tokens\r").see("session: 0 turns")


def test_a_line_taller_than_the_window_is_seen_above_the_cursor_behind_it(open_term):
    term = open_term("chat", "-m", "echo:", cols=60, rows=24).at_prompt()
    term.type(f"\x1b[200~{'w ' * 1500}\n\x1b[201~").see("[paste 1").type("\x0f")
    term.until(lambda t: sum("w w w w" in row for row in t.lines()) > 15, "the draft")
