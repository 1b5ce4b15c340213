"""What every chat does with a line, whatever it shows it on."""

from __future__ import annotations

import pytest

from glmcli.chat.shell import Shell
from glmcli.config import Settings
from glmcli.conversation.typed import Line, untyped_line
from glmcli.engines.echo import EchoEngine
from glmcli.errors import EngineError
from glmcli.session import Session
from glmcli.store import open_store
from glmcli.terminal.replies.text import BaseView
from glmcli.types import GenerationParams


class Recorded(Shell):
    """Keeps its notes and complaints."""

    def __init__(self, engine, home):
        session = Session(engine, open_store(home), params=GenerationParams(), model="echo:")
        super().__init__(session, Settings(), out=None, quiet=None)
        self.notes, self.complaints = [], []

    def view(self, after=""):
        return BaseView()

    def note(self, text):
        self.notes += [text] if text else []

    def complain(self, error):
        self.complaints.append(error.message)


@pytest.fixture
def shell(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("LANGUAGE", "LC_ALL", "LC_MESSAGES", "LANG"):
        monkeypatch.delenv(name, raising=False)
    return lambda engine=None: Recorded(engine or EchoEngine(), tmp_path / "home")


def asked(chat):
    return [item.text for item in chat.session.conversation.messages if item.role == "user"]


def test_a_command_is_run_and_a_text_is_sent(shell):
    chat = shell()
    for line in (Line("/title hello"), Line("//title"), Line("  "), untyped_line("/title other")):
        chat.handle(line)
    assert chat.notes == ["hello"]
    assert asked(chat) == ["/title", "/title other"]


def test_an_error_is_shown_and_the_chat_goes_on(shell):
    class Broken(EchoEngine):
        def stream(self, messages, params, cancel):
            raise failures.pop()
            yield

    failures = [ValueError("a bug"), EngineError("no answer", "wait")]
    chat = shell(Broken())
    chat.handle(Line("one"))
    chat.handle(Line("two"))
    assert chat.complaints == ["no answer", "internal error: ValueError('a bug')"]


def test_files_go_with_the_message_and_not_with_the_next(shell, tmp_path):
    (tmp_path / "a.txt").write_text("from a")
    chat = shell()
    chat.handle(Line("/attach a.txt"))
    chat.handle(Line("read this and @b.txt"))
    chat.handle(Line("and now"))
    first, second = asked(chat)
    assert first.startswith("read this and @b.txt\n\nFile: ")
    assert "from a" in first
    assert second == "and now"
    assert "@b.txt is not a file here, so it is sent as these words" in chat.notes


def test_a_draft_is_read_ahead_as_it_would_be_sent(shell, tmp_path):
    (tmp_path / "a.txt").write_text("from a")
    chat = shell()
    assert chat.draft_as_sent(Line("//slash"), ["a file"]) == "/slash\n\na file"
    assert "from a" in chat.draft_as_sent(Line("read @a.txt"), [])
    for never_sent in (Line(" "), Line("/help")):
        assert chat.draft_as_sent(never_sent, ["a file"]) == ""
