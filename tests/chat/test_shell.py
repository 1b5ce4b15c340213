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
        self.notes, self.complaints, self.hints = [], [], []

    def view(self, after=""):
        return BaseView()

    def note(self, text):
        self.notes += [text] if text else []

    def complain(self, error):
        self.complaints.append(error.message)
        self.hints.append(error.hint)


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
    chat.handle(Line("read this and @notes.md"))
    chat.handle(Line("and now"))
    first, second = asked(chat)
    assert first.startswith("read this and @notes.md\n\nFile: ")
    assert "from a" in first
    assert second == "and now"
    assert "@notes.md is not a file here, so it is sent as these words" in chat.notes


def test_a_file_behind_an_at_of_full_width_is_told(shell, tmp_path):
    (tmp_path / "a.txt").write_text("from a")
    chat = shell()
    chat.handle(Line("看看＠a.txt，谢谢 ＠nobody"))
    assert asked(chat) == ["看看＠a.txt，谢谢 ＠nobody"]
    assert chat.notes == ["＠a.txt is sent as these words; did you mean @a.txt?"]


def test_a_draft_is_read_ahead_as_it_would_be_sent(shell, tmp_path):
    (tmp_path / "a.txt").write_text("from a")
    chat = shell()
    assert chat.draft_as_sent(Line("//slash"), ["a file"]) == "/slash\n\na file"
    assert "from a" in chat.draft_as_sent(Line("read @a.txt"), [])
    for never_sent in (Line(" "), Line("/help")):
        assert chat.draft_as_sent(never_sent, ["a file"]) == ""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "src").mkdir()
    for name in ("a.py", "b.py"):
        (tmp_path / "src" / name).write_text(f"in {name}\n")


@pytest.mark.parametrize("name", ["src/", "src"])
def test_a_folder_goes_along_once_the_user_agrees(shell, folder, name):
    chat, questions = shell(), []
    chat.confirm = lambda question: [True, questions.append(question)][0]
    chat.handle(Line(f"read @{name} please"))
    listed = "         8  src/a.py\n         8  src/b.py"
    assert questions == [f"{name}: 2 files, 16 bytes\n{listed}\nsend these 2 files?"]
    assert asked(chat)[0].startswith(f"read @{name} please\n\nFile: ")
    assert "in a.py" in asked(chat)[0]
    assert "in b.py" in asked(chat)[0]


def test_a_line_whose_files_are_not_agreed_to_is_the_next_draft(shell, folder):
    chat = shell()
    chat.confirm = lambda question: False
    chat.handle(Line("read @src/*.py please"))
    assert asked(chat) == []
    assert chat.draft == Line("read @src/*.py please")


def test_where_nobody_can_be_asked_no_folder_is_sent_unless_that_was_typed(shell, folder):
    chat = shell()
    chat.handle(Line("read @src/ please"))
    assert asked(chat) == []
    assert chat.complaints == ["src/: 2 files, 16 bytes"]
    chat.agrees_to_files = True
    chat.handle(Line("read @src/ please"))
    assert "in b.py" in asked(chat)[0]
    assert chat.notes == ["src/: 2 files, 16 bytes"]


def test_a_pasted_folder_is_text(shell, folder):
    chat = shell()
    chat.handle(untyped_line("read @src/ please"))
    assert asked(chat) == ["read @src/ please"]


def test_a_message_that_is_too_long_with_its_files_is_told_how_to_send_it_without(shell, tmp_path):
    chat = shell(EchoEngine(context_tokens=60))
    (tmp_path / "a.txt").write_text("word " * 40)
    chat.handle(Line("/attach a.txt"))
    chat.handle(Line("more " * 20))
    assert chat.hints[0].startswith("/attach off takes the attached files back; glm ask --long")
    chat.handle(Line("/attach off"))
    chat.handle(Line("more " * 20))
    assert len(chat.hints) == 1


@pytest.mark.parametrize("agreed", [True, False])
def test_a_folder_is_attached_once_the_user_agrees(shell, folder, agreed):
    chat = shell()
    chat.confirm = lambda question: agreed
    for _ in range(2):
        chat.handle(Line("/attach src"))
    assert len(chat.attached) == (2 if agreed else 0)
    assert chat.notes[0] == (
        "src: 2 files, 16 bytes: goes with the next message" if agreed else "nothing was attached"
    )
