"""Which model of a server is meant where none is named: `openai:`, `fastchat:`.

Knows nothing of conversations, nor of how a server is asked.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import replace

from glmcli.config import Settings
from glmcli.engines import is_unnamed, split_name
from glmcli.errors import EngineError, UsageError
from glmcli.language import tr
from glmcli.terminal.visible import visible_line

LEAST_S = 0.5
"""What is left for an answer at least, however long the list took."""


def with_model(settings: Settings, *, once: bool = False) -> Settings:
    """The settings with a name for `openai:` or `fastchat:`: the only model, or the one picked.

    Without a terminal to pick on they stay as they are. If the server does not answer a chat goes
    on, since it can ask again; where only one question is asked (`once`) that is the end of it, and
    what the list took is taken off the time for the answer. Raises UsageError, EngineError.
    """
    if not is_unnamed(settings.model):
        return settings
    from glmcli.engines.remote.discover import list_models

    started = time.monotonic()
    try:
        found = list_models(settings, kind=split_name(settings.model)[0])
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
        names = [pick_model(found)]
    return replace(settings, model=names[0]) if len(names) == 1 else settings


def pick_model(found: Sequence[tuple[str, int | None]]) -> str:
    """The model that the user chooses from (name, window). Raises UsageError if none is chosen."""
    models: dict[str, str] = {}
    for number, (model, window) in enumerate(found, 1):
        name = split_name(model)[1]
        models |= {name: model, model: model}
        size = tr("{n:,} tokens", n=window) if window else ""
        print(f"{number:>3}  {visible_line(name)}  {size}".rstrip())
    for number, (model, _) in enumerate(found, 1):
        models.setdefault(str(number), model)
    try:
        while (answer := input(tr("number or name: ")).strip()) not in models and answer:
            print(tr("there is no {answer} in the list", answer=answer))
    except EOFError:
        answer = ""
    if not answer:
        raise UsageError(tr("no model was chosen"), tr("name one: --model openai:NAME"))
    return models[answer]
