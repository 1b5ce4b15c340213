"""Text files that go with a message, each under a header that says what it is.

The message is stored as it is sent: the header holds the path, size and hash of the file.
"""

from __future__ import annotations

import os
import re
from codecs import BOM_UTF8
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

from glmcli.conversation.typed import Line
from glmcli.errors import UsageError
from glmcli.files import decode_text, near_path, read_bytes
from glmcli.language import tr
from glmcli.paths import (
    LARGEST_MESSAGE,
    absolute,
    is_file,
    is_folder,
    link_target,
    path_of,
    without_links,
)

MENTION = re.compile(r"(?<![\w.+-])@(\"[^\"\n]+\"|[^\s\u3000]+)", re.ASCII)
"""`@path` or `@"path with blanks"`, but not the middle of an e-mail address."""
OPEN_MENTION = re.compile(r"(?<![\w.+-])@(\"[^\"\n]*|\S*)$", re.ASCII)
"""One at the end of a text, as far as it is typed."""
PUNCTUATION = re.compile("[.,;:!?)\\]}>'\"`，。；：！？、）】》」』”’…]")
"""What may follow a path in a sentence."""
PATH_LIKE = re.compile(r"/|\w\.\w{1,8}$")
PLAIN_PATH = re.compile(r"[\w./~+-]*[\w/]")
"""A path that can be mentioned without quotes."""
LONGEST_PATH = 4096
_WIDE_AT = str.maketrans("＠﹫", "@@")
MOST_LOOKED_UP = 100
"""Mentions in a text that was not typed: only to say that they attach nothing."""
ATTACHED = re.compile(
    r"^File: [^\n]+ \(([0-9][0-9,]{0,13}) bytes, sha256 ([0-9a-f]{16})\)\n\n(`{3,})[^\n`]*$",
    re.MULTILINE,
)
LONGEST_FENCE = re.compile(r"`{3,}")


def read_attachment(path: Path) -> str:
    """The text of a file under its header. Raises UsageError if it is not a file, or not text."""
    if is_folder(path):
        raise UsageError(
            tr("{name}: no text file there", name=path), tr("name a file, or a folder with files")
        )
    return attachment(read_bytes(path, limit=LARGEST_MESSAGE), path, where=place(path))


def attachment(data: bytes, name: Path, *, where: str) -> str:
    """Bytes under the header of a file with this name. Raises UsageError if they are not text."""
    if b"\0" in data:
        raise UsageError(tr("{name} is a binary file", name=name), tr("only text can be attached"))
    text = decode_text(data, str(name))
    import hashlib

    digest = hashlib.sha256(data).hexdigest()[:16]
    fence = "`" * max([3, *(len(found) + 1 for found in LONGEST_FENCE.findall(text))])
    end = "" if text.endswith("\n") else "\n"
    suffix = name.suffix.lstrip(".").encode(errors="replace").decode()
    header = f"File: {where} ({len(data):,} bytes, sha256 {digest})"
    return f"{header}\n\n{fence}{suffix}\n{text}{end}{fence}"


def place(path: Path) -> str:
    """Where a file is; if a link leads there, also where the link was found."""
    target = link_target(path)
    names = (str(absolute(path)), target) if target else (str(without_links(path)),)
    shown = (name.encode(errors="replace").decode() for name in names)  # not all are UTF-8
    return ", a link to ".join(" ".join(name.splitlines()) for name in shown)


def heading(attached: str) -> str:
    """The header of an attached file: its path, size and hash."""
    return attached.partition("\n")[0]


def join_files(text: str, files: Sequence[str]) -> str:
    """A text with its files, as sent; one that only seems to have some gets a line end."""
    own = text if headings_only(text) == text else f"{text}\n"
    return "\n\n".join(filter(None, [own, *files]))


def headings_only(text: str) -> str:
    """A message with the headers of its files in place of the files."""
    own, headers = own_and_headers(text)
    return "\n\n".join(filter(None, [own, *headers]))


def own_and_headers(text: str) -> tuple[str, list[str]]:
    """What a message says of its own, and the headers of its files.

    Only what `join_files` put behind the text is a file: all else is shown, whatever it looks like.
    """
    found, headers, end = list(ATTACHED.finditer(text)), list[str](), len(text)
    while found and end:
        fence = text[text.rfind("\n", 0, end) + 1 : end]
        begun = found.pop()
        if begun[3] != fence:  # inside a file, whose fence is a longer one
            continue
        before = "\n\n" if begun.start() else ""
        content = text[begun.end() + 1 : end - len(fence)]
        if not (text.endswith(before, 0, begun.start()) and is_content(begun, content)):
            break
        headers.insert(0, begun[0].partition("\n")[0])
        end = begun.start() - len(before)
    return text[:end], headers


def is_content(header: re.Match[str], content: str) -> bool:
    """Whether a file's header, with its size and hash, was made for this content.

    `read_attachment` leaves out the mark at the beginning, and adds a line end that was missing.
    """
    import hashlib

    data = content.encode("utf-8", "surrogatepass")
    forms = (mark + kept for mark in (b"", BOM_UTF8) for kept in (data, data[:-1]))
    size, digest = int(header[1].replace(",", "")), header[2]
    return any(
        len(form) == size and hashlib.sha256(form).hexdigest().startswith(digest) for form in forms
    )


def attach_mentioned(line: Line) -> list[str]:
    """The files that `line` mentions as `@path`, each under its header. Raises UsageError."""
    paths = dict.fromkeys(path for _, path in mentions(line) if path)
    return [read_attachment(path) for path in paths]


def missing_mentions(line: Line) -> list[str]:
    """Mentions in `line` that look like paths, or nearly name one, though there is no such file."""
    names = dict.fromkeys(name for name, path in mentions(line) if path is None)
    return [name for name in names if PATH_LIKE.search(name) or folder_in(name) or path_near(name)]


def path_near(name: str) -> str:
    """The path that what follows an `@` is a slip for; "" if none is near, or it is no path."""
    path = path_named(name)
    return near_path(path) if path and not os.path.lexists(path) else ""


def mentions(line: Line) -> Iterator[tuple[str, Path | None]]:
    """What follows each typed `@` up to the next blank, and the file it begins with, if any."""
    for match in MENTION.finditer(line.text):
        if line.is_typed(*match.span()):
            yield match[1].strip('"'), file_in(match[1])


def mention_at_end(text: str) -> re.Match[str] | None:
    """The `@path` that a text ends with, unless it is longer than a path can be."""
    return OPEN_MENTION.search(text, max(len(text) - LONGEST_PATH, 0))


def untyped_mentions(line: Line) -> Iterator[str]:
    """Each `@path` that would attach one more file if it had been typed."""
    known = {None, *(path for _, path in mentions(line))}
    found = (match for match in MENTION.finditer(line.text) if not line.is_typed(*match.span()))
    for match in islice(found, MOST_LOOKED_UP):
        if (path := file_in(match[1]) or folder_in(match[1])) not in known:
            known.add(path)
            yield match[0]


def wide_mentions(line: Line) -> Iterator[str]:
    """The path behind each typed `@` of full width, if it is that of a file or a folder."""
    plain = line.text.translate(_WIDE_AT)
    for match in MENTION.finditer(plain) if plain != line.text else ():
        if line.text[match.start()] != "@" and line.is_typed(*match.span()):
            path = file_in(match[1]) or folder_in(match[1])
            yield from [str(path)] if path else []


def file_in(mention: str) -> Path | None:
    """The file that the words behind an `@` are or begin with, if there is one."""
    return next((path for start in starts_of(mention) if (path := file_at(start))), None)


def folder_in(mention: str) -> Path | None:
    """The same for a folder."""
    paths = filter(None, map(path_named, starts_of(mention)))
    return next((path for path in paths if is_folder(path)), None)


def starts_of(mention: str) -> list[str]:
    """The names that the words behind an `@` may be or begin with, the longest first; dots alone
    are none.
    """
    if mention.startswith('"'):
        return [mention.strip('"')]
    ends = [found.start() for found in PUNCTUATION.finditer(mention, 0, LONGEST_PATH)]
    starts = [mention, *(mention[:end] for end in reversed(ends))]
    return [start for start in starts if start.strip(".") and len(start) <= LONGEST_PATH]


def mention_of(path: Path) -> str:
    """`@path` as it is typed; "" if there is no way to type it."""
    name = str(path)
    if PLAIN_PATH.fullmatch(name):
        return f"@{name}"
    return "" if '"' in name or "\n" in name else f'@"{name}"'


def dropped_files(pasted: str) -> list[Path]:
    """The files that a terminal pastes the paths of when they are dragged into it; else [].

    Terminals put quotes around paths, or a backslash before blanks, or write file:// addresses.
    """
    text, found = pasted.strip(), list[Path]()
    if not text or "\n" in text or len(text) > LONGEST_PATH:
        return []
    if path := dropped_file(text):
        return [path]
    import shlex

    names = shlex.shlex(text, posix=True)
    names.whitespace_split, names.commenters = True, ""
    try:
        for name in names:
            if (path := dropped_file(name)) is None:
                return []
            found.append(path)
    except ValueError:  # a quote that is not closed
        return []
    return found


def dropped_file(name: str) -> Path | None:
    """The file that the path, or the file:// address, of a file dragged in leads to."""
    if name.startswith("file://"):
        from urllib.parse import unquote, urlsplit

        try:
            address = urlsplit(name)
        except ValueError:
            return None
        name = unquote(address.path) if address.netloc in ("", "localhost") else ""
    path = file_at(name) if name else None
    return absolute(path) if path else None


def file_at(name: str) -> Path | None:
    """The file that a name in a text may be, if there is one."""
    path = path_named(name)
    return path if path and is_file(path) else None


def path_named(name: str) -> Path | None:
    """The path that a word of a text may be, whether or not something is there."""
    try:
        return path_of(name) if len(name) <= LONGEST_PATH else None
    except UsageError:
        return None
