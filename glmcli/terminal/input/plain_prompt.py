"""The prompt on a terminal that can only print: the line editing of the system, no keys of ours.

A line that ends in a backslash goes on in the next one. Knows nothing of replies.
"""

from __future__ import annotations

import os
import select
import sys

from glmcli.conversation.typed import NOTHING, Line
from glmcli.language import tr
from glmcli.terminal.input import Editor, Owner, Presses
from glmcli.terminal.input.keys.question import answer_of, last_row, neither
from glmcli.terminal.output import Output
from glmcli.terminal.phrases import question_rows
from glmcli.terminal.reading import READ_BYTES, read_line, read_some
from glmcli.terminal.visible import visible


class Stopped(Exception):
    """Ctrl-C was pressed."""


class PlainEditor(Editor):
    """See `Editor`. A paste cannot be told from typing here."""

    def __init__(self, out: Output, owner: Owner) -> None:
        self._out = out
        self._owner = owner
        self._has_begun = False
        self._held = b""
        self._is_held_back = False
        self._presses = Presses(owner)

    def read(self, draft: Line = NOTHING) -> Line:
        """The next text, which begins with `draft`. Raises EOFError when the user leaves."""
        if not self._has_begun:
            self._has_begun = True
            self._owner.begin()
        self._collect()
        if self._held and self._owner.is_stopped():
            self._held = b""
            self._out.write(tr("what you typed was dropped, since you stopped the reply") + "\n")
        if self._held and self._is_held_back:
            self._held = b""
            self._out.write(
                tr("what you typed was dropped, since the line before it failed") + "\n"
            )
        self._is_held_back = False
        with self._owner.quiet.lifted(lambda: self._show(draft.text)):
            self._presses.begin()
            while True:
                self._show(draft.text)
                try:
                    text = draft.text + self._typed()
                except Stopped:
                    self._begin_again()
                    draft = NOTHING
                except EOFError:
                    self._out.write("\n")
                    raise
                else:
                    if text.strip():
                        return Line(text, draft.pasted)

    def hold_back(self) -> None:
        """See `Editor`."""
        self._collect()
        self._is_held_back = bool(self._held)

    def confirm(self, question: str) -> bool:
        """See `Editor`."""
        with self._owner.quiet.lifted():
            answer = None
            while answer is None:
                try:
                    answer = answer_of(read_line(question, self._out, self._owner.is_stopped))
                except EOFError:
                    self._out.write("\n")
                    return False
                if answer is None:
                    self._out.write(f"{neither()}\n")
                    question = last_row(question)
        return answer

    def _show(self, draft: str) -> None:
        rows = question_rows(draft, in_words=self._out.is_reader)
        self._out.write(rows.removesuffix("\n"))

    def _begin_again(self) -> None:
        """Say how to leave, or leave if this was said just before."""
        self._owner.rearm()
        if self._presses.is_same():
            self._out.write("\n")
        elif self._presses.leaves():
            self._out.write("\n")
            raise EOFError
        else:
            self._out.write(f"\n{tr('Ctrl-C again or Ctrl-D leaves')}\n")

    def _typed(self) -> str:
        """The text up to Enter, over as many lines as end in a backslash."""
        text = self._line()
        while text.endswith("\\"):
            self._out.write("  ")
            text = f"{text[:-1]}\n{self._line()}"
        return text

    def _line(self) -> str:
        """A line; the part typed before is shown now, the terminal shows the rest itself."""
        line, end, self._held = self._held.partition(b"\n")
        self._out.write(visible((line + end).decode(self._out.encoding, "replace")))
        while not end:
            data = read_some(sys.stdin.fileno(), self._owner.is_stopped)
            if self._owner.is_stopped():
                raise Stopped
            if not data and not line:
                raise EOFError
            line, end, self._held = (line + data).partition(b"\n")
        self._presses.forget()
        return line.decode(self._out.encoding, "surrogateescape")

    def _collect(self) -> None:
        """Take the text typed while nobody read: there Enter was another character."""
        while select.select([sys.stdin], [], [], 0)[0]:
            data = os.read(sys.stdin.fileno(), READ_BYTES)
            if not data:
                return
            self._held += data.replace(b"\r", b"\n")
