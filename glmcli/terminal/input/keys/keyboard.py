"""Typing as keys for the line editor; those typed before it reads come first.

Reads keys with modifiers too, from a terminal that `Quiet` asked to tell them apart. Knows nothing
of what the keys do at the prompt, but that a terminal which is gone sends no more of them.
"""

from __future__ import annotations

import os
import re
import select
import signal
import sys
import time
from collections.abc import Callable
from itertools import groupby
from typing import Any

from prompt_toolkit.input.ansi_escape_sequences import ANSI_SEQUENCES
from prompt_toolkit.input.posix_utils import PosixStdinReader
from prompt_toolkit.input.typeahead import get_typeahead
from prompt_toolkit.input.vt100 import Vt100Input
from prompt_toolkit.key_binding import KeyPress
from prompt_toolkit.keys import Keys

from glmcli.terminal.input.keys.question import ENTER, ERASE, ERASE_ALL, Question
from glmcli.terminal.output import SIGNAL_POLL_S
from glmcli.terminal.signals import Killed

ALT, CTRL = 2, 4
"""Bits of a modifier parameter, which is one more than their sum; Shift is the bit 1."""
_ENTER = 13
HOLD_S, GAP_S = 0.05, 0.01
"""How long keys are taken at once, and how long the rest of a paste is waited for meanwhile."""
KEYS_AT_ONCE = 65_536
BURST, FOLLOW_S = 1_000, 0.5
"""So many characters at once are a paste, and how long its rest is followed."""
_NAMED = {8: Keys.Backspace, 9: Keys.Tab, 27: Keys.Escape, 127: Keys.Backspace}
SHIFT_SPACE = Keys.F24
"""prompt-toolkit has no name for it, and no keyboard has an F24."""
_KNOWN = {key.value: key for key in Keys}
_ANSWERING: dict[str, str] = {
    Keys.ControlM: ENTER,
    Keys.ControlJ: ENTER,
    Keys.ControlH: ERASE,
    Keys.ControlU: ERASE_ALL,
}


class Keyboard(Vt100Input):
    """The keys of stdin; `waiting` are those typed while nobody read.

    A character that `pasted` matches comes as if it were pasted, since it means something else.
    """

    def __init__(self, *, pasted: re.Pattern[str]) -> None:
        super().__init__(sys.stdin)
        self._pasted = pasted
        self.stdin_reader = KeyReader(self.fileno(), encoding=sys.stdin.encoding)
        self.cursor = 0
        """The row of the cursor, if the terminal said it among the keys of the last `hold`."""
        self.waiting = typed_early(super().read_keys())

    def hold(self) -> list[KeyPress]:
        """Take all keys from the terminal, for the next reader; returns those that are new.

        A paste is followed towards its end, for HOLD_S at most: the kernel holds 4 KB of it, and a
        Ctrl-C behind it is heard when it came through.
        """
        end = time.monotonic() + HOLD_S
        pressed = [*get_typeahead(self), *super().read_keys()]
        while not self.closed and time.monotonic() < end:
            pause = GAP_S if self.vt100_parser._in_bracketed_paste else 0
            if not select.select([self.fileno()], [], [], pause)[0]:
                break
            pressed += super().read_keys()
        new, self.cursor = without_answers(pressed)
        self.waiting += new
        return new

    def wait(self, seconds: float) -> None:
        """Hold the keys that come within this time."""
        select.select([self.fileno()], [], [], seconds)
        self.hold()

    def end_if_gone(self) -> None:
        """Raise Killed if the terminal is gone. It sends no end but its own: Ctrl-D is a key."""
        if self.closed:
            raise Killed(signal.SIGHUP)

    def take_from_paste(self) -> list[KeyPress]:
        """The first paste that waits, and all keys after it."""
        keys = [press.key for press in self.waiting]
        at = keys.index(Keys.BracketedPaste) if Keys.BracketedPaste in keys else len(keys)
        later, self.waiting = self.waiting[at:], self.waiting[:at]
        return later

    def answer(self, asked: Question[bool], stopped: Callable[[], bool]) -> bool:
        """What is typed in answer to a question; Ctrl-D is no, and so is a stop.

        Keys typed ahead answer up to the first paste; it waits for the next reader, and so do the
        keys after it. Raises Killed if the terminal is gone.
        """
        later = self.take_from_paste()
        agreed: bool | None = None
        while agreed is None and not stopped():
            pressed, self.waiting = self.waiting, []
            for at, press in enumerate(pressed):
                if press.key == Keys.BracketedPaste:
                    later.append(press)
                elif press.key == Keys.ControlD:
                    agreed = False
                else:
                    agreed = asked.take(_ANSWERING.get(press.key, press.key))
                if agreed is not None:
                    later += pressed[at + 1 :]
                    break
            else:
                self.wait(SIGNAL_POLL_S)
                self.end_if_gone()
        self.waiting = [*later, *self.waiting]
        return bool(agreed)

    def drop(self, key: Keys) -> None:
        """Forget a key that somebody else has acted on."""
        self.waiting = [press for press in self.waiting if press.key != key]

    def read_keys(self) -> list[KeyPress]:
        """See Input. A paste that the terminal does not mark is followed towards its end."""
        waiting, self.waiting = self.waiting, []
        pressed, end = super().read_keys(), time.monotonic() + FOLLOW_S
        while len(pressed) >= BURST and not self.closed and time.monotonic() < end:
            if not select.select([self.fileno()], [], [], GAP_S)[0]:
                break
            pressed += super().read_keys()
        return [
            KeyPress(Keys.BracketedPaste, press.data) if self._pasted.match(press.key) else press
            for press in bursts_pasted([*waiting, *without_answers(pressed)[0]])
        ]


class KeyReader(PosixStdinReader):
    """Reads to the end of a terminal. prompt-toolkit's own takes an error for nothing to read, and
    asks again for ever.
    """

    def read(self, count: int = KEYS_AT_ONCE) -> str:
        """The text that can be read now."""
        try:
            if self.closed or not select.select([self.stdin_fd], [], [], 0)[0]:
                return ""
            data = os.read(self.stdin_fd, count)
        except OSError:
            data = b""
        self.closed = not data
        return self._stdin_decoder.decode(data)


def without_answers(keys: list[KeyPress]) -> tuple[list[KeyPress], int]:
    """The keys without what the terminal said of its cursor; and the row that it said last, or 0.

    Source: the Cursor Position Report of ECMA-48, `CSI row ; column R`.
    """
    typed = [press for press in keys if press.key != Keys.CPRResponse]
    said = [press.data[2:].partition(";")[0] for press in keys if press.key == Keys.CPRResponse]
    return typed, int(said[-1]) if said else 0


def bursts_pasted(keys: list[KeyPress]) -> list[KeyPress]:
    """The keys with each run of so much text, that nobody can have typed it at once, as a paste."""
    joined: list[KeyPress] = []
    for is_text, run in groupby(keys, lambda press: press.key == press.data or press.data == "\t"):
        pressed = list(run)
        if is_text and len(pressed) >= BURST:
            pressed = [KeyPress(Keys.BracketedPaste, "".join(press.data for press in pressed))]
        joined += pressed
    return joined


def typed_early(keys: list[KeyPress]) -> list[KeyPress]:
    """Keys that were typed when the terminal made a line end of Enter.

    One line and its end were meant to be sent. More than one may have been pasted, and so come as
    if they were.
    """
    ends = [at for at, key in enumerate(keys) if key.key in (Keys.ControlJ, Keys.ControlM)]
    if ends == [len(keys) - 1]:
        return [*keys[:-1], KeyPress(Keys.ControlM, "\r")]
    if ends:
        return [KeyPress(Keys.BracketedPaste, "".join(key.data for key in keys))]
    return keys


def know_modified_keys() -> None:
    """Read keys with modifiers as the same keys without this protocol; Shift-Enter as Ctrl-J.

    Sources: xterm's modifyOtherKeys (CSI 27;modifiers;code~) and formatOtherKeys (CSI
    code;modifiers u), which is the form of the kitty keyboard protocol as well.
    """
    for code in (*_NAMED, _ENTER, *range(0x20, 0x7F)):
        for modifiers in range(2, 9):
            keys: Any = keys_of(code, modifiers - 1)  # its type leaves out plain characters
            ANSI_SEQUENCES[f"\x1b[{code};{modifiers}u"] = keys
            ANSI_SEQUENCES[f"\x1b[27;{modifiers};{code}~"] = keys


def keys_of(code: int, bits: int) -> Keys | tuple[Keys | str, ...]:
    """The keys that a character code and the bits of its modifiers stand for."""
    if code == _ENTER:
        return (Keys.Escape, Keys.ControlM) if bits == ALT else Keys.ControlJ
    char = chr(code).lower()
    key: Keys | str
    if code in _NAMED:
        key = _NAMED[code]
    elif bits & CTRL:
        key = _KNOWN.get("c-@" if char == " " else f"c-{char}", Keys.Ignore)
    elif bits & ALT:
        key = chr(code)
    else:
        key = SHIFT_SPACE if char == " " else Keys.Ignore
    return (Keys.Escape, key) if bits & ALT else Keys(key)
