"""Texts that were sent before: kept in a file, and suggested while typing.

Each entry says which of its characters were typed. Knows nothing of conversations; pastes are kept
whole.
"""

from __future__ import annotations

import fcntl
import os
import re
import time
from collections.abc import Callable, Iterable, Iterator, Set
from datetime import datetime
from pathlib import Path

from prompt_toolkit.auto_suggest import AutoSuggest, Suggestion
from prompt_toolkit.buffer import Buffer
from prompt_toolkit.document import Document
from prompt_toolkit.history import History

from glmcli.conversation.attachments import own_and_headers
from glmcli.conversation.lines import literal
from glmcli.conversation.roles import framing_roles
from glmcli.conversation.typed import PASTED_BYTE, TYPED_BYTE, Line, untyped_line
from glmcli.errors import StoreError, UsageError
from glmcli.files import GB, read_bytes
from glmcli.ours import make_private, not_written, open_private, replace_file
from glmcli.paths import without_links
from glmcli.terminal.input.pastes import Pastes

_LARGEST_BYTES = GB
_LOCK_WAIT_S, _LOCK_TICK_S = 0.5, 0.005
"""How long another process that changes the file is waited for, and how often it is tried."""
LONGEST_SUGGESTION = 200
"""Characters. A longer one would push the conversation off the screen."""
_RUN = re.compile(PASTED_BYTE + b"+")
ORIGINS = re.compile(r"# .* (?:typed|pasted((?: \d{1,9}-\d{1,9})+))")
"""The line above an entry: when it was sent, and what of it was pasted."""

FAILED_MARK = "refused "
FAILED_LINE = re.compile(rf"# \S+ \S+ {FAILED_MARK}(.*)")
"""A line of the file that says of an earlier entry that it was a command that failed."""


class PromptHistory(History):
    """The texts that were sent, in a file that only its owner can read; it breaks no chat.

    The file is that of prompt-toolkit's FileHistory. Entries without a line that says what was
    typed count as pasted, and so do all of a file that is not the user's `own`.
    """

    def __init__(
        self, path: Path | None, pastes: Pastes, *, sent: Callable[[str], Line], own: bool = True
    ) -> None:
        """Without `path` it is kept in memory; `sent` makes of a draft the text that is sent."""
        super().__init__()
        self._path = path
        self._pastes = pastes
        self._sent = sent
        self._own = own
        self._lines: dict[str, Line] = {}
        self._refused = set[str]()
        self._early = set[str]()

    def recalled(self, text: str) -> Line | None:
        """An entry, and which parts of it were typed; None if there is no such entry.

        A text that was once typed from its beginning to its end is the user's own.
        """
        return self._lines.get(text)

    def is_refused(self, text: str) -> bool:
        """Whether an entry was a command that failed when it was last sent."""
        return text in self._refused

    def refuse(self, text: str) -> None:
        """Keep that an entry of one line was a command that failed: it is suggested no more."""
        self._refused.add(text)
        if "\n" not in text:
            self._append(f"# {datetime.now()} {FAILED_MARK}{text}\n")

    def append_string(self, string: str) -> None:
        """Remember an entry, in memory and at once in the file, so that a kill loses nothing."""
        line = self._sent(string)
        if line.text in self._early:
            self._early.remove(line.text)
        else:
            self.remember(line)

    def remember_early(self, drafts: Iterable[Line]) -> None:
        """Remember entries that wait to be entered: once each, though they are entered later."""
        for line in map(self._pastes.whole, drafts):
            if line.text not in self._early:
                self._early.add(line.text)
                self.remember(line)

    def remember(self, line: Line) -> None:
        """The same of a line that was not entered here."""
        self._loaded_strings.insert(0, self._remembered(line))
        self._store(line)

    def load_history_strings(self) -> Iterable[str]:
        """The entries of the file, the last one first."""
        entries = [self._remembered(line) for line in self._stored()]
        return reversed(entries)

    def store_string(self, string: str) -> None:
        """Append an entry of unknown origin to the file."""
        self._store(untyped_line(string))

    def _remembered(self, line: Line) -> str:
        text = self._pastes.plain(line.text)
        self._refused.discard(text)
        if PASTED_BYTE not in line.pasted or text not in self._lines:
            self._lines[text] = Line(text, line.pasted)
        return text

    def _stored(self) -> Iterator[Line]:
        try:
            data = read_bytes(self._path, limit=_LARGEST_BYTES) if self._path else b""
        except UsageError:
            return
        origins, entry = "", list[str]()
        for line in [*data.split(b"\n"), b""]:
            text = line.decode("utf-8", "replace")
            if text.startswith("+"):
                entry.append(text[1:])
                continue
            if entry:
                yield with_origins("\n".join(entry), origins if self._own else "")
            origins, entry = text, []
            if found := FAILED_LINE.fullmatch(text):
                self._refused.add(found[1])

    def _store(self, line: Line) -> None:
        runs = [f" {run.start()}-{run.end()}" for run in _RUN.finditer(line.pasted)]
        origins = f"pasted{''.join(runs)}" if runs else "typed"
        text = "".join(f"+{row}\n" for row in line.text.split("\n"))
        self._append(f"\n# {datetime.now()} {origins}\n{text}")

    def _append(self, text: str) -> None:
        if self._path is None:
            return
        try:
            with os.fdopen(open_locked(self._path), "ab") as file:
                file.write(text.encode("utf-8", "replace"))
        except (OSError, StoreError):
            return  # a full or read-only disk: the entry is still there for this session


class Suggestions(AutoSuggest):
    """The end of an earlier line that began like this one, unless very long or refused."""

    def __init__(self, history: PromptHistory) -> None:
        self._history = history

    def get_suggestion(self, buffer: Buffer, document: Document) -> Suggestion | None:
        """See AutoSuggest."""
        begun = document.text.rpartition("\n")[2]
        if not begun.strip():
            return None
        entries = (
            entry
            for entry in reversed(self._history.get_strings())
            if begun in entry and not self._history.is_refused(entry)
        )
        lines = (line for entry in entries for line in reversed(entry.splitlines()))
        found = next((line for line in lines if line.startswith(begun)), begun)[len(begun) :]
        return Suggestion(found) if len(found) <= LONGEST_SUGGESTION else None


def with_origins(text: str, origins: str) -> Line:
    """An entry of the file, given the line above it."""
    found = ORIGINS.fullmatch(origins)
    if found is None:
        return untyped_line(text)
    mask = bytearray(TYPED_BYTE * len(text))
    for run in (found[1] or "").split():
        start, end = (min(int(at), len(text)) for at in run.split("-"))
        mask[start:end] = PASTED_BYTE * (end - start)
    return Line(text, bytes(mask)) if found[1] else Line(text)


def open_locked(path: Path) -> int:
    """A descriptor of the file, which `forget_said` does not replace until it is closed.

    A lock that another process keeps is not waited for long. Raises StoreError, OSError.
    """
    until = time.monotonic() + _LOCK_WAIT_S
    while True:
        handle = open_private(path)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            is_in_place = os.path.samestat(os.fstat(handle), path.stat())
        except (BlockingIOError, FileNotFoundError):
            is_in_place = False
        except OSError:  # some network disks know no locks
            is_in_place = True
        if is_in_place or time.monotonic() >= until:
            return handle
        os.close(handle)
        time.sleep(_LOCK_TICK_S)


def forget_said(path: Path, questions: Iterable[str]) -> None:
    """Take the entries that were sent as these messages out of the file, if there is one.

    Raises StoreError.
    """
    said = {form.encode("utf-8", "replace") for form in forms_said(questions)}
    if not (said and path.is_file()):
        return
    try:
        with os.fdopen(open_locked(path), "rb") as file:
            data = file.read()
            kept = without_entries(data, said)
            if kept != data:
                replace_file(without_links(path), kept, 0o600, own=True)
    except OSError as exc:
        raise not_written(path, exc, own=True) from exc


def forms_said(questions: Iterable[str]) -> Iterator[str]:
    """What may have been typed for messages: without their files, and the words of a role."""
    roles = framing_roles()
    for question in questions:
        own = own_and_headers(question)[0]
        for text in (question, own, own.removesuffix("\n")):
            yield text
            yield from filter(None, (role.unframed(text) for role in roles))


def without_entries(data: bytes, said: Set[bytes]) -> bytes:
    """The content of the file without the entries that were sent as one of these texts."""
    kept, entry = list[bytes](), list[bytes]()
    for row in [*data.split(b"\n"), None]:
        if row is not None and row.startswith(b"+"):
            entry.append(row)
            continue
        text = b"\n".join(each[1:] for each in entry)
        sent = literal(Line(text.decode("utf-8", "replace"))).text.encode()
        if not entry or said.isdisjoint((text, sent)):
            kept += entry
        elif kept and kept[-1].startswith(b"# "):  # when it was sent, below an empty line
            del kept[-2 if kept[-2:-1] == [b""] else -1 :]
        entry = []
        kept += [] if row is None else [row]
    return b"\n".join(kept)


def make_history(
    path: Path | None, pastes: Pastes, *, sent: Callable[[str], Line], own: bool = True
) -> PromptHistory:
    """The history in a file, or in memory alone if there is no file or it cannot be read."""
    if path is not None:
        try:
            handle = open_private(path)
            make_private(handle)
            os.close(handle)
        except (OSError, StoreError):
            path = None
    return PromptHistory(path, pastes, sent=sent, own=own)
