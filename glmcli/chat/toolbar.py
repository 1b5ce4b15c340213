"""The line below the prompt: model, window, what the engine is doing.

Knows nothing of the editor that shows it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import wcwidth

from glmcli.terminal.phrases import clipped, fits, progress_forms
from glmcli.terminal.visible import visible
from glmcli.types import Progress

SHORTEST_NAME = 8
"""Cells of a model's name that the toolbar shows at least."""
WARN_SHARE = 0.8
"""From this share of the window on, the toolbar warns."""


def loading(progress: Progress | None, name: str) -> list[str]:
    """What is being loaded, the longest form first; the name beside it is not said again."""
    if progress is None:
        return ["loading"]
    said = replace(progress, note="" if progress.note == name else progress.note)
    return [*progress_forms(said, None), progress.stage]


def toolbar(name: str, forms: Sequence[Sequence[str]], columns: int) -> str:
    """A name and the first of the forms that fits beside it; at last a form without the name."""
    rests = [visible("".join(f" · {part}" for part in form if part)) for form in forms]
    name = clipped(name, columns, keep_end=True)
    least = min(SHORTEST_NAME, wcwidth.width(name))
    for rest in rests:
        if fits(rest, columns - least):
            return clipped(name, columns - wcwidth.width(rest), keep_end=True) + rest
    return clipped(rests[-1].removeprefix(" · ") or name, columns)
