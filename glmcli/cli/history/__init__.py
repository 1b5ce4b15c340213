"""`glm history`: the stored conversations.

Lists are tables on a terminal, tab-separated lines in a pipe, and JSON with --json.
"""

from __future__ import annotations

import sys
from dataclasses import asdict, replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from glmcli.cli.completion.candidates import (
    conversations,
    file_paths,
    if_asked,
)
from glmcli.cli.dialog import tell, tell_links
from glmcli.cli.history.deleting import delete, undelete
from glmcli.cli.history.listing import list_, open_history
from glmcli.cli.options import with_settings
from glmcli.cli.tables import (
    AsJson,
    Marked,
    print_json,
    print_rows,
    print_text,
)
from glmcli.config import Settings
from glmcli.errors import GlmError
from glmcli.language import later, ntr, tr
from glmcli.paths import path_of
from glmcli.terminal.visible import visible_json, visible_line

history_app = typer.Typer(help=tr("The stored conversations."))


class ExportFormat(StrEnum):
    """How conversations are exported."""

    markdown = "markdown"
    json = "json"
    jsonl = "jsonl"


_ID = Annotated[
    str,
    typer.Argument(
        metavar="ID",
        help=tr("a conversation, or the start of its id"),
        autocompletion=if_asked(conversations),
    ),
]


@history_app.callback(invoke_without_command=True)
def bare(context: typer.Context) -> None:
    """List the chats where no command is named."""
    if context.invoked_subcommand is None:
        list_(limit=None, all_=False, as_json=False, plain=None)
        if sys.stdout.isatty():
            tell(tr("glm history --help shows what else can be done"))


history_app.command("list")(list_)


@history_app.command("show")
@with_settings("plain", "width")
def history_show(settings: Settings, id: _ID, as_json: AsJson = False) -> None:
    """Show a conversation; in a pipe as Markdown, or as JSON."""
    from glmcli.cli.history.showing import show_rendered
    from glmcli.conversation import transcript

    with open_history(settings) as store:
        conversation = store.whole(store.load(id))
    if sys.stdout.isatty() and not as_json:
        show_rendered(conversation, settings)
        return
    if as_json:
        print_text(transcript.to_json(conversation), visible_json)
    else:
        print_text(transcript.to_markdown(conversation))


@history_app.command()
@with_settings(needed=("home",))
def search(
    settings: Settings,
    query: Annotated[str, typer.Argument(metavar="WORDS", help=tr("words; all must be there"))],
    limit: Annotated[int, typer.Option("-n", "--limit", min=1, help=tr("how many"))] = 50,
    as_json: AsJson = False,
) -> None:
    """Search all conversations; exit code 1 if nothing is found."""
    with open_history(settings) as store:
        hits = store.search(query, limit)
    if as_json:
        print_json([asdict(hit) for hit in hits])
    if not hits:
        raise GlmError(
            tr("nothing found"),
            tr("all words have to stand in one message; the first letters of a word are enough"),
        )
    if as_json:
        return
    rows = [
        (hit.conversation.id, hit.conversation.title, hit.role, Marked(hit.pieces()))
        for hit in hits
    ]
    print_rows(
        (later("id"), later("title"), later("role"), later("text")),
        rows,
        whole=("id", "role"),
    )


@history_app.command()
@with_settings(needed=("home",))
def rename(
    settings: Settings, id: _ID, title: Annotated[str, typer.Argument(metavar="TITLE")]
) -> None:
    """Give a conversation another title."""
    with open_history(settings) as store:
        store.rename(id, title)


history_app.command()(delete)
history_app.command()(undelete)


@history_app.command("export")
@with_settings(needed=("home",))
def history_export(
    settings: Settings,
    ids: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[ID]...", help=tr("none: all"), autocompletion=if_asked(conversations)
        ),
    ] = None,
    format: Annotated[
        ExportFormat, typer.Option("-f", "--format", help=tr("form of the text"))
    ] = ExportFormat.markdown,
) -> None:
    """Print conversations as Markdown, JSON or JSON lines."""
    from glmcli.conversation import transcript

    with open_history(settings) as store:
        names = ids or [item.id for item in store.list(None)]
        found = [store.whole(store.load(name)) for name in names]
    match format:
        case ExportFormat.json:
            print_text(transcript.to_json(*found), visible_json)
        case ExportFormat.jsonl:
            print_text(transcript.to_jsonl(*found), visible_json)
        case _:
            print_text("\n\n".join(transcript.to_markdown(each).rstrip() for each in found))


@history_app.command("import")
@with_settings(needed=("home",))
def import_(
    settings: Settings,
    files: Annotated[
        list[Path],
        typer.Argument(metavar="FILE...", parser=path_of, autocompletion=if_asked(file_paths)),
    ],
) -> None:
    """Store conversations from JSON files. FastChat's, transformers' and OpenAI's count too."""
    from glmcli.conversation import transcript

    tell_links(*files)
    read = [each for path in files for each in transcript.load_all(path)]
    full = [each for each in read if each.messages]
    # A file from elsewhere does not decide what is loaded when somebody goes on with it.
    found = [replace(each, model="") for each in full]
    if empty := len(read) - len(found):
        tell(
            ntr(
                "{n} conversation without messages was left out",
                "{n} conversations without messages were left out",
                empty,
            )
        )
    with open_history(settings) as store:
        added = store.take_in(*reversed(found))[::-1]  # an export begins with the newest
    if known := len(found) - len(added):
        tell(
            ntr(
                "{n} conversation was here already and was left out",
                "{n} conversations were here already and were left out",
                known,
            )
        )
    fresh = {id(each) for each in added}
    new = [each.model for each, stored in zip(full, found, strict=True) if id(stored) in fresh]
    if names := ", ".join(dict.fromkeys(map(visible_line, filter(None, new)))):
        tell(tr("a file does not choose what is loaded: -m goes on with {names}", names=names))
    print_rows(
        (later("id"), later("title")), [(each.id, each.title) for each in added], whole=("id",)
    )


@history_app.command("path")
@with_settings(needed=("home",))
def history_path(settings: Settings) -> None:
    """Print where the history is stored."""
    with open_history(settings) as store:
        print_text(str(store.path))
