"""The draft in the line editor: its pastes, and which of its characters were typed.

Knows nothing of keys, nor of the reason to keep the two apart: see `Line`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from functools import partial

from prompt_toolkit.buffer import Buffer
from prompt_toolkit.document import Document

from glmcli.conversation.attachments import PUNCTUATION, mention_at_end, mention_of
from glmcli.conversation.lines import dropped, first_untyped
from glmcli.conversation.typed import PASTED_BYTE, Line, untyped_line
from glmcli.language import bytes_phrase, tr
from glmcli.terminal.input.origins import Origins
from glmcli.terminal.input.pastes import STAND_IN, Pastes
from glmcli.terminal.visible import visible_line

_WORD = re.compile(r"\S*$")
_LOOKED_THROUGH = 20_000
"""Characters of a draft that is looked through at every key."""


class Draft:
    """The text of an editor's buffer, followed through all its changes."""

    def __init__(
        self, buffer: Buffer, pastes: Pastes, recalled: Callable[[str], Line | None]
    ) -> None:
        self._buffer = buffer
        self._pastes = pastes
        self._origins = Origins(recalled)
        buffer.on_text_changed += self._follow
        for name in ("apply_completion", "go_to_completion"):
            setattr(buffer, name, partial(self._complete, getattr(buffer, name)))

    def begin(self, line: Line) -> str:
        """Start with a new draft; returns its text for the buffer."""
        text = self._pastes.plain(line.text)
        self._origins.begin(Line(text, line.pasted))
        return text

    def sent(self, text: str) -> Line:
        """A text of the buffer as it is sent: with the pastes whole."""
        line = self._origins.line
        return self._pastes.whole(line if line.text == text else untyped_line(text))

    def type(self, text: str) -> None:
        """Insert the text that a key stands for."""
        with self._origins.arriving(typed=True):
            self._buffer.insert_text(text)

    def paste(self, text: str) -> str:
        """Insert a paste, a long one as a placeholder; returns it as it is shown."""
        shown = self._pastes.fold(text)
        with self._origins.arriving(typed=False):
            self._buffer.insert_text(shown)
        return shown

    @property
    def hint(self) -> str:
        """See `paste_hint`."""
        return paste_hint(self._origins.line)

    @property
    def is_folded(self) -> bool:
        """Whether a placeholder stands for a paste."""
        return self._pastes.whole(self._origins.line) is not self._origins.line

    def expand(self) -> bool:
        """Put whole pastes in place of their placeholders; whether there were any."""
        line, at = self._origins.line, self._buffer.cursor_position
        whole = self._pastes.whole(line)
        if whole is line:
            return False
        before = self._pastes.whole(Line(line.text[:at], line.mask()[:at]))
        self._put(Line(self._pastes.plain(whole.text), whole.pasted), len(before.text))
        return True

    def edit(self, edit: Callable[[str], str]) -> None:
        """Change the draft in an editor; new text counts as pasted."""
        whole = self._pastes.whole(self._origins.line)
        text = self._pastes.plain(edit(whole.text))
        self._origins.put(Line(self._pastes.plain(whole.text), whole.pasted))
        with self._origins.arriving(typed=False):
            self._origins.follow(text)
        self._buffer.document = Document(text, len(text))

    def make_typed(self) -> bool:
        """Count readable text as typed, dragged paths as mentions; whether anything was not."""
        line = self._origins.line
        if PASTED_BYTE not in line.pasted:
            return False
        text, done = "", 0
        for run, paths in dropped(line):
            mention = self._pastes.plain(" ".join(map(mention_of, paths)))
            text += line.text[done : run.start]
            text, done = with_mention(text, mention, line.text[run.stop :]), run.stop
        text += line.text[done:]
        mask = bytes(STAND_IN.match(char) is not None for char in text)
        after = len(line.text) - self._buffer.cursor_position
        self._put(Line(text, mask), max(len(text) - after, 0))
        return True

    def _put(self, line: Line, cursor: int) -> None:
        self._buffer.save_to_undo_stack()
        self._origins.put(line)
        self._buffer.document = Document(line.text, cursor)

    def _follow(self, buffer: Buffer) -> None:
        entry = len(buffer._working_lines) - buffer.working_index
        self._origins.follow(buffer.text, entry=entry)

    def _complete(self, complete: Callable[..., None], *arguments: object) -> None:
        """A choice from a menu counts as typed, if the word that it completes was typed."""
        at = self._buffer.cursor_position
        before = self._buffer.text[:at]
        word = mention_at_end(before) or _WORD.search(before)
        is_typed = self._origins.line.is_typed(word.start() if word else at, at)
        with self._origins.arriving(typed=is_typed):
            complete(*arguments)

    def insert_completion(self, text: str) -> None:
        """Insert the text that all completions share."""
        self._complete(self._buffer.insert_text, text)


def with_mention(before: str, mention: str, after: str) -> str:
    """A text with a mention put behind it: set off by blanks, and with one `@` only."""
    begun = mention_at_end(before)
    if begun and begun[0] in ("@", '@"'):
        before = before[: begun.start()]
    elif before and not before[-1].isspace():
        before += " "
    is_set_off = after[:1].isspace() or PUNCTUATION.match(after)
    return before + mention + ("" if is_set_off else " ")


def paste_hint(line: Line) -> str:
    """What Ctrl-T would do for what was pasted into a draft; "" where that makes no difference."""
    if PASTED_BYTE not in line.pasted or len(line.text) > _LOOKED_THROUGH:
        return ""
    paths = [path for _, found in dropped(line) for path in found]
    with suppress(OSError):
        size = bytes_phrase(sum(path.stat().st_size for path in paths))
        if len(paths) == 1:
            name = visible_line(paths[0].name)
            return tr("Ctrl-T attaches {name} ({size})", name=name, size=size)
        if paths:
            n = len(paths)
            return tr("Ctrl-T attaches {n} files ({size})", n=n, size=size)
    if first_untyped(line):
        return tr("a paste is sent as text; Ctrl-T makes it count as typed")
    return ""
