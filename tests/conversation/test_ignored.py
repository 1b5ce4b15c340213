"""Which files git would ignore: the same as git says, and in bounded time."""

from __future__ import annotations

import shutil
import subprocess
import time
from pathlib import Path

import pytest

from glmcli.conversation.ignored import is_ignored, is_match, path_pattern, rules_above, rules_of

RULES = """\
# a comment
*.log
!keep.log
build/
/only-here
docs/*.txt
**/cache
deep/**/end.py
\\#odd
\\!odd
trailing   \n"""
FILES = (
    *("a.py", "a.log", "keep.log", "sub/b.log", "build/x.py", "sub/build/x.py", "only-here"),
    *("sub/only-here", "docs/a.txt", "docs/in/a.txt", "sub/docs/a.txt", "cache", "x/y/cache"),
    *("deep/end.py", "deep/1/2/end.py", "end.py", "#odd", "!odd", "trailing", "sub/x/build"),
)


def ignored_here(root: Path, name: str) -> bool:
    """Whether a file is ignored, itself or with a folder above it, as `walk` goes down."""
    rules, parts = [*rules_above(root), *rules_of(root)], Path(name).parts
    return any(
        is_ignored(rules, (*root.parts, *parts[:end]), is_folder=end < len(parts))
        for end in range(1, len(parts) + 1)
    )


@pytest.mark.skipif(not shutil.which("git"), reason="there is no git to compare with")
def test_what_is_ignored_is_what_git_ignores(tmp_path):
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    (tmp_path / ".gitignore").write_text(RULES)
    for name in FILES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        if not (tmp_path / name).exists():
            (tmp_path / name).write_text("x")
    command = ["git", "-C", str(tmp_path), "check-ignore", "--stdin"]
    asked = subprocess.run(command, input="\n".join(FILES), capture_output=True, text=True)
    said = {name.strip('"').replace('\\"', '"') for name in asked.stdout.splitlines()}
    assert {name for name in FILES if ignored_here(tmp_path, name)} == said
    assert 5 < len(said) < len(FILES) - 5


def test_rules_of_folders_above_count_up_to_that_of_the_repository(tmp_path):
    (tmp_path / ".gitignore").write_text("*.py\n")
    repository = tmp_path / "repository"
    (repository / ".git").mkdir(parents=True)
    (repository / ".gitignore").write_text("*.txt\n")
    inner = repository / "a" / "b"
    inner.mkdir(parents=True)
    assert ignored_here(inner, "x.txt")
    assert not ignored_here(inner, "x.py")
    (inner / ".gitignore").write_text("!x.txt\n")
    assert not ignored_here(inner, "x.txt")


@pytest.mark.parametrize("data", [b"", b"\xff\xfe", b"[", b"/\n//\n!\n\\\n**\n", b"a" * 3_000_000])
def test_a_file_of_rules_may_hold_anything(tmp_path, data):
    (tmp_path / ".gitignore").write_bytes(data)
    is_ignored(rules_of(tmp_path), (*tmp_path.parts, "a"), is_folder=False)


@pytest.mark.parametrize(
    ("pattern", "path", "matches"),
    [
        ("*.py", "a.py", True),
        ("*.py", "in/a.py", False),
        ("**/*.py", "in/deep/a.py", True),
        ("**/*.py", "a.py", True),
        ("src/**", "src/a/b", True),
        ("src/**/b", "src/b", True),
        ("[ab].?s", "a.js", True),
        ("[!ab].?s", "a.js", False),
    ],
)
def test_patterns_are_those_of_a_shell(pattern, path, matches):
    assert is_match(path_pattern(pattern.split("/")), path.split("/")) is matches


def test_no_pattern_takes_long():
    begun = time.monotonic()
    assert not is_match(path_pattern(["*a" * 100 + "b"]), ["a" * 255])
    assert not is_match(path_pattern(["**", "*"] * 100 + ["b"]), ["a"] * 400)
    assert time.monotonic() - begun < 2
