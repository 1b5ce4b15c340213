"""A model that stays loaded in a process of its own, for the next who ask.

Only one is kept at a time, as far as that can be: whoever loads another one asks those that are
idle to leave.
"""

from __future__ import annotations

from glmcli.config import Settings
from glmcli.engines import Engine, open_engine
from glmcli.engines.kept.place import all_places
from glmcli.types import Report


def open_kept_or_here(settings: Settings, report: Report) -> Engine:
    """The engine of a model: one that is kept, that is kept from now on, or that is loaded here.

    Where nothing is kept this is one look into a folder. Raises what `open_engine` does.
    """
    places = all_places()
    if not places and not settings.keep:
        return open_engine(settings, report)
    from glmcli.engines.kept.finding import Finder

    return Finder(settings, report).found(places)
