"""The options of a command, and which of them takes what stands behind it.

Looked at before any command runs: it imports nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

TYPED: list[tuple[Any, tuple[str, ...]]] = []
"""The command of this process, and its arguments as they were typed."""


DASHES = "\u2010\u2011\u2012\u2013\u2014\u2015\u2212\uff0d"
"""What editors make of hyphens."""


def flags_of(command: Any) -> list[str]:
    """The options of a command."""
    return [flag for each in command.params for flag in [*each.opts, *each.secondary_opts]]


def value_flags(command: Any) -> dict[str, Any]:
    """The options of a command that take a value, each with what is known of it."""
    options = (each for each in command.params if each.param_type_name == "option")
    return {flag: each for each in options if not each.is_flag for flag in each.opts}


def with_hyphens(word: str) -> str:
    """A word that begins with a dash as the option that it was, `--model` for `—model`."""
    name = word.lstrip(f"-{DASHES}")
    return f"{'--' if name.partition('=')[0][1:] else '-'}{name}"


def typeset_option(command: Any, arguments: Sequence[str]) -> str:
    """An option whose hyphens are a dash, as editors write it; "" if there is none."""
    end = arguments.index("--") if "--" in arguments else len(arguments)
    pairs = [pair for pair in pairwise(["", *arguments[:end]]) if pair[1][:1] in (*DASHES,)]
    takers = value_flags(command) if pairs else {}
    return next(
        (
            word
            for before, word in pairs
            if before not in takers and is_nearly_option(command, word)
        ),
        "",
    )


def is_nearly_option(command: Any, word: str) -> bool:
    """Whether a word with hyphens in the place of its dash is an option of a command, or nearly."""
    from glmcli.cli.hints.line import nearest_word

    name = with_hyphens(word).partition("=")[0]
    flags = [*flags_of(command), "--help"]
    return name in flags or (len(name) > 5 and bool(nearest_word(name, flags, 0.85)))


def option_as_value(command: Any, arguments: Sequence[str]) -> tuple[str, str] | None:
    """An option that would take the next option for its value, and that; None if none would."""
    end = arguments.index("--") if "--" in arguments else len(arguments)
    pairs = [pair for pair in pairwise(arguments[:end]) if pair[0][:1] == pair[1][:1] == "-"]
    takers = value_flags(command) if pairs else {}
    found = ((one, other) for one, other in pairs if one in takers)
    return next((pair for pair in found if pair[1].partition("=")[0] in flags_of(command)), None)


def long_as_short(command: Any, arguments: Sequence[str]) -> str:
    """A long option behind one hyphen, or the beginning of one, as `-sys`, of which a short option
    would take the rest for its value; "" if there is none.
    """
    end = arguments.index("--") if "--" in arguments else len(arguments)
    pairs = [
        pair for pair in pairwise(["", *arguments[:end]]) if pair[1][:1] == "-" != pair[1][1:2]
    ]
    takers = value_flags(command) if pairs else {}
    names = [(before, word.partition("=")[0]) for before, word in pairs]
    flags = flags_of(command) if pairs else []
    return next(
        (
            name
            for before, name in names
            if name[3:] and name[:2] in takers and before not in takers
            if any(flag.startswith(f"-{name}") for flag in flags)
        ),
        "",
    )
