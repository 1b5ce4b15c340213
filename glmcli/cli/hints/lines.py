"""Command lines as they are typed: quoted for the shell, cut where they are long."""

from __future__ import annotations

import re
import shlex
from collections.abc import Collection, Sequence
from typing import Any

SHOWN_LINE = 60
"""Characters of a command line that are repeated."""
LONGEST_HINT = 200
_STAND_IN = re.compile(r"(?<![/\w])(?:MODEL|NAME|ID|FILE)(?![/\w])")
_PAIR = re.compile(r"\b(ID|NAME) (TITLE|VALUE)\b")
_MANY = re.compile(r"(?<=glm history delete )ID(?: ID)?|(?<=glm history undelete )ID(?: ID)?")
NEAR = 0.7
"""How much of a word must be that of another, to be a slip for it."""


def typed_line(words: Sequence[str]) -> str:
    """A command line as it is typed, its long words cut, and the whole if it is long."""
    head, *rest = words
    rest = [word if len(word) <= SHOWN_LINE else f"{word[:SHOWN_LINE]}…" for word in rest]
    line = " ".join([head, *map(shlex.quote, rest)])
    return line if len(line) <= LONGEST_HINT else f"{line[:LONGEST_HINT]}…"


def filled(hint: str, words: Sequence[str]) -> str:
    """A hint with what was typed where names stand in it: each ID, NAME and so on by all the words,
    WORDS by one text of them, `ID TITLE` by the first word and the others.
    """
    options = [word for word in words if word.startswith("-")]
    plain = [word for word in words if not word.startswith("-")]
    if not plain or len(" ".join(plain)) > SHOWN_LINE:
        return hint
    first, others = shlex.quote(plain[0]), shlex.quote(" ".join(plain[1:]))
    each = " ".join(map(shlex.quote, plain))
    lines = hint.split("; ")
    for at, line in enumerate(lines):
        if not line.startswith(("glm ", "-", "rm ")):
            continue
        if pair := _PAIR.search(line):
            lines[at] = line.replace(pair[0], f"{first} {others if plain[1:] else pair[2]}")
        elif "WORDS" in line:
            lines[at] = line.replace("WORDS", shlex.quote(" ".join(plain)))
        elif _MANY.search(line):
            lines[at] = _MANY.sub(lambda match: each, line)
        elif len(plain) == 1:
            lines[at] = _STAND_IN.sub(lambda match: first, line)
        if at == 0 and options and lines[at] != line:
            lines[at] = f"{lines[at]} {' '.join(map(shlex.quote, options))}"
    return "; ".join(lines)


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
