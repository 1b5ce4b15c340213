"""What `--purge` is about: conversations that were deleted before, and what was typed in them."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from glmcli.errors import UsageError
from glmcli.language import tr

if TYPE_CHECKING:
    from glmcli.store import Store, Summary


def find_any(store: Store, name: str, gone: Collection[str]) -> Summary:
    """A conversation, or one of those that are `gone`. Raises UsageError, StoreError."""
    from glmcli.cli.hints.elsewhere import EACH, EVERY_ONE

    if name.lower() in EVERY_ONE:
        raise UsageError(tr("there is no conversation {name!r}", name=name), tr(EACH))
    is_gone = any(each.startswith(name.strip().lower()) for each in gone)
    return store.find(name, deleted=is_gone)


def forget_typed(home: Path, questions: Iterable[str]) -> None:
    """Take these questions out of what the Up key brings back. Raises StoreError."""
    from glmcli.terminal.input import PROMPT_HISTORY
    from glmcli.terminal.input.history import forget_said

    forget_said(home / PROMPT_HISTORY, questions)
