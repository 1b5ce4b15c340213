"""What Markdown shows as it is written: bare addresses, and HTML.

Knows nothing of the rest of Markdown.
"""

from __future__ import annotations

import re

from markdown_it.common.utils import unescapeAll
from markdown_it.rules_block import StateBlock
from markdown_it.rules_inline import StateInline

from glmcli.terminal.markdown.rules.tex import line_of, push_lines
from glmcli.terminal.rows import WIDE_LETTERS

_LONGEST_LINE = 4000
"""Characters. A longer line is no part of an element, but ends it."""

_SCHEME = r"(?<![a-z0-9])(?:https?://|www\.)"
_STOPS = rf"{WIDE_LETTERS}\uac00-\ud7a3\u2014\u2018-\u201f\u2026"
_IN_ADDRESS = rf"""(?:(?!&(?:lt|gt|quot);)[^\s<>\[\]"`{_STOPS}])"""
_ADDRESS = re.compile(rf"({_SCHEME}){_IN_ADDRESS}+", re.IGNORECASE)
MARKS = "\n\\`*_~[]!<&$"
"""The characters that may mean something in a text."""
TEXT_END = re.compile(rf"[{re.escape(MARKS)}]|{_SCHEME}", re.IGNORECASE)
"""Where text may mean something; a text without it is shown as it is."""

_ATTRIBUTE = r"""\s+[a-z_:@#][\w:.@#-]*(?:\s*=\s*(?:[^\s"'=<>`]+|"[^"]*"|'[^']*'))?"""
_OPENING = rf"<[a-z][\w:.-]*(?:{_ATTRIBUTE})*"
_RAW = r"script|style|pre|textarea"
_TAG = re.compile(
    rf"<({_RAW})\b[^<>]*>[^\n]*?</\1>|{_OPENING}\s*/?>|</[a-z][\w:.-]*\s*>"
    r"|<!--.*?-->|<\?.*?\?>|<![a-z][^>]*>|<!\[CDATA\[.*?\]\]>",
    re.IGNORECASE | re.DOTALL,
)
_BREAK = re.compile(r"<br\s*/?>", re.IGNORECASE)
_ELEMENT = re.compile(rf"<(?P<name>{_RAW})(?:\s[^<>]*)?>|<!--", re.IGNORECASE)

HALF = (
    rf"{_SCHEME}{_IN_ADDRESS}*|(?<![a-z0-9])(?:ht{{0,2}}|https?:?/?|w{{1,3}})"
    rf"""|{_OPENING}(?:\s*=\s*(?:"[^"]*|'[^']*)?)?[\s/]*|<(?:{_RAW})\b[^\n]*"""
    r"|<!--(?:(?!-->)[\s\S])*|<[!?][^>]*"
)
"""A pattern (case ignored) for an address or a tag that may go on, at the end of a text."""


def text(state: StateInline, silent: bool) -> bool:
    """Text up to the next character that means something, or to an address."""
    found = TEXT_END.search(state.src, state.pos, state.posMax)
    end = found.start() if found else state.posMax
    if end == state.pos:
        return False
    if not silent:
        state.pending += state.src[state.pos : end]
    state.pos = end
    return True


def address(state: StateInline, silent: bool) -> bool:
    """A bare address, without the marks of the sentence around it and of emphasis."""
    found = _ADDRESS.match(state.src, state.pos, state.posMax)
    whole = _without_marks(found[0]) if found else ""
    if found is None or len(whole) <= len(found[1]):
        return False
    if not silent:
        state.push("address", "", 0).content = unescapeAll(whole)
    state.pos += len(whole)
    return True


def _without_marks(whole: str) -> str:
    """An address without the marks at its end; a `)` belongs to it if it has the `(`."""
    kept = ""
    while kept != whole:
        kept, whole = whole, whole.rstrip("?!.,:;'*_~\\")
        if whole.endswith(")") and whole.count(")") > whole.count("("):
            whole = whole[:-1]
    return whole


def tag(state: StateInline, silent: bool) -> bool:
    """A tag with its attributes, a comment, or all of `<pre>…</pre>` in one line.

    `<br>` is the one that means something.
    """
    source, start = state.src, state.pos
    if source[start] != "<" or source.rfind(">") < start:
        return False
    found = _TAG.match(source, start, state.posMax)
    if found is None:
        return False
    if not silent:
        kind = "hardbreak" if _BREAK.fullmatch(found[0]) else "tag"
        state.push(kind, "", 0).content = found[0]
    state.pos = found.end()
    return True


def element(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    """The lines of `<script>`, `<style>`, `<pre>` or a comment, to the one that closes it.

    Blank lines can be inside; a fence cannot, since not all that is opened is closed.
    """
    first = line_of(state, start)
    found = _ELEMENT.match(first)
    if found is None or state.is_code_block(start):
        return False
    close = f"</{found['name']}>".lower() if found["name"] else "-->"
    if close in first.lower():
        return False
    if silent:
        return True
    closed, line = False, start + 1
    while not closed and line < end:
        text = line_of(state, line)
        is_outside = state.sCount[line] < state.blkIndent and not state.isEmpty(line)
        if is_outside or text.startswith(("```", "~~~")) or len(text) > _LONGEST_LINE:
            break
        closed = close in text.lower()
        line += 1
    push_lines(state, "element", start, line, closed=closed)
    return True
