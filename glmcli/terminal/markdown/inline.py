"""Inline Markdown as styled text.

Knows nothing of blocks, rows or the screen.
"""

from __future__ import annotations

from collections.abc import Sequence

from markdown_it.token import Token
from rich.style import Style

from glmcli.terminal import theme
from glmcli.terminal.markdown.parser import Inline, Parser
from glmcli.terminal.rows import Span
from glmcli.terminal.visible import visible

_OPENERS = {"em_open": theme.ITALIC, "strong_open": theme.BOLD, "s_open": theme.STRIKE}
_LITERALS = {"code_inline": theme.CODE, "math_inline": theme.MATH, "definition": theme.DIM}


def preview_of(parser: Parser, source: str) -> Inline:
    """Parse a text that is still being typed: open `**` and code spans look closed already."""
    inline = parser.inline(source)
    if inline.missing and source.endswith(("*", "`")):
        source = source.rstrip("*`")
        inline = parser.inline(source)
    return parser.inline(source.rstrip() + inline.missing) if inline.missing else inline


def spans(tokens: Sequence[Token], style: Style) -> list[Span]:
    """Styled text; links are `text (address)`, every line end is kept."""
    styles = [style]
    address, link_at = "", 0
    found: list[Span] = []
    for token in tokens:
        kind, now = token.type, styles[-1]
        if kind in ("text", "text_special", "address", "tag"):
            found.append((visible(token.content), now))
        elif kind in _LITERALS:
            found.append((visible(token.content), now + _LITERALS[kind]))
        elif kind in ("softbreak", "hardbreak"):
            found.append(("\n", now))
        elif kind in _OPENERS:
            styles.append(now + _OPENERS[kind])
        elif kind == "link_open":
            styles.append(now + theme.LINK)
            address, link_at = visible(str(token.attrGet("href") or "")), len(found)
        elif kind == "link_close":
            styles.pop()
            text = "".join(text for text, _ in found[link_at:])
            if address and text not in (address, address.removeprefix("mailto:")):
                found.append((f" ({address})", styles[-1] + theme.DIM))
        elif kind == "image":
            found.append((f"[{visible(token.content)}]", now))
            found.append((f" ({visible(str(token.attrGet('src') or ''))})", now + theme.DIM))
        elif token.nesting < 0:
            styles.pop()
    return [span for span in found if span[0]]
