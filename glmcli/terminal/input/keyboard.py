"""Typing as keys for the line editor; those typed before it reads come first.

Knows nothing of what the keys do, but that a terminal which is gone sends no more of them.
"""

from __future__ import annotations

import os
import re
import select
import sys

from prompt_toolkit.input.posix_utils import PosixStdinReader
from prompt_toolkit.input.typeahead import get_typeahead
from prompt_toolkit.input.vt100 import Vt100Input
from prompt_toolkit.key_binding import KeyPress
from prompt_toolkit.keys import Keys


class Keyboard(Vt100Input):
    """The keys of stdin; `waiting` are those typed while nobody read.

    A character that `pasted` matches comes as if it were pasted, since it means something else.
    """

    def __init__(self, *, pasted: re.Pattern[str]) -> None:
        super().__init__(sys.stdin)
        self._pasted = pasted
        self.stdin_reader = KeyReader(self.fileno(), encoding=sys.stdin.encoding)
        self.waiting = typed_early(super().read_keys())

    def hold(self) -> list[KeyPress]:
        """Take keys from the terminal, for the next reader; returns those that are new."""
        new = [*get_typeahead(self), *super().read_keys()]
        self.waiting += new
        return new

    def hold_lines(self) -> None:
        """The same, when Enter made a line end: there the terminal edited lines until now."""
        before, self.waiting = self.waiting, []
        self.hold()
        self.waiting = [*before, *typed_early(self.waiting)]

    def take_line(self) -> str:
        """The text that waits, up to Enter, which becomes a newline. Later keys wait on.

        A paste answers nothing: it waits, and so do the keys after it.
        """
        ends = (Keys.ControlM, Keys.ControlJ, Keys.BracketedPaste)
        at = next((at for at, press in enumerate(self.waiting) if press.key in ends), None)
        if at is None:
            line, self.waiting = self.waiting, []
            return "".join(press.data for press in line)
        line, end = self.waiting[:at], self.waiting[at]
        is_answer = end.key != Keys.BracketedPaste
        self.waiting = self.waiting[at + is_answer :]
        return "".join(press.data for press in line) + "\n" * is_answer

    def drop(self, key: Keys) -> None:
        """Forget a key that somebody else has acted on."""
        self.waiting = [press for press in self.waiting if press.key != key]

    def read_keys(self) -> list[KeyPress]:
        """See Input."""
        waiting, self.waiting = self.waiting, []
        return [
            KeyPress(Keys.BracketedPaste, press.data) if self._pasted.match(press.key) else press
            for press in (*waiting, *super().read_keys())
        ]


class KeyReader(PosixStdinReader):
    """Reads to the end of a terminal. prompt-toolkit's own takes an error for nothing to read, and
    asks again for ever.
    """

    def read(self, count: int = 1024) -> str:
        """The text that can be read now."""
        try:
            if self.closed or not select.select([self.stdin_fd], [], [], 0)[0]:
                return ""
            data = os.read(self.stdin_fd, count)
        except OSError:
            data = b""
        self.closed = not data
        return self._stdin_decoder.decode(data)


def typed_early(keys: list[KeyPress]) -> list[KeyPress]:
    """Keys that were typed when the terminal made a line end of Enter.

    One line and its end were meant to be sent. More than one may have been pasted, and so come as
    if they were.
    """
    ends = [index for index, key in enumerate(keys) if key.key == Keys.ControlJ]
    if ends == [len(keys) - 1]:
        return [*keys[:-1], KeyPress(Keys.ControlM, "\r")]
    if ends and all(len(key.data) == 1 for key in keys):
        return [KeyPress(Keys.BracketedPaste, "".join(key.data for key in keys))]
    return keys
