"""Which process keeps a model, whether to start one, and who leaves to make room for it.

Knows nothing of what is asked of it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from glmcli.config import Settings
from glmcli.config.place import secrets_of_loading
from glmcli.engines import Engine, is_local, open_engine
from glmcli.engines.kept.engine import ATTEMPTS, KeptEngine
from glmcli.engines.kept.link import Deaf, Gone, Link
from glmcli.engines.kept.others import Others, lines_about, told_of, why_another
from glmcli.engines.kept.place import (
    KeptPlace,
    LoadMarks,
    all_places,
    chooses_bits,
    folder_to_use,
    kept_key,
    kept_keys,
    load_values,
    marks_of,
    model_anywhere,
    model_folder,
    read_about,
    read_marks,
)
from glmcli.engines.kept.starting import link_to_socket, patience_s, reach
from glmcli.engines.kept.tending import ANSWER_S, answer_to
from glmcli.engines.kept.told import ToldEngine
from glmcli.errors import OutOfMemory
from glmcli.language import later, tr
from glmcli.types import Progress, Report

if TYPE_CHECKING:
    from glmcli.models.choice import Choice

LEAVE_S, _TICK_S = 10.0, 0.05
"""How long the end of an idle process is waited for that was asked to leave."""

DEAF = later(
    "the process that keeps the model does not answer, so it is loaded here; glm stop ends it"
)


class Finder:
    """Finds the engine of a model, again if need be."""

    def __init__(self, settings: Settings, report: Report) -> None:
        self._settings = settings
        self._report = report

    def found(self, places: Sequence[KeptPlace]) -> Engine:
        """The engine; `places` are where others may be kept. Raises what `open_engine` does."""
        settings, folder = self._settings, self._folder()
        keys = self._keys(folder, places)
        is_here, model = is_local(settings.model), model_anywhere(settings)
        why = partial(why_another, settings, folder)
        same = [place for place in places if place.model_key in keys]
        others = [place for place in places if place not in same] if is_here else []
        for place in sorted(same, key=lambda it: (keys.index(it.model_key), it.pid or 0)):
            try:
                if link := link_to_socket(place):
                    found = copies_gone(others, model, self._report)
                    return told_of(found, self._opened(link, place), model, why)
            except Gone:
                continue
            except OutOfMemory:
                if not chooses_bits(settings):
                    raise
            except Deaf:
                check_loads(settings, others, self._report)
                with others_gone([place, *others], self._report) as found:
                    stay = [name for name in found.stay if name != kept_name(place)]
                    here = ToldEngine(open_engine(settings, self._report), tr(DEAF))
                    return told_of(found._replace(stay=stay), here, model, why)
        check_loads(settings, others, self._report)
        with others_gone(others, self._report) as found:
            if not settings.keep:
                return told_of(found, open_engine(settings, self._report), model, why)
            return told_of(found, self._kept_in_bits(folder), model, why)

    def _keys(self, folder: Path | None, places: Iterable[KeptPlace]) -> list[str]:
        """The keys under which the model may be met, the best first.

        Where it is left to us in how many bits it is, in no fewer than would be taken now. The
        memory that it takes itself is not counted as free: what was taken once stays good enough.
        """
        keys = kept_keys(self._settings, folder)
        if {place.model_key for place in places}.isdisjoint(keys[1:]):
            return keys
        from glmcli.models.choice import to_try

        return kept_keys(self._settings, folder, least=to_try(self._ways())[0].quantize)

    def _ways(self) -> list[Choice]:
        """In which bits the model may be loaded. Raises ModelError."""
        from glmcli.models.choice import ways_here

        return ways_here(self._settings, self._report)

    def _kept_in_bits(self, folder: Path | None) -> Engine:
        """The model in a process that keeps it, in bits that fit if that is left to us."""
        settings = self._settings
        if not chooses_bits(settings):
            return self._kept(settings, folder)
        from glmcli.models.choice import open_first

        engine, lines = open_first(
            self._ways(), lambda way: self._kept(replace(settings, quantize=way.quantize), folder)
        )
        for line in reversed(lines):
            engine = ToldEngine(engine, line)
        return engine

    def _kept(self, settings: Settings, folder: Path | None) -> Engine:
        """The model in a process that keeps it; here if there can be none, which is told."""
        values = self._values(settings)
        try:
            place = KeptPlace(folder_to_use(), kept_key(settings, folder))
            values["made"] = marks_of(settings, folder)
            for _ in range(ATTEMPTS):
                with suppress(Gone):
                    return self._opened(reach(place, values, self._tick), place)
            why = tr("its process ended at once; see {log}", log=place.log)
        except Deaf:
            return ToldEngine(open_engine(settings, self._report), tr(DEAF))
        except OSError as exc:
            why = f"{exc.filename or ''}: {exc.strerror}".removeprefix(": ")
        line = tr("the model is not kept: {why}", why=why)
        return ToldEngine(open_engine(settings, self._report), line)

    def _opened(self, link: Link, place: KeptPlace) -> KeptEngine:
        """The engine of a connection. Raises Gone, GlmError, Deaf."""
        settings = self._settings
        private, keep_s = not settings.history, float(settings.keep)
        engine = KeptEngine(link, self._again, private=private, keep_s=keep_s)
        try:
            engine.open(self._report, patience_s(place))
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
            from glmcli.models.library.removing import fetched_place

            name = self._settings.model.removeprefix("local:")
            folder = fetched_place(name, self._settings.model_options, self._report)
        return folder

    def _values(self, settings: Settings) -> dict[str, Any]:
        """What the process is told: no key of a server, no address, nothing of what is asked."""
        values = load_values(settings)
        return {
            "settings": {**values, "offline": settings.offline, "history": settings.history},
            "keep": float(settings.keep),
            "secrets": secrets_of_loading(),
        }

    def _tick(self) -> bool:
        self._report(Progress("waiting", note=tr("the process that keeps the model")))
        return True


def check_loads(settings: Settings, others: Sequence[KeptPlace], report: Report) -> None:
    """Raise what is seen to be wrong with a model's files before others leave for it.

    What is not here yet is fetched. Raises ModelError.
    """
    if not others or not is_local(settings.model):
        return
    from glmcli.models.library.removing import check_model

    check_model(settings.model.removeprefix("local:"), settings.model_options, report)


@contextmanager
def others_gone(places: Iterable[KeptPlace], report: Report) -> Iterator[Others]:
    """Load a model when those that are idle have left; what became of them.

    OutOfMemory tells of those that stay.
    """
    found = make_leave(places, report)
    try:
        yield found
    except OutOfMemory as exc:
        if stay := [*found.stay, *found.served]:
            exc.hint = tr(
                "{models} stays in memory: glm stop ends it",
                models=tr(", ").join(stay),
            )
        raise


def open_without_others(
    settings: Settings, report: Report, *, tell: Callable[[str], None], spares_same: bool
) -> Engine:
    """Load a model in this process when all that are kept and idle have left, which is told.

    The same model too, unless it is spared. Raises as `open_engine`.
    """
    places, folder = all_places(), None
    if places:
        folder = model_folder(settings)  # for no model at all none is to leave
        own = kept_keys(settings, folder) if spares_same else []
        places = [place for place in places if place.model_key not in own]
        check_loads(settings, places, report)
    with others_gone(places, report) as found:
        model = model_anywhere(settings) if spares_same and places else ""
        for line in lines_about(found, model, partial(why_another, settings, folder)):
            tell(line)
        return open_engine(settings, report)


def kept_name(place: KeptPlace) -> str:
    """The model that is kept at a place, as far as that was written down."""
    return str(read_about(place).get("model", place.key))


def copies_gone(places: Iterable[KeptPlace], model: str, report: Report) -> Others:
    """Have other copies of a model leave that are idle: they were in use when this one came.

    So of one loaded by an earlier version, or with other settings. Those that stay were told of.
    """
    copies = [place for place in places if kept_name(place) == model]
    found = make_leave(copies, report)
    return found._replace(stay=[], served=[])


def make_leave(places: Iterable[KeptPlace], report: Report) -> Others:
    """Have the idle among other kept models leave, and wait until their processes are gone."""
    made: dict[str, LoadMarks] = {}
    others, leaving = Others([], [], [], made), []
    for place in places:
        name = kept_name(place)
        try:
            link = link_to_socket(place, ANSWER_S)
        except Deaf:
            others.stay.append(name)
            continue
        if link is None:
            continue
        if marks := read_marks(place):
            made[name] = marks
        answer = answer_to(link, "leave")
        if answer is None or answer.get("leaving"):
            leaving.append((link, name))
        else:
            names = others.served if answer.get("served") else others.stay
            names.append(str(answer.get("model", name)))
            link.close()
    until = time.monotonic() + LEAVE_S
    for link, name in leaving:
        with closing(link):
            (others.left if is_gone_by(until, link, report) else others.stay).append(name)
    return others


def is_gone_by(until: float, link: Link, report: Report) -> bool:
    """Whether the process at the other end, which is to leave, is gone by then.

    It is not where it answers: somebody came in, and it stays.
    """
    try:
        while time.monotonic() < until:
            if link.receive(_TICK_S) is not None:
                return False
            report(Progress("waiting", note=tr("another model leaves the memory")))
    except Gone:
        return True
    return False
