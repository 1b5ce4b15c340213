"""What was typed while a reply came: keys, seen as the lines that they will be.

The keys wait as they are for the prompt, which takes them as if they were typed now. Knows nothing
of how they are shown.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from prompt_toolkit.key_binding import KeyPress
from prompt_toolkit.keys import Keys

from glmcli.conversation.typed import PASTED_BYTE, TYPED_BYTE, Line
from glmcli.language import ntr, tr
from glmcli.terminal.input.editing import characters
from glmcli.terminal.input.pastes import Pastes, pasted_text
from glmcli.terminal.quiet import Queued
from glmcli.terminal.visible import visible_line

Ends = list[tuple[int, int]]
"""Where lines end: the first and the last of the keys that send one, the last one exclusive."""
NEW_LINE = KeyPress(Keys.ControlJ, "\n")
UNKNOWN = "…"
"""Stands for a key whose effect shows only at the prompt."""


class Queue:
    """What was typed during one reply. Once held back all of it is a draft, if anything waited."""

    def __init__(self, pastes: Pastes, runs: Callable[[Line], bool] = lambda line: False) -> None:
        """`runs`: whether a line would be run, and not be sent. Such a line is joined to none."""
        self._pastes, self._runs = pastes, runs
        self._enter_sends = True
        self._was_held_back = self._is_draft = self._has_waited = False
        self.has_failed = False
        """Whether it is held back because the line before it failed."""
        self._seen: tuple[list[KeyPress], Queued] = ([], Queued())
        self._looked_at: list[KeyPress] = []
        self.lines: list[Line] = []
        """Those that waited to be sent, and the commands that no draft has; long pastes folded,
        and without those that hold a key whose effect is not known yet."""
        self._left_out: list[Line] = []

    @property
    def is_draft(self) -> bool:
        """Whether none of it will be sent by itself: the reply was stopped, or failed."""
        return self._is_draft

    def settled(
        self, keys: list[KeyPress], *, enter_sends: bool, is_held_back: bool
    ) -> list[KeyPress]:
        """The keys that wait, now that new ones came or the lines are held back."""
        self._enter_sends = enter_sends
        keys = with_last_taken_back(keys, enter_sends=enter_sends)
        if keys != self._looked_at:
            self._looked_at = [*keys]
            lines = lines_of(keys, enter_sends=enter_sends, paste=self._pastes.fold)[:-1]
            self.lines = [line for line in lines if UNKNOWN not in line.text]
        if is_held_back and not self._was_held_back:
            self._was_held_back, self._is_draft = True, bool(keys)
            self._has_waited = bool(self.lines)
        return self._as_draft(keys) if self._is_draft else keys

    def said(self, keys: list[KeyPress]) -> Queued:
        """The keys that wait as they are shown, with placeholders for long pastes."""
        if keys != self._seen[0]:
            found = lines_of(keys, enter_sends=self._enter_sends, paste=self._pastes.fold)
            *lines, draft = [self._pastes.shown(line.text) for line in found]
            self._seen = [*keys], Queued(tuple(lines), draft)
        return self._seen[1]

    def about_draft(self, keys: Sequence[KeyPress]) -> str:
        """What to say of the draft, which `keys` make: why it is one, and which commands are not in
        it; "" if there is nothing.
        """
        is_told = self.has_failed and self._has_waited and keys
        why = tr("what you typed is not sent yet, since the line before it failed")
        return "\n".join(filter(None, [self._about_left_out(), why if is_told else ""]))

    def _about_left_out(self) -> str:
        commands = [visible_line(self._pastes.shown(line.text).strip()) for line in self._left_out]
        if not commands:
            return ""
        return ntr(
            "{commands} was not run; Up brings it back",
            "{commands} were not run; Up brings them back",
            len(commands),
            commands=tr(", ").join(commands),
        )

    def _as_draft(self, keys: Sequence[KeyPress]) -> list[KeyPress]:
        """The same keys as one draft: nothing is sent, lines become lines of it.

        Where there are several, commands are left out: joined, they would be sent as text, or take
        the other lines for what follows them.
        """
        rows = [row for row in keys_of_lines(keys, enter_sends=self._enter_sends) if row]
        draft: list[KeyPress] = []
        for row in rows:
            line = queued_line(row, self._pastes.fold)
            if len(rows) > 1 and self._runs(line):
                self._left_out.append(line)
                self.lines.append(line)
            else:
                draft += [NEW_LINE, *row] if draft else row
        return draft


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


def keys_of_lines(keys: Sequence[KeyPress], *, enter_sends: bool) -> list[list[KeyPress]]:
    """The keys of the lines that wait, and of the one that is not sent yet."""
    rows, done = [], 0
    for start, end in ends_of(keys, enter_sends=enter_sends):
        rows.append([*keys[done:start]])
        done = end
    return [*rows, [*keys[done:]]]


def lines_of(
    keys: Sequence[KeyPress], *, enter_sends: bool, paste: Callable[[str], str]
) -> list[Line]:
    """The lines that wait, and the one that is not sent yet. `paste` says what a paste becomes."""
    return [queued_line(row, paste) for row in keys_of_lines(keys, enter_sends=enter_sends)]


def queued_line(keys: Sequence[KeyPress], paste: Callable[[str], str]) -> Line:
    """The text that keys make, and which of it was typed."""
    shown: list[tuple[str, bytes]] = []
    for press in keys:
        match press.key:
            case Keys.BracketedPaste:
                text = paste(pasted_text(press.data))
                shown += [(char, PASTED_BYTE) for char in characters(text)]
            case Keys.ControlH:
                del shown[-1:]
            case Keys.ControlU:
                shown.clear()
            case Keys.ControlM | Keys.ControlJ:
                shown.append(("\n", TYPED_BYTE))
            case Keys.Escape:
                pass
            case Keys():
                shown.append((UNKNOWN, TYPED_BYTE))
            case _:
                shown.append((press.key, TYPED_BYTE))
    text = "".join(char for char, _ in shown)
    return Line(text, b"".join(origin * len(char) for char, origin in shown))
