"""The prompt on a terminal that can only print: the line editing of the system, no keys of ours.

A line that ends in a backslash goes on in the next one. Knows nothing of replies.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import time
from collections.abc import Callable

from glmcli.terminal.prompt import LEAVE_S
from glmcli.terminal.tty import Output, Quiet
from glmcli.terminal.view import question_rows
from glmcli.terminal.visible import visible

READ_BYTES = 65_536


class PlainPrompt:
    """Reads one text at a time. Raises EOFError when the user leaves."""

    def __init__(self, out: Output, quiet: Quiet, *, on_first_draw: Callable[[], None]) -> None:
        self._out = out
        self._quiet = quiet
        self._on_first_draw: Callable[[], None] | None = on_first_draw
        self._held = b""
        self._interrupted_at = 0.0

    def read(self, draft: str = "") -> str:
        """The next text; what is typed comes after `draft`."""
        start, self._on_first_draw = self._on_first_draw, None
        if start is not None:
            start()
        self._collect()
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            with self._quiet.lifted():
                text = ""
                while not text.strip():
                    self._out.write(question_rows(draft).rstrip("\n"))
                    text = draft + self._typed()
                return text
        finally:
            signal.signal(signal.SIGINT, before)

    def _typed(self) -> str:
        """What is typed up to Enter; Ctrl-C begins anew."""
        text = ""
        while True:
            try:
                text += self._line()
            except KeyboardInterrupt:
                if time.monotonic() - self._interrupted_at < LEAVE_S:
                    raise EOFError from None
                self._interrupted_at, text = time.monotonic(), ""
                self._out.write("\nCtrl-C again or Ctrl-D leaves\n> ")
                continue
            if not text.endswith("\\"):
                return text
            text = text[:-1] + "\n"
            self._out.write("  ")

    def _line(self) -> str:
        """A line; what of it was typed before is shown now, the rest is as it is typed."""
        line, end, self._held = self._held.partition(b"\n")
        self._out.write(visible((line + end).decode(self._out.encoding, "replace")))
        while not end:
            data = os.read(sys.stdin.fileno(), READ_BYTES)
            if not data:
                raise EOFError
            line, end, self._held = (line + data).partition(b"\n")
        return line.decode(self._out.encoding, "surrogateescape")

    def _collect(self) -> None:
        """Take what was typed while nobody read: there Enter was another character."""
        while select.select([sys.stdin], [], [], 0)[0]:
            data = os.read(sys.stdin.fileno(), READ_BYTES)
            if not data:
                return
            self._held += data.replace(b"\r", b"\n")
