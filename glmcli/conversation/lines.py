"""Whether a line at the prompt is a command or a text; only typed text can be a command.

Knows nothing of which commands there are.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from glmcli.conversation.attachments import (
    MOST_LOOKED_UP,
    dropped_files,
    mention_of,
    untyped_mentions,
)
from glmcli.conversation.typed import PASTED_BYTE, Line

_COMMAND = re.compile(r"\s*[/／](?:[^\W_][^\s/]*|\?)(?=\s|$)(?:\s+@.*)?", re.DOTALL)
"""With what follows it, if that is an `@FILE`."""
_PASTED_RUN = re.compile(PASTED_BYTE + b"+")
_LITERAL = re.compile(r"(\s*)//(?=\w)")


def is_command(line: Line) -> bool:
    """Whether a line is a command: `/word` or `/?`, but not `//word` or `/path/to`.

    The slash and the word must have been typed, and so must an `@FILE` behind them.
    """
    found = _COMMAND.match(line.text)
    return found is not None and line.is_typed(*found.span())


def literal(line: Line) -> Line:
    """A line as it is sent: `//word` sends a literal slash, if it was typed."""
    found = _LITERAL.match(line.text)
    if found is None or not line.is_typed(*found.span()):
        return line
    at = found.end(1)
    return Line(line.text[:at] + line.text[at + 1 :], line.pasted[:at] + line.pasted[at + 1 :])


def untyped(line: Line) -> Iterator[str]:
    """What would be a command in a line, or attach a file, had it been typed; each once."""
    if is_command(line):
        return
    if is_command(Line(line.text)):
        yield line.text.split(maxsplit=1)[0]
    yield from untyped_mentions(line)


def first_untyped(line: Line) -> str:
    """The first of these, or ""."""
    return next(untyped(line), "")


def dropped(line: Line) -> Iterator[tuple[slice, list[Path]]]:
    """Where in a line files were dragged in, and which; behind a command they are its own."""
    for run in islice(_PASTED_RUN.finditer(line.pasted, 0, len(line.text)), MOST_LOOKED_UP):
        if is_command(Line(line.text[: run.start()])):
            return
        paths = dropped_files(line.text[slice(*run.span())])
        if paths and all(map(mention_of, paths)):
            yield slice(*run.span()), paths
