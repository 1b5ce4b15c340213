"""The chat on a real pseudo-terminal with the real built-in model."""

from __future__ import annotations

import os

import pytest

from glmcli.cli.first import FIRST_START
from tests.support.term import Term

pytestmark = [pytest.mark.pty, pytest.mark.model]


def test_a_chat_with_the_built_in_model(tmp_path):
    cache = {name: os.environ[name] for name in ("GLM_CACHE",) if name in os.environ}
    (tmp_path / FIRST_START).touch()
    with Term("chat", "--temperature", "0", home=tmp_path, rows=40, **cache) as term:
        term.see("demonstration").at_prompt()
        term.type("What is the capital of France?\r").see("Paris", timeout=240)
        term.see("tok/s").at_prompt()
        term.type("Tell me a very long story about the sea.\r")
        term.until(lambda t: "answering · 3" in t.text(), "some tokens", timeout=120)
        term.type("\x03").see("stopped; what arrived is kept").at_prompt()
        term.type("And the capital of Spain?\r").see("capital of Spain is", timeout=120)
        term.see("cached", timeout=60).at_prompt()
        term.type("/tokens\r").see("assistant").see("left").at_prompt()
        term.type("/save talk.json\r").see("saved to").at_prompt()
        term.type("/reset\r").see("a new conversation").at_prompt()
        term.type("\x04")
        assert term.ended() == 0
    assert '"cancelled"' in (tmp_path / "talk.json").read_text()
