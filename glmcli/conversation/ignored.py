"""Which files git would ignore, and which a pattern means: by the parts of their paths.

Reads `.gitignore` and never runs git, which a folder's own settings can make run anything. Knows
nothing of what is done with the files.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import translate
from pathlib import Path

from glmcli.errors import UsageError
from glmcli.files import MB, read_text
from glmcli.paths import is_something

MOST_RULES, LONGEST_RULE = 500, 500
"""Lines and characters: a folder can be anybody's."""
Pattern = tuple[re.Pattern[str] | None, ...]
"""One for each part of a path; None stands for any number of parts."""


def path_pattern(parts: Sequence[str]) -> Pattern:
    """The pattern that parts of a path are, `**` being any number of parts."""
    return tuple(None if part == "**" else re.compile(translate(part)) for part in parts)


@dataclass(frozen=True, slots=True)
class IgnoreRule:
    """A line of a `.gitignore`. Source: the documentation of gitignore."""

    depth: int
    """Parts of the path of the folder that it lies in."""
    pattern: Pattern
    ignores: bool
    only_folders: bool


def is_match(pattern: Pattern, parts: Sequence[str]) -> bool:
    """Whether the parts of a path fit a pattern; takes time in proportion to both."""
    if len(pattern) == 2 and pattern[0] is None and pattern[1] is not None:
        return bool(parts) and pattern[1].match(parts[-1]) is not None
    reached = {0}
    for each in pattern:
        if each is None:
            reached = set(range(min(reached, default=len(parts) + 1), len(parts) + 1))
        else:
            reached = {at + 1 for at in reached if at < len(parts) and each.match(parts[at])}
    return len(parts) in reached


def is_ignored(rules: Sequence[IgnoreRule], parts: Sequence[str], *, is_folder: bool) -> bool:
    """Whether git would ignore the file or folder with this absolute path: the last rule says."""
    for rule in reversed(rules):
        if (is_folder or not rule.only_folders) and is_match(rule.pattern, parts[rule.depth :]):
            return rule.ignores
    return False


def rules_of(folder: Path) -> list[IgnoreRule]:
    """The rules in a folder's own `.gitignore`; none where that is missing or no text."""
    try:
        text = read_text(folder / ".gitignore", limit=MB)
    except UsageError:
        return []
    lines = [line[:LONGEST_RULE].rstrip("\r ") for line in text.split("\n")[:MOST_RULES]]
    return [rule_of(line, len(folder.parts)) for line in lines if line and line[0] != "#"]


def rule_of(line: str, depth: int) -> IgnoreRule:
    """The meaning of one line."""
    ignores = not line.startswith("!")
    body = line.removeprefix("!").removeprefix("\\")
    only_folders = body.endswith("/")
    body = body.rstrip("/")
    parts = body.lstrip("/").split("/") if "/" in body else ["**", body]
    return IgnoreRule(depth, path_pattern(parts), ignores, only_folders)


def rules_above(folder: Path) -> list[IgnoreRule]:
    """The rules for an absolute path out of the folders above it, up to that of its repository."""
    for count, above in enumerate(folder.parents, 1):
        if is_something(folder / ".git"):
            return []
        if is_something(above / ".git"):
            inner = reversed(folder.parents[:count])
            return [rule for each in inner for rule in rules_of(each)]
    return []
