"""Texts and names that no file can have, wherever one may be typed."""

from __future__ import annotations

import pytest

LONG = "a" * 300
TEXT = "word " * 60 + "and/or"
PATHS = [f"{LONG}/x", f"x/{LONG}.md", "~nosuch/x", "a/" * 2_500 + "b"]
MODELS = [LONG, f"./{LONG}/x", f"/{LONG}", f"org/{LONG}:Q4", f"{LONG}:1b", f"gguf:{LONG}/x"]
MODELS += [f"local:{LONG}/x", "~nosuch/x", "gguf:~nosuch/x.gguf", "local:~nosuch"]


@pytest.mark.parametrize("text", [TEXT, f"{LONG}/x", "a/" * 2_500 + "b", "word " * 1_000 + "a/b"])
@pytest.mark.parametrize("door", [["ask"], ["chat"], ["ask", "--"], ["ask", "more"]])
def test_a_long_text_with_a_slash_is_a_text(glm, door, text):
    command, *more = door
    done = glm(command, "-m", "echo:", *more, text)
    said = " ".join([*more, text]).removeprefix("-- ")
    assert (done.out, done.code) == (f"{said}\n", 0)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "call",
    [
        ["ask", "-m", "echo:", "-a", "PATH", "hi"],
        ["ask", "-m", "echo:", "-s", "@PATH", "hi"],
        ["ask", "-m", "echo:", "--messages", "PATH"],
        ["ask", "-m", "echo:", "--each", "PATH"],
        ["history", "import", "PATH"],
        ["config", "trust", "PATH"],
        ["serve", "echo:", "--socket", "PATH"],
    ],
)
def test_a_path_that_cannot_be_is_refused_in_a_line(glm, call, path):
    done = glm(*(word.replace("PATH", path) for word in call))
    assert (done.out, done.code) == ("", 2)
    assert "internal" not in done.err


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize(
    "call",
    [["ask", "hi", "-m"], ["serve"], ["stop"], ["models", "show"]],
)
def test_a_model_that_cannot_be_is_refused_in_a_line(glm, call, model):
    done = glm(*call, model)
    assert (done.out, done.code in (2, 3)) == ("", True)
    assert "internal" not in done.err


def test_a_chat_goes_on_behind_paths_that_cannot_be(glm):
    commands = ("@", "/attach ", "/save ", "/load ", "/model x=1 ", "/system @")
    lines = [f"{command}{path}" for path in PATHS for command in commands]
    done = glm("chat", "-m", "echo:", "--commands", stdin="\n".join([*lines, "still here"]))
    assert "still here" in done.out
    assert "internal" not in done.err


@pytest.mark.parametrize("name", ["GLM_CACHE", "GLM_ADAPTER", "GLM_SYSTEM", "XDG_CONFIG_HOME"])
def test_a_setting_that_is_no_path_is_no_mistake_of_the_program(glm, name):
    for path in (f"/{LONG}/x", "~nosuch/x"):
        assert "internal" not in glm("ask", "-m", "echo:", "hi", **{name: path}).err
        assert "internal" not in glm("models", "show", "org/name", **{name: path}).err
