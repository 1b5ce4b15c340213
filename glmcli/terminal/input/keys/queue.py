"""What was typed while a reply came: keys, seen as the lines that they will be.

The keys wait as they are for the prompt, which takes them as if they were typed now. Knows nothing
of how they are shown.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from prompt_toolkit.key_binding import KeyPress
from prompt_toolkit.keys import Keys

from glmcli.terminal.input.editing import characters
from glmcli.terminal.input.pastes import Pastes, pasted_text
from glmcli.terminal.quiet import Queued

Ends = list[tuple[int, int]]
"""Where lines end: the first and the last of the keys that send one, the last one exclusive."""
NEW_LINE = KeyPress(Keys.ControlJ, "\n")
UNKNOWN = "…"
"""Stands for a key whose effect shows only at the prompt."""


class Queue:
    """What was typed during one reply. After a Ctrl-C all of it is a draft, if anything waited."""

    def __init__(self) -> None:
        self._enter_sends = True
        self._was_stopped = self._is_draft = False
        self._seen: tuple[list[KeyPress], Queued] = ([], Queued())

    @property
    def is_draft(self) -> bool:
        """Whether none of it will be sent by itself, since the reply was stopped."""
        return self._is_draft

    def settled(
        self, keys: list[KeyPress], *, enter_sends: bool, is_stopped: bool
    ) -> list[KeyPress]:
        """The keys that wait, now that new ones came or the reply was stopped."""
        self._enter_sends = enter_sends
        keys = with_last_taken_back(keys, enter_sends=enter_sends)
        if is_stopped and not self._was_stopped:
            self._was_stopped, self._is_draft = True, bool(keys)
        return as_draft(keys, enter_sends=enter_sends) if self._is_draft else keys

    def said(self, keys: list[KeyPress], pastes: Pastes) -> Queued:
        """The keys that wait as they are shown, with placeholders for long pastes."""
        if keys != self._seen[0]:
            lines, draft = lines_of(keys, enter_sends=self._enter_sends, paste=pastes.fold)
            said = Queued(tuple(map(pastes.shown, lines)), pastes.shown(draft))
            self._seen = [*keys], said
        return self._seen[1]


def ends_of(keys: Sequence[KeyPress], *, enter_sends: bool) -> Ends:
    """Which keys will send a line. Without `enter_sends`, Alt-Enter does; nobody sends a blank."""
    ends: Ends = []
    is_blank = True
    for at, press in enumerate(keys):
        before = keys[at - 1].key if at else ""
        is_alt = before == Keys.Escape
        if press.key != Keys.ControlM:
            is_blank = is_blank and press.key in (" ", Keys.Escape, Keys.ControlJ)
        elif is_alt != enter_sends and not is_blank and before != "\\":
            ends.append((at - is_alt, at + 1))
            is_blank = True
    return ends


def with_last_taken_back(keys: Sequence[KeyPress], *, enter_sends: bool) -> list[KeyPress]:
    """Every Up behind a line takes that line back: what follows it goes on in it, on a new line.

    An Up that has no line before it stays: at the prompt it looks for an earlier one.
    """
    kept: list[KeyPress] = []
    for press in keys:
        ends = ends_of(kept, enter_sends=enter_sends) if press.key == Keys.Up else []
        if ends:
            start, end = ends[-1]
            kept[start:] = [NEW_LINE, *kept[end:]] if kept[end:] else []
        else:
            kept.append(press)
    return kept


def as_draft(keys: Sequence[KeyPress], *, enter_sends: bool) -> list[KeyPress]:
    """The same keys as one draft: nothing is sent, lines become lines of it."""
    kept = list(keys)
    for start, end in reversed(ends_of(keys, enter_sends=enter_sends)):
        kept[start:end] = [NEW_LINE] if kept[end:] else []
    return kept


def lines_of(
    keys: Sequence[KeyPress], *, enter_sends: bool, paste: Callable[[str], str]
) -> tuple[tuple[str, ...], str]:
    """The lines that wait, and the one that is not sent yet. `paste` says how a paste is shown."""
    lines, done = [], 0
    for start, end in ends_of(keys, enter_sends=enter_sends):
        lines.append(_typed(keys[done:start], paste))
        done = end
    return tuple(lines), _typed(keys[done:], paste)


def _typed(keys: Sequence[KeyPress], paste: Callable[[str], str]) -> str:
    """The text that keys make."""
    shown: list[str] = []
    for press in keys:
        match press.key:
            case Keys.BracketedPaste:
                shown += characters(paste(pasted_text(press.data)))
            case Keys.ControlH:
                del shown[-1:]
            case Keys.ControlU:
                shown.clear()
            case Keys.ControlM | Keys.ControlJ:
                shown.append("\n")
            case Keys.Escape:
                pass
            case Keys():
                shown.append(UNKNOWN)
            case _:
                shown.append(press.key)
    return "".join(shown)
