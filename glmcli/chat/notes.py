"""The program's own words on a terminal: dim, red, or partly bold; wrapped at blanks.

Knows nothing of what they say.
"""

from __future__ import annotations

from collections.abc import Sequence

from glmcli.engines import whereabouts
from glmcli.language import tr
from glmcli.session import Session
from glmcli.terminal.output import Output
from glmcli.terminal.phrases import fits, stats_line
from glmcli.terminal.told import in_rows
from glmcli.terminal.visible import visible
from glmcli.types import Usage

_DIM, RED = "2", "31"


def write_note(out: Output, text: str, style: str = _DIM) -> None:
    """Write lines in a style, if there is anything to write."""
    if not text:
        return
    text, columns = visible(text), out.size().columns
    if out.is_reader:
        text = text.replace(" · ", tr(", "))
    if not all(fits(line, columns) for line in text.split("\n")):
        text = in_rows(text, columns)
    out.write(f"\x1b[{style}m{text}\x1b[0m\n" if out.colours else f"{text}\n")


def write_marked(out: Output, head: str, pieces: Sequence[tuple[str, bool]]) -> None:
    """Write a line of a list: the pieces that are set off are bold, the rest is dim."""
    if not out.colours:
        write_note(out, f"{head}  {''.join(text for text, _ in pieces)}")
        return
    styled = (f"\x1b[22;{'1' if found else '2'}m{visible(text)}" for text, found in pieces)
    out.write(f"\x1b[2m{head}  {''.join(styled)}\x1b[0m\n")


def cost_line(session: Session, usage: Usage, *, with_place: bool) -> str:
    """What a reply cost, and where and how the model runs."""
    cost = stats_line(usage, session.engine.context_tokens)
    place = whereabouts(session.engine) if with_place else ""
    return " · ".join(filter(None, [cost, place]))
