"""The editors that read the texts a person types, for their owner.

Knows nothing of replies or commands. The editors are imported when one is opened: they are heavy.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from glmcli.conversation.typed import NOTHING, Line, untyped_line
from glmcli.terminal.input.picking import Entry, Source
from glmcli.terminal.output import Output
from glmcli.terminal.quiet import Queued, Quiet
from glmcli.terminal.signals import Killed

if TYPE_CHECKING:
    from prompt_toolkit.completion import Completer

    from glmcli.terminal.input.history import PromptHistory

__all__ = [
    "PROMPT_HISTORY",
    "Editor",
    "Entry",
    "Owner",
    "Presses",
    "Source",
    "keeping_unsent",
    "open_editor",
]

PROMPT_HISTORY = "prompt_history"
"""The file beside the history that holds what was typed, for the Up key."""
LEAVE_S = 2.0
"""Two Ctrl-C on an empty line within this time leave the chat."""
SAME_S = 0.5
"""Ctrl-C this soon after one that stopped a reply counts as that one; so does one after it."""


class Owner(Protocol):
    """Whoever an editor reads for: asked and told while a person types."""

    quiet: Quiet
    enter_sends: bool
    """If not, Enter makes a new line and Alt-Enter sends."""

    def begin(self) -> None:
        """Called when the editor was drawn for the first time."""
        ...

    def status(self, columns: int) -> tuple[str, bool]:
        """The toolbar's text, of at most so many cells, and whether it is a warning."""
        ...

    def note(self, text: str) -> None:
        """Show the program's own words above the prompt; "" is nothing."""
        ...

    def runs(self, line: Line) -> bool:
        """Whether a line would be run, and not be sent as text."""
        ...

    def draft_changed(self, draft: str, *, pasted: bool) -> None:
        """Called at every change, for a paste twice; see `Editor.sent` for long pastes."""
        ...

    def edit_draft(self, text: str) -> str:
        """Open a draft in the user's own editor (Ctrl-X Ctrl-E)."""
        ...

    def peek(self) -> None:
        """Show the last reasoning (Ctrl-O)."""
        ...

    def stop(self) -> None:
        """Called for a Ctrl-C that was pressed right after Enter."""
        ...

    def is_stopped(self) -> bool:
        """Whether Ctrl-C was pressed as a signal, not as a key, since `rearm`."""
        ...

    def rearm(self) -> None:
        """Forget the last Ctrl-C."""
        ...


class Presses:
    """What a Ctrl-C at the prompt means, given those before it."""

    def __init__(self, owner: Owner) -> None:
        self._owner = owner
        self._stopped_at = self._told_at = -math.inf

    def begin(self) -> None:
        """The prompt hears of Ctrl-C from now on: one pressed before stops no reply to come."""
        self._stopped_at = time.monotonic() if self._owner.is_stopped() else -math.inf
        self._told_at = -math.inf
        self._owner.rearm()

    def forget(self) -> None:
        """Something was typed: the next press on an empty line is a first one."""
        self._told_at = -math.inf

    def is_same(self) -> bool:
        """Whether this press only repeats the one that stopped the reply."""
        now = time.monotonic()
        if now - self._stopped_at >= SAME_S:
            return False
        self._stopped_at = now
        return True

    def leaves(self) -> bool:
        """Whether this press, on an empty line, is the second one."""
        now, before = time.monotonic(), self._told_at
        self._told_at = now
        return now - before < LEAVE_S


class Editor:
    """Reads one text at a time. This one holds nothing between two texts, and reads none."""

    _remembered: PromptHistory | None = None
    """The earlier texts, if they are kept."""

    def read(self, draft: Line = NOTHING) -> Line:
        """The next text, which begins with `draft`. Raises EOFError when the user leaves."""
        raise EOFError

    def sent(self, draft: str) -> Line:
        """A draft as it would be sent: with the pastes whole."""
        return untyped_line(draft)

    def confirm(self, question: str) -> bool:
        """Ask until yes or no is typed; Ctrl-C and Ctrl-D mean no. Here nobody can be asked."""
        return False

    @property
    def can_pick(self) -> bool:
        """Whether `pick` shows anything here."""
        return False

    def pick(self, source: Source) -> Entry | None:
        """The conversation that the user picks; None if there is none."""
        return None

    def collect(self) -> Queued:
        """Take typed keys from the terminal, for the next `read`; returns what they say so far."""
        return Queued()

    def hold_back(self) -> None:
        """Send nothing that waits by itself: the line before it failed."""

    def remember(self, line: Line) -> None:
        """Keep a line that was not read here among the earlier ones."""
        if self._remembered is not None:
            self._remembered.remember(line)

    def _remember_early(self, drafts: Sequence[Line]) -> None:
        """Keep lines that wait to be read, so that a kill loses none."""
        if self._remembered is not None:
            self._remembered.remember_early(drafts)

    def unsent(self) -> Sequence[Line]:
        """What was typed and not sent, the draft at the prompt or what waits, for when it ends."""
        return ()

    def refuse(self, text: str) -> None:
        """Suggest a text no more: it was a command that failed."""
        if self._remembered is not None:
            self._remembered.refuse(text)

    def redraw(self) -> None:
        """Draw the toolbar again. Safe from any thread."""


@contextmanager
def keeping_unsent(editor: Callable[[], Editor]) -> Iterator[None]:
    """Let the editor remember what was typed and not sent if a signal ends what runs inside."""
    try:
        yield
    except Killed:
        for line in editor().unsent():
            if line.text.strip():
                editor().remember(line)
        raise


def open_editor(
    out: Output,
    owner: Owner,
    *,
    history: Path | None,
    own: bool,
    completer: Completer,
    vi: bool,
    shortcuts: Mapping[str, str],
) -> Editor:
    """An editor with keys of its own, or the system's line editing where a terminal only prints.

    `completer` completes commands and paths; `history` is the file of earlier texts, of which all
    count as pasted if it is not the user's `own`. `shortcuts` are keys that send a line of their
    own, as prompt-toolkit calls them; what was being typed is the draft again after that.
    """
    if not out.knows_codes:
        from glmcli.terminal.input.plain_prompt import PlainEditor

        return PlainEditor(out, owner)
    if out.is_reader:
        from glmcli.terminal.input.aloud import SpokenEditor as LineEditor
    else:
        from glmcli.terminal.input.prompt import LineEditor  # type: ignore[assignment]

    return LineEditor(
        out, owner, history=history, own=own, completer=completer, vi=vi, shortcuts=shortcuts
    )
