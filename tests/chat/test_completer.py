"""Paths behind `@`: what is put in is one word, and mentions the file that was chosen."""

from __future__ import annotations

import pytest
from prompt_toolkit.completion import CompleteEvent
from prompt_toolkit.document import Document

from glmcli.chat.completer import CommandCompleter
from glmcli.conversation.attachments import mentions
from glmcli.conversation.typed import Line


@pytest.fixture
def complete(tmp_path, monkeypatch):
    """Texts that a draft becomes by choosing each completion."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_text("SECRET=1")

    def run(draft: str) -> list[str]:
        found = CommandCompleter(lambda word, rest: ()).get_completions(
            Document(draft), CompleteEvent(completion_requested=True)
        )
        return [draft[: len(draft) + item.start_position] + item.text for item in found]

    return run


@pytest.mark.parametrize(
    "name",
    [
        "a.txt",
        "a b.txt",
        "a@.env",
        "a\u3000@.env",
        "a\u2003@.env",
        "a, @.env",
        "文件 @.env",
        "a'@.env",
    ],
)
def test_a_completed_name_mentions_that_file_and_no_other(tmp_path, complete, name):
    (tmp_path / name).write_text("x")
    [text] = complete(f"see @{name[0]}")
    assert [path.name for _, path in mentions(Line(text)) if path] == [name]


@pytest.mark.parametrize("name", ["a\t@.env", "a\n@.env", 'a" @.env', 'a b" @.env "c', "a\r@.env"])
def test_a_name_that_cannot_be_typed_as_one_word_is_not_offered(tmp_path, complete, name):
    (tmp_path / name).write_text("x")
    assert complete("see @a") == []
    if '"' not in name:
        assert complete("/attach a") == []


def test_commands_get_the_paths_that_they_take(tmp_path, complete):
    (tmp_path / "notes.txt").write_text("x")
    (tmp_path / "models").mkdir()
    assert complete("/attach n") == ["/attach notes.txt"]
    assert complete("/attach m") == ["/attach models/"]
    assert complete("/system @n") == ["/system @notes.txt"]
    assert complete("/system n") == []
    assert complete("/model ./") == ["/model ./models/"]
    assert complete("/model ") == complete("/model n") == []
    assert complete("/title n") == complete("/copy ") == []
