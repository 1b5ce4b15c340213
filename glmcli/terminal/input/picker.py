"""Choosing a stored conversation on a terminal: a numbered list; a number, or words to find."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from glmcli.errors import UsageError
from glmcli.language import tr
from glmcli.terminal.output import Output
from glmcli.terminal.reading import read_line
from glmcli.terminal.visible import visible_line

Entry = tuple[str, str]
"""The id and the title of a conversation."""


def pick_conversation(
    newest: Sequence[Entry], search: Callable[[str], Sequence[Entry]], out: Output
) -> str:
    """The id of the conversation that the user chooses. Raises UsageError if none is chosen.

    Those that are listed first are `newest`; `search` finds those that hold some words.
    """
    entries = newest
    while True:
        for number, (name, title) in enumerate(entries, 1):
            out.write(f"{number:>3}  {name}  {visible_line(title)}\n")
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
            return entries[int(answer) - 1][0]
        found = search(answer)
        if not found:
            out.write(f"{tr('nothing found')}\n")
        entries = found or entries
