"""How things look: attributes and the 16 colours of the terminal's own palette.

Only colours that can be read on light and on dark backgrounds; no backgrounds, no fixed RGB.
Knows nothing of Markdown; whether colours are written at all is the painter's business.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from rich.style import Style

PLAIN = Style()
DIM = Style(dim=True)
BOLD = Style(bold=True)
ITALIC = Style(italic=True)
STRIKE = Style(strike=True)
CODE = Style(color="cyan")
MATH = Style(color="magenta")
LINK = Style(underline=True)
MARK = Style(color="cyan")
HEADINGS = (Style(bold=True, underline=True), BOLD, Style(bold=True, italic=True))

_TOKENS = {
    "Comment": Style(dim=True, italic=True),
    "Comment.Preproc": Style(color="magenta"),
    "Keyword": Style(color="magenta"),
    "Keyword.Constant": Style(color="cyan"),
    "Operator.Word": Style(color="magenta"),
    "Literal.String": Style(color="green"),
    "Literal.String.Escape": Style(color="cyan"),
    "Literal.String.Interpol": Style(color="cyan"),
    "Literal.Number": Style(color="cyan"),
    "Name.Builtin": Style(color="cyan"),
    "Name.Class": BOLD,
    "Name.Decorator": Style(color="cyan"),
    "Name.Exception": Style(color="red"),
    "Name.Function": BOLD,
    "Name.Tag": Style(color="magenta"),
    "Name.Attribute": Style(color="cyan"),
    "Generic.Deleted": Style(color="red"),
    "Generic.Inserted": Style(color="green"),
    "Generic.Heading": BOLD,
    "Generic.Subheading": Style(color="magenta"),
    "Generic.Prompt": DIM,
}


@dataclass(frozen=True, slots=True)
class Symbols:
    """The drawn characters; each is one cell wide."""

    bullet: str = "•"
    quote: str = "▌"
    rule: str = "─"
    todo: str = "☐"
    done: str = "☑"


UNICODE = Symbols()
ASCII = Symbols(bullet="*", quote="|", rule="-", todo="o", done="x")
"""For locales that are not UTF-8."""


@lru_cache(maxsize=512)
def token_style(token: Any) -> Style:
    """The style of a Pygments token type: its own, or that of the nearest parent."""
    parts = str(token).split(".")[1:]
    while parts:
        if style := _TOKENS.get(".".join(parts)):
            return style
        parts.pop()
    return PLAIN
