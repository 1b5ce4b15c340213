"""Which model of a server is meant where none is named: `openai:`, `fastchat:`.

Knows nothing of conversations, nor of what a server is asked.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace

from glmcli.config import Settings
from glmcli.engines import is_unnamed, list_served
from glmcli.errors import EngineError, UsageError
from glmcli.terminal.visible import visible_line


def named_model(settings: Settings) -> Settings:
    """The settings with a name for `openai:` or `fastchat:`: the only model, or the one picked.

    Without a terminal to pick on they stay as they are, and so they do if the server does not
    answer: the engine says so when it is asked, and a chat can ask again. Raises UsageError.
    """
    if not is_unnamed(settings.model):
        return settings
    try:
        found = list_served(settings)
    except EngineError:
        return settings
    names = [name for name, _ in found]
    on_terminal = sys.stdin is not None and sys.stdin.isatty() and sys.stdout.isatty()
    if len(names) > 1 and on_terminal:
        names = [pick(found)]
    return replace(settings, model=settings.model + names[0]) if len(names) == 1 else settings


def pick(found: Sequence[tuple[str, int | None]]) -> str:
    """The name that the user chooses from (name, window). Raises UsageError if none is chosen."""
    names = {name: name for name, _ in found}
    for number, (name, window) in enumerate(found, 1):
        names.setdefault(str(number), name)
        print(f"{number:>3}  {visible_line(name)}" + (f"  {window:,} tokens" if window else ""))
    try:
        while (answer := input("number or name: ").strip()) not in names and answer:
            print(f"there is no {answer} in the list")
    except EOFError:
        answer = ""
    if not answer:
        raise UsageError("no model was chosen", "name one: --model openai:NAME")
    return names[answer]
