"""`glm roles`, and `--role` in ask and chat."""

from __future__ import annotations

import json

import pytest

from tests.support.term import Term


@pytest.fixture
def write(tmp_path):
    """Write a role of the user's own."""

    def put(name, text):
        (tmp_path / "home" / "roles").mkdir(parents=True, exist_ok=True)
        path = tmp_path / "home" / "roles" / f"{name}.md"
        path.write_text(text)
        return path

    return put


def stored(glm):
    """The last conversation as it was stored."""
    newest = json.loads(glm("history", "list", "--all", "--json").out)[0]["id"]
    return json.loads(glm("history", "show", newest, "--json").out)


def test_a_role_gives_the_system_prompt_and_settings(glm, write):
    write("r", "---\ntemperature: 0.2\nmax_tokens: 2\nmodel: 'echo:'\n---\nBe brief.\n")
    done = glm("ask", "--role", "r", "one two three", GLM_SYSTEM="env", GLM_TEMPERATURE="0.9")
    assert (done.out.strip(), done.code) == ("one two", 0)
    talk = stored(glm)
    assert (talk["system"], talk["params"]["temperature"]) == ("Be brief.", 0.2)
    assert talk["model"] == "echo:"


def test_an_option_goes_before_the_role(glm, write):
    write("r", "---\nmax_tokens: 2\nmodel: openai:x\n---\nBe brief.\n")
    typed = ("-m", "echo:", "-s", "typed", "--max-tokens", "3")
    done = glm("ask", "--role", "r", *typed, "one two three four")
    assert (done.out.strip(), done.code) == ("one two three", 0)
    assert stored(glm)["system"] == "typed"


def test_a_system_prompt_that_begins_with_an_at_is_no_file(glm, write):
    write("r", "@home")
    assert glm("ask", "-m", "echo:", "--role", "r", "hi").code == 0
    assert stored(glm)["system"] == "@home"


def test_the_prompt_stands_where_the_role_says_with_stdin_and_files(glm, write, tmp_path):
    write("r", "Look: $input\nWell?")
    (tmp_path / "a.txt").write_text("file")
    done = glm("ask", "-m", "echo:", "--role", "r", "-a", "a.txt", "this", stdin="piped")
    assert done.out.startswith("Look: this\n\npiped\nWell?\n\n")
    assert "file" in done.out
    done = glm("ask", "-m", "echo:", "--role", "r", "-a", "a.txt")
    assert done.out.startswith("Look: \nWell?\n\n")
    assert "system" not in {key for key, value in stored(glm).items() if value}


def test_messages_that_end_in_a_question_are_asked_as_they_are(glm, write, tmp_path):
    write("r", "Look: $input")
    (tmp_path / "m.json").write_text('[{"role": "user", "content": "whole"}]')
    assert glm("ask", "-m", "echo:", "--role", "r", "--messages", "m.json").out == "whole\n"


def test_every_turn_of_a_chat_is_put_in_place(glm, write):
    write("r", "<$input>")
    done = glm("chat", "-m", "echo:", "--role", "r", "-q", "one", stdin="two\n")
    assert done.out.split() == ["<one>", "<two>"]


@pytest.mark.parametrize("frame", ["Look: $input\nWell?", "$input\n\nShort!"])
def test_a_conversation_that_goes_on_says_which_role_its_questions_stood_in(glm, write, frame):
    write("r", frame)
    assert "role" not in glm("ask", "-m", "echo:", "--role", "r", "one").err
    line = "it was in the role r: --role r goes on in it"
    assert line in glm("ask", "-c", "two").err
    assert "role" not in glm("ask", "-c", "three").err
    glm("ask", "-m", "echo:", "--role", "r", "one")
    assert "it was in" not in glm("ask", "-c", "--role", "r", "two").err
    newest = json.loads(glm("history", "list", "--all", "--json").out)[0]["id"]
    done = glm("chat", "--resume", newest, "--commands", stdin="/role r\n")
    assert "it was in the role r: /role r goes on in it" in done.err


def test_retry_asks_what_was_sent(glm, write):
    write("r", "<$input>")
    done = glm("chat", "-m", "echo:", "--role", "r", "-q", "--commands", stdin="one\n/retry\n")
    assert done.out.split() == ["<one>", "<one>"]


@pytest.mark.parametrize("command", ["ask", "chat"])
def test_a_role_that_is_not_there_or_wrong_is_one_line_and_a_hint(glm, write, command):
    path = write("bad", "---\ntemprature: 1\n---\n")
    done = glm(command, "-m", "echo:", "--role", "shel", "hi")
    assert (done.out, done.code) == ("", 2)
    assert done.err_lines[0] == "glm: there is no role shel"
    assert done.err_lines[1:] == [f"hint: did you mean glm {command} -m echo: --role shell hi?"]
    done = glm(command, "-m", "echo:", "--role", "bad", "hi")
    assert (done.out, done.code) == ("", 2)
    assert done.err_lines == [
        f"glm: {path}, line 2: a role cannot set temprature",
        "hint: did you mean temperature?",
    ]
    assert glm(command, "-m", "echo:", "--role", "../x", "hi").code == 2


def test_the_model_of_a_role_answers_where_a_folder_names_another(glm, write, tmp_path):
    write("r", "---\nmodel: 'echo:'\n---\n")
    (tmp_path / ".env").write_text("GLM_MODEL=./evil\n")
    done = glm("ask", "--role", "r", "hi")
    assert (done.out, done.err, done.code) == ("hi\n", "", 0)


def test_roles_are_listed_with_where_they_come_from(glm, write):
    path = write("shell", "Mine.\nMore.")
    rows = [line.split("\t") for line in glm("roles", "list").out.splitlines()]
    assert [row[0] for row in rows] == ["commit", "reviewer", "shell"]
    assert rows[0][2] == "built in"
    assert rows[2] == ["shell", "Mine.", str(path)]
    assert glm("roles").out == glm("roles", "list").out
    listed = json.loads(glm("roles", "list", "--json").out)
    assert listed[2] == {"name": "shell", "about": "Mine.", "source": str(path)}


@pytest.mark.pty
def test_a_list_is_for_people_and_json_for_programs(tmp_path):
    env = {"LC_ALL": "zh_CN.UTF-8", "LANGUAGE": "zh_CN"}
    with Term("roles", home=tmp_path, cols=120, **env) as term:
        assert term.see("内置").ended() == 0
        assert "built in" not in term.text()
    with Term("roles", "list", "--json", home=tmp_path, cols=120, **env) as term:
        assert term.see('"source": "built in"').ended() == 0


def test_show_prints_the_text_alone_and_says_its_source_beside(glm, write):
    path = write("mine", "---\nseed: 1\n---\nBe brief.\n")
    done = glm("roles", "show", "mine")
    assert (done.out, done.code) == ("---\nseed: 1\n---\nBe brief.\n", 0)
    assert done.err.strip() == f"mine is {path}"
    assert glm("roles", "show", "shell").err.strip() == "shell is built in"


def test_show_prints_what_is_wrong_too(glm, write):
    write("mine", "---\nx: 1\n---\n")
    done = glm("roles", "show", "mine")
    assert (done.out, done.code) == ("---\nx: 1\n---\n", 2)
    assert "line 2" in done.err


def test_without_a_terminal_the_file_to_write_is_named(glm, tmp_path):
    done = glm("roles", "edit", "new")
    assert done.code == 2
    assert str(tmp_path / "home" / "roles" / "new.md") in done.err_lines[1]


def test_a_folder_of_roles_that_cannot_be_listed_is_told(glm, tmp_path):
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "roles").write_text("no folder")
    done = glm("roles", "list")
    assert done.err == f"{tmp_path}/home/roles cannot be read: Not a directory\n"
    assert done.out.startswith("commit\t")
