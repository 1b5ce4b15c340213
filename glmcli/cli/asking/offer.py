"""The offer to keep a model in memory, made once, to who has loaded one several times in a day.

And what is said of one that is kept, once a day.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress

from glmcli.config import Settings
from glmcli.engines import FOLLOWED_BY, Engine, split_name
from glmcli.errors import StoreError
from glmcli.language import tr
from glmcli.paths import short_model
from glmcli.terminal.phrases import span

SLOW_S, ENOUGH = 2.0, 3
"""A start that takes so long is slow; after so many in a day it is time to say something."""


def offer_to_keep(settings: Settings, engine: Engine) -> str:
    """The offer, if this is the time for it; else "". Two files beside the history remember."""
    loaded_s = getattr(getattr(engine, "behind", engine), "opened_in_s", 0.0)
    if loaded_s < SLOW_S or settings.keep or not settings.history:
        return ""
    if split_name(settings.model)[0] not in FOLLOWED_BY["keep"]:
        return ""
    from glmcli.engines.kept.place import all_places
    from glmcli.ours import is_first, open_private

    if all_places():
        return ""
    with suppress(OSError, StoreError):
        handle = open_private(settings.home / "slow-starts")
        try:
            if time.localtime(os.fstat(handle).st_mtime)[:3] != time.localtime()[:3]:
                os.ftruncate(handle, 0)
            os.write(handle, b".")
            if os.fstat(handle).st_size == ENOUGH and is_first(settings.home / "keep-offered"):
                return tr(
                    "each glm ask loads the model again: --keep 10m, or GLM_KEEP, keeps it in "
                    "memory for the next"
                )
        finally:
            os.close(handle)
    return ""


def said_of_kept(settings: Settings) -> str:
    """That the model stays in memory, and how it is ended, if that was not said today; else ""."""
    if not settings.keep or not settings.history:
        return ""
    from glmcli.engines.kept.place import model_anywhere
    from glmcli.engines.kept.tending import kept_models
    from glmcli.ours import is_first_today

    path, model = settings.home / "keep-said", model_anywhere(settings)
    if not is_first_today(path, keep=False):
        return ""
    kept = [status for _, status in kept_models() if status.get("model") == model]
    stays_s = [status["keep_s"] for status in kept if status.get("keep_s")]
    if not stays_s or not is_first_today(path):
        return ""
    return tr(
        "{model} stays in memory for {time} after its last use: glm ps shows it, glm stop ends it",
        model=short_model(model),
        time=span(stays_s[0]),
    )
