"""What to type in place of a command line that was refused, by the kind of mistake."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from glmcli.cli.hints.commands import for_command
from glmcli.cli.hints.flags import for_option
from glmcli.cli.hints.usage import for_usage
from glmcli.cli.hints.values import for_choice, for_no_value, for_number, for_value


def for_kind(exc: Exception, context: Any, path: str, arguments: Sequence[str]) -> str:
    """What to type, for each kind of mistake; "" where nothing is known."""
    kind, words = type(exc).__name__, getattr(exc, "message", "") or ""
    name = str(getattr(exc, "option_name", ""))
    if kind == "NoSuchOption":
        return for_option(name, context, path, arguments)
    if words.startswith("No such command"):
        return for_command(context, path, arguments)
    if "takes a value" in words or "does not take a value" in words:
        return for_no_value(name, arguments)
    if "requires an argument" in words:
        return for_value(name, arguments)
    if kind == "MissingParameter" or "extra argument" in words:
        return for_usage(context, path, arguments)
    param = getattr(exc, "param", None)
    if (found := re.search(r"'(.*)' is not one of (.+)", words)) and context:
        option = next(iter(getattr(param, "opts", ())), "")
        return for_choice(found[1], found[2], option, path, arguments)
    if param is not None and ("not a valid int" in words or "not in the range" in words):
        return for_number(param)
    return ""
