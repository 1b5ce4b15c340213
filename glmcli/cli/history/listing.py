"""`glm history list`: to pick from on a terminal, else a table, lines of tabs, or JSON."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from glmcli.cli.dialog import tell
from glmcli.cli.options import with_settings
from glmcli.cli.tables import AsJson, cell, print_json, print_rows
from glmcli.config import Settings
from glmcli.language import tr

if TYPE_CHECKING:
    from glmcli.store import Store, Summary
    from glmcli.terminal.input.picking.columns import Column

_LISTED = 50
"""Conversations that are printed where nothing else is asked for."""


@contextmanager
def open_history(settings: Settings) -> Iterator[Store]:
    """The store, for reading whatever the settings say about writing."""
    from glmcli.store import open_store

    with closing(open_store(settings.home)) as store:
        tell_repairs(store)
        yield store
        tell_repairs(store)


def tell_repairs(store: Store) -> None:
    """Say what had to be repaired, or done in another way."""
    if notice := store.take_notice():
        tell(notice)


@with_settings("plain")
def list_(
    settings: Settings,
    limit: Annotated[
        int | None,
        typer.Option(
            "-n", "--limit", min=1, help=tr("print so many; 50 in a pipe"), show_default=False
        ),
    ] = None,
    all_: Annotated[bool, typer.Option("-a", "--all", help=tr("asks too"))] = False,
    as_json: AsJson = False,
) -> None:
    """List the chats, the newest first. On a terminal pick one, unless -n or --plain is given."""
    from glmcli.cli.history.picking import can_pick, go_on_in_chat, picked_conversation

    with open_history(settings) as store:
        found = store.list(limit or _LISTED, "" if all_ or as_json else "chat")
        others = found or store.list(1)
        if found and limit is None and not (as_json or settings.is_plain) and can_pick():
            name = picked_conversation(store, "" if all_ else "chat")
        else:
            name = None
            print_list(store, found, as_json=as_json, with_kinds=all_, has_others=bool(others))
    if name is not None:
        go_on_in_chat(name)


def print_list(
    store: Store, found: Sequence[Summary], *, as_json: bool, with_kinds: bool, has_others: bool
) -> None:
    """Conversations as a table, as lines of tabs, or as JSON."""
    if as_json:
        print_json([asdict(item) for item in found])
        return
    from glmcli.terminal.input.picking.columns import (
        COLUMNS,
        ID_COLUMN,
        KIND_COLUMN,
    )

    words = {item.id: store.first_words(item.id) for item in found}
    columns = (ID_COLUMN, *COLUMNS, *([KIND_COLUMN] if with_kinds else []))
    if not sys.stdout.isatty():
        print_rows([], [[it.cell(item, words[item.id], cell) for it in columns] for item in found])
    elif found:
        print_table(found, words, columns)
        if not with_kinds and store.list(1)[0].kind == "ask":
            tell(tr("the newest is an ask: --all lists the asks"))
    else:
        print(
            tr("there is no chat: --all lists the asks")
            if has_others
            else tr("the history is empty")
        )


def print_table(
    found: Sequence[Summary], words: Mapping[str, str], columns: Sequence[Column]
) -> None:
    """Conversations in columns, as wide as the terminal; `words` are the first of each, by id."""
    from glmcli.terminal.input.picking.columns import table_rows
    from glmcli.terminal.output import Output

    out = Output(sys.stdout)
    head, *rows = table_rows(found, words, columns, room=out.size().columns)
    out.write(f"\x1b[1m{head}\x1b[0m\n" if out.is_live else f"{head}\n")
    out.write("".join(f"{row}\n" for row in rows))
