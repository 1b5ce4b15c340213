"""A question that is answered by typing: a paste does not answer it, and waits for the next prompt.

Knows nothing of what is asked. The terminal stays quiet, so that pastes come in brackets.
"""

from __future__ import annotations

from collections.abc import Callable

import wcwidth
from prompt_toolkit.key_binding import KeyPress
from prompt_toolkit.keys import Keys

from glmcli.terminal.input import YES
from glmcli.terminal.input.keyboard import Keyboard
from glmcli.terminal.output import SIGNAL_POLL_S, Output
from glmcli.terminal.visible import visible

_ENTER = (Keys.ControlM, Keys.ControlJ)


class Question:
    """One question on a terminal; `text` is the answer so far."""

    def __init__(self, question: str, keyboard: Keyboard, out: Output) -> None:
        self._question = question
        self._keyboard = keyboard
        self._out = out
        self.text = ""

    def show(self) -> None:
        """Write the question, and the answer so far."""
        self._out.say(self._question + self.text)

    def is_agreed(self, stopped: Callable[[], bool]) -> bool:
        """Ask; all but "y" and "yes" means no, Ctrl-C and Ctrl-D too.

        Keys typed ahead answer up to the first paste; it waits, and so do the keys after it. Raises
        Killed if the terminal is gone.
        """
        later = self._keyboard.take_from_paste()
        self.show()
        agreed: bool | None = None
        while agreed is None and not stopped():
            pressed, self._keyboard.waiting = self._keyboard.waiting, []
            for at, press in enumerate(pressed):
                if press.key == Keys.BracketedPaste:
                    later.append(press)
                else:
                    agreed = self._pressed(press)
                if agreed is not None:
                    later += pressed[at + 1 :]
                    break
            else:
                self._keyboard.wait(SIGNAL_POLL_S)
                self._keyboard.end_if_gone()
        self._keyboard.waiting = [*later, *self._keyboard.waiting]
        self._out.write("\n")
        return bool(agreed)

    def _pressed(self, press: KeyPress) -> bool | None:
        """The answer, once it is complete."""
        if press.key in _ENTER:
            return self.text.strip().lower() in YES
        if press.key == Keys.ControlD:
            return False
        if press.key in (Keys.ControlH, Keys.ControlU):
            self._erase(1 if press.key == Keys.ControlH else len(self.text))
        elif len(press.key) == 1:
            self.text += press.data
            self._out.say(press.data)
        return None

    def _erase(self, count: int) -> None:
        kept = self.text[: max(len(self.text) - count, 0)]
        cells = max(wcwidth.wcswidth(visible(self.text[len(kept) :])), 0)
        self.text = kept
        self._out.write("\b \b" * cells)
