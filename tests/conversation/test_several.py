"""Folders and patterns: which files they stand for, and what is said of the others."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from glmcli.conversation import several
from glmcli.conversation.attachments import heading
from glmcli.conversation.several import find_several, is_there, several_mentioned
from glmcli.conversation.typed import Line, untyped_line
from glmcli.errors import UsageError


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, data in {
        "src/b.py": b"y = 2\n",
        "src/a.py": b"x = 1",
        "src/deep/c.txt": "ü\n".encode(),
        "src/photo.py": b"\x89PNG\0",
        "src/latin.py": b"\xff\n",
        "src/.env": b"SECRET=1\n",
        "src/.hidden/d.py": b"",
        "src/out.log": b"log\n",
        ".gitignore": b"*.log\n",
        ".git/config": b"",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(data)
    (tmp_path / "src/link.py").symlink_to("/etc/passwd")
    (tmp_path / "src/up").symlink_to("..")
    os.mkfifo(tmp_path / "src/pipe.py")
    return tmp_path


def names(name: str) -> list[str]:
    found = find_several(name)
    return [file for file, _ in found.sizes] if found else []


def test_one_byte_is_one(here):
    (here / "one").mkdir()
    (here / "one/a.txt").write_text("a")
    found = find_several("one/")
    assert found.summary == "one/: 1 file, 1 byte"


def test_a_folder_is_its_text_files_and_says_what_it_leaves_out(here):
    found = find_several("src/")
    assert found.sizes == [("src/a.py", 5), ("src/b.py", 6), ("src/deep/c.txt", 3)]
    assert [heading(file).split(" (")[0] for file in found.attached] == [
        f"File: {here / name}" for name, _ in found.sizes
    ]
    assert found.summary == (
        "src/: 3 files, 14 bytes; "
        "left out: 2 hidden, 1 ignored by git, 2 links, 3 too large or not text"
    )
    assert "SECRET" not in "".join(found.attached)
    assert "root:" not in "".join(found.attached)


@pytest.mark.parametrize(
    ("name", "files"),
    [
        ("src", ["src/a.py", "src/b.py", "src/deep/c.txt"]),
        ("src/*.py", ["src/a.py", "src/b.py"]),
        ("src/[b-z].*", ["src/b.py"]),
        ("**/*.txt", ["src/deep/c.txt"]),
        ("src/*", ["src/a.py", "src/b.py"]),
        ("*/deep/*", ["src/deep/c.txt"]),
        ("src/a.py", []),
        ("src/*.zz", []),
        ("nowhere/*.py", []),
        ("nowhere/", []),
        ("x" * 5000, []),
    ],
)
def test_which_files_a_name_stands_for(here, name, files):
    assert names(name) == files
    assert is_there(name) is (bool(files) or name == "src/a.py")


def test_a_name_with_no_text_file_is_an_error_that_says_what_is_there(here):
    with pytest.raises(UsageError, match="no text file") as caught:
        find_several("src/*.log")
    assert "1 ignored by git" in caught.value.hint


def test_a_file_that_opens_and_cannot_be_read_is_left_out(here, monkeypatch):
    unreadable = Path("/proc/self/mem")
    as_it_was = several.open_regular
    monkeypatch.setattr(
        several,
        "open_regular",
        lambda path, limit: as_it_was(unreadable if path.name == "a.py" else path, limit=limit),
    )
    found = find_several("src/*.py")
    assert [name for name, _ in found.sizes] == ["src/b.py"]
    assert "1 that cannot be read" in found.left_out_line


@pytest.mark.parametrize(
    ("limit", "at"), [("MOST_SEEN", 5), ("MOST_SENT", 2), ("LARGEST_MESSAGE", 200)]
)
def test_far_too_much_is_refused(here, monkeypatch, limit, at):
    monkeypatch.setattr(several, limit, at)
    with pytest.raises(UsageError, match="more than"):
        find_several("src/")


def test_the_question_lists_files_with_their_sizes_and_how_many_more(here, monkeypatch):
    monkeypatch.setattr(several, "MOST_LISTED", 2)
    lines = find_several("src/").question.splitlines()
    assert lines == [
        "src/: 3 files, 14 bytes",
        "         5  src/a.py",
        "         6  src/b.py",
        "… and 1 more",
        "left out: 2 hidden, 1 ignored by git, 2 links, 3 too large or not text",
        "send these 3 files?",
    ]


def test_names_of_files_cannot_forge_a_line_of_the_question(here):
    (here / "src/x\ny.py").write_text("z")
    assert "\ny.py" not in find_several("src/").question


def test_a_line_mentions_folders_and_patterns(here):
    words = "@property @~nobody @... @.. @. @x*y me@src/ me@src"
    line = Line(f'read @src/, @src. {words} but @src/*.py! and @"src/deep/"')
    found = several_mentioned(line)
    assert [(name, each.name) for name, each in found.items()] == [
        ("src/,", "src/"),
        ("src.", "src"),
        ("src/*.py!", "src/*.py"),
        ("src/deep/", "src/deep/"),
    ]


def test_what_was_pasted_names_no_folder(here):
    assert several_mentioned(untyped_line("read @src/ and @src/*.py")) == {}
