"""Choosing a stored conversation on a terminal: a numbered list; a number, or words to find."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from glmcli.errors import UsageError
from glmcli.language import tr
from glmcli.terminal.output import Output
from glmcli.terminal.reading import read_line
from glmcli.terminal.visible import visible_line

SHOWN = 15


class Entry(Protocol):
    """A line of the list."""

    @property
    def id(self) -> str:
        """Its key in the store."""
        ...

    @property
    def title(self) -> str:
        """Its title."""
        ...


class Match(Protocol):
    """A conversation that a search found."""

    @property
    def conversation(self) -> Entry:
        """Which one."""
        ...


class Source(Protocol):
    """Where conversations come from."""

    def list(self, limit: int) -> Sequence[Entry]:
        """The newest ones."""
        ...

    def search(self, query: str, limit: int) -> Sequence[Match]:
        """Those that hold the words."""
        ...


def pick(source: Source, out: Output) -> str:
    """The id of the conversation that the user chooses. Raises UsageError if none is chosen."""
    entries = source.list(SHOWN)
    while True:
        for number, entry in enumerate(entries, 1):
            out.write(f"{number:>3}  {entry.id}  {visible_line(entry.title)}\n")
        try:
            answer = read_line(tr("number, or words to search for: "), out)
        except EOFError:
            answer = ""
            out.write("\n")
        if not answer:
            raise UsageError(
                tr("no conversation was chosen"), tr("glm history list shows them all")
            )
        if answer.isdecimal() and 1 <= int(answer) <= len(entries):
            return entries[int(answer) - 1].id
        found = [hit.conversation for hit in source.search(answer, SHOWN)]
        if not found:
            out.write(f"{tr('nothing found')}\n")
        entries = found or entries
