"""What was typed before: kept in a file of its owner's, and suggested while typing.

Knows nothing of conversations; pastes are kept whole.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from prompt_toolkit.auto_suggest import AutoSuggestFromHistory, Suggestion
from prompt_toolkit.buffer import Buffer
from prompt_toolkit.document import Document
from prompt_toolkit.history import FileHistory, History, InMemoryHistory

from glmcli.errors import StoreError
from glmcli.ours import make_private, open_private
from glmcli.terminal.pastes import Pastes

LONGEST_SUGGESTION = 200
"""Characters. A longer one would push the conversation off the screen."""


class Suggestions(AutoSuggestFromHistory):
    """The end of an earlier line that began like this one, unless it is very long."""

    def get_suggestion(self, buffer: Buffer, document: Document) -> Suggestion | None:
        """See AutoSuggest."""
        found = super().get_suggestion(buffer, document)
        return found if found and len(found.text) <= LONGEST_SUGGESTION else None


class PrivateHistory(FileHistory):
    """Prompt history that only its owner can read; it holds pastes whole, and breaks no chat."""

    def __init__(self, path: Path, pastes: Pastes) -> None:
        self._pastes = pastes
        super().__init__(path)

    def append_string(self, string: str) -> None:
        """Remember an entry, in memory and at once in the file, so that a kill loses nothing."""
        whole = self._pastes.expand(string)
        self._loaded_strings.insert(0, self._pastes.plain(whole))
        self.store_string(whole)

    def load_history_strings(self) -> Iterable[str]:
        """The entries of the file, the last one first."""
        return map(self._pastes.plain, super().load_history_strings())

    def store_string(self, string: str) -> None:
        """Append an entry to the file."""
        try:
            os.close(open_private(Path(os.fsdecode(self.filename))))
            super().store_string(string.encode("utf-8", "replace").decode("utf-8"))
        except (OSError, StoreError):
            return  # a full or read-only disk: the entry is still there for this session


def make_history(path: Path | None, pastes: Pastes) -> History:
    """The history in a file, or in memory alone if there is no file or it cannot be read."""
    if path is None:
        return InMemoryHistory()
    try:
        handle = open_private(path)
        make_private(handle)
        os.close(handle)
    except (OSError, StoreError):
        return InMemoryHistory()
    return PrivateHistory(path, pastes)
