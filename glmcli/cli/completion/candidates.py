"""What may stand for a word of a command line: conversations, models, values, files behind `@`.

Each with a line of help. Read while a shell waits: nothing is written, nobody is asked for longer
than WAIT_S, no key is sent. Knows nothing of shells.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import typer

from glmcli import COMPLETION
from glmcli.config import BUILT_IN_MODEL, Settings, choices, load_settings, setting_fields
from glmcli.errors import GlmError
from glmcli.language import later, tr
from glmcli.paths import is_folder, with_home

Candidates = Iterator[tuple[str, str]]
"""Words, and a line about each."""

Completes = Callable[..., Any]
"""What gives the words for an argument or an option, in one of the forms that Typer knows."""

_MOST = 100
"""More words than a person reads."""
WAIT_S = 0.1
_ABOUT_CELLS = 40
"""How much of a role is shown."""
_NUMBERED = 3
"""So many blocks of code are offered by theirs."""
FILES, FOLDERS = "\0files", "\0folders"
PATHS = {FILES: "files", FOLDERS: "folders"}
"""What stands in place of the line of help beside what is typed, where a shell has to complete
paths if there are no words; and what the shell is told then."""
DEVICES = ("auto", "cpu", "cuda", "mps", "xpu")
ENGINE_HELP = {
    "gguf": later("a GGUF file, run by llama.cpp"),
    "echo": later("replies with your own words"),
    "openai": later("a server with OpenAI's interface"),
    "fastchat": later("a FastChat controller or worker"),
}


def if_asked(completes: Completes | None) -> Completes | None:
    """What gives the words, where a shell asks; to tell Typer of it takes 2 ms of each start."""
    return completes if os.environ.get(COMPLETION) else None


def file_paths(incomplete: str) -> Candidates:
    """Files; a shell is better at that."""
    yield incomplete, FILES


def folder_paths(incomplete: str) -> Candidates:
    """The same of folders alone."""
    yield incomplete, FOLDERS


def conversations(ctx: typer.Context, incomplete: str) -> Candidates:
    """The newest conversations whose ids begin so, by title and age."""
    return summaries(ctx, incomplete)


def deleted_conversations(ctx: typer.Context, incomplete: str) -> Candidates:
    """The newest of those that can be brought back."""
    return summaries(ctx, incomplete, deleted=True)


def deletable_conversations(ctx: typer.Context, incomplete: str) -> Candidates:
    """The newest conversations; for --purge those too that were deleted."""
    yield from summaries(ctx, incomplete)
    if ctx.params.get("purge"):
        yield from summaries(ctx, incomplete, deleted=True)


def summaries(ctx: typer.Context, incomplete: str, *, deleted: bool = False) -> Candidates:
    """Conversations, or deleted ones, as a shell shows them."""
    from glmcli.store.glance import newest
    from glmcli.terminal.phrases import TITLE_CELLS, summary_line

    settings = settings_of(ctx)
    given = ctx.params.get("ids") or ()
    home = settings.home if settings else None
    for each in newest(home, incomplete, _MOST, deleted=deleted) if home else ():
        if each.id not in given:
            title = narrow(" ".join(each.title[: TITLE_CELLS * 4].split()), TITLE_CELLS)
            yield each.id, summary_line(title, each.updated_at, each.kind)


def narrow(line: str, cells: int) -> str:
    """A line cut to about so many cells; "…" stands for the rest.

    Counted as far as Python itself knows: what does it exactly takes too long to import.
    """
    if line.isascii():
        return line if len(line) <= cells else f"{line[: cells - 1]}…"
    from unicodedata import combining, east_asian_width

    taken = 0
    cut = 0
    for at, letter in enumerate(line):
        taken += 0 if combining(letter) else 2 if east_asian_width(letter) in "WF" else 1
        if taken < cells:
            cut = at + 1
        elif taken > cells:
            return f"{line[:cut]}…"
    return line


def roles() -> Candidates:
    """The roles, by how they begin."""
    from glmcli.conversation.roles import about_roles

    with suppress(GlmError):
        yield from ((name, narrow(about, _ABOUT_CELLS)) for name, about, _ in about_roles())


def code_choices() -> Candidates:
    """Which code of a reply `--code` prints; how many blocks there will be is not known."""
    yield "last", tr("the last block")
    yield "all", tr("all blocks")
    for number in range(1, _NUMBERED + 1):
        yield str(number), tr("block {number}", number=number)


def models(ctx: typer.Context, incomplete: str) -> Candidates:
    """Models on this machine, engines, and models of the server that the user's settings name."""
    settings = settings_of(ctx)
    yield from local_models(ctx, incomplete)
    for engine, line in ENGINE_HELP.items():
        yield f"{engine}:", tr(line)
    if settings and settings.base_url and not settings.offline:
        from glmcli.engines.remote.glance import listed_models

        engine, colon, _ = incomplete.partition(":")
        asked = [engine] if colon else ["openai", "fastchat"]
        for name in listed_models(settings.base_url, asked, within_s=WAIT_S)[:_MOST]:
            yield name, tr("on the server")
    if incomplete.partition(":")[0] not in ENGINE_HELP:
        yield from folder_paths(incomplete)


def models_here(ctx: typer.Context, incomplete: str) -> Candidates:
    """Models on this machine, and folders of the user's own."""
    yield from local_models(ctx, incomplete)
    yield from folder_paths(incomplete)


def local_models(ctx: typer.Context, incomplete: str) -> Candidates:
    """Models on this machine: the built-in one, those that were fetched, those in hub caches."""
    from glmcli.config.known import cached_ids

    yield BUILT_IN_MODEL, tr("the built-in model")
    settings = settings_of(ctx)
    with suppress(OSError):
        for folder in sorted(settings.model_options.cache.models.iterdir() if settings else ()):
            is_offered = folder.name != BUILT_IN_MODEL and folder.name[0] not in ".-"
            is_offered = is_offered and folder.name.isprintable()
            if is_offered and folder.name.startswith(incomplete) and is_folder(folder):
                yield folder.name, tr("on this machine")
    for name in cached_ids(Path(), os.environ):
        yield name, tr("in the hub's cache")


def option_values(name: str) -> Completes | None:
    """What gives the words that may stand behind a setting's option, if anything does."""
    by_name: dict[str, Completes] = {
        "model": models,
        "system": mentioned_files,
        "adapter": folder_paths,
    }
    return by_name.get(name) or setting_values(name)


def setting_values(name: str) -> Callable[[], list[str]] | None:
    """What gives the words that a setting may be; None where it is a number or a text."""
    words = DEVICES if name == "device" else choices(name)
    return (lambda: list(words)) if words else None


def setting_names(ctx: typer.Context) -> Candidates:
    """The names of settings, as `glm config set` takes them, and of the keys that there are."""
    for name, item in setting_fields().items():
        if name != "home":
            yield name, tr(item.metadata["help"])
    settings = settings_of(ctx)
    for host in settings.keys if settings else ():
        yield f"keys.{host}", tr("the key for that server")


def config_values(ctx: typer.Context, incomplete: str) -> Candidates:
    """What the setting before may be."""
    name = str(ctx.params.get("name")).replace("-", "_")
    if ctx.params.get("value") or name not in setting_fields():
        return
    if name == "model":
        yield from models(ctx, incomplete)
    elif name in ("adapter", "cache"):
        yield from folder_paths(incomplete)
    elif name == "system":
        yield from mentioned_files(incomplete)
    elif words := setting_values(name):
        yield from ((word, "") for word in words())


def mentioned_files(incomplete: str) -> Candidates:
    """Files behind `@`, which is how an argument names one; a folder stands for what is in it."""
    found = paths_behind(incomplete) if incomplete.startswith("@") else []
    if len(found) == 1 and found[0].endswith("/"):
        found = paths_behind(found[0]) or found
    yield from ((word, "") for word in found[:_MOST])


def paths_behind(mention: str) -> list[str]:
    """The mentions that begin so, of files and of folders, which end in a slash."""
    folder, slash, start = mention[1:].rpartition("/")
    found = []
    with suppress(OSError), os.scandir(with_home(folder + slash)) as entries:
        for entry in entries:
            if entry.name.startswith(start) and (start or entry.name[0] != "."):
                end = "/" if entry.is_dir() else ""
                found.append(f"@{folder}{slash}{entry.name}{end}")
    return sorted(found)


def settings_of(ctx: typer.Context) -> Settings | None:
    """The settings as a command would have them; None if they cannot be read.

    Nobody is asked about the `.env` of a folder: without the user's word, it names no server.
    """
    typed = {name: ctx.params.get(name) for name in ("base_url", "offline")}
    try:
        return load_settings({k: v for k, v in typed.items() if v is not None}, needed=())
    except GlmError:
        return None


def kept_here(incomplete: str) -> Candidates:
    """The models that are kept in memory."""
    from glmcli.engines.kept.tending import kept_models

    for _, status in kept_models():
        name = str(status.get("model", ""))
        if name.startswith(incomplete) and name.isprintable():
            yield name, tr("process {pid}", pid=status.get("pid"))
