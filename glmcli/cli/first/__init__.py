"""The first start of a chat: what was found on this machine, and which model is to answer.

Shown once, to a person who has named neither a model nor a server. Every other start pays for a
look at one file.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from glmcli.config import Settings

if TYPE_CHECKING:
    from glmcli.terminal.output import Output

FIRST_START = "first-start"
"""The file of the data folder that says that it was shown."""


def at_first_start(settings: Settings, out: Output) -> Settings:
    """The settings with what the person chooses at the first start; as they are at any other."""
    if not is_first_start(settings):
        return settings
    from glmcli.cli.first.screen import first_choice

    try:
        return first_choice(settings, out)
    except BaseException:  # no choice, or one that does not work: the next chat asks again
        with suppress(OSError):
            (settings.home / FIRST_START).unlink()
        raise


def is_first_start(settings: Settings) -> bool:
    """Whether this is the first start of somebody who has said nothing yet.

    Not where nothing may be written, since it would never be the last then.
    """
    if not {"model", "base_url"}.isdisjoint(settings.sources) or settings.offline:
        return False
    if not (settings.history and settings.is_home_own):
        return False
    from glmcli.ours import is_first

    return is_first(settings.home / FIRST_START)
