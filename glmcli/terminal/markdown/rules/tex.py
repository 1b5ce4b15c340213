r"""TeX in Markdown: `$x$`, `$$x$$`, `\(x\)`, `\[x\]` and environments, never touched in any way.

Knows nothing of the rest of Markdown.
"""

from __future__ import annotations

import re

from markdown_it.rules_block import StateBlock
from markdown_it.rules_inline import StateInline

LONGEST = 300
"""Characters between two single dollars."""
DOLLAR = rf"(?<!\d)\$(?!\s)(?:\\.|[^$\\`]){{1,{LONGEST}}}?(?<!\s)\$(?![0-9A-Za-z])"
"""A pattern for `$x$`: not for prices, nor for the variables of a shell."""

_INLINE = re.compile(
    rf"\$\$.+?\$\$|{DOLLAR}|\\\(.*?\\\)|\\\[.*?\\\]|\\begin\{{(\w+\*?)\}}.*?\\end\{{\1\}}",
    re.DOTALL,
)
_OPENS = re.compile(r"\$\$|\\\[|\\begin\{(?P<name>[A-Za-z]+\*?)\}")
_ENDS_OPEN = re.compile(r"(?:\$\$|\\\[)\s*$")
_NO_TEX = re.compile(r"#{1,6} |```|~~~")


def is_open(text: str) -> bool:
    """Whether TeX may have begun in a text. Cautious: True if unsure."""
    return "$" in text[-LONGEST:] or re.search(r"\$\$|\\[(\[]|\\begin\{", text) is not None


def left_open(line: str, close: str) -> str:
    r"""What closes the TeX that is open behind a line of a paragraph: `$$`, `\]` or "".

    `close` is what closes the TeX that was open before. Only what stands at the end of a line
    opens TeX that goes on in the next: `Thus $$`.
    """
    if close:
        _, closed, line = line.partition(close)
        return left_open(line, "") if closed else close
    found = _ENDS_OPEN.search(line)
    if found is None:
        return ""
    if found[0][0] == "\\":
        return "\\]"
    return "$$" if line.count("$$") % 2 else ""


def math_block(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    r"""`$$`, `\[` or `\begin{x}` at the start of a line, to the line with its partner.

    No blank line can be inside `$$`, whose partner looks the same; a heading or a fence in none.
    """
    first = line_of(state, start)
    found = _OPENS.match(first)
    if found is None or state.is_code_block(start):
        return False
    close = f"\\end{{{found['name']}}}" if found["name"] else found[0].replace("[", "]")
    _, mark, rest = first[found.end() :].partition(close)
    if rest.strip():
        return False
    if silent:
        return True
    closed, line = mark != "", start + 1
    while not closed and line < end:
        if state.isEmpty(line):
            if close == "$$":
                break
        elif state.sCount[line] < state.blkIndent or _NO_TEX.match(line_of(state, line)):
            break
        closed = close in line_of(state, line)
        line += 1
    push_lines(state, "math_block", start, line, closed=closed)
    return True


def push_lines(state: StateBlock, kind: str, start: int, end: int, *, closed: bool) -> None:
    """A block that is its lines as they are written, from `start` up to `end`."""
    token = state.push(kind, "", 0)
    token.content = state.getLines(start, end, state.blkIndent, True)
    token.map = [start, end]
    token.meta = {"closed": closed}
    state.line = end


def math_inline(state: StateInline, silent: bool) -> bool:
    """TeX inside a paragraph."""
    source, start = state.src, state.pos
    if source[start] not in "$\\":
        return False
    found = _INLINE.match(source, start)
    if found is None and not source.startswith(("\\(", "\\["), start):
        return False
    # not closed: keep the backslash, it is hardly ever meant as an escape
    end = found.end() if found else start + 2
    if not silent and found:
        state.push("math_inline", "", 0).content = found[0]
    elif not silent:
        state.pending += source[start:end]
    state.pos = end
    return True


def line_of(state: StateBlock, line: int) -> str:
    """A line of the source, without what stands before the text in it."""
    return state.src[state.bMarks[line] + state.tShift[line] : state.eMarks[line]]


def source_line(state: StateBlock, line: int) -> str:
    """A line with all that stands before it."""
    return state.src[state.src.rfind("\n", 0, state.bMarks[line]) + 1 : state.eMarks[line]]
