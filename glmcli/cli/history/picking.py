"""The list of conversations to pick from, in a shell: for `glm history list` and `--resume`.

Knows nothing of how the list is shown.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import typer

from glmcli.cli.dialog import signals_heard, tell

if TYPE_CHECKING:
    from glmcli.store import Store
    from glmcli.types import ConversationKind


def can_pick() -> bool:
    """Whether there is a terminal for a list to move about in."""
    from glmcli.terminal.output import Output

    if sys.stdin is None or not sys.stdin.isatty() or not sys.stdout.isatty():
        return False
    return Output(sys.stdout).is_live


def picked_conversation(store: Store, kind: ConversationKind) -> str | None:
    """The id of the conversation that the user picks, at first from those of a kind; None if they
    leave, or if there is none. Raises StoreError, Killed.
    """
    from glmcli.chat.listing import HistoryList
    from glmcli.terminal.input.keys.keyboard import Keyboard, know_modified_keys
    from glmcli.terminal.input.pastes import STAND_IN
    from glmcli.terminal.input.picking.picker import Picker
    from glmcli.terminal.output import Output
    from glmcli.terminal.quiet import Quiet

    stored = HistoryList(store, kind)
    if not stored.entries:
        return None
    out = Output(sys.stdout)
    with signals_heard(), Quiet(out, for_editor=True):
        know_modified_keys()
        keyboard = Keyboard(pasted=STAND_IN)
        picked = Picker(stored, out, keyboard).run()
        keyboard.end_if_gone()
    if stored.farewell:
        tell(stored.farewell)
    return picked.id if picked else None


def go_on_in_chat(name: str) -> None:
    """What `glm chat --resume ID` does."""
    from glmcli.cli.chat import chat

    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(chat)
    code = app(["--resume", name], prog_name="glm chat", standalone_mode=False)
    raise typer.Exit(code if isinstance(code, int) else 0)
