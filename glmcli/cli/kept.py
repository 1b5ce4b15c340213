"""`glm ps` and `glm stop`: the models that `glm ask --keep` keeps in memory."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from glmcli.cli.completion.candidates import if_asked, kept_here
from glmcli.cli.dialog import print_line, tell
from glmcli.cli.tables import AsJson, cell, print_json, print_rows
from glmcli.errors import EngineError, GlmError, UsageError
from glmcli.language import later, ntr, tr
from glmcli.paths import is_folder, short_model, with_home, without_links
from glmcli.terminal.phrases import size, span
from glmcli.terminal.visible import visible_line

if TYPE_CHECKING:
    from glmcli.engines.kept.place import KeptPlace

NONE = later("no model is kept; glm ask --keep 10m keeps one")
_STATES = {
    "loading": later("loading"),
    "failed": later("cannot be loaded"),
    "idle": later("idle"),
    "attached": later("in use"),
    "busy": later("busy"),
    "leaving": later("leaves"),
    "deaf": later("does not answer"),
}


_HEAD = (
    later("model"),
    later("state"),
    later("clients"),
    later("device"),
    later("memory"),
    later("conversations"),
    later("idle"),
    later("ends in"),
    later("address"),
    later("process"),
)
_SPARE = ("idle", "clients", "conversations", "device")


def without_settings(command: Callable[..., None]) -> Callable[..., None]:
    """Mark a command that needs none."""
    return command


@without_settings
def ps(as_json: AsJson = False) -> None:
    """List the models that are kept in memory.

    Their sockets and logs are in $XDG_RUNTIME_DIR/glm; where there is no such folder, or others may
    use it, in glm-UID of the temporary folder: /tmp/glm-1000.
    """
    from glmcli.config.values import Seconds
    from glmcli.engines.kept.tending import kept_models

    found = [{**status, "socket": str(place.socket)} for place, status in kept_models()]
    if as_json:
        print_json(found)
        return

    def kept_of(each: dict[str, Any]) -> str:
        if not each.get("slot_limit"):
            return ""
        kept, limit = size(each.get("slot_bytes") or 0), size(each["slot_limit"])
        if sys.stdout.isatty():
            return tr("{done} of {total}", done=kept, total=limit)
        return tr("{kept} of {limit} at most", kept=kept, limit=limit)

    def time_of(seconds: float | None) -> str:
        if seconds is None:
            return ""
        return span(seconds) if sys.stdout.isatty() else str(Seconds(round(seconds)))

    rows = [
        (
            short_model(str(each.get("model", "?"))),
            cell(_STATES.get(str(each["state"]), "{state}"), state=each["state"]),
            each.get("clients", ""),
            each.get("device", ""),
            size(each["memory_bytes"]) if each.get("memory_bytes") else "",
            kept_of(each),
            time_of(each.get("idle_s")),
            time_of(each.get("ends_in_s")),
            each.get("address", ""),
            each.get("pid") or "",
        )
        for each in (map(as_seen, found) if sys.stdout.isatty() else found)
    ]
    print_rows(_HEAD, rows, none=tr(NONE), whole=_HEAD, spare=_SPARE)


def as_seen(status: dict[str, Any]) -> dict[str, Any]:
    """What a person is shown: a model with a chat at its prompt does not end, so it is not idle."""
    if status["state"] == "idle" and status.get("clients"):
        return {**status, "state": "attached", "idle_s": None}
    return status


@without_settings
def stop(
    model: Annotated[
        str | None,
        typer.Argument(
            metavar="[MODEL]",
            help=tr("one that glm ps lists, or its process"),
            autocompletion=if_asked(kept_here),
        ),
    ] = None,
    every: Annotated[bool, typer.Option("--all", help=tr("all of them"))] = False,
) -> None:
    """Let a model go that is kept in memory."""
    from glmcli.engines.kept.tending import kept_models, stop_kept

    if model is not None and every:
        raise UsageError(tr("a model and --all ask for two things"), tr("say one"))
    chosen = chosen_of(kept_models(), model, every=every)
    if not chosen:
        print_line(tr(NONE))
    left_over = []
    for place, status in chosen:
        name = visible_line(short_model(str(status.get("model", "?"))))
        if stop_kept(place, partial(tell_waits, name)):
            print_line(tr("{model} has left the memory", model=name))
        else:
            left_over.append((name, status.get("pid")))
    if left_over:
        names = tr(", ").join(name for name, _ in left_over)
        pids = " ".join(str(pid) for _, pid in left_over if pid)
        raise EngineError(
            ntr("{model} does not end", "{model} do not end", len(left_over), model=names),
            tr("kill -9 {pid} ends it", pid=pids) if pids else "",
        )


def tell_waits(name: str, n: int) -> None:
    """Say that a model that is told to end answers first."""
    tell(
        ntr(
            "{model} ends after {n} more reply",
            "{model} ends after {n} more replies",
            n,
            model=name,
        )
    )


def chosen_of(
    found: list[tuple[KeptPlace, dict[str, Any]]], model: str | None, *, every: bool
) -> list[tuple[KeptPlace, dict[str, Any]]]:
    """Those that are meant; the only one if none is named. Raises UsageError."""
    if every or (model is None and len(found) < 2):
        return found
    names = [str(status.get("model", "?")) for _, status in found]
    if model is None:
        numbers = [str(status.get("pid")) for _, status in found]
        alike = tr("glm stop {pid} ends one of them, --all ends all", pid=numbers[0])
        raise UsageError(
            tr("{n} models are kept: {names}", n=len(names), names=", ".join(names)),
            tr("name one, or --all") if len({*names}) == len(names) else alike,
        )
    chosen = [each for each in found if is_called(each[1], model)]
    if not chosen:
        name = as_kept(model)
        chosen = [each for each in found if is_called(each[1], name)]
    if not chosen:
        kept = tr(", ").join(dict.fromkeys(map(short_model, names)))
        hint = tr("these are kept: {names}", names=kept) if kept else tr(NONE)
        raise UsageError(tr("{model} is not kept", model=model), hint)
    if len(chosen) > 1:
        numbers = [str(status.get("pid")) for _, status in chosen]
        raise UsageError(
            tr(
                "{model} is in {n} processes ({numbers})",
                n=len(chosen),
                model=model,
                numbers=tr(", ").join(numbers),
            ),
            tr("glm stop {pid} ends one of them, --all ends all", pid=numbers[0]),
        )
    return chosen


def as_kept(model: str) -> str:
    """A model that was typed as for --model, as the process that keeps it calls it."""
    from glmcli.config import load_settings
    from glmcli.engines.kept.place import model_anywhere

    try:
        return model_anywhere(load_settings({"model": model}))
    except GlmError:
        return model


def is_called(status: dict[str, Any], typed: str) -> bool:
    """Whether a kept model is the one that was typed: its process, or any name that it goes by."""
    if typed == str(status.get("pid")):
        return True
    names = {str(status.get(name) or "?") for name in ("model", "full_name")}
    called = {short_model(name) for name in names}.union(*map(names_when_typed, names))
    return bool(names_when_typed(typed) & called)


def names_when_typed(model: str) -> set[str]:
    """What a model may be called: a folder by its path as it is and without links too."""
    from glmcli.engines import split_name

    engine, name = split_name(model)
    names = {model, model.removesuffix(":")}
    if engine == "local" and name:
        path = with_home(name)
        names |= {name, str(without_links(path))} if is_folder(path) else {name}
    return names
