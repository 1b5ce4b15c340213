"""A chat that commands act on, with an engine that echoes."""

from __future__ import annotations

import pytest

from glmcli.chat.commands import Chat
from glmcli.config import Settings
from glmcli.engines.echo import EchoEngine
from glmcli.session import Session
from glmcli.store import open_store
from glmcli.terminal.replies.text import BaseView
from glmcli.types import GenerationParams


class Quiet(Chat):
    def ask(self, text, *, after=None):
        self.session.ask(text, BaseView(), after=after)


@pytest.fixture(autouse=True)
def english(monkeypatch):
    for name in ("LANGUAGE", "LC_ALL", "LC_MESSAGES", "LANG"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def chat(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    session = Session(
        EchoEngine(), open_store(tmp_path / "home"), params=GenerationParams(), model="echo:"
    )
    yield Quiet(session, Settings(model="echo:"))
    session.engine.close()
