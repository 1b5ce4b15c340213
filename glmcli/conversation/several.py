"""Folders and patterns, as the text files that they mean: for a person to agree to, then to send.

What is hidden, ignored by git, a link or not text is left out and counted. Knows nothing of who is
asked.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from glmcli.conversation.attachments import (
    file_at,
    mentions,
    path_named,
    read_attachment,
    starts_of,
)
from glmcli.conversation.ignored import (
    MOST_RULES,
    IgnoreRule,
    Pattern,
    is_ignored,
    is_match,
    path_pattern,
    rules_above,
    rules_of,
)
from glmcli.conversation.typed import Line
from glmcli.errors import UsageError
from glmcli.files import open_regular, printable, reading
from glmcli.language import bytes_phrase, ntr, tr
from glmcli.paths import LARGEST_MESSAGE, is_folder, path_of, without_links

MOST_SEEN = 10_000
"""Names in folders that are looked at: more than anybody means to send."""
MOST_SENT = 1_000
MOST_LISTED = 20
HEAD_BYTES = 8_192
_WILD = re.compile(r"[*?\[]")


@dataclass(slots=True)
class Several:
    """The text files that a name stands for."""

    name: str
    """As it was typed."""
    sizes: list[tuple[str, int]] = field(default_factory=list)
    """The files as they are listed, with their bytes."""
    attached: list[str] = field(default_factory=list)
    """Each under its header."""
    left_out: Counter[str] = field(default_factory=Counter)

    @property
    def headline(self) -> str:
        """How many there are, and how large they are together."""
        return ntr(
            "{name}: {n} file, {size}",
            "{name}: {n} files, {size}",
            len(self.sizes),
            name=self.name,
            size=bytes_phrase(sum(size for _, size in self.sizes)),
        )

    @property
    def left_out_line(self) -> str:
        """What was left out, or ""."""
        count = self.left_out
        said = {
            "hidden": tr("{n} hidden", n=count["hidden"]),
            "ignored": tr("{n} ignored by git", n=count["ignored"]),
            "link": ntr("{n} link", "{n} links", count["link"]),
            "unreadable": tr("{n} that cannot be read", n=count["unreadable"]),
            "binary": tr("{n} too large or not text", n=count["binary"]),
        }
        found = [words for why, words in said.items() if count[why]]
        return tr("left out: {what}", what=tr(", ").join(found)) if found else ""

    @property
    def summary(self) -> str:
        """Both in one line."""
        return tr("; ").join(filter(None, [self.headline, self.left_out_line]))

    @property
    def question(self) -> str:
        """The list that a person agrees to."""
        rows = [f"{size:>10,}  {name}" for name, size in self.sizes[:MOST_LISTED]]
        if self.sizes[MOST_LISTED:]:
            rows.append(tr("… and {n} more", n=len(self.sizes) - MOST_LISTED))
        asked = ntr("send it?", "send these {n} files?", len(self.sizes))
        return "\n".join(filter(None, [self.headline, *rows, self.left_out_line, asked]))

    def agreed(self, answer: bool | None) -> list[str]:
        """The files, if that is the answer; else none. Raises UsageError if nobody could answer."""
        if answer is None:
            raise UsageError(self.summary, tr("--yes sends them; or name each file"))
        return self.attached if answer else []


def is_pattern(name: str) -> bool:
    """Whether a name can stand for several files."""
    return bool(_WILD.search(name))


def find_several(name: str) -> Several | None:
    """What a folder, or a pattern such as `src/**/*.py`, stands for; None if that is nothing.

    Raises UsageError where there is no text among it, or far too much.
    """
    found = Several(name)
    for file, why_not in files_of(name):
        take(found, file, why_not)
    if found.sizes or not found.left_out:
        return found if found.sizes else None
    raise UsageError(tr("{name}: no text file there", name=name), found.left_out_line)


def files_of(name: str) -> Iterator[tuple[Path, str]]:
    """The files of a folder or a pattern, see `walk`; none of any other name."""
    if not name:
        return
    path = path_of(name)
    at = next((at for at, part in enumerate(path.parts) if _WILD.search(part)), len(path.parts))
    if is_folder(path):
        yield from walk(path, path_pattern(["**"]), name)
    elif path.parts[at:] and is_folder(base := Path(*path.parts[:at])):
        yield from walk(base, path_pattern(path.parts[at:]), name)


def is_there(name: str) -> bool:
    """Whether a name is that of a file, or of a folder or pattern with files."""
    with suppress(UsageError):
        if file_at(name) is not None:
            return True
    try:
        return next(files_of(name), None) is not None
    except UsageError:
        return True  # more than can be looked through: who reads it says so


def several_mentioned(line: Line) -> dict[str, Several]:
    """The folders and patterns that a line mentions, by what stands behind their `@`.

    Raises UsageError.
    """
    found = {}
    for name in (name for name, path in mentions(line) if path is None):
        for start in starts_of(name):
            if name in found or not path_named(start):
                continue
            if several := find_several(start):
                found[name] = several
    return found


def take(found: Several, file: Path, why_not: str) -> None:
    """Add a file, or count it as left out. Raises UsageError where it is too much."""
    size, attached = 0, ""
    try:
        if not why_not and not is_binary(file):
            attached = read_attachment(file)
            with reading(file):
                size = file.stat().st_size
    except UsageError as exc:
        why_not = "unreadable" if isinstance(exc.__cause__, OSError) else ""
        attached = ""
    if not attached:
        found.left_out[why_not or "binary"] += 1
        return
    found.attached.append(attached)
    found.sizes.append((printable(file), size))
    if len(found.sizes) > MOST_SENT or sum(map(len, found.attached)) > LARGEST_MESSAGE:
        what = tr(
            "{name}: more than {most:,} files or {limit:,} bytes of text",
            name=found.name,
            most=MOST_SENT,
            limit=LARGEST_MESSAGE,
        )
        raise too_much(what)


def too_much(what: str) -> UsageError:
    """The error where a name stands for more than anybody means to send."""
    return UsageError(
        what, tr("name less, for example with a pattern: {example}", example="'src/*.py'")
    )


def is_binary(file: Path) -> bool:
    """Whether a file begins as no text does. Raises UsageError if it cannot be read."""
    with open_regular(file, limit=LARGEST_MESSAGE) as opened, reading(file):
        return b"\0" in (opened.read(HEAD_BYTES) or b"")


def walk(base: Path, pattern: Pattern, name: str) -> Iterator[tuple[Path, str]]:
    """Files under a folder that fit, in order, and why each is left out: "" for those to send.

    Folders that are hidden, ignored or links are not entered, and count as one. Raises UsageError.
    """
    root = without_links(base)
    waiting: list[tuple[Path, tuple[str, ...], list[IgnoreRule]]] = [(base, (), rules_above(root))]
    seen = 0
    while waiting:
        folder, inner, above = waiting.pop()
        rules = [*above, *rules_of(root.joinpath(*inner))][-MOST_RULES:]
        entries = sorted(entries_of(folder), key=lambda entry: entry.name)
        seen += len(entries)
        if seen > MOST_SEEN:
            what = tr("{name}: more than {most:,} names to look through", name=name, most=MOST_SEEN)
            raise too_much(what)
        below = []
        for entry in entries:
            parts, path = (*inner, entry.name), folder / entry.name
            why_not = reason_against(entry, rules, (*root.parts, *parts))
            if not why_not and entry.is_dir(follow_symlinks=False):
                if None in pattern or len(parts) < len(pattern):
                    below.append((path, parts, rules))
            elif is_match(pattern, parts):
                yield path, why_not
        waiting += reversed(below)


def reason_against(entry: os.DirEntry[str], rules: list[IgnoreRule], parts: tuple[str, ...]) -> str:
    """Why a file or folder with this absolute path is left out, or ""."""
    if entry.name.startswith("."):
        return "hidden"
    if entry.is_symlink():
        return "link"
    is_folder = entry.is_dir(follow_symlinks=False)
    return "ignored" if is_ignored(rules, parts, is_folder=is_folder) else ""


def entries_of(folder: Path) -> list[os.DirEntry[str]]:
    """What is in a folder; nothing if that cannot be read."""
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError:
        return []
