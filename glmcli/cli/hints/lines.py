"""Command lines as they are typed: quoted for the shell, cut where they are long."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from typing import Any

SHOWN_LINE = 60
"""Characters of a command line that are repeated."""
_STAND_IN = re.compile(r"(?<![/\w])(?:MODEL|NAME|ID|FILE|WORDS)(?![/\w])")
NEAR = 0.7
"""How much of a word must be that of another, to be a slip for it."""


def typed_line(words: Sequence[str]) -> str:
    """A command line as it is typed, cut if it is long."""
    import shlex

    head, *rest = words
    line = " ".join([head, *map(shlex.quote, rest)])
    return line if len(line) <= SHOWN_LINE + 20 else f"{line[: SHOWN_LINE + 20]}…"


def filled(hint: str, words: Sequence[str]) -> str:
    """A hint with the word, or for WORDS all of them, that was typed where a name stands in it."""
    import shlex

    plain = [word for word in words if not word.startswith("-")]
    found = set(_STAND_IN.findall(hint))
    if not plain or len(found) != 1 or (found != {"WORDS"} and len(words) > 1):
        return hint
    text = shlex.quote(" ".join(plain))
    return _STAND_IN.sub(lambda match: text, hint) if len(text) <= SHOWN_LINE else hint


def nearest_word(word: str, names: Collection[str], cutoff: float = NEAR) -> str:
    """The name that a word is a slip for; two letters in the wrong order are one."""
    from difflib import get_close_matches

    for name in names:
        if sorted(name) == sorted(word):
            return name
    near = get_close_matches(word, names, n=1, cutoff=cutoff)
    return near[0] if near else ""


def named_command(arguments: Sequence[str]) -> Any:
    """The command that a command line names."""
    from typer.main import get_command

    from glmcli.cli import command_line

    command: Any = get_command(command_line(arguments[0]))
    for word in arguments:
        command = getattr(command, "commands", {}).get(word, command)
    return command
