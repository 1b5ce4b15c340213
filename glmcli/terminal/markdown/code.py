"""The code of a reply: its blocks, their numbers on the screen, and which of them is meant.

By the rules that the reply is shown by. Knows nothing of the screen.
"""

from __future__ import annotations

import re

from glmcli.errors import GlmError
from glmcli.language import ntr, tr
from glmcli.terminal.markdown.fence import code_mark
from glmcli.terminal.markdown.parser import LONG_LINE, STUB, Parser
from glmcli.terminal.markdown.stream import MarkdownStream
from glmcli.terminal.visible import visible

_STAND_IN = "\ufdd0"
"""Stands for a stub that came from outside while it is parsed; no text has this character."""
_MAY_BEGIN = re.compile(r"```|~~~| {4}|\t")
"""What a line that begins a code block has somewhere."""
_MAY_BE_INDENTED = re.compile(r" {4}| {0,3}(?:\t|$)")


def code_blocks(text: str) -> list[str]:
    """The contents of the fenced and indented code blocks of a Markdown text, in their order.

    Each as it was written, without what stands before its lines in a quote or a list; each line
    has its end.
    """
    text = text.replace("\r\n", "\n").replace("\r", "\n").replace(STUB, _STAND_IN)
    tokens = Parser().blocks(text.removesuffix("\n").split("\n"))
    found = (token.content for token in tokens if token.type in ("fence", "code_block"))
    return [content.replace(_STAND_IN, STUB) for content in found]


def chosen_code(text: str, which: str, hint: str = "") -> str:
    """The code of a reply: of its `last` block, of `all`, or of the one with this number.

    Blank lines go between the blocks. Raises GlmError if there is none, or not so many, and for one
    in which nothing is: a reply may be cut before its code.
    """
    blocks = code_blocks(text)
    if not blocks:
        raise GlmError(tr("the reply has no code block"), hint)
    number = len(blocks) if which in ("last", "all") else int(which)
    if number > len(blocks):
        raise GlmError(
            ntr(
                "the reply has {n} code block, not number {number}",
                "the reply has {n} code blocks, not number {number}",
                len(blocks),
                number=number,
            ),
            hint,
        )
    code = "\n".join(blocks) if which == "all" else blocks[number - 1]
    if not code.strip():
        raise GlmError(tr("there is nothing in the code block of the reply"), hint)
    return code


class CodeMarks:
    """A text that grows, shown as it was written and made harmless; its blocks get their numbers.

    The number stands at the end of the line that begins a block, or above an indented one: a line
    that may be indented is held back until it is complete.
    """

    def __init__(self, after: str = "", *, style: str = "", end: str = "") -> None:
        """`after` is the text that it goes on with; `style` and `end` go around each number."""
        self._around = style, end
        self._line = after[after.rfind("\n") + 1 :]
        """The line that is not complete."""
        self._shown = len(self._line)
        """How much of it was shown."""
        self._unread = [after[: len(after) - len(self._line)]]
        """Lines that the stream was not given yet: it is made for the first block."""
        self._stream: MarkdownStream | None = None

    def feed(self, text: str) -> str:
        """What to show now that `text` came."""
        *lines, last = text.split("\n")
        return "".join([*map(self._complete, lines), self._go_on(last)])

    def finish(self) -> str:
        """What was held back."""
        return self._complete("").removesuffix("\n") if self._line else ""

    def _go_on(self, text: str) -> str:
        self._line += text
        if len(self._line) <= LONG_LINE and _MAY_BE_INDENTED.match(self._line):
            return ""
        start, self._shown = self._shown, len(self._line)
        return visible(self._line[start:])

    def _complete(self, text: str) -> str:
        shown, line = self._go_on(text), self._line
        held = visible(line[self._shown :])
        number = self._number(f"{line}\n")
        mark = code_mark(number).join(self._around) if number else ""
        is_above = bool(mark and line and not self._shown)
        self._line, self._shown = "", 0
        if is_above:
            return f"{mark}\n{held}\n"
        return f"{shown}{held}{'  ' if mark else ''}{mark}\n"

    def _number(self, line: str) -> int:
        """The number of the block that a line begins, if it does."""
        self._unread.append(line)
        if not _MAY_BEGIN.search(line):
            return 0
        self._stream = self._stream or MarkdownStream(width=80, numbered=True)
        *before, _ = self._unread
        self._unread, known = [], 0
        for text in ("".join(before), line):
            known = self._stream.codes
            self._stream.feed(text)
            self._stream.take()
        return self._stream.codes if self._stream.codes > known else 0
