"""Tables in Markdown, written with | between their cells: a rule for markdown-it.

Gives a token with all cells as text, in time that is in proportion to the text. Knows nothing of
what is in a cell, or how a table looks.
"""

from __future__ import annotations

import re
from itertools import pairwise

from markdown_it import rules_block
from markdown_it.rules_block import StateBlock

from glmcli.terminal.markdown.rules import tex

LONGEST_ROW = 4000
"""Characters. A longer line is no row of a table, but ends it."""

_BAR = re.compile(r"(?<!\\)\|")
_LOOSE_BAR = re.compile(
    # not in code, not in a formula
    rf"(?<![\\`])(`+)(?!`).+?(?<!`)\1(?!`)|{tex.DOLLAR}|\\\(.+?\\\)|{_BAR.pattern}"
)
_ALIGNED = {(0, 0): "", (1, 0): "left", (0, 1): "right", (1, 1): "center"}


def table(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    """A table, of which no cell is left out."""
    if not rules_block.table(state, start, end, True):
        return False
    if silent:
        return True
    rules = state.md.block.ruler.getRules("blockquote")
    marks = [mark.strip() for mark in tex.line_of(state, start + 1).strip(" |").split("|")]
    aligned = [_ALIGNED[mark[0] == ":", mark[-1] == ":"] for mark in marks]
    rows = [_cells(tex.line_of(state, start), len(aligned))]
    line = start + 2
    while line < end and not _ends_table(state, line):
        text = tex.line_of(state, line)
        if text[0] != "|" and any(rule(state, line, end, True) for rule in rules):
            break
        rows.append(_cells(text, len(aligned)))
        line += 1
    token = state.push("table", "", 0)
    token.map, token.meta = [start, line], {"cells": rows, "aligned": aligned}
    state.line = line
    return True


def _ends_table(state: StateBlock, line: int) -> bool:
    return (
        state.isEmpty(line)
        or state.sCount[line] < state.blkIndent
        or state.is_code_block(line)
        or len(tex.source_line(state, line)) > LONGEST_ROW
    )


def _cells(line: str, columns: int) -> list[str]:
    """The cells of a row, at most so many; those at its end may be missing.

    A | in code or in a formula parts them unless they are too many then. Those that are too many
    all the same go into the last column.
    """
    for bar in (_BAR, _LOOSE_BAR):
        bars = [found.start() for found in bar.finditer(line) if found[0] == "|"]
        cells = [line[a + 1 : b].strip() for a, b in pairwise([-1, *bars, len(line)])]
        cells = cells[not cells[0] :]
        while len(cells) > columns and not cells[-1]:
            cells.pop()
        if len(cells) <= columns:
            break
    else:
        cells[columns - 1 :] = [" | ".join(cells[columns - 1 :])]
    return [cell.replace("\\|", "|") for cell in cells]
