"""A horizontal bar for each run of a task, as SVG; what they share with lines is in plot.py."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from plot import WIDTH, label, number, page

NAMES, VALUES, BAR, GAP, HEAD = 230, 110, 18, 8, 26
TOP = 60

Group = tuple[str, Sequence[tuple[str, float]]]
"""A heading with its unit, and (name, value) of its bars."""


def bar_plot(title: str, subtitle: str, groups: Sequence[Group]) -> str:
    """A page with the groups below each other, each on a scale of its own."""
    parts: list[str] = []
    y = float(TOP)
    for heading, bars in groups:
        parts.append(label(16, y + 14, heading))
        y += HEAD
        parts += drawn(bars, y)
        y += len(bars) * (BAR + GAP) + GAP
    return page(title, subtitle, parts, height=y + 8)


def drawn(bars: Sequence[tuple[str, float]], y: float) -> Iterator[str]:
    """The bars of a group; those of glm in one colour, the others in another."""
    longest = max((value for _, value in bars), default=0.0) or 1.0
    for name, value in bars:
        width = (WIDTH - NAMES - VALUES) * value / longest
        kind = "s0" if name.startswith("glm") else "s1"
        yield label(NAMES - 10, y + 14, name[:30], kind="dim", anchor="end")
        yield (
            f'<rect class="mark {kind}" x="{NAMES}" y="{y:.1f}" '
            f'width="{width:.1f}" height="{BAR}" rx="3"/>'
        )
        yield label(NAMES + width + 8, y + 14, number(float(f"{value:.3g}")))
        y += BAR + GAP
