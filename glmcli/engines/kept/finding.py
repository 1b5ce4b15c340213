"""Which process keeps a model, whether to start one, and who leaves to make room for it.

Knows nothing of what is asked of it.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from glmcli.config import Settings
from glmcli.engines import Engine, is_local, open_engine, split_name
from glmcli.engines.kept.engine import ATTEMPTS, KeptEngine
from glmcli.engines.kept.link import Gone, Link
from glmcli.engines.kept.place import (
    KeptPlace,
    all_places,
    folder_to_use,
    kept_key,
    load_values,
    model_folder,
)
from glmcli.engines.kept.starting import link_to_socket, reach
from glmcli.engines.kept.told import ToldEngine
from glmcli.errors import OutOfMemory
from glmcli.language import tr
from glmcli.types import Progress, Report

ANSWER_S, LEAVE_S, _TICK_S = 2.0, 10.0, 0.05
"""How long an answer is waited for, and the end of an idle process that was asked to leave."""


class Finder:
    """Finds the engine of a model, again if need be."""

    def __init__(self, settings: Settings, report: Report) -> None:
        self._settings = settings
        self._report = report

    def found(self, places: Sequence[KeptPlace]) -> Engine:
        """The engine; `places` are where others may be kept. Raises what `open_engine` does."""
        settings = self._settings
        key = kept_key(settings, self._folder())
        for place in places:
            if place.key == key and (link := link_to_socket(place)):
                with suppress(Gone):
                    return self._opened(link)
        others = [place for place in places if place.key != key] if is_local(settings.model) else []
        with others_gone(others, self._report):
            return self._kept(key) if settings.keep else open_engine(settings, self._report)

    def _kept(self, key: str) -> Engine:
        """The model in a process that keeps it; here if there can be none, which is told."""
        try:
            place = KeptPlace(folder_to_use(), key)
            for _ in range(ATTEMPTS):
                with suppress(Gone):
                    return self._opened(reach(place, self._values(), self._tick))
            why = tr("its process ended at once; see {log}", log=place.log)
        except OSError as exc:
            why = f"{exc.filename or ''}: {exc.strerror}".removeprefix(": ")
        line = tr("the model is not kept: {why}", why=why)
        return ToldEngine(open_engine(self._settings, self._report), line)

    def _opened(self, link: Link) -> KeptEngine:
        engine = KeptEngine(link, self._again, private=not self._settings.history)
        try:
            engine.open(self._report)
        except BaseException:
            engine.close()
            raise
        return engine

    def _again(self) -> Engine:
        """The engine in place of one whose process is gone."""
        return self.found(all_places())

    def _folder(self) -> Path | None:
        """The model's folder. One that is to be kept is fetched first: its files are in the key."""
        folder = model_folder(self._settings)
        if folder is None and self._settings.keep and is_local(self._settings.model):
            from glmcli.models.names import fetch_missing, place_to_load

            name, options = split_name(self._settings.model)[1], self._settings.model_options
            folder = fetch_missing(place_to_load(name, options), options, self._report)
        return folder

    def _values(self) -> dict[str, Any]:
        """What the process is told: no key, no address, nothing of what is asked."""
        settings = self._settings
        values = load_values(settings)
        return {
            "settings": {**values, "offline": settings.offline, "history": settings.history},
            "keep": float(settings.keep),
        }

    def _tick(self) -> bool:
        self._report(Progress("waiting", note=tr("the process that keeps the model")))
        return True


@contextmanager
def others_gone(places: Iterable[KeptPlace], report: Report) -> Iterator[None]:
    """Load a model when those that are idle have left; OutOfMemory tells of those that are not."""
    busy = make_leave(places, report)
    try:
        yield
    except OutOfMemory as exc:
        if busy:
            exc.hint = tr(
                "{models} is kept in memory and busy: glm stop ends it",
                models=tr(", ").join(busy),
            )
        raise


def open_without_others(settings: Settings, report: Report) -> Engine:
    """Load a model in this process when others that are idle have left. Raises as `open_engine`."""
    places = all_places()
    if not places:
        return open_engine(settings, report)
    own = kept_key(settings, model_folder(settings))
    with others_gone((place for place in places if place.key != own), report):
        return open_engine(settings, report)


def make_leave(places: Iterable[KeptPlace], report: Report) -> list[str]:
    """Have the idle among other kept models leave; the names of those that are busy, and stay."""
    busy, leaving = [], []
    for place in places:
        link = link_to_socket(place)
        if link is None:
            continue
        try:
            link.send({"ask": "leave"})
            answer = (link.receive(ANSWER_S) or {}).get("answer", {})
        except Gone:
            answer = {"leaving": True}
        if answer.get("leaving"):
            leaving.append(link)
        else:
            busy.append(str(answer.get("model", place.key)))
            link.close()
    until = time.monotonic() + LEAVE_S
    for link in leaving:
        with suppress(Gone):
            while time.monotonic() < until and link.receive(_TICK_S) is None:
                report(Progress("waiting", note=tr("another model leaves the memory")))
        link.close()
    return busy
