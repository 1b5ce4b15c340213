"""`glm models`: what models are on this machine, or on a server.

Knows nothing of how a model's files are read or fetched.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from glmcli.cli.completion.candidates import if_asked, local_models, models_here
from glmcli.cli.dialog import tell
from glmcli.cli.options import with_settings
from glmcli.cli.tables import (
    AsJson,
    cell,
    confirmed,
    print_facts,
    print_json,
    print_rows,
    print_text,
)
from glmcli.config import Settings
from glmcli.language import later, ntr, tr
from glmcli.terminal.phrases import size

if TYPE_CHECKING:
    from glmcli.models.library.described import Details, Model

models_app = typer.Typer(help=tr("The models on this machine."), no_args_is_help=True)

_NAME = Annotated[
    str,
    typer.Argument(
        metavar="NAME",
        help=tr("folder, hub id or built-in name"),
        autocompletion=if_asked(models_here),
    ),
]
_FETCHED = Annotated[
    str,
    typer.Argument(
        metavar="NAME",
        help=tr("folder, hub id or built-in name"),
        autocompletion=if_asked(local_models),
    ),
]


@models_app.command("list")
@with_settings("base_url", "offline", "timeout")
def models_list(settings: Settings, as_json: AsJson = False) -> None:
    """List the models on this machine, or of the server at --base-url."""
    from glmcli.models.library.listing import describe_all, lacking_line

    if settings.base_url:
        found = served(settings)
    else:
        found = describe_all(settings.model_options)
        if line := lacking_line():
            tell(line)
    if as_json:
        print_json([asdict(item) for item in found])
        return
    head: list[str] = [
        later("name"),
        later("family"),
        later("size"),
        later("window"),
        later("path"),
    ]
    rows: list[tuple[Any, ...]] = [
        (item.name, item.family, size(item.size_bytes), item.window or "", item.path)
        for item in found
    ]
    if not settings.base_url:  # a server says neither
        head += [later("bits"), later("source")]
        rows = [(*row, each.bits, each.source) for row, each in zip(rows, found, strict=True)]
    print_rows(head, rows)


def served(settings: Settings) -> list[Model]:
    """The models of the server at `settings.base_url`. Raises ConfigError, EngineError."""
    from glmcli.engines.remote.discover import list_models
    from glmcli.models.library.described import Model

    def left_out(count: int) -> None:
        if count:
            tell(
                ntr(
                    "{n:,} model was left out: its name has control characters, or is empty",
                    "{n:,} models were left out: their names have control characters, or are empty",
                    count,
                )
            )

    return [
        Model(name, settings.base_url, name.partition(":")[0], None, window)
        for name, window in list_models(settings, left_out=left_out)
    ]


@models_app.command("show")
@with_settings("trust_remote_code")
def models_show(settings: Settings, name: _NAME, as_json: AsJson = False) -> None:
    """Show what a model is, what it needs, and what is missing."""
    from glmcli.models.library.showing import describe, line_about

    found = describe(name, settings.model_options)
    if line := line_about(name, settings.model_options):
        tell(line)
    if as_json:
        print_json(asdict(found))
        return
    model = found.model
    rows = [
        (later("name"), model.name),
        (later("path"), model.path or cell("not fetched yet")),
        (later("family"), model.family),
        (later("bits"), model.bits),
        *([(later("source"), model.source)] if model.source else []),
        (later("layers"), found.layers),
        (later("parameters"), "" if found.parameters is None else f"{found.parameters:,}"),
        (later("window"), "" if model.window is None else cell("{n:,} tokens", n=model.window)),
        (later("size on disk"), size(model.size_bytes)),
        (later("cache of a full window"), size(found.cache_bytes)),
        *(
            (cell("memory at {bits}", bits=bits), size(count))
            for bits, count in found.memory_bytes.items()
        ),
        *([] if found.free_bytes is None else [(later("fits now"), fitting_now(found))]),
        *([(later("--quantize auto takes"), found.auto)] if found.auto else []),
        (later("needs remote code"), cell("yes") if found.remote_code else cell("no")),
        (later("missing files"), ", ".join(found.missing) or cell("none")),
        *([(later("problem"), found.problem)] if found.problem else []),
    ]
    print_facts([(key, "" if value is None else value) for key, value in rows])


def fitting_now(found: Details) -> str:
    """In what a model's weights fit the memory that is free."""
    free = size(found.free_bytes)
    if not found.fits:
        return cell("nothing: {free} free", free=free)
    return cell("{bits}: {free} free", bits=", ".join(found.fits), free=free)


@models_app.command()
@with_settings("offline")
def pull(settings: Settings, name: _FETCHED) -> None:
    """Fetch a model, so that it can be used offline later."""
    from glmcli.models.library.removing import pulled
    from glmcli.terminal.output import outputs
    from glmcli.terminal.replies.text import StatusLine
    from glmcli.types import Chunk

    status = StatusLine(outputs(settings.plain)[1])
    try:
        path = pulled(name, settings.model_options, lambda step: status.show(Chunk(progress=step)))
    finally:
        status.clear()
    print_text(str(path))


@models_app.command()
@with_settings()
def remove(
    settings: Settings,
    name: _FETCHED,
    yes: Annotated[bool, typer.Option("-y", "--yes", help=tr("do not ask"))] = False,
) -> None:
    """Remove a fetched model from the disk. A folder of your own is never removed."""
    from glmcli.models.library.removing import removable, remove_model

    removable(name, settings.model_options)  # nobody is asked about a model that cannot be removed
    if confirmed(tr("remove {name}?", name=name), yes=yes):
        freed = size(remove_model(name, settings.model_options))
        print(tr("removed {name}: {freed} freed", name=name, freed=freed))
