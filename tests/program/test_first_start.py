"""The first start of a chat, on a real terminal: once, for whoever has not said what they want."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from glmcli.cli.first import FIRST_START
from tests.support.folders import write_llama
from tests.support.term import Term
from tests.support.tiny import byte_level

pytestmark = pytest.mark.pty
FIRST = "the first chat with glm"
NUMBER = "Number, or Enter:"


@pytest.fixture
def caches(tmp_path: Path) -> dict[str, str]:
    """A cache with one model, and no other; nothing is fetched."""
    mine = write_llama(tmp_path / "cache" / "models" / "mine")
    byte_level().save(str(mine / "tokenizer.json"))
    folders = {"GLM_CACHE": str(tmp_path / "cache"), "HF_HUB_CACHE": str(tmp_path / "hub")}
    return {**folders, "PIP_NO_INDEX": "1"}


def test_a_model_is_chosen_by_a_digit_and_the_screen_never_comes_back(open_term, caches):
    term = open_term("chat", **caches).see(FIRST).see("1  mine").see("Enter  smollm2").see(NUMBER)
    term.type("8\r").see("type a number of the list, or Enter").type("1\r")
    term.see("from now on?").type("n\r").at_prompt().see("mine")
    assert term.type("\x04").ended() == 0
    again = open_term("chat", **caches).at_prompt()
    assert FIRST not in again.text()


def test_the_choice_can_be_kept(open_term, caches, tmp_path):
    term = open_term("chat", **caches).see(NUMBER).type("1\r").see("from now on?").type("y\r")
    term.see("kept in").at_prompt()
    assert (tmp_path / "config.toml").read_text() == 'model = "mine"\n'


def test_a_choice_that_cannot_be_kept_still_counts(open_term, caches, tmp_path):
    (tmp_path / "config.toml").symlink_to("/proc/none/config.toml")
    term = open_term("chat", **caches).see(NUMBER).type("1\r").see("from now on?").type("y\r")
    term.see("be written").see("config set model mine").at_prompt().see("mine")


def test_enter_goes_on_with_the_demonstration_which_is_told_of_once(open_term, caches):
    term = open_term("chat", **caches).see(NUMBER).type("\r").at_prompt().see("smollm2 ·")
    assert term.text().count("demonstration") == 1


def test_a_paste_or_what_was_typed_before_chooses_nothing(open_term, caches):
    term = open_term("chat", **caches).type("1\r").see("typed before this question").see(NUMBER)
    term.type("\x1b[200~1\r\x1b[201~").see("a paste does not answer it: type a number")
    term.type("\x04").at_prompt().see("smollm2 ·")


def test_ctrl_c_at_the_question_leaves_the_terminal_as_it_was(open_term, caches):
    term = open_term("chat", **caches).see(NUMBER).type("\x03")
    assert term.see("the next glm chat asks again").ended() == -signal.SIGINT
    assert term.has_lines()


@pytest.mark.parametrize("typed", ["", "1\r"])
def test_the_screen_comes_back_until_something_was_chosen(open_term, caches, tmp_path, typed):
    term = open_term("chat", **caches).see(NUMBER)
    if typed:
        term.type(typed).see("from now on?")
    term.type("\x03").ended()
    assert not (tmp_path / "config.toml").exists()
    open_term("chat", **caches).see(NUMBER).type("\r").at_prompt()
    assert FIRST not in open_term("chat", **caches).at_prompt().text()


def test_what_the_choice_cannot_follow_is_said_before_it_is_kept(open_term, caches, tmp_path):
    term = open_term("chat", "--timeout", "5", **caches).see(NUMBER).type("1\r")
    assert term.see("--timeout is for").ended() == 2
    assert not (tmp_path / "config.toml").exists()
    open_term("chat", **caches).see(FIRST).see(NUMBER)


@pytest.mark.parametrize(
    ("arguments", "env"),
    [
        (("chat", "-m", "echo:"), {}),
        (("chat", "-q"), {}),
        (("chat", "--offline"), {}),
        (("chat", "--no-save"), {}),
        (("chat",), {"GLM_MODEL": "echo:"}),
        (("chat",), {"GLM_BASE_URL": "http://127.0.0.1:9"}),
        (("chat",), {"GLM_HISTORY": "off"}),
    ],
)
def test_who_has_said_what_they_want_is_not_asked(open_term, caches, tmp_path, arguments, env):
    term = open_term(*arguments, **caches, **env).at_prompt()
    assert FIRST not in term.text() and not (tmp_path / FIRST_START).exists()


def test_a_model_of_the_configuration_is_enough(open_term, caches, tmp_path):
    (tmp_path / "config.toml").write_text('model = "echo:"\n')
    assert FIRST not in open_term("chat", **caches).at_prompt().text()


def test_where_nothing_can_be_written_the_chat_just_begins(caches, tmp_path):
    (tmp_path / "file").write_text("")
    with Term("chat", home=tmp_path, **caches, GLM_HOME=str(tmp_path / "file" / "in")) as term:
        assert FIRST not in term.at_prompt().text()


def test_it_can_be_read_at_sixty_columns(open_term, caches):
    term = open_term("chat", cols=60, **caches).see(NUMBER)
    term.type("\x1b[200~1\r\x1b[201~").see("a paste does not answer it").see("or Enter")
    words = " ".join(term.text().split())  # a word that was broken would be two
    assert "1234, 8000, 8080, 11434, 21001, 23333, 30000" in words
    assert "so it looks around; it does this once." in words


def test_neither_an_ask_nor_a_pipe_is_a_first_start(glm, caches, tmp_path):
    for arguments in (("chat",), ("ask", "hi")):
        done = glm(*arguments, stdin="", **caches)
        assert FIRST not in done.out + done.err
    assert not (tmp_path / "home" / FIRST_START).exists()
