"""The chat on a real pseudo-terminal, with the echo engine."""

from __future__ import annotations

import base64
import os
import re
import signal

import pytest

from glmcli.chat.commands.basics import FOREMOST
from tests.support.term import Term

pytestmark = pytest.mark.pty
SLOW = ("chat", "-m", "echo:delay=0.02")
STORY = " ".join(f"word{n}" for n in range(400))


@pytest.fixture
def start(open_term):
    return lambda *arguments, **env: open_term(*(arguments or ("chat", "-m", "echo:")), **env)


def test_a_first_prompt_a_reply_and_a_second_prompt(start):
    term = start().see("/help").at_prompt()
    term.type("hello 世界\r").until(lambda t: t.text().count("hello 世界") == 2, "the reply")
    term.see("\n2 tokens").at_prompt()
    assert "Traceback" not in term.raw


def test_ctrl_d_leaves_an_empty_line(start):
    term = start().at_prompt()
    term.type("\x04")
    assert term.ended() == 0


def test_exit_leaves(start):
    assert start().at_prompt().type("/exit\r").ended() == 0


def test_the_prompt_comes_before_the_model_is_loaded(start):
    term = start("chat", "-m", "echo:load=3").at_prompt().see("loading")
    term.type("early\r").see("loading the model").see("1 token", timeout=30).at_prompt()


def test_the_first_turn_can_be_an_argument(start):
    start("chat", "-m", "echo:", "first words").see("\n2 tokens").at_prompt()


def test_ctrl_c_keeps_what_arrived_and_the_chat_goes_on(start):
    term = start(*SLOW).at_prompt()
    term.type(STORY + "\r").see("\nword0 ").see("word30")
    term.type("\x03").see("stopped").at_prompt()
    term.type("/undo\r").see("took back: word0").at_prompt()
    assert "Traceback" not in term.raw
    assert "^C" not in term.text()


def test_ctrl_c_while_the_model_loads_gives_the_prompt_back(start):
    term = start("chat", "-m", "echo:load=4").at_prompt()
    term.type("early\r").see("loading the model")
    term.type("\x03").see("stopped before").at_prompt()
    term.type("later\r").see("1 token", timeout=30)


def test_ctrl_c_clears_the_draft_then_says_how_to_leave_then_leaves(start):
    term = start().at_prompt()
    term.type("a draft").at_prompt("a draft")
    term.type("\x03").at_prompt()
    term.type("\x03").see("Ctrl-C again")
    term.type("\x03")
    assert term.ended() == 0


def test_ctrl_j_and_alt_enter_and_a_backslash_make_new_lines(start):
    term = start().at_prompt()
    term.type("one\x0atwo\x1b\rthree\\\rfour\x1b[13;2ufive").see("  five")
    term.type("\r").see("window").at_prompt()
    shown = [line.strip() for line in term.text().splitlines()]
    assert shown.count("one") == 1  # the reply; the draft's first line has the prompt before it
    assert shown.count("four") == 2


def test_pasting_never_sends(start):
    term = start().at_prompt()
    term.type("\x1b[200~line one\rline two\r\x1b[201~").see("line two")
    term.type("end\r").see("5 tokens")


def test_what_is_typed_while_a_reply_streams_waits_unseen_for_the_next_prompt(start):
    term = start(*SLOW).at_prompt()
    term.type(" ".join(f"w{n}" for n in range(60)) + "\r").see("\nw0 ").see("w20")
    term.type("typed ahead").see("60 tokens").at_prompt("typed ahead")
    assert term.text().count("typed ahead") == 1


def test_reset_and_tokens_and_save(start, tmp_path):
    term = start().at_prompt()
    term.type("one two three\r").see("3 tokens").at_prompt()
    term.type("/tokens\r").see("session: 1 turn,").at_prompt()
    term.type("/save talk.md\r").see("saved to").at_prompt()
    assert "one two three" in (tmp_path / "talk.md").read_text()
    term.type("/reset\r").see("a new conversation").at_prompt()
    term.type("/save talk2.md\r").see("nothing to save").at_prompt()


def test_an_unknown_command_is_an_error_and_the_loop_goes_on(start):
    term = start().at_prompt()
    term.type("/rest\r").see("/reset starts a new").at_prompt()


def test_tab_completes_commands(start):
    term = start().at_prompt()
    term.type("/tok\t").at_prompt("/tokens")


def test_history_survives_with_lines_intact(start):
    start().at_prompt().type("one\x0atwo\r").see("\n2 tokens").at_prompt().type("/exit\r").ended()
    term = start().at_prompt()
    term.type("\x1b[A").at_prompt("/exit").type("\x1b[A").see("  two")


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGHUP])
def test_a_kill_in_mid_reply_saves_and_restores_the_terminal(start, tmp_path, signum):
    term = start(*SLOW).at_prompt()
    term.type(STORY + "\r").see("\nword0 ").see("word20")
    os.kill(term.process.pid, signum)
    assert term.ended() == -signum
    assert term.raw.rindex("\x1b[?2004l") > term.raw.rindex("\x1b[?2004h")
    assert term.raw.rindex("\x1b[?25h") > term.raw.rindex("\x1b[?25l")
    assert term.has_lines()
    again = start("chat", "-m", "echo:", "--continue").at_prompt()
    again.type("/undo\r").see("took back: word0")


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGHUP])
def test_a_kill_at_the_prompt_restores_the_terminal(start, signum):
    term = start(TERM_PROGRAM="WezTerm").at_prompt().type("a draft").at_prompt("a draft")
    assert "\x1b[>4;1m" in term.raw
    os.kill(term.process.pid, signum)
    assert term.ended() == -signum
    assert term.raw.rindex("\x1b[>4m") > term.raw.rindex("\x1b[>4;1m")
    assert term.raw.rindex("\x1b[?2004l") > term.raw.rindex("\x1b[?2004h")
    assert term.has_lines()


def test_a_dumb_terminal_gets_no_escape_sequences(start):
    term = start("chat", "-m", "echo:", TERM="dumb")
    term.until(lambda t: "> " in t.raw, "the prompt").type("plain words\r")
    term.until(lambda t: t.raw.count("plain words") >= 2, "the reply")
    term.see("\n2 tokens")
    reply = term.raw.split("plain words", 1)[1]
    assert "\x1b[" not in reply.split("\n2 tokens")[0].replace("\x1b[?2004l", "")


def test_no_color_is_obeyed(start):
    term = start("chat", "-m", "echo:", NO_COLOR="1").at_prompt()
    term.type("/nonsense\r").see("there is no command")
    assert "\x1b[31m" not in term.raw


def test_a_long_paste_is_a_placeholder_and_is_sent_whole(start):
    term = start().at_prompt()
    paste = "\r".join(f"line{n}" for n in range(40))
    term.type(f"\x1b[200~{paste}\x1b[201~").at_prompt("[paste 1: 40 lines]")
    term.type("\x0f").see("line39")
    term.type("\x03").at_prompt()
    term.type(f"\x1b[200~{paste}\x1b[201~").at_prompt("[paste 1: 40 lines]")
    term.type("\r").see("40 tokens")


def test_a_model_that_is_waited_for_shows_how_it_goes_and_can_be_stopped(start):
    term = start().at_prompt().type("/model echo:load=3\r")
    term.see("loading the model, pretending to load, 1 s · Ctrl-C stops")
    term.see("now echo:load=3").at_prompt()
    assert "Ctrl-C stops" not in term.text()
    term.type("/model echo:load=60\r").see("loading the model")
    term.type("\x03").see("stays with echo:load=3").at_prompt()


def test_words_of_other_chats_are_answered_and_never_sent(start):
    term = start().at_prompt()
    term.type("quit\r").see("/exit leaves").at_prompt()
    term.type("清空\r").see("/reset").at_prompt()
    assert "tokens ·" not in term.text()


def test_files_can_be_mentioned(start, tmp_path):
    (tmp_path / "notes.txt").write_text("alpha beta")
    term = start().at_prompt()
    term.type("look at @notes.txt\r").see("alpha beta")


def test_the_editor_returns_to_the_draft_or_the_question(start, tmp_path):
    script = tmp_path / "editor.sh"
    script.write_text('#!/bin/sh\nprintf "from the editor" > "$1"\n')
    script.chmod(0o755)
    term = start("chat", "-m", "echo:", EDITOR=str(script)).at_prompt()
    term.type("one\r").see("1 token").at_prompt()
    term.type("/edit\r").at_prompt("from the editor").type("\x03").at_prompt()
    term.type("draft\x18\x05").at_prompt("from the editor").type("\x03").at_prompt()
    term.type("/edit 1\r").see("3 tokens").at_prompt()


def test_ctrl_z_at_the_prompt_keeps_the_draft(tmp_path):
    """In a shell of its own, since only a shell can suspend a program."""
    with Term("chat", "-m", "echo:", home=tmp_path, shell=True) as term:
        term.at_shell().type(term.command_line + "\r").at_prompt()
        term.type("a draft\x1a").see("Stopped").at_shell()
        term.type("echo $((6*7))\r").see("\n42").at_shell().type("fg\r").at_prompt("a draft")
        term.type("\r").see("\n2 tokens").at_prompt()


def test_ctrl_z_in_mid_reply_shows_every_word_once_after_fg(tmp_path):
    with Term("chat", "-m", "echo:delay=0.02", home=tmp_path, shell=True) as term:
        term.at_shell().type(term.command_line + "\r").at_prompt()
        term.type(" ".join(f"w{n}" for n in range(150)) + "\r").see("\nw0 ").see("w20")
        term.type("\x1a").see("Stopped").at_shell()
        assert "answering" not in term.text()
        term.type("fg\r").see("answering").see("150 tokens").at_prompt()
        words = [word for word in term.text().split() if re.fullmatch(r"w\d+", word)]
        assert words == [f"w{n}" for n in range(150)] * 2  # the question and the reply


def test_with_multiline_enter_makes_a_line_and_alt_enter_sends(start):
    term = start().at_prompt()
    term.type("/multiline\r").see("Alt-Enter sends").at_prompt()
    term.type("one\rtwo").see("  two").type("\x1b\r").see("\n2 tokens").at_prompt()


def test_ctrl_o_says_that_the_last_reply_has_no_reasoning(start):
    term = start().at_prompt()
    term.type("one\r").see("1 token").at_prompt()
    term.type("\x0f").see("the last reply has no reasoning").at_prompt()


def test_tab_completes_models_and_mentioned_paths(start, tmp_path):
    (tmp_path / "notes.txt").write_text("alpha")
    term = start().at_prompt()
    term.type("/model smol\t").at_prompt("/model smollm2").type("\x03").at_prompt()
    term.type("read @not\t").at_prompt("read @notes.txt")


def test_tab_completes_paths_with_blanks_and_the_home_folder(start, tmp_path):
    (tmp_path / "my notes.txt").write_text("alpha")
    term = start("chat", "-m", "echo:", HOME=str(tmp_path)).at_prompt()
    term.type("read @my\t").at_prompt('read @"my notes.txt"').type("\x03").at_prompt()
    term.type('read @"my n\t').at_prompt('read @"my notes.txt"').type("\r").see("alpha").at_prompt()
    term.type("/attach ~/my\t").at_prompt("/attach ~/my notes.txt").type("\r")
    term.see("goes with").at_prompt()


def test_a_reply_that_was_cut_says_how_to_go_on_and_goes_on(start):
    term = start().at_prompt().type("/set max_tokens 3\r").see("max_tokens is 3").at_prompt()
    term.type("one two three four five\r").see("/continue goes on").at_prompt()
    term.type("/continue\r").see("> /continue\none two three four five").at_prompt()
    term.type("/set markdown off\r").see("markdown is off").at_prompt()
    term.type("/redraw\r").see("\none two three four five").at_prompt()


def test_a_reply_that_is_complete_gets_nothing_added_and_says_so(start):
    term = start().at_prompt().type("one two\r").see("\n2 tokens").at_prompt()
    term.type("/continue\r").see("the model has nothing to add").at_prompt()
    term.type("/tree\r").see("1 * one two").at_prompt()
    assert "  2 " not in term.text().split("/tree")[1]


def test_resuming_shows_the_last_turns_and_brings_model_and_settings_along(start):
    first = start("chat", "-m", "echo:window=500", "--temperature", "0.3").at_prompt()
    first.type("once upon a time\r").see("4 tokens").at_prompt().type("\x04").ended()
    term = start("chat", "--continue").see("once upon a time").see("resumed").at_prompt()
    term.type("/set\r").see("0.3").at_prompt()
    term.type("/model\r").see("echo:window=500").at_prompt()


def test_ctrl_r_finds_an_earlier_text_with_all_its_lines(start):
    term = start().at_prompt().type("alpha one\x0atwo\r").see("3 tokens").at_prompt()
    term.type("beta\r").see("1 token").at_prompt()
    term.type("\x12alp").see("backward: alp").see("> alpha one\n  two")
    term.type("\r").until(lambda t: "backward" not in t.text(), "the end of the search")
    term.type("\r").until(lambda t: t.text().count("3 tokens") == 2, "the reply").at_prompt()
    term.type("a draft\x12bet").see("backward: bet").see("> beta")
    term.type("\x03").at_prompt("a draft")


@pytest.mark.parametrize("key", ["\x07", "\x03"])
def test_a_search_that_is_called_off_gives_the_draft_back(start, key):
    term = start().type("alpha one\r").see("2 tokens ").at_prompt()
    term.type("alpha two\r").until(lambda t: t.text().count("2 tokens ") == 2, "it").at_prompt()
    term.type("a draft\x12alp").see("backward: alp").see("> alpha two").type("\x12")
    term.until(lambda t: t.text().count("> alpha one") == 2, "the one before")
    term.type(key).at_prompt("a draft")


def test_the_suggestion_is_taken_with_the_right_arrow(start):
    term = start().at_prompt().type("alpha beta gamma\r").see("3 tokens").at_prompt()
    term.type("al").at_prompt("alpha beta gamma").type("\x1b[C\r")
    term.until(lambda t: t.text().count("3 tokens") == 2, "the reply").at_prompt()


def test_backspace_deletes_what_people_see_as_one_character(start):
    family = "\U0001f468\u200d\U0001f469\u200d\U0001f467"
    term = start().at_prompt().type(f"ab中{family}e\u0301\x7f\x7f").at_prompt("ab中")
    term.type("\x7f\x7fc").at_prompt("ac").type("\r").see("1 token").at_prompt()


def test_vi_keys_edit_the_draft_and_open_the_editor(start, tmp_path):
    script = tmp_path / "editor.sh"
    script.write_text('#!/bin/sh\nprintf " and more" >> "$1"\n')
    script.chmod(0o755)
    term = start("chat", "--vi", "-m", "echo:", EDITOR=str(script)).at_prompt()
    term.type("one two\x1b").at_prompt("one two").type("0dw").at_prompt("two")
    term.type("v").at_prompt("two and more").type("\r").see("3 tokens").at_prompt()


def test_a_paste_while_a_reply_streams_waits_whole_for_the_next_prompt(start):
    term = start(*SLOW).at_prompt().type(STORY[:400] + "\r").see("\nword0 ").see("word20")
    term.type("\x1b[200~line one\rline two\x1b[201~").see("window").see("> line one\n  line two")
    term.type("\r").see("4 tokens").at_prompt()


def test_a_bell_rings_after_a_long_reply_and_not_after_a_short_one(start):
    term = start(*SLOW).at_prompt().type("/set notify 0.3\r").see("notify is 0.3").at_prompt()
    term.type("one two\r").see("\n2 tokens").at_prompt()
    assert "\a" not in term.raw
    term.type(" ".join("x" * 20) + "\r").see("20 tokens").at_prompt()
    assert term.raw.count("\a") == 1


def test_copy_takes_a_code_block_to_the_clipboard_of_the_terminal(start):
    term = start("chat", "-m", "echo:", DISPLAY="", WAYLAND_DISPLAY="").at_prompt()
    term.type("\x1b[200~a\r```\rcode 中\r```\r\x1b[201~\r").see("tokens").at_prompt()
    term.type("/copy 1\r").see("copied 7 characters").at_prompt()
    copied = base64.b64encode("code 中\n".encode()).decode()
    assert f"\x1b]52;c;{copied}\x07" in term.raw
    term.type("/copy 2\r").see("there is no number 2").see("1 code block; /copy copies")


def test_hostile_text_never_reaches_the_terminal(start):
    hostile = "a\x1b]0;owned\x07b\x9b31mc\u202ed"
    term = start("chat", "-m", "echo:", hostile).see("1 token").at_prompt()
    for command in ("/title", "/load", "/attach", "/nonsense", "/model echo:"):
        term.type(f"\x1b[200~{command} {hostile}\x1b[201~\r")
        term.at_prompt()
    term.type("/title\r").see("owned").at_prompt()
    assert "\x1b]0;" not in term.raw
    assert not {"\x9b", "\u202e"} & set(term.raw)


def test_a_locale_without_unicode_shows_what_it_can(start, tmp_path):
    (tmp_path / "notes.txt").write_text("plain 中 words", encoding="utf-8")
    term = start("chat", "-m", "echo:", PYTHONIOENCODING="ascii").at_prompt()
    term.type("- look at @notes.txt\r").see("plain ? words").see("* look at").at_prompt()


def test_the_toolbar_warns_of_a_full_window_and_says_what_is_not_saved(start):
    term = start("chat", "-m", "echo:window=10", "--no-save").at_prompt().see("not saved")
    term.type("one two three\r").see("6 / 10 tokens").at_prompt()
    assert "33m" not in term.raw  # yellow
    term.type("/reset\r").see("a new conversation").at_prompt()
    term.type("one two three four\r").see("8 / 10 tokens").at_prompt()
    term.until(lambda t: "33m" in t.raw, "a warning colour")


@pytest.mark.parametrize("columns", [40, 100])
def test_no_row_of_the_help_breaks_a_word(start, columns):
    term = start(cols=columns).at_prompt().type("/help\r").see("/undo").see("Ctrl-Z").at_prompt()
    words = {word for text in FOREMOST.values() for word in text.split()}
    assert words <= set(term.text().split())


def test_no_row_of_a_note_with_a_tab_breaks_a_word(start):
    words = [f"translate{n}" for n in range(12)]
    term = start("chat", "-m", "echo:", "-s", "\t" + " ".join(words), cols=40).at_prompt()
    term.type("/system\r").see(words[-1]).at_prompt()
    assert {*words} <= {*term.text().split()}


def test_a_reply_goes_on_in_the_middle_of_its_code(start):
    code = "Look:\n\n```python\n# one\nx = 1\n# two\ny = 2\n```\n\nAnd **bold** words."
    term = start().at_prompt().type("/set max_tokens 6\r").see("max_tokens is 6").at_prompt()
    term.type("\x1b[200~" + code.replace("\n", "\r") + "\x1b[201~\r").see("/continue goes on")
    term.at_prompt().type("/set max_tokens default\r").see("max_tokens is default").at_prompt()
    term.type("/continue\r").see("And bold words.").at_prompt()
    rest = term.text().split("> /continue")[1]
    assert "# two\ny = 2" in rest
    assert "**" not in rest


def test_for_a_screen_reader_states_are_words_and_nothing_is_drawn_twice(start, tmp_path):
    term = start("chat", "-m", "echo:delay=0.05", GLM_PLAIN="reader")
    term.until(lambda t: t.prompt_row() == "you:", "the prompt").type("some plain words\r")
    term.see("3 tokens").until(lambda t: t.prompt_row() == "you:", "the prompt")
    shown = [line for line in term.text().splitlines() if line.strip()]
    assert shown[1] == "you: some plain words"
    assert shown[-4:-2] == ["the answer:", "some plain words"]
    assert " · " not in term.text()
    assert "\x1b" not in term.raw.split("the answer:")[1].split("tok/s")[0]
    assert "\r" not in term.raw.replace("\r\n", "\n")
