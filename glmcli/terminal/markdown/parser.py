"""The Markdown that models write, parsed with markdown-it-py.

CommonMark with tables and strikethrough; HTML is text; `<br>` and TeX are known. The rules are
changed where CommonMark looks ahead, so that a line is never turned into something else by what
comes after the line below it. Knows nothing of streams, rows or styles.
"""

from __future__ import annotations

import re
from collections import ChainMap
from collections.abc import Callable, Iterator, MutableMapping, Sequence
from contextlib import contextmanager

from markdown_it import MarkdownIt, rules_block, rules_inline
from markdown_it.common.utils import normalizeReference
from markdown_it.ruler import RuleOptionsType
from markdown_it.rules_block import StateBlock
from markdown_it.rules_inline import StateInline
from markdown_it.rules_inline.state_inline import Delimiter, Scanned
from markdown_it.token import Token

from glmcli.terminal.markdown.rules import dispatch, literal, pipes, tex
from glmcli.terminal.markdown.rules.dispatch import BlockRule, InlineRule
from glmcli.terminal.rows import OPENING, WIDE_LETTERS

STUB = "\x02"
"""Stands in the source for text that was parsed before; no text from outside contains it."""
LONG_LINE = 500
"""Characters. A longer line opens no table, no fence and no block of TeX."""
LONG_TEXT = 100
"""Characters. A longer line is no underlined heading, nor, without a | among so many, a table's."""
_DEEPEST = 24
"""Quotes and lists nested deeper than this many levels (a list has two) are text."""

_SCHEMES = {"http:", "https:", "ftp:", "mailto:", "file:", "data:"}
_ADDRESS = r"(?:https?|ftp|mailto|file|data):|www\."

_IDEOGRAPHIC = re.compile(f"[{WIDE_LETTERS}\uac00-\ud7a3]")
_CLOSING = "）】」』》〉〕”’，。、；：？！)]},.;:?!"
_STUBS = re.compile(rf"{STUB}(?:{STUB}[^\n]*|[^{STUB}\n]*{STUB})?")  # a line's, or a start's
_ESCAPED_BACKSLASHES = re.compile(r"(?:\\\\)+")
_LABEL = r"\[(?P<label>[^\[\]\n]+)\]:"
_DEFINITION = re.compile(
    rf"{_LABEL}[ \t]*(?P<url>(?:{_ADDRESS})[^\s<>]+|<(?:{_ADDRESS})[^<>\n]*>)"
    r"""(?:[ \t]+(?:"[^"\n]*"|'[^'\n]*'|\([^()\n]*\)))?[ \t]*(?=\n|$)""",
    re.IGNORECASE,
)
_NO_LINK = re.compile(_LABEL)
_LOOSE_END = re.compile(
    # half a tag, half an address, half an entity, a definition that may go on: each begins so
    rf"(?=[<hw&\n \t\[])({literal.HALF}|<\S*\s*|&#?\w*|"
    rf"(?:^|\n)[ \t]*{_LABEL}[ \t]*(?:<?[a-z]{{0,6}}|<?(?:{_ADDRESS})[^\n]*))$",
    re.IGNORECASE,
)


def stub_line(lines: Sequence[str]) -> str:
    """What stands for whole lines of a paragraph: what opens the TeX that goes on behind them."""
    close = _left_open(lines)
    return STUB + (STUB + close.replace("]", "[") if close else "")


def stub_start(text: str) -> str:
    """What stands for the first part of a line: a `$$` if the rest of it is to close one."""
    return STUB + (f"$${STUB}" if text.count("$$") % 2 else "")


def without_stub(content: str) -> str:
    """The content of a paragraph without its stub."""
    return _STUBS.sub("", content, count=1) if content.startswith(STUB) else content


def is_in_tex(line: str, before: Sequence[str]) -> bool:
    """Whether TeX goes on in a line of a paragraph, the lines before it given."""
    return len(line) <= LONG_LINE and _left_open(before) != ""


def _left_open(lines: Sequence[str], close: str = "") -> str:
    for line in lines:
        line = line.lstrip(" ")
        close = tex.left_open(line, "" if len(line) > LONG_LINE else close)
    return close


class Parser:
    """Blocks and inlines of one text. Links know the definitions that were made before them."""

    def __init__(self) -> None:
        self.parsed = 0
        """Characters that were parsed so far: the work that was done."""
        self._markdown = _make_markdown()
        self._references: MutableMapping[str, dict[str, str]] = {}

    def blocks(self, lines: Sequence[str]) -> list[Token]:
        """Parse lines into block tokens."""
        source = "".join(f"{line}\n" for line in lines)
        self.parsed += len(source)
        tokens: list[Token] = []
        self._markdown.block.parse(source, self._markdown, {}, tokens)
        return tokens

    def inline(self, source: str) -> Inline:
        """Parse the text of one paragraph, heading or cell."""
        self.parsed += len(source)
        if not literal.TEXT_END.search(source):
            return Inline(source, [Token("text", "", 0, content=source)], [])
        known = ChainMap(dict[str, dict[str, str]](), self._references)
        state = _State(source, self._markdown, {"references": known}, [])
        self._markdown.inline.tokenize(state)
        for rule in self._markdown.inline.ruler2.getRules(""):
            rule(state)
        return Inline(source, state.tokens, state.delimiters)

    def define(self, tokens: Sequence[Token]) -> None:
        """Remember the link definitions among the tokens of a text that is final."""
        for token in tokens:
            if token.type == "definition":
                self._references.setdefault(token.info, _reference(token))

    @contextmanager
    def trial(self) -> Iterator[None]:
        """Forget the definitions that are made inside."""
        known, self._references = self._references, ChainMap({}, self._references)
        try:
            yield
        finally:
            self._references = known


class Inline:
    """Parsed inline text: its tokens, and what is still open at its end."""

    def __init__(self, source: str, tokens: list[Token], delimiters: Sequence[Delimiter]) -> None:
        self.tokens = tokens
        self._source = source
        self._delimiters = delimiters
        self._literal = "".join(t.content for t in tokens if t.type == "text")

    @property
    def is_closed(self) -> bool:
        """Whether no text that follows can change how this one reads. Cautious: False if unsure."""
        return self.open_marks == 0

    @property
    def open_marks(self) -> int:
        """How many marks text that follows may close; an address or a tag may go on."""
        return (
            sum(d.open and d.end < 0 for d in self._delimiters)
            + self._literal.count("`")
            + tex.is_open(self._literal)
            + _open_brackets(self._literal)
            + (_LOOSE_END.search(self._source) is not None)
        )

    @property
    def missing(self) -> str:
        """What would close an open code span or strong emphasis: "`", "**", both or ""."""
        before, tick, _ = self._literal.rpartition("`")
        ticks = tick + before[len(before.rstrip("`")) :]
        strong = any(d.open and d.end < 0 and d.length == 2 for d in self._delimiters)
        return ticks + ("**" if strong else "")


def _open_brackets(text: str) -> int:
    """How many `[`, or `(` of a link, wait for their partners."""
    waiting: list[str] = []
    for mark in re.findall(r"\]\(|[\[\]()]", text):
        if mark == "[":
            waiting.append("]")
        elif mark == "(" and ")" in waiting:
            waiting.append(")")
        elif waiting and mark[0] == waiting[-1]:
            waiting.pop()
            if mark == "](":
                waiting.append(")")
    return len(waiting)


class _Markdown(MarkdownIt):
    """Shows addresses as they were written. `<xs:element>` is text, not a link."""

    def normalizeLink(self, url: str) -> str:  # noqa: N802
        return url

    def normalizeLinkText(self, link: str) -> str:  # noqa: N802
        return link

    def validateLink(self, url: str) -> bool:  # noqa: N802
        scheme = re.match(r"[A-Za-z][\w+.-]*:", url)
        return scheme is None or scheme[0].lower() in _SCHEMES


class _State(StateInline):
    """Lets `*` and `~` open and close beside Chinese, which has no blanks between words.

    CommonMark asks for a blank or a mark on the other side: `**注意：**请` would not close.
    """

    def scanDelims(self, start: int, canSplitWord: bool) -> Scanned:  # noqa: N802, N803
        scanned = super().scanDelims(start, canSplitWord)
        before = self.src[start - 1 : start] if start else ""
        after = self.src[start + scanned.length : start + scanned.length + 1]
        if not canSplitWord or not before.strip() or not after.strip():
            return scanned
        if not (_IDEOGRAPHIC.match(before) or _IDEOGRAPHIC.match(after)):
            return scanned
        return Scanned(after not in _CLOSING, before not in OPENING, scanned.length)


def _make_markdown() -> MarkdownIt:
    options = {"html": False, "maxNesting": 60}
    markdown = _Markdown("commonmark", options).enable("strikethrough").disable("reference")
    block = markdown.block.ruler
    ends_text: RuleOptionsType = {"alt": ["paragraph"]}
    ends_most: RuleOptionsType = {"alt": ["paragraph", "blockquote"]}
    ends_all: RuleOptionsType = {"alt": ["paragraph", "blockquote", "list"]}
    block.at("fence", _where(_is_short, rules_block.fence), ends_all)
    block.at("lheading", _where(_may_be_more, _one_line_heading))
    block.at("paragraph", _paragraph)
    block.at("blockquote", _where(_is_shallow, rules_block.blockquote), ends_all)
    block.at("list", _where(_is_shallow, rules_block.list_block), ends_most)
    block.before("fence", "math_block", _where(_is_short, tex.math_block), ends_all)
    block.before("fence", "element", _where(_is_short, literal.element), ends_all)
    # markdown-it's own table rule comes before those of fences and lists
    block.before("lheading", "pipe_table", _where(_may_be_more, pipes.table), ends_text)
    markdown.inline.ruler.at("text", literal.text)
    markdown.inline.ruler.at("escape", _escape)
    markdown.inline.ruler.before("text", "address", literal.address)
    markdown.inline.ruler.before("escape", "definition", _definition)
    markdown.inline.ruler.before("escape", "math_inline", tex.math_inline)
    markdown.inline.ruler.after("autolink", "tag", literal.tag)
    markdown.inline.ruler.at("link", _if_closed(rules_inline.link))
    markdown.inline.ruler.at("image", _if_closed(rules_inline.image))
    dispatch.by_first_character(markdown)
    return markdown


def is_plain(line: str) -> bool:
    """Whether a line of text is nothing more, however it goes on and whatever comes below it."""
    if len(line) > LONG_TEXT and "|" not in line[:LONG_TEXT]:
        text = line.strip(" \t>")  # a line below a heading, or below the header of a table
        return text.strip("=") != "" and text.strip("-|: ") != ""
    return len(line) > LONG_LINE or STUB in line


def _where(allows: Callable[[StateBlock, int], bool], rule: BlockRule) -> BlockRule:
    """The rule, for the first lines that it is meant for."""

    def restricted(state: StateBlock, start: int, end: int, silent: bool) -> bool:
        return allows(state, start) and rule(state, start, end, silent)

    return restricted


def _is_short(state: StateBlock, line: int) -> bool:
    text = tex.source_line(state, line)
    return len(text) <= LONG_LINE and STUB not in text


def _may_be_more(state: StateBlock, line: int) -> bool:
    """Whether the line below may make something else of a line of text."""
    return not is_plain(tex.source_line(state, line))


def _is_shallow(state: StateBlock, _line: int) -> bool:
    return state.level < _DEEPEST


def _one_line_heading(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    """An underlined heading; only one line can be underlined."""
    parent = state.parentType
    is_heading = rules_block.lheading(state, start, min(end, start + 2), silent)
    state.parentType = parent  # the rule leaves "paragraph" behind where there is no heading
    return is_heading


def _paragraph(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    """A paragraph, with Chinese blanks before it; no list or heading begins in its open TeX."""
    rules, parent = state.md.block.ruler.getRules("paragraph"), state.parentType
    state.parentType = "paragraph"
    line, close = start + 1, _left_open([tex.line_of(state, start)])
    while line < state.lineMax and not state.isEmpty(line):
        indent = state.sCount[line] - state.blkIndent
        may_end = state.sCount[line] >= 0 and indent <= 3 and not (close and indent >= 0)
        if may_end and any(rule(state, line, state.lineMax, True) for rule in rules):
            break
        close = _left_open([tex.line_of(state, line)], close)
        line += 1
    state.parentType = parent
    state.push("paragraph_open", "p", 1).map = [start, line]
    text = state.getLines(start, line, state.blkIndent, False)
    state.push("inline", "", 0).content = text.strip(" \t")
    state.push("paragraph_close", "p", -1)
    state.line = line
    return True


def _escape(state: StateInline, silent: bool) -> bool:
    """A backslash that takes the meaning of a mark; all at once where they escape each other."""
    run = _ESCAPED_BACKSLASHES.match(state.src, state.pos, state.posMax)
    if run is None:
        return rules_inline.escape(state, silent)
    if not silent:
        state.push("text_special", "", 0).content = run[0][::2]
    state.pos = run.end()
    return True


def _definition(state: StateInline, silent: bool) -> bool:
    """`[label]: address` on a line of its own; a `[label]:` before anything else is no link."""
    source, start = state.src, state.pos
    if source[start] != "[" or source[source.rfind("\n", 0, start) + 1 : start].strip():
        return False
    found = _DEFINITION.match(source, start)
    if found is None:
        if not _NO_LINK.match(source, start):
            return False
        if not silent:
            state.pending += "["
        state.pos += 1
        return True
    if not silent:
        token = state.push("definition", "", 0)
        token.content, token.markup = found[0], found["url"].strip("<>")
        token.info = normalizeReference(found["label"])
        state.env["references"].setdefault(token.info, _reference(token))
    state.pos = found.end()
    return True


def _reference(definition: Token) -> dict[str, str]:
    return {"href": definition.markup, "title": ""}


def _if_closed(rule: InlineRule) -> InlineRule:
    """The rule for links or images, which takes its time, for brackets that may be one's."""

    def if_closed(state: StateInline, silent: bool) -> bool:
        start = state.src.find("[", state.pos, state.pos + 2)
        close = "]" if state.env["references"] else "]("
        return 0 <= start <= state.src.rfind(close) and rule(state, silent)

    return if_closed
