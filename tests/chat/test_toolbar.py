"""What the toolbar keeps when the window is narrow."""

from __future__ import annotations

import re
from types import SimpleNamespace

import pytest

from glmcli.chat.toolbar import loading, status, toolbar
from glmcli.engines.echo import EchoEngine
from glmcli.errors import GlmError
from glmcli.session import Session
from glmcli.store import open_store
from glmcli.types import GenerationParams, Message, Progress
from tests.support.term import Term

FORMS = [
    ["cpu bfloat16", "0 / 8,192 tokens", "1 file attached", "not saved"],
    ["", "0 / 8,192 tokens", "1 file attached", "not saved"],
    ["", "0 / 8,192", "1 file attached", "not saved"],
    ["", "0 / 8,192", "", "not saved"],
]


@pytest.mark.parametrize(
    ("columns", "shown"),
    [
        (80, "smollm2 · cpu bfloat16 · 0 / 8,192 tokens · 1 file attached · not saved"),
        (60, "smollm2 · 0 / 8,192 tokens · 1 file attached · not saved"),
        (50, "smollm2 · 0 / 8,192 · 1 file attached · not saved"),
        (40, "smollm2 · 0 / 8,192 · not saved"),
        (25, "0 / 8,192 · not saved"),
    ],
)
def test_the_device_goes_first_and_what_is_not_saved_stays(columns, shown):
    assert toolbar("smollm2", FORMS, columns) == shown


def test_a_long_name_shows_its_end():
    assert toolbar("zai-org/chatglm3-6b", [["cpu"]], 20) == "…g/chatglm3-6b · cpu"


def test_the_name_is_not_said_twice_while_it_loads():
    forms = loading(Progress("loading", unit="bytes", note="smollm2"), "smollm2")
    assert forms == ["loading the model", "loading the model", "loading"]
    forms = loading(Progress("loading", 1_000_000, 2_000_000, "bytes", "weights"), "smollm2")
    assert forms[0] == "loading the model, weights, 1 MB of 2 MB"


def test_a_size_that_is_not_known_is_no_number(tmp_path):
    store = open_store(tmp_path, enabled=False)
    session = Session(EchoEngine(), store, params=GenerationParams(), model="echo:")
    assert "0 / 8,192 tokens" in status(session, attached=0, columns=80)[0]
    session.conversation.messages += [Message("user", "x"), Message("assistant", "y")]
    assert "? / 8,192 tokens" in status(session, attached=0, columns=80)[0]


def test_a_failure_that_is_too_long_ends_in_dots(tmp_path, monkeypatch):
    session = Session(
        EchoEngine(), open_store(tmp_path, enabled=False), params=GenerationParams(), model="echo:"
    )
    state = SimpleNamespace(
        is_open=False, failure=GlmError("the built-in model was not fetched yet")
    )
    monkeypatch.setattr("glmcli.chat.toolbar.state_of", lambda engine: state)
    assert status(session, attached=0, columns=20) == ("the built-in model…", True)
    assert status(session, attached=0, columns=60)[0].endswith("yet")


@pytest.mark.pty
@pytest.mark.parametrize(
    ("columns", "shown"),
    [(40, " echo · 0 / 8,192 tokens · not saved"), (25, " 0 / 8,192 · not saved")],
)
def test_tokens_and_what_is_not_saved_are_seen_in_a_narrow_window(tmp_path, columns, shown):
    with Term("chat", "-q", "-m", "echo:", "--no-save", home=tmp_path, cols=columns) as term:
        term.at_prompt().until(lambda t: shown in t.lines(), shown)


@pytest.mark.pty
@pytest.mark.parametrize(
    ("columns", "shown"),
    [
        (60, " Ctrl-C again or Ctrl-D leaves  echo · 0 / 8,192 tokens"),
        (52, " Ctrl-C again or Ctrl-D leaves  echo · 0 / 8,192"),
        (40, " Ctrl-D leaves  echo · 0 / 8,192 tokens"),
        (27, " Ctrl-D leaves  0 / 8,192"),
    ],
)
def test_a_hint_leaves_room_for_the_tokens(tmp_path, columns, shown):
    with Term("chat", "-q", "-m", "echo:", home=tmp_path, cols=columns) as term:
        term.at_prompt().type("\x03").until(lambda t: shown in t.lines(), shown)


@pytest.mark.pty
def test_how_to_stop_a_reply_is_seen_in_a_narrow_window(tmp_path):
    with Term("chat", "-q", "-m", "echo:delay=0.2", home=tmp_path, cols=40) as term:
        term.at_prompt().type(" ".join("word" for _ in range(40)) + "\r")
        whole = re.compile(r"^ answering · \d+ tokens · Ctrl-C stops$", re.MULTILINE)
        term.until(lambda t: whole.search(t.text()) is not None, "the whole row")
