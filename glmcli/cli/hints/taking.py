"""The options of a command, and which of them takes what stands behind it.

Looked at before any command runs: it imports nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

TYPED: list[tuple[Any, tuple[str, ...]]] = []
"""The command of this process, and its arguments as they were typed."""


def flags_of(command: Any) -> list[str]:
    """The options of a command."""
    return [flag for each in command.params for flag in [*each.opts, *each.secondary_opts]]


def value_flags(command: Any) -> dict[str, Any]:
    """The options of a command that take a value, each with what is known of it."""
    options = (each for each in command.params if each.param_type_name == "option")
    return {flag: each for each in options if not each.is_flag for flag in each.opts}


def option_as_value(command: Any, arguments: Sequence[str]) -> tuple[str, str] | None:
    """An option that would take the next option for its value, and that; None if none would."""
    end = arguments.index("--") if "--" in arguments else len(arguments)
    pairs = [pair for pair in pairwise(arguments[:end]) if pair[0][:1] == pair[1][:1] == "-"]
    takers = value_flags(command) if pairs else {}
    found = ((one, other) for one, other in pairs if one in takers)
    return next((pair for pair in found if pair[1].partition("=")[0] in flags_of(command)), None)
