"""Where the cursor is after the window changed its width: only the terminal knows that.

One that wraps its rows again may put rows out of reach, or leave all of them in reach, as there is
room above. Asked only then, and only where somebody reads the answer. Knows nothing of rows.
"""

from __future__ import annotations

import os
from collections.abc import Callable

ASK = "\x1b[6n"
"""Device Status Report 6 of ECMA-48; the answer is `CSI row ; column R`, both from 1."""
REPORT_S = 2.0
"""A terminal that has not answered by then is taken for one that never does: a busy machine takes
more than half a second.
"""


class CursorPlace:
    """The row of the cursor in a window that was not painted in yet."""

    def __init__(self, write: Callable[[str], object]) -> None:
        self._write = write
        self._size: os.terminal_size | None = None
        """The size that was asked for."""
        self._asked_at = 0.0
        self._is_waiting = False
        self._is_silent = False
        """Whether no answer came: it is not asked again."""
        self._is_read = False
        self._row = 0

    def hear(self, answer: int | None) -> None:
        """Take in what came since the last call: a row, 0 for none, None if nobody reads it."""
        if self._is_waiting and answer:
            self._is_waiting, self._row = False, answer
        self._is_read = answer is not None

    def is_known(self, now: float, size: os.terminal_size) -> bool:
        """Whether nothing more will be known; nothing may be painted before that."""
        if not self._is_read:
            return True
        if self._is_waiting and now - self._asked_at >= REPORT_S:
            self._is_waiting, self._is_silent = False, True
        if not (self._is_waiting or self._is_silent) and size != self._size:
            self._size, self._asked_at, self._is_waiting, self._row = size, now, True, 0
            self._write(ASK)
        return not self._is_waiting

    def take(self, size: os.terminal_size) -> int:
        """The row of the cursor in a window of this size, from 1; 0 if it is unknown. Only once:
        it is painted in now.
        """
        row = self._row if size == self._size and not self._is_waiting else 0
        self._size, self._row = None, 0
        return row
