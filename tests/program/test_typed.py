"""Data is not commands: what is pasted on a real terminal or piped is text."""

from __future__ import annotations

import shlex

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.shell import run_glm
from tests.support.term import Term


def pasted(text: str) -> str:
    return f"\x1b[200~{text}\x1b[201~"


@pytest.fixture
def start(open_term, tmp_path):
    (tmp_path / "mine.txt").write_text("alpha")
    (tmp_path / "secret.txt").write_text("hunter2")
    return lambda *options, **env: open_term(
        "chat", "-m", "echo:", *options, cols=140, **env
    ).at_prompt()


@pytest.mark.pty
def test_a_pasted_mention_is_text_until_ctrl_t(start):
    term = start().type("see " + pasted("@secret.txt")).see("Ctrl-T makes it count as typed")
    term.type("\r").see(
        "@secret.txt was not typed, so it is sent as text; Up, then Ctrl-T, sends it as typed"
    ).see("2 tokens")
    assert "hunter2" not in term.at_prompt().text()
    term.type("\x1b[A").at_prompt("see @secret.txt").type("\x14").see("the draft counts as typed")
    term.type("\r").see("hunter2").at_prompt()
    term.type("/reset\r").see("a new conversation").at_prompt()
    term.type(pasted("see @secret.txt")).at_prompt("see @secret.txt").type("\x14")
    term.see("the draft counts as typed").type("\r").see("hunter2").at_prompt()


@pytest.mark.pty
def test_of_a_draft_that_mixes_both_only_the_typed_mention_is_a_file(start):
    term = start().type("see @mine.txt and " + pasted("@secret.txt.\rbye"))
    term.see("bye").type("\x01").type("\x04\x04\x04\x19\r").see("alpha").at_prompt()
    assert "hunter2" not in term.text()


@pytest.mark.pty
def test_a_pasted_command_is_text_at_the_prompt_and_in_mid_reply(start):
    term = start().type(pasted("/title taken") + "\r")
    term.see("/title was not typed, so it is sent as text").see("2 tokens").at_prompt()
    term.type("/" + pasted("title taken") + "\r").until(
        lambda t: t.text().count("2 tokens") == 2, "the reply"
    )
    term.at_prompt().type("/title\r").at_prompt()
    assert "\ntaken" not in term.text()


@pytest.mark.pty
def test_a_paste_in_mid_reply_is_one_at_the_next_prompt(open_term, tmp_path):
    term = open_term("chat", "-m", "echo:delay=0.05", cols=100).at_prompt()
    term.type("one two three four five\r").see("\none").type(pasted("/save taken.md"))
    term.see("5 tokens").at_prompt("/save taken.md").type("\r").see("2 tokens").at_prompt()
    assert not (tmp_path / "taken.md").exists()


@pytest.mark.pty
def test_what_was_pasted_is_recalled_as_a_paste_in_a_later_session_too(start, tmp_path):
    term = start().type(pasted("/save taken.md") + "\r").see("2 tokens").at_prompt()
    term.type("/title mine\r").see("\nmine").at_prompt().type("/exit\r").ended()
    term = start().type("\x1b[A\x1b[A\x1b[A").at_prompt("/save taken.md").type("\r").see("2 tokens")
    term.at_prompt().type("\x1b[A\x1b[A\x1b[A").at_prompt("/title mine").type("\r").see("\nmine")
    assert not (tmp_path / "taken.md").exists()


@pytest.mark.pty
def test_entries_of_an_older_history_count_as_pasted(start, tmp_path):
    (tmp_path / "prompt_history").write_text("\n# 2026-01-01 10:00:00\n+/save taken.md\n")
    start().type("\x1b[A\r").see("/save was not typed").see("2 tokens").at_prompt()
    assert not (tmp_path / "taken.md").exists()


@pytest.mark.pty
def test_the_prompt_history_of_a_home_that_a_folder_chose_counts_as_pasted(start, glm, tmp_path):
    (tmp_path / "h").mkdir()
    (tmp_path / "h" / "prompt_history").write_text("\n# 2026-01-01 10:00 typed\n+/save x.md\n")
    (tmp_path / ".env").write_text("GLM_HOME=./h\n")
    env = {"GLM_HOME": "", "XDG_DATA_HOME": str(tmp_path / "data")}
    glm("config", "trust", **env)
    term = start(**env).type("\x1b[A\r").see("/save was not typed").see("2 tokens").at_prompt()
    term.type("/title mine\r").see("\nmine").at_prompt()
    term.type("/title\r").see("mine").at_prompt().type("\x1b[A\x1b[A").at_prompt("/title mine")
    assert not (tmp_path / "x.md").exists()


@pytest.mark.pty
def test_a_file_that_is_dragged_in_is_offered_and_never_attached_unasked(start, tmp_path):
    (tmp_path / "two words.txt").write_text("beta")
    dragged = pasted(shlex.quote(str(tmp_path / "two words.txt")) + " ")
    term = start().type(dragged).see("Ctrl-T attaches two words.txt (4 bytes)").type("\r")
    term.see("tokens\n").at_prompt()
    assert "sha256" not in term.text()
    term.type("explain " + dragged).see("Ctrl-T attaches").type("\x14").see('explain @"/').type(
        "\r"
    )
    term.see("sha256").see("beta").at_prompt()


@pytest.mark.pty
def test_a_file_dragged_in_behind_an_at_sign_or_before_more_words_is_one_mention(start, tmp_path):
    (tmp_path / "two words.txt").write_text("beta")
    dragged = pasted(shlex.quote(str(tmp_path / "two words.txt")) + " ")
    term = start().type("explain @" + dragged).see("Ctrl-T attaches two words.txt").type("\x14")
    term.see('explain @"/').type("please\r").see(' @"/').see('words.txt" please').see("beta")
    assert '@@"' not in term.at_prompt().text()


@pytest.mark.pty
def test_a_dragged_file_is_offered_until_it_is_attached_and_said_to_be_text_if_it_is_not(
    start, tmp_path
):
    (tmp_path / "two words.txt").write_text("beta")
    dragged = pasted(shlex.quote(str(tmp_path / "two words.txt")) + " ")
    term = start().type(dragged).see("Ctrl-T attaches two words.txt (4 bytes)")
    term.type("what is this").see("what is this").until(offers, "the offer").type("\r")
    term.see(
        "two words.txt was not typed, so it is sent as text; Up, then Ctrl-T, sends it as typed"
    ).see("tokens\n").at_prompt()
    assert "sha256" not in term.text()
    term.type("\x1b[A").until(offers, "the offer").type("\x14").see("counts as typed")
    term.type("?").see("this?").until(lambda t: not offers(t), "no offer").type("\r")
    term.see("sha256").at_prompt().type(dragged).until(offers, "the offer")
    term.type("\x08\x08").until(lambda t: not offers(t), "no offer")


def offers(term: Term) -> bool:
    toolbar = term.text().rstrip().splitlines()[-1]
    return "Ctrl-T attaches two words.txt (4 bytes)" in toolbar


@pytest.mark.pty
def test_files_that_are_dragged_in_together_or_one_by_one_are_attached_together(start, tmp_path):
    (tmp_path / "two words.txt").write_text("beta")
    paths = [shlex.quote(str(tmp_path / name)) for name in ("mine.txt", "two words.txt")]
    for dragged in (pasted(" ".join(paths)), pasted(f"{paths[0]} ") + pasted(f"{paths[1]} ")):
        term = start().type(dragged).see("Ctrl-T attaches 2 files (9 bytes)").type(" compare\x14")
        term.see("counts as typed").type("\r").see("alpha").see("beta").at_prompt()
        term.type(dragged).see("Ctrl-T attaches 2 files").type("\r")
        term.see("mine.txt and 1 more were not typed, so they are sent as text").at_prompt()


@pytest.mark.pty
def test_one_line_says_how_much_of_a_paste_was_not_typed(start):
    term = start().type(pasted("/title x\r@secret.txt @mine.txt @mine.txt")).see("Ctrl-T makes")
    term.type("\r").see("/title and 2 more were not typed, so they are sent as text").at_prompt()
    term.type("/help " + pasted("@secret.txt x") + "\r").see("sent as text").at_prompt()
    seen = term.text().count("not typed")
    term.type("/title about " + pasted("@secret.txt") + "\r").at_prompt()
    assert term.text().count("not typed") == seen


@pytest.mark.pty
def test_a_file_dragged_in_behind_a_command_is_what_the_command_is_about(start, tmp_path):
    (tmp_path / "two words.txt").write_text("beta")
    dragged = pasted(shlex.quote(str(tmp_path / "two words.txt")) + " ")
    term = start().type("/attach " + dragged).see("two words.txt'").type("\x14")
    term.see("the draft counts as typed").type("\r").see("1 file attached").at_prompt()
    assert "Ctrl-T attaches" not in term.raw


@pytest.mark.pty
def test_a_path_that_tab_completes_counts_as_typed_and_what_an_editor_wrote_does_not(
    start, tmp_path
):
    editor = tmp_path / "editor.sh"
    editor.write_text('#!/bin/sh\nprintf "see @secret.txt" > $1\n')
    editor.chmod(0o755)
    term = start(EDITOR=str(editor)).type("see @mi\t").at_prompt("see @mine.txt").type("\r")
    term.see("alpha").at_prompt().type("\x18\x05").at_prompt("see @secret.txt").type("\r")
    term.see("@secret.txt was not typed").at_prompt()
    assert "hunter2" not in term.text()


@pytest.mark.pty
def test_a_pasted_y_does_not_answer_the_question_that_comes_next(tmp_path):
    (tmp_path / "there.md").write_text("before")
    with Term("chat", "-m", "echo:delay=0.05", home=tmp_path, cols=200) as term:
        term.at_prompt().type("one two three\r").see("\none").type("/save there.md\r")
        term.type(pasted("y\n")).see("[y/N]").type("\r").see("was not changed")
        term.see("> y")
    assert (tmp_path / "there.md").read_text() == "before"


@pytest.mark.pty
@pytest.mark.parametrize("paste", ["y\r", "y", "yes\r\ry\r"])
def test_a_paste_does_not_answer_the_question_on_the_screen(tmp_path, paste):
    (tmp_path / "there.md").write_text("before")
    with Term("chat", "-m", "echo:", home=tmp_path, cols=200) as term:
        term.at_prompt().type("one\r").see("1 token").at_prompt().type("/save there.md\r")
        term.until(lambda t: t.prompt_row().endswith("[y/N]"), "the question")
        term.type(pasted(paste)).type("n").see("[y/N] n").type("\r").see("was not changed")
        term.see("> y")
    assert (tmp_path / "there.md").read_text() == "before"


@pytest.mark.pty
def test_an_answer_can_be_corrected_and_follows_a_paste(tmp_path):
    (tmp_path / "there.md").write_text("before")
    with Term("chat", "-m", "echo:", home=tmp_path, cols=200) as term:
        term.at_prompt().type("one\r").see("1 token").at_prompt().type("/save there.md\r")
        term.until(lambda t: t.prompt_row().endswith("[y/N]"), "the question")
        term.type("no\x7f\x7f" + pasted("later") + "y").see("[y/N] y").type("\r").see("saved to")
        term.at_prompt("later")


@pytest.mark.pty
@pytest.mark.parametrize("key", ["\x03", "\x04"])
def test_ctrl_c_and_ctrl_d_answer_a_question_with_no(tmp_path, key):
    (tmp_path / "there.md").write_text("before")
    with Term("chat", "-m", "echo:", home=tmp_path, cols=200) as term:
        term.at_prompt().type("one\r").see("1 token").at_prompt().type("/save there.md\r")
        term.until(lambda t: t.prompt_row().endswith("[y/N]"), "the question")
        term.type(key).see("was not changed").at_prompt()


def test_the_first_command_in_a_pipe_is_told_about_once(glm, tmp_path):
    (tmp_path / "a.txt").write_text("alpha")
    done = glm("chat", "-m", "echo:", stdin="one\n\n/save x.md\nsee @a.txt\n/exit\nexit\n")
    assert done.out == "one\n/save x.md\nsee @a.txt\n/exit\nexit\n"
    assert done.err == "line 3 was sent as text; --commands runs it\n"
    assert not (tmp_path / "x.md").exists()
    done = glm("chat", "-m", "echo:", stdin="see @a.txt\n")
    assert done.err == (
        "line 1 was sent as text, without the file @a.txt; --commands attaches it\n"
    )


def test_with_commands_the_lines_of_a_pipe_are_a_script(glm, tmp_path):
    (tmp_path / "a.txt").write_text("alpha")
    done = glm("chat", "-m", "echo:", "--commands", stdin="see @a.txt\n/save x.md\n/exit\nmore\n")
    assert "alpha" in done.out
    assert "more" not in done.out
    assert (tmp_path / "x.md").exists()


HOSTILE = [
    *("/save taken", "/exit", "/attach secret.txt", "/system @secret.txt", "/load secret.txt"),
    *("@secret.txt", '@"secret.txt"', "(@secret.txt)", "/model echo:", "//exit"),
]
LINES = st.lists(
    st.tuples(
        st.sampled_from(["", " ", "\t", "see ", "\ufeff"]),
        st.sampled_from(HOSTILE),
        st.sampled_from(["", " ", " @secret.txt", "\r", "."]),
    ).map("".join),
    min_size=1,
    max_size=30,
)
SHARED = [HealthCheck.function_scoped_fixture]
"""One folder serves all examples: none of them may change it."""


@settings(max_examples=5, deadline=None, suppress_health_check=SHARED)
@given(LINES)
def test_whatever_is_piped_is_text(tmp_path, lines):
    (tmp_path / "secret.txt").write_text("hunter2")
    done = run_glm(
        "chat", "-m", "echo:", "--no-save", stdin="\n".join(lines), cwd=tmp_path, GLM_HOME="home"
    )
    sent = [line.rstrip("\r").removeprefix("\ufeff") for line in lines]
    assert done.out.split("\n")[:-1] == [line for line in sent if line.strip()]
    assert "hunter2" not in done.out + done.err
    assert [path.name for path in tmp_path.iterdir()] == ["secret.txt"]


def test_an_argument_attaches_only_as_one_of_its_own(glm, tmp_path):
    (tmp_path / "a b.txt").write_text("alpha")
    (tmp_path / "c.txt").write_text("gamma")
    done = glm("ask", "-m", "echo:", "explain", "@a b.txt", "-a", "c.txt")
    assert done.out.startswith("explain\n\nFile: ")
    assert done.out.index("gamma") < done.out.index("alpha")
    done = glm("ask", "-m", "echo:", "explain @c.txt")
    assert done.out == "explain @c.txt\n"
    assert done.err == "@c.txt inside the prompt is text; -a c.txt sends the file\n"
    assert glm("ask", "-m", "echo:", "-q", "explain @c.txt").err == ""
    assert glm("ask", "-m", "echo:", "--", "@c.txt").out == "@c.txt\n"
    assert glm("ask", "-m", "echo:", "--", "hi", "@c.txt", "-x").out == "hi @c.txt -x\n"
    done = glm("ask", "-m", "echo:", "in @c.txt, why?")
    assert done.err == "@c.txt inside the prompt is text; -a c.txt sends the file\n"
    done = glm("ask", "-m", "echo:", "explain", "@")
    assert (done.code, done.err_lines) == (
        2,
        [
            "glm: there is no name after the @",
            "hint: @FILE or -a FILE attaches one; behind -- all words are text",
        ],
    )
    assert "gamma" in glm("chat", "-m", "echo:", "explain", "@c.txt", stdin="").out
    assert "gamma" in glm("chat", "-m", "echo:", "-a", "c.txt", stdin="explain\n").out


def test_a_hint_of_ask_is_none_for_a_chat(glm):
    done = glm("ask", "-m", "echo:window=3", "a b c d e f")
    assert done.code == 4
    assert done.err_lines[1] == (
        "hint: --long map answers a text from stdin or -a FILE in parts; or use a model with a"
        " larger window"
    )


def test_a_window_that_was_set_is_named_where_it_is_too_small(glm):
    for command in ("ask", "chat"):
        stdin = "a b c d e f\n" if command == "chat" else None
        words = () if command == "chat" else ("a b c d e f",)
        done = glm(command, "-m", "echo:window=3", "--window", "3", *words, stdin=stdin)
        assert "the prompt needs 6 tokens, but --window is 3\n" in done.err
        assert "; or set --window to more\n" in done.err
        other = glm(command, "-m", "echo:window=3", "--window", "9", *words, stdin=stdin)
        assert "the model's window holds 3\n" in other.err
        assert "--window" not in other.err


def test_stdin_and_messages_attach_nothing(glm, tmp_path):
    (tmp_path / "c.txt").write_text("gamma")
    (tmp_path / "m.json").write_text('[{"role": "user", "content": "see @c.txt"}]')
    assert glm("ask", "-m", "echo:", stdin="see @c.txt").out == "see @c.txt\n"
    assert glm("ask", "-m", "echo:", "--messages", "m.json").out == "see @c.txt\n"
    done = glm("ask", "-m", "echo:", "--messages", "m.json", "--no-stdin", "-a", "c.txt")
    assert done.out.startswith("see @c.txt\n\nFile: ")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["-", "explain"], "- is stdin alone, and there is a prompt beside it"),
        (["@nowhere.txt", "explain"], "nowhere.txt is not a file"),
        (["explain", "-a", "nowhere.txt"], "nowhere.txt cannot be read: No such file"),
    ],
)
def test_arguments_that_are_neither_prompt_nor_file_are_refused(glm, tmp_path, words, message):
    (tmp_path / "c.txt").write_text("gamma")
    done = glm("ask", "-m", "echo:", *words)
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith(f"glm: {message}")


def test_several_words_are_one_prompt(glm, tmp_path):
    (tmp_path / "c.txt").write_text("gamma")
    done = glm("ask", "-m", "echo:", "what", "is", "this")
    assert (done.out, done.err, done.code) == ("what is this\n", "", 0)
    done = glm("ask", "-m", "echo:", "what", "@c.txt", "is", "--", "-x", "@this")
    assert done.out.startswith("what is -x @this\n\nFile: ") and "gamma" in done.out
    assert glm("chat", "-m", "echo:", "what", "is", "this", stdin="").out == "what is this\n"


@pytest.mark.parametrize("words", [["explain", "c.txt"], ["explain c.txt"]])
def test_a_word_that_names_a_file_is_told(glm, tmp_path, words):
    (tmp_path / "c.txt").write_text("gamma")
    done = glm("ask", "-m", "echo:", *words)
    assert done.out == "explain c.txt\n"
    assert done.err == "c.txt is sent as a word; @c.txt alone, or -a c.txt, sends it\n"


def test_the_first_turn_of_a_chat_is_not_a_command(glm):
    done = glm("chat", "-m", "echo:", "/exit", stdin="more\n")
    assert done.out == "/exit\nmore\n"
    assert done.err == "the first turn is text; commands are typed at the prompt\n"
