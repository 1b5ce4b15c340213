"""What is on this machine: `glm history` and `glm models`.

Lists are tables on a terminal, tab-separated lines in a pipe, and JSON with --json.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from glmcli.config import Settings
from glmcli.errors import UsageError
from glmcli.options import with_settings
from glmcli.terminal.visible import visible, visible_json, visible_line

if TYPE_CHECKING:
    from rich.text import Text as RichText

    from glmcli.engines.library import Model
    from glmcli.store import Store
    from glmcli.types import Conversation

history = typer.Typer(help="The stored conversations.", no_args_is_help=True)
models = typer.Typer(help="The models on this machine.", no_args_is_help=True)


class ExportFormat(StrEnum):
    """How conversations are exported."""

    markdown = "markdown"
    json = "json"
    jsonl = "jsonl"


AsJson = Annotated[bool, typer.Option("--json", help="print JSON")]
ID = Annotated[str, typer.Argument(metavar="ID", help="a conversation, or the start of its id")]


@dataclass(frozen=True, slots=True)
class Marked:
    """A cell of which some pieces are set off on a terminal."""

    pieces: Sequence[tuple[str, bool]]

    def __str__(self) -> str:
        return "".join(text for text, _ in self.pieces)


def print_rows(head: Sequence[str], rows: Sequence[Sequence[Any]], *, none: str = "") -> None:
    """A table on a terminal, or what to say if it is empty; elsewhere lines of cells and tabs."""
    if not sys.stdout.isatty():
        for row in rows:
            print("\t".join(" ".join(str(cell).split()) for cell in row))
        return
    if not rows:
        print(none)
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in head:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*map(styled, row))
    Console().print(table)


def styled(cell: object) -> RichText:
    """A cell for a terminal: made harmless, what was found in bold."""
    from rich.text import Text

    text = Text()
    if not isinstance(cell, Marked):
        return text.append(visible(str(cell)))
    for piece, found in cell.pieces:
        text.append(visible(piece), "bold" if found else None)
    return text


def print_json(value: object) -> None:
    """Indented JSON, every character as itself unless it would steer a terminal."""
    print_text(json.dumps(value, ensure_ascii=False, indent=2, default=str), visible_json)


def print_text(text: str, harmless: Callable[[str], str] = visible) -> None:
    """A text that ends in one newline; on a terminal what `harmless` makes of it."""
    if text := text.rstrip("\n"):
        print(harmless(text) if sys.stdout.isatty() else text)


@contextmanager
def open_history(settings: Settings) -> Iterator[Store]:
    """The store, for reading whatever the settings say about writing."""
    from glmcli.store import open_store

    with closing(open_store(settings.home)) as store:
        yield store


@history.command("list")
@with_settings()
def list_(
    settings: Settings,
    limit: Annotated[int, typer.Option("-n", "--limit", min=1, help="how many")] = 50,
    as_json: AsJson = False,
) -> None:
    """List the conversations, the newest first."""
    with open_history(settings) as store:
        found = store.list(limit)
    if as_json:
        print_json([asdict(item) for item in found])
        return
    rows = [
        (item.id, item.title, item.model, item.turns, item.tokens or "", age(item.updated_at))
        for item in found
    ]
    print_rows(
        ("id", "title", "model", "turns", "tokens", "age"), rows, none="the history is empty"
    )


@history.command()
@with_settings("plain")
def show(settings: Settings, id: ID, as_json: AsJson = False) -> None:
    """Show a conversation; in a pipe as Markdown, or as JSON."""
    from glmcli import transcript

    with open_history(settings) as store:
        conversation = store.load(id)
    if sys.stdout.isatty() and not as_json:
        show_rendered(conversation, plain=settings.plain)
        return
    if as_json:
        print_text(transcript.to_json(conversation), visible_json)
    else:
        print_text(transcript.to_markdown(conversation))


def show_rendered(conversation: Conversation, *, plain: bool) -> None:
    """Show a conversation on a terminal as it was shown when it was new."""
    from glmcli.terminal.live import show_message
    from glmcli.terminal.tty import Output, Quiet

    out = Output(sys.stdout)
    quiet = Quiet(out)
    facts = (conversation.id, conversation.title, conversation.model)
    out.write(visible_line(" · ".join(filter(None, facts))) + "\n\n")
    if conversation.system:
        out.write(f"{visible(conversation.system)}\n\n")
    for message in conversation.messages:
        show_message(out, quiet, message, plain=plain)
        out.write("\n" if message.role == "assistant" else "")


@history.command()
@with_settings()
def search(
    settings: Settings,
    query: Annotated[str, typer.Argument(help="words; all must be there")],
    limit: Annotated[int, typer.Option("-n", "--limit", min=1, help="how many")] = 50,
    as_json: AsJson = False,
) -> None:
    """Search all conversations."""
    with open_history(settings) as store:
        hits = store.search(query, limit)
    if as_json:
        print_json([asdict(hit) for hit in hits])
        return
    rows = [
        (hit.conversation.id, hit.conversation.title, hit.role, Marked(hit.pieces()))
        for hit in hits
    ]
    print_rows(("id", "title", "role", "text"), rows, none="nothing found")


@history.command()
@with_settings()
def rename(settings: Settings, id: ID, title: Annotated[str, typer.Argument()]) -> None:
    """Give a conversation another title."""
    with open_history(settings) as store:
        store.rename(id, title)


@history.command()
@with_settings()
def delete(
    settings: Settings,
    ids: Annotated[list[str], typer.Argument(metavar="ID", help="or the starts of their ids")],
    yes: Annotated[bool, typer.Option("-y", "--yes", help="do not ask")] = False,
) -> None:
    """Delete conversations for good."""
    with open_history(settings) as store:
        found = [store.find(id) for id in ids]
        named = ", ".join(f"{each.id} {visible_line(each.title)!r}" for each in found)
        if confirmed(f"delete {named}?", yes=yes):
            store.delete(*(each.id for each in found))
            print(f"deleted {named}")


@history.command()
@with_settings()
def export(
    settings: Settings,
    ids: Annotated[list[str] | None, typer.Argument(metavar="[ID]...", help="none: all")] = None,
    format: Annotated[ExportFormat, typer.Option("-f", "--format")] = ExportFormat.markdown,
) -> None:
    """Print conversations as Markdown, JSON or JSON lines: those with an ID, or all."""
    from glmcli import transcript

    with open_history(settings) as store:
        found = [store.load(name) for name in ids or [item.id for item in store.list(None)]]
    match format:
        case ExportFormat.json:
            print_text(transcript.to_json(*found), visible_json)
        case ExportFormat.jsonl:
            print_text(transcript.to_jsonl(*found), visible_json)
        case _:
            print_text("\n\n".join(transcript.to_markdown(each).rstrip() for each in found))


@history.command("import")
@with_settings()
def import_(settings: Settings, files: Annotated[list[Path], typer.Argument()]) -> None:
    """Store conversations from JSON files: of this program, FastChat, transformers or OpenAI."""
    from glmcli import transcript

    found = [each for path in files for each in transcript.load_all(path)]
    for conversation in found:
        conversation.id = ""
    with open_history(settings) as store:
        store.save(*found)
    print_rows(("id", "title"), [(each.id, each.title) for each in found])


@history.command("path")
@with_settings()
def history_path(settings: Settings) -> None:
    """Print where the history is stored."""
    with open_history(settings) as store:
        print(store.path)


@models.command("list")
@with_settings("base_url", "offline", "timeout")
def models_list(settings: Settings, as_json: AsJson = False) -> None:
    """List the models on this machine, or those of the server at --base-url."""
    from glmcli.engines.library import describe_all

    found = served(settings) if settings.base_url else describe_all(settings)
    if as_json:
        print_json([asdict(item) for item in found])
        return
    rows = [
        (item.name, item.family, size(item.size_bytes), item.window or "", item.path)
        for item in found
    ]
    print_rows(("name", "family", "size", "window", "path"), rows)


def served(settings: Settings) -> list[Model]:
    """The models of the server at `settings.base_url`. Raises ConfigError, EngineError."""
    from glmcli.engines.discover import list_models
    from glmcli.engines.library import Model

    return [
        Model(name, settings.base_url, name.partition(":")[0], None, window)
        for name, window in list_models(settings)
    ]


NAME = Annotated[str, typer.Argument(metavar="NAME", help="folder, hub id or built-in name")]


@models.command("show")
@with_settings("trust_remote_code")
def models_show(settings: Settings, name: NAME, as_json: AsJson = False) -> None:
    """Show what a model is, what it needs, and what is missing."""
    from glmcli.engines.library import describe

    found = describe(name, settings)
    if as_json:
        print_json(asdict(found))
        return
    model = found.model
    rows = [
        ("name", model.name),
        ("path", model.path or "not fetched yet"),
        ("family", model.family),
        ("layers", found.layers),
        ("parameters", "" if found.parameters is None else f"{found.parameters:,}"),
        ("window", "" if model.window is None else f"{model.window:,} tokens"),
        ("size on disk", size(model.size_bytes)),
        ("cache of a full window", size(found.cache_bytes)),
        *((f"memory at {bits}", size(count)) for bits, count in found.memory_bytes.items()),
        ("needs remote code", "yes" if found.remote_code else "no"),
        ("missing files", ", ".join(found.missing) or "none"),
        *([("problem", found.problem)] if found.problem else []),
    ]
    print_rows(("", ""), [(key, "" if value is None else value) for key, value in rows])


@models.command()
@with_settings("offline")
def pull(settings: Settings, name: NAME) -> None:
    """Fetch a model, so that later it is there without the network."""
    from glmcli.engines.checkpoint import find_checkpoint
    from glmcli.terminal.tty import outputs
    from glmcli.terminal.view import StatusLine
    from glmcli.types import Chunk

    status = StatusLine(outputs()[1])
    try:
        found = find_checkpoint(
            name, settings, lambda step: status.show(Chunk(progress=step)), refresh=True
        )
    finally:
        status.clear()
    print(found.folder)


@models.command()
@with_settings()
def remove(
    settings: Settings,
    name: NAME,
    yes: Annotated[bool, typer.Option("-y", "--yes", help="do not ask")] = False,
) -> None:
    """Remove a fetched model from the disk. A folder of your own is never removed."""
    from glmcli.engines.library import removable, remove

    removable(name, settings)  # nobody is asked about a model that cannot be removed
    if confirmed(f"remove {name}?", yes=yes):
        print(f"removed {name}: {size(remove(name, settings))} freed")


def confirmed(question: str, *, yes: bool) -> bool:
    """Whether the user agrees; --yes does so beforehand. Raises UsageError without a terminal."""
    if yes:
        return True
    if sys.stdin is None or not sys.stdin.isatty():
        raise UsageError("nothing was removed", "add --yes to remove without being asked")
    return typer.confirm(question)


def age(moment: float) -> str:
    """How long ago, in the largest unit that fits: "5 min"."""
    seconds = max(0.0, time.time() - moment)
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds // length:.0f} {unit}"
    return f"{seconds:.0f} s"


def size(count: int | None) -> str:
    """Bytes for a person: "259 MB"."""
    if count is None:
        return ""
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"
