"""Which model of a server is meant where none is named: `openai:`, `fastchat:`.

Knows nothing of conversations, nor of what a server is asked.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import replace

from glmcli.config import Settings
from glmcli.engines import is_unnamed, list_served
from glmcli.errors import EngineError, UsageError
from glmcli.terminal.visible import visible_line

LEAST_S = 0.5
"""What is left for an answer at least, however long the list took."""


def named_model(settings: Settings, *, once: bool = False) -> Settings:
    """The settings with a name for `openai:` or `fastchat:`: the only model, or the one picked.

    Without a terminal to pick on they stay as they are. If the server does not answer a chat goes
    on, since it can ask again; where only one question is asked (`once`) that is the end of it, and
    what the list took is taken off the time for the answer. Raises UsageError, EngineError.
    """
    if not is_unnamed(settings.model):
        return settings
    started = time.monotonic()
    try:
        found = list_served(settings)
    except EngineError:
        if once:
            raise
        return settings
    if once:
        rest = settings.timeout - (time.monotonic() - started)
        settings = replace(settings, timeout=max(rest, LEAST_S))
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
