"""What goes wrong at a door is said in words that fit."""

from __future__ import annotations


def test_a_home_that_is_a_file_is_said_to_be_no_folder(glm, tmp_path):
    (tmp_path / "home").touch()
    said = f"GLM_HOME is not a folder: {tmp_path}/home"
    done = glm("history", "list", "--all")
    assert (done.code, done.err_lines[0]) == (1, f"glm: {said}")
    assert "GLM_HOME" in done.err_lines[1]
    done = glm("ask", "-m", "echo:", "hi")
    assert (done.out, done.err_lines) == ("hi\n", [f"not saved: {said}"])
    assert glm("ask", "-m", "echo:", "--no-save", "hi").err == ""


def test_save_into_a_missing_folder_gets_a_hint_that_fits(glm, tmp_path):
    done = glm("chat", "-m", "echo:", "--commands", stdin="hi\n/save nowhere/x.md\n")
    assert done.err_lines == [
        f"glm: {tmp_path}/nowhere/x.md cannot be written: {tmp_path}/nowhere is no folder",
        "hint: make it first, or choose another folder",
    ]


def test_an_empty_prompt_is_a_usage_error_before_any_notice(glm):
    for prompt in ("", " ", "\n"):
        done = glm("ask", prompt)
        assert (done.code, len(done.err_lines)) == (2, 2)
        assert done.err_lines[0] == "glm: the prompt is empty"


def test_untrust_of_a_folder_that_nothing_was_decided_about_says_it_once(glm):
    line, hint = glm("config", "untrust").err_lines
    assert "nothing was decided" in line and "nothing was decided" not in hint
