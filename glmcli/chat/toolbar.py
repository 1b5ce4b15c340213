"""The line below the prompt: model, window, what the engine is doing.

Knows nothing of the editor that shows it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import wcwidth

from glmcli.engines import state_of
from glmcli.language import later, ntr, tr
from glmcli.session import Session
from glmcli.terminal.phrases import clipped, fits, progress_forms
from glmcli.terminal.visible import visible, visible_line
from glmcli.types import Progress

SHORTEST_NAME = 8
"""Cells of a model's name that the toolbar shows at least."""
WARN_SHARE = 0.8
"""From this share of the window on, the toolbar warns."""
_STAGES = {
    "fetching": later("fetching"),
    "converting": later("converting"),
    "loading": later("loading"),
    "reading": later("reading"),
    "waiting": later("waiting"),
}
"""What an engine does while it is opened, as short as it can be said."""


def status(session: Session, *, attached: int, columns: int) -> tuple[str, bool]:
    """The toolbar: model, device, tokens used of the window, files; and whether to warn."""
    engine, state = session.engine, state_of(session.engine)
    used, window = session.used_tokens, engine.context_tokens
    where = [engine.device]
    if not state.is_open:
        if state.failure is not None:
            return clipped(visible_line(state.failure.message), columns), True
        where = loading(state.progress, engine.name)
    sizes = [""]
    if window:
        is_unknown = used is None and session.conversation.messages
        shown = "?" if is_unknown else f"{used or 0:,}"
        long = tr("{used} / {window:,} tokens", used=shown, window=window)
        sizes = [long, f"{shown} / {window:,}"]
    files = ntr("{n} file attached", "{n} files attached", attached) if attached else ""
    unsaved = "" if session.is_saved else tr("not saved")
    forms = [[place, sizes[0], files, unsaved] for place in [*where, ""]]
    forms += [["", sizes[-1], each, unsaved] for each in (files, "")]
    text = toolbar(visible_line(engine.name), forms, columns)
    return text, bool(window and used and used >= WARN_SHARE * window)


def loading(progress: Progress | None, name: str) -> list[str]:
    """What is being loaded, the longest form first, without the name that stands beside it."""
    if progress is None:
        return [tr(_STAGES["loading"])]
    shown = replace(progress, note="" if progress.note == name else progress.note)
    return [*progress_forms(shown, None), tr(_STAGES.get(progress.stage, _STAGES["loading"]))]


def toolbar(name: str, forms: Sequence[Sequence[str]], columns: int) -> str:
    """A name and the first of the forms that fits beside it; at last a form without the name."""
    rests = [visible("".join(f" · {part}" for part in form if part)) for form in forms]
    name = clipped(name, columns, keep_end=True)
    least = min(SHORTEST_NAME, wcwidth.width(name))
    for rest in rests:
        if fits(rest, columns - least):
            return clipped(name, columns - wcwidth.width(rest), keep_end=True) + rest
    return clipped(rests[-1].removeprefix(" · ") or name, columns)
