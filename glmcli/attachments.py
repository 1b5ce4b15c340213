"""Text files that go with a message, each under a header that says what it is.

What is sent is what is stored: the header holds the path, the size and the hash of the file.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path

from glmcli.errors import UsageError
from glmcli.files import decoded
from glmcli.paths import is_file, path_of

MENTION = re.compile(r"(?<![\w.+-])@(\"[^\"\n]+\"|[^\s\u3000]+)", re.ASCII)
"""`@path` or `@"path with blanks"`, but not the middle of an e-mail address."""
PUNCTUATION = re.compile("[.,;:!?)\\]}>'\"`，。；：！？、）】》」』”’…]")
"""What may follow a path in a sentence."""
PATH_LIKE = re.compile(r"/|\w\.\w{1,8}$")
LARGEST_BYTES = 32_000_000
"""More than any model's window holds."""
ATTACHED = re.compile(
    r"^(File: [^\n]+ \([\d,]+ bytes, sha256 [0-9a-f]{16}\))\n\n(`{3,})[^\n`]*\n.*?^\2$",
    re.MULTILINE | re.DOTALL,
)
LONGEST_FENCE = re.compile(r"`{3,}")


def attach(path: Path) -> str:
    """The text of a file under its header. Raises UsageError if it is none, or no text."""
    try:
        size = path.stat().st_size
        if size > LARGEST_BYTES:
            raise UsageError(
                f"{path} is too large: {size:,} bytes of {LARGEST_BYTES:,} at most",
                "attach a part of it",
            )
        if not path.is_file():
            raise UsageError(f"{path} is no file", "only text files can be attached")
        data = path.read_bytes()
    except OSError as exc:
        raise UsageError(f"{path} cannot be attached: {exc.strerror}", "check the path") from exc
    if b"\0" in data:
        raise UsageError(f"{path} is a binary file", "only text can be attached")
    text = decoded(data, str(path))
    digest = hashlib.sha256(data).hexdigest()[:16]
    fence = "`" * max([3, *(len(found) + 1 for found in LONGEST_FENCE.findall(text))])
    end = "" if text.endswith("\n") else "\n"
    header = f"File: {path.absolute()} ({len(data):,} bytes, sha256 {digest})"
    return f"{header}\n\n{fence}{path.suffix.lstrip('.')}\n{text}{end}{fence}"


def heading(attached: str) -> str:
    """The header of an attached file: its path, size and hash."""
    return attached.partition("\n")[0]


def headings_only(text: str) -> str:
    """A message with the headers of its files in place of the files."""
    return ATTACHED.sub(r"\1", text)


def mentioned(text: str) -> list[str]:
    """The files that `text` mentions as `@path`, each under its header. Raises UsageError."""
    paths = dict.fromkeys(path for _, path in mentions(text) if path)
    return [attach(path) for path in paths]


def missed(text: str) -> list[str]:
    """What `text` mentions like a path, though there is no such file."""
    names = dict.fromkeys(name for name, path in mentions(text) if path is None)
    return [name for name in names if PATH_LIKE.search(name)]


def mentions(text: str) -> Iterator[tuple[str, Path | None]]:
    """What follows each `@`, and the file that it is or begins with, if there is one."""
    for found in MENTION.findall(text):
        name = found.strip('"')
        ends = [match.start() for match in PUNCTUATION.finditer(found)]
        starts = [name] if found.startswith('"') else [found, *(found[:end] for end in ends[::-1])]
        files = (path for start in starts if start and (path := file_at(start)))
        yield name, next(files, None)


def file_at(name: str) -> Path | None:
    """The file that a name in a text may be, if there is one."""
    try:
        path = path_of(name)
    except UsageError:
        return None
    return path if is_file(path) else None
