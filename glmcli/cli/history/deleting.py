"""`glm history delete` and `undelete`: what is deleted can be brought back for a month.

Knows nothing of how it is stored.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from glmcli.cli.completion.candidates import (
    deletable_conversations,
    deleted_conversations,
    if_asked,
)
from glmcli.cli.dialog import print_line, tell
from glmcli.cli.history.listing import open_history, print_table
from glmcli.cli.history.purging import find_any, forget_typed
from glmcli.cli.options import with_settings
from glmcli.cli.tables import (
    AsJson,
    cell,
    confirmed,
    print_json,
    print_rows,
)
from glmcli.config import Settings
from glmcli.harmless import quoted
from glmcli.language import later, tr
from glmcli.terminal.phrases import age
from glmcli.terminal.visible import visible_line

if TYPE_CHECKING:
    from glmcli.store import Summary


@with_settings(needed=("home",))
def delete(
    settings: Settings,
    ids: Annotated[
        list[str],
        typer.Argument(
            metavar="ID",
            help=tr("or the starts of their ids"),
            autocompletion=if_asked(deletable_conversations),
        ),
    ],
    yes: Annotated[bool, typer.Option("-y", "--yes", help=tr("do not ask"))] = False,
    purge: Annotated[
        bool, typer.Option("--purge", help=tr("for good, at once; deleted ones too"))
    ] = False,
) -> None:
    """Delete conversations; undelete takes that back for 30 days."""
    from glmcli.chat.listing import open_elsewhere, undeletable

    with open_history(settings) as store:
        gone = {each.id for each, _ in store.deleted()} if purge else set()
        found = list({each.id: each for each in (find_any(store, id, gone) for id in ids)}.values())
        names = ids_and_titles(found)
        if is_open := open_elsewhere([each.id for each in found if store.is_elsewhere(each.id)]):
            tell(is_open)
        question = tr("delete {named}?", named=names)
        if purge:
            question = tr("delete {named} for good?", named=names)
        if not confirmed(question, yes=yes):
            return
        which = [each.id for each in found]
        if purge:
            asked = store.asked_only(*which)
            store.purge(*which)
            print_line(tr("deleted for good: {named}", named=names))
            forget_typed(settings.home, asked)
            return
        store.delete(*which)
        print_line(tr("deleted {named}", named=names))
        tell(undeletable(which))


def ids_and_titles(found: Sequence[Summary]) -> str:
    """Conversations by their ids and titles, in one line."""
    return ", ".join(f"{each.id} {quoted(visible_line(each.title))}" for each in found)


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
            print_line(tr("brought back {named}", named=ids_and_titles(found)))
            return
        listed = store.deleted()
        words = {item.id: store.first_words(item.id) for item, _ in listed}
    if as_json:
        print_json([{**asdict(item), "deleted_at": moment} for item, moment in listed])
        return
    if sys.stdout.isatty():
        if listed:
            print_deleted(listed, words)
        else:
            print(tr("nothing was deleted in the last {n} days", n=KEPT_DAYS))
        return
    rows = [
        (item.id, item.title, item.turns, age(moment, cell), days_left(moment, KEPT_DAYS))
        for item, moment in listed
    ]
    print_rows([], rows)


def print_deleted(listed: Sequence[tuple[Summary, float]], words: Mapping[str, str]) -> None:
    """Deleted conversations in the columns of every list, with the days that they have left."""
    from glmcli.store import KEPT_DAYS
    from glmcli.terminal.input.picking.columns import COLUMNS, ID_COLUMN, Column

    moments = {item.id: moment for item, moment in listed}
    gone = Column(later("deleted"), lambda entry, words, say: age(moments[entry.id], say))
    left = Column(
        later("days left"), lambda entry, words, say: str(days_left(moments[entry.id], KEPT_DAYS))
    )
    print_table([item for item, _ in listed], words, (ID_COLUMN, gone, left, *COLUMNS[1:]))


def days_left(moment: float, kept: int) -> int:
    """The days until what was deleted at `moment` is purged, those begun too."""
    return max(0, math.ceil(kept - (time.time() - moment) / 86400))
