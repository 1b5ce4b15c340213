"""`glm history`: the stored conversations.

Lists are tables on a terminal, tab-separated lines in a pipe, and JSON with --json.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from glmcli.cli.completion.candidates import conversations, deleted_conversations, if_asked
from glmcli.cli.dialog import tell, tell_links
from glmcli.cli.options import with_settings
from glmcli.cli.tables import (
    AsJson,
    Marked,
    age,
    cell,
    confirmed,
    print_json,
    print_rows,
    print_text,
)
from glmcli.config import Settings
from glmcli.language import later, ntr, tr
from glmcli.paths import short_model
from glmcli.terminal.visible import visible, visible_json, visible_line

if TYPE_CHECKING:
    from glmcli.store import Store, Summary
    from glmcli.types import Conversation

history_app = typer.Typer(help=tr("The stored conversations."))
_FEW = 20
"""Conversations that are listed where nothing is asked for."""


class ExportFormat(StrEnum):
    """How conversations are exported."""

    markdown = "markdown"
    json = "json"
    jsonl = "jsonl"


KIND_WORDS = {"chat": later("chat"), "ask": later("ask"), "": later("unknown")}

_ID = Annotated[
    str,
    typer.Argument(
        metavar="ID",
        help=tr("a conversation, or the start of its id"),
        autocompletion=if_asked(conversations),
    ),
]


@contextmanager
def open_history(settings: Settings) -> Iterator[Store]:
    """The store, for reading whatever the settings say about writing."""
    from glmcli.store import open_store

    with closing(open_store(settings.home)) as store:
        if notice := store.take_notice():
            tell(notice)
        yield store


@history_app.callback(invoke_without_command=True)
def bare(context: typer.Context) -> None:
    """List the chats where no command is named."""
    if context.invoked_subcommand is None:
        list_(limit=_FEW, all_=False, as_json=False)
        if sys.stdout.isatty():
            tell(tr("glm history --help shows what else can be done"))


@history_app.command("list")
@with_settings(needed=("home",))
def list_(
    settings: Settings,
    limit: Annotated[int, typer.Option("-n", "--limit", min=1, help=tr("how many"))] = 50,
    all_: Annotated[bool, typer.Option("-a", "--all", help=tr("asks too"))] = False,
    as_json: AsJson = False,
) -> None:
    """List the chats, the newest first; with --all or --json the asks too."""
    with open_history(settings) as store:
        found = store.list(limit, "" if all_ or as_json else "chat")
        others = found or store.list(1)
    if as_json:
        print_json([asdict(item) for item in found])
        return
    nothing = tr("there is no chat: --all lists the asks") if others else tr("the history is empty")
    rows = [
        (
            item.id,
            item.title,
            short_model(item.model),
            item.turns,
            item.tokens or "",
            age(item.updated_at),
            *([cell(KIND_WORDS[item.kind])] if all_ else []),
        )
        for item in found
    ]
    print_rows(
        (
            later("id"),
            later("title"),
            later("model"),
            later("turns"),
            later("tokens"),
            later("age"),
            *([later("kind")] if all_ else []),
        ),
        rows,
        none=nothing,
        whole=("id", "turns", "tokens", "age", "kind"),
        spare=("tokens", "turns", "model"),
    )


@history_app.command("show")
@with_settings("plain", "width")
def history_show(settings: Settings, id: _ID, as_json: AsJson = False) -> None:
    """Show a conversation; in a pipe as Markdown, or as JSON."""
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


def show_rendered(conversation: Conversation, settings: Settings) -> None:
    """Show a conversation on a terminal as it was shown when it was new."""
    from glmcli.terminal.output import Output
    from glmcli.terminal.phrases import system_text
    from glmcli.terminal.quiet import Quiet
    from glmcli.terminal.replies.text import show_message

    out = Output(sys.stdout)
    out.is_reader = settings.plain == "reader"
    quiet = Quiet(out)
    facts = (conversation.id, conversation.title, short_model(conversation.model))
    out.write(visible_line(" · ".join(filter(None, facts))) + "\n\n")
    if conversation.system is not None:
        out.write(f"{visible(system_text(conversation.system))}\n\n")
    if others := conversation.other_branches():
        line = ntr(
            "{n} other branch is not shown: glm history export -f json {id} holds it",
            "{n} other branches are not shown: glm history export -f json {id} holds them",
            others,
            id=conversation.id,
        )
        out.write(f"{line}\n\n")
    for message in conversation.messages:
        plain, columns = settings.is_plain, settings.width
        show_message(out, quiet, message, plain=plain, columns=columns)
        out.write("\n" if message.role == "assistant" else "")


@history_app.command()
@with_settings(needed=("home",))
def search(
    settings: Settings,
    query: Annotated[str, typer.Argument(help=tr("words; all must be there"))],
    limit: Annotated[int, typer.Option("-n", "--limit", min=1, help=tr("how many"))] = 50,
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
    print_rows(
        (later("id"), later("title"), later("role"), later("text")),
        rows,
        none=tr("nothing found"),
        whole=("id", "role"),
    )


@history_app.command()
@with_settings(needed=("home",))
def rename(settings: Settings, id: _ID, title: Annotated[str, typer.Argument()]) -> None:
    """Give a conversation another title."""
    with open_history(settings) as store:
        store.rename(id, title)


@history_app.command()
@with_settings(needed=("home",))
def delete(
    settings: Settings,
    ids: Annotated[
        list[str],
        typer.Argument(
            metavar="ID",
            help=tr("or the starts of their ids"),
            autocompletion=if_asked(conversations),
        ),
    ],
    yes: Annotated[bool, typer.Option("-y", "--yes", help=tr("do not ask"))] = False,
    purge: Annotated[
        bool, typer.Option("--purge", help=tr("for good, at once; deleted ones too"))
    ] = False,
) -> None:
    """Delete conversations; undelete takes that back for 30 days."""
    from glmcli.store import KEPT_DAYS

    with open_history(settings) as store:
        gone = {each.id for each, _ in store.deleted()} if purge else set()
        found = list({each.id: each for each in (find_any(store, id, gone) for id in ids)}.values())
        names = ids_and_titles(found)
        question = tr("delete {named}?", named=names)
        if purge:
            question = tr("delete {named} for good?", named=names)
        if not confirmed(question, yes=yes):
            return
        which = [each.id for each in found]
        if purge:
            store.purge(*which)
            print(tr("deleted for good: {named}", named=names))
            return
        store.delete(*which)
        print(tr("deleted {named}", named=names))
        tell(
            tr(
                "glm history undelete {ids} takes that back for {n} days, then the text goes too; "
                "delete --purge {ids} removes it at once",
                ids=" ".join(which),
                n=KEPT_DAYS,
            )
        )


def find_any(store: Store, name: str, gone: Collection[str]) -> Summary:
    """A conversation, or one of those that are `gone`. Raises UsageError, StoreError."""
    is_gone = any(each.startswith(name.strip().lower()) for each in gone)
    return store.find(name, deleted=is_gone)


def ids_and_titles(found: Sequence[Summary]) -> str:
    """Conversations by their ids and titles, in one line."""
    return ", ".join(f"{each.id} {visible_line(each.title)!r}" for each in found)


@history_app.command()
@with_settings(needed=("home",))
def undelete(
    settings: Settings,
    ids: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[ID]...",
            help=tr("or the starts of their ids; none: list them"),
            autocompletion=if_asked(deleted_conversations),
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Bring deleted conversations back; without ID, list them."""
    from glmcli.store import KEPT_DAYS

    with open_history(settings) as store:
        if ids:
            found = [store.find(id, deleted=True) for id in ids]
            store.undelete(*(each.id for each in found))
            print(tr("brought back {named}", named=ids_and_titles(found)))
            return
        listed = store.deleted()
    if as_json:
        print_json([{**asdict(item), "deleted_at": moment} for item, moment in listed])
        return
    rows = [
        (item.id, item.title, item.turns, age(moment), days_left(moment, KEPT_DAYS))
        for item, moment in listed
    ]
    print_rows(
        (later("id"), later("title"), later("turns"), later("deleted"), later("days left")),
        rows,
        none=tr("nothing was deleted in the last {n} days", n=KEPT_DAYS),
        whole=("id", "turns", "deleted", "days left"),
        spare=("turns", "deleted"),
    )


def days_left(moment: float, kept: int) -> int:
    """The days until what was deleted at `moment` is purged, those begun too."""
    return max(0, math.ceil(kept - (time.time() - moment) / 86400))


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
    format: Annotated[ExportFormat, typer.Option("-f", "--format")] = ExportFormat.markdown,
) -> None:
    """Print conversations as Markdown, JSON or JSON lines: those with an ID, or all."""
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
def import_(settings: Settings, files: Annotated[list[Path], typer.Argument()]) -> None:
    """Store conversations from JSON files: of this program, FastChat, transformers or OpenAI."""
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
