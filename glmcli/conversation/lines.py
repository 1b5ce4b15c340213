"""Whether a line at the prompt is a command or a text; only typed text can be a command.

Knows nothing of which commands there are.
"""

from __future__ import annotations

import re

from glmcli.conversation.attachments import untyped_mention
from glmcli.conversation.typed import Line

_COMMAND = re.compile(r"\s*/(?:[^\W_][^\s/]*|\?)(?=\s|$)(?:\s+@.*)?", re.DOTALL)
"""With what follows it, if that is an `@FILE`."""
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


def first_untyped(line: Line) -> str:
    """The first thing in a line that would be a command, or attach a file, had it been typed."""
    if is_command(Line(line.text)) and not is_command(line):
        return line.text.split(maxsplit=1)[0]
    return untyped_mention(line)
