"""What becomes of other kept models when one is wanted, and what is said of that.

Where one of them is the same model it is said what differs. Knows nothing of processes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from glmcli.config import Settings
from glmcli.engines import Engine
from glmcli.engines.kept.place import (
    ADAPTER,
    ENVIRONMENT,
    FILES,
    VERSION,
    LoadMarks,
    chooses_bits,
    marks_of,
)
from glmcli.engines.kept.told import ToldEngine
from glmcli.language import later, ntr, tr
from glmcli.paths import short_model

BITS_OF = "quantize"
_OTHERS = {
    "window": later("another window"),
    "device": later("another device"),
    BITS_OF: later("other bits"),
    ADAPTER: later("another adapter"),
    VERSION: later("another version"),
    ENVIRONMENT: later("another environment"),
}
"""What is said of a fact that differs, in this order."""


class Others(NamedTuple):
    """What became of other models that were kept: the names of those that stay and that left.

    Those that are served stay though nobody uses them; no name is in two lists.
    """

    stay: list[str]
    left: list[str]
    served: list[str]
    made: Mapping[str, LoadMarks] = MappingProxyType({})
    """Of what they were made, by their names."""


Why = Callable[[LoadMarks], str]
"""Why a model that was made so had to leave for the same one."""


def told_of(others: Others, engine: Engine, model: str, why: Why) -> Engine:
    """An engine that tells what became of other models, if there were any."""
    for line in lines_about(others, model, why):
        engine = ToldEngine(engine, line)
    return engine


def lines_about(others: Others, model: str, why: Why = lambda made: why_any()) -> list[str]:
    """What to say of models that left for this one, and of those that stay beside it."""
    if model in others.left:  # another process of the same model: its key differs
        rest = others._replace(left=[name for name in others.left if name != model])
        line = tr(
            "{model} has left the memory: {reasons}",
            model=short_model(model),
            reasons=why(others.made.get(model, {})),
        )
        return [line, *lines_about(rest, "")]
    stay, left, served = (tr(", ").join(map(short_model, names)) for names in others[:3])
    lines = []
    if left:
        lines.append(
            ntr(
                "{models} has left the memory for this model",
                "{models} have left the memory for this model",
                len(others.left),
                models=left,
            )
        )
    if stay:
        lines.append(
            ntr(
                "{models} is in use and stays in memory beside this model",
                "{models} are in use and stay in memory beside this model",
                len(others.stay),
                models=stay,
            )
        )
    if served:
        lines.append(
            ntr(
                "{models} is served and stays beside this model",
                "{models} are served and stay beside this model",
                len(others.served),
                models=served,
            )
        )
    return lines


def why_another(settings: Settings, folder: Path | None, then: LoadMarks) -> str:
    """Why a model that was made so is another one than that of the settings, in `folder`."""
    now = marks_of(settings, folder)
    differ = {name for name, mark in now.items() if then.get(name, mark) != mark}
    if len(differ) > 1 and chooses_bits(settings):
        differ.discard(BITS_OF)  # in how many it would be is not known
    if not differ:
        return why_any()
    others = [tr(words) for name, words in _OTHERS.items() if name in differ]
    if differ - _OTHERS.keys() - {FILES}:
        others.append(tr("other settings"))
    if not others:
        return tr("its files have changed")
    named = tr(", ").join(others)
    if FILES in differ:
        return tr("its files have changed, and it was loaded with {others}", others=named)
    return tr("it was loaded with {others}", others=named)


def why_any() -> str:
    """The same where it is not known of what it was made."""
    return tr(
        "it was loaded with another window, device, bits, version or environment, or its files have"
        " changed"
    )
