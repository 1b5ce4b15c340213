"""Files that arguments name, in both doors: one each, folders and patterns, and stdin."""

from __future__ import annotations

import os

import pytest

from tests.support.term import Term

ECHO = ("-m", "echo:")


@pytest.fixture
def here(tmp_path):
    (tmp_path / "src").mkdir()
    for name in ("src/a.py", "src/b.py", "notes.md"):
        (tmp_path / name).write_text(f"in {name}\n")
    (tmp_path / "src/photo").write_bytes(b"\0")
    return tmp_path


@pytest.mark.parametrize("door", ["ask", "chat"])
def test_several_files_keep_their_names_in_both_doors(glm, here, door):
    done = glm(door, *ECHO, "-a", "src/a.py", "@src/b.py", "-a", "notes.md", "compare")
    assert done.code == 0
    places = [
        done.out.index(f"File: {here / name} (") for name in ("src/a.py", "notes.md", "src/b.py")
    ]
    assert places == sorted(places)
    assert done.out.startswith("compare\n")


@pytest.mark.parametrize("door", ["ask", "chat"])
@pytest.mark.parametrize("named", [["@src/"], ["-a", "src"], ["-a", "src/*"], ["@src/*"]])
def test_a_folder_or_pattern_is_sent_from_a_pipe_only_with_yes(glm, here, door, named):
    done = glm(door, *ECHO, *named, "hi")
    assert (done.out, done.code) == ("", 2)
    assert "2 files, 24 bytes; left out: 1 too large or not text" in done.err
    assert "--yes" in done.err
    done = glm(door, *ECHO, *named, "--yes", "hi")
    assert done.code == 0
    assert "in src/a.py" in done.out
    assert "in src/b.py" in done.out
    assert "left out: 1 too large or not text" in done.err


@pytest.mark.parametrize("named", [["@many/"], ["@many/*.py"], ["-a", "many"]])
def test_a_folder_of_too_many_names_is_one_all_the_same(glm, here, named):
    (here / "many").mkdir()
    for number in range(10_001):
        (here / "many" / str(number)).touch()
    done = glm("ask", *ECHO, *named, "--yes", "hi")
    assert (done.out, done.code) == ("", 2)
    assert "more than 10,000 names to look through" in done.err_lines[0]


def test_a_name_that_is_not_utf_8_is_sent_as_far_as_it_is(glm, here):
    with open(os.fsencode(here / "src") + b"/\xff.p\xff", "w") as file:  # noqa: PTH123
        file.write("odd")
    done = glm("ask", *ECHO, "@src/", "--yes", "hi")
    assert done.code == 0
    assert f"File: {here / 'src' / '?.p?'} (3 bytes" in done.out


@pytest.mark.parametrize(
    "call",
    [
        ("ask", "-m", "echo:", "-a", "", "hi"),
        ("ask", "-m", "echo:", "--messages", "", "hi"),
        ("ask", "-m", "echo:", "-s", "@", "hi"),
        ("config", "trust", ""),
        ("history", "import", ""),
    ],
)
def test_an_empty_name_is_refused_and_not_the_working_folder(glm, call):
    done = glm(*call)
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("glm: the name of a file or folder is empty\n")


@pytest.mark.parametrize("door", ["ask", "chat"])
def test_stdin_can_be_a_file_with_a_name(glm, here, door):
    done = glm(door, *ECHO, "-a", "-", "-a", "notes.md", "review", stdin="a diff\n")
    assert done.code == 0
    assert done.out.startswith("review\n\nFile: stdin (7 bytes, sha256 ")
    assert "```\na diff\n```" in done.out
    assert "in notes.md" in done.out


@pytest.mark.parametrize(
    "arguments",
    [
        ("ask", "-a", "-", "-"),
        ("ask", "-a", "-", "--no-stdin", "hi"),
        ("ask", "-a", "-", "--messages", "-", "hi"),
        ("chat", "-a", "-"),
    ],
)
def test_stdin_is_one_thing(glm, arguments):
    done = glm(*arguments, *ECHO, stdin="text")
    assert (done.out, done.code) == ("", 2)
    assert "-a -" in done.err_lines[0]


def test_binary_text_on_stdin_is_refused(glm):
    done = glm("ask", *ECHO, "-a", "-", "hi", stdin="a\0b")
    assert (done.out, done.code) == ("", 2)
    assert "stdin is a binary file" in done.err


def test_a_pattern_that_the_shell_took_apart_is_not_taken_for_a_question(glm, here):
    done = glm("ask", *ECHO, "-a", "src/a.py", "src/b.py")
    assert (done.out, done.code) == ("", 2)
    assert "src/b.py is a file" in done.err_lines[0]
    assert "-a src/a.py -a src/b.py" in done.err_lines[1]


@pytest.mark.parametrize("word", ["@*args", "@src", "@who?", "@[x]"])
def test_a_word_of_its_own_that_names_no_file_is_refused(glm, word):
    done = glm("ask", *ECHO, word)
    assert (done.out, done.code) == ("", 2)
    assert word[1:] in done.err_lines[0]
    assert glm("ask", *ECHO, "--", word).out == f"{word}\n"
    assert glm("ask", *ECHO, f"who is {word}").out == f"who is {word}\n"


@pytest.mark.parametrize("door", [("ask",), ("chat",)])
def test_a_mistyped_file_is_refused_with_the_one_that_is_near(glm, here, door):
    done = glm(*door, *ECHO, "@src/a.pz")
    assert (done.out, done.code) == ("", 2)
    assert "@src/a.py" in done.err_lines[1]


@pytest.mark.parametrize("word", ["@my docs/none.txt", "@src/no such", "@no such.py"])
def test_a_missing_file_with_blanks_in_its_name_is_refused(glm, here, word):
    done = glm("ask", *ECHO, "x", word)
    assert (done.out, done.code) == ("", 2)
    assert f"{word[1:]} is not a file" in done.err


def test_words_behind_an_at_are_text(glm, here):
    for text in ("@bob is 3.5 enough? and/or", "@src/a.py or b.py"):
        assert glm("ask", *ECHO, text).out == f"{text}\n"


def test_a_chat_of_files_without_a_line_is_refused(glm, here):
    done = glm("chat", *ECHO, "@src/a.py", stdin="")
    assert (done.out, done.code) == ("", 2)
    assert "nothing was sent" in done.err_lines[-2]


def test_a_folder_inside_the_prompt_is_text_and_one_line_says_so(glm, here):
    done = glm("ask", *ECHO, "explain @src/ now")
    assert done.out == "explain @src/ now\n"
    assert "-a src" in done.err


@pytest.mark.pty
@pytest.mark.parametrize("answer", ["y", "n"])
def test_on_a_terminal_the_files_are_listed_and_asked_about(here, answer):
    with Term("ask", *ECHO, "@src/", "hi", home=here) as term:
        term.see("send these 2 files? [y/N]").type(f"{answer}\r")
        assert term.ended() == (0 if answer == "y" else 2)
        assert "12  src/a.py" in term.text()
        assert ("in src/b.py" in term.text()) is (answer == "y")
