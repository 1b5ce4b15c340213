"""Plots as SVG, written by hand: lines over a logarithmic axis. Readable on light and dark pages.

    glm bench --json | python bench/plot.py > speed.svg

plots decode speed against the length of the prompt. All text is made harmless: names of models come
from outside.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from math import floor, log10
from typing import Any

from glmcli.terminal.visible import visible_line

WIDTH, HEIGHT = 720, 380
LEFT, RIGHT, TOP, BOTTOM = 64, 150, 84, 52
INSET = 32
"""Between the ends of the axis and the first and last points."""
LETTERS = 72
"""Longer texts are cut: they would run off the page."""
LIGHT = ("#0550ae", "#bc4c00", "#116329", "#8250df", "#a40e26", "#6e5b00")
DARK = ("#58a6ff", "#f0883e", "#3fb950", "#bc8cff", "#ff7b72", "#d4b106")
STYLE = """
svg {{ color-scheme: light dark; font: 13px system-ui, sans-serif; }}
.page {{ fill: #ffffff; }} text {{ fill: #24292f; }} .dim {{ fill: #57606a; }}
.grid {{ stroke: #d8dee4; }} .axis {{ stroke: #8c959f; }}
.line {{ fill: none; stroke-width: 2; }} .title {{ font-size: 16px; font-weight: 600; }}
{light}
@media (prefers-color-scheme: dark) {{
.page {{ fill: #0d1117; }} text {{ fill: #e6edf3; }} .dim {{ fill: #9198a1; }}
.grid {{ stroke: #30363d; }} .axis {{ stroke: #6e7681; }}
{dark}
}}"""

Points = Sequence[tuple[float, float]]


def line_plot(title: str, subtitle: str, series: Mapping[str, Points], *, x: str, y: str) -> str:
    """A page with a line for each series of (x, y), x above 0 and y not below it."""
    drawn = {name: sorted(points) for name, points in series.items() if points}
    across = sorted({point[0] for points in drawn.values() for point in points}) or [1.0]
    top = ceiling(max((point[1] for points in drawn.values() for point in points), default=1.0))
    low, high = log10(across[0]), log10(across[-1])
    right = WIDTH - (RIGHT if any(drawn) else LEFT)  # room for names, if there are any

    def place(point: tuple[float, float]) -> tuple[float, float]:
        share = (log10(point[0]) - low) / (high - low) if high > low else 0.5
        return LEFT + INSET + share * (right - LEFT - 2 * INSET), up(point[1])

    def up(value: float) -> float:
        return HEIGHT - BOTTOM - value / top * (HEIGHT - TOP - BOTTOM)

    parts = []
    for step in range(5):
        height, value = up(top * step / 4), top * step / 4
        kind = "grid" if step else "axis"
        parts.append(
            f'<line class="{kind}" x1="{LEFT}" x2="{right}" y1="{height:.1f}" y2="{height:.1f}"/>'
        )
        parts.append(label(LEFT - 8, height + 4, number(value), kind="dim", anchor="end"))
    for value in across:
        here = place((value, 0))[0]
        parts.append(label(here, HEIGHT - BOTTOM + 20, number(value), kind="dim", anchor="middle"))
    middle = (LEFT + right) / 2
    parts.append(label(middle, HEIGHT - 10, x, kind="dim", anchor="middle"))
    parts.append(label(16, TOP - 16, y, kind="dim"))
    ends = spread([place(points[-1])[1] for points in drawn.values()])
    for index, ((name, points), end) in enumerate(zip(drawn.items(), ends, strict=True)):
        places = [place(point) for point in points]
        parts += line_of(places, index, one=len(drawn) == 1, values=[point[1] for point in points])
        if name:
            parts.append(label(places[-1][0] + 10, end + 4, name[:22]))
    return page(title, subtitle, parts, height=HEIGHT)


def line_of(
    places: Sequence[tuple[float, float]], index: int, *, one: bool, values: Sequence[float]
) -> Iterable[str]:
    """A line with its points; a line that is alone says their values."""
    kind = f"s{index % len(LIGHT)}"
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    yield f'<polyline class="line {kind}" points="{path}"/>'
    for (x, y), value in zip(places, values, strict=True):
        yield f'<circle class="mark {kind}" cx="{x:.1f}" cy="{y:.1f}" r="4"/>'
        if one:
            yield label(x, y - 10, number(value), anchor="middle")


def page(title: str, subtitle: str, parts: Iterable[str], *, height: float) -> str:
    """The whole file around `parts`."""
    head = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0f}" '
        f'width="{WIDTH}" height="{height:.0f}" role="img">',
        f"<title>{safe(title)}</title>",
        f"<style>{STYLE.format(light=colours(LIGHT), dark=colours(DARK))}</style>",
        f'<rect class="page" width="{WIDTH}" height="{height:.0f}" rx="8"/>',
        label(16, 24, title, kind="title"),
        label(16, 42, subtitle, kind="dim") if subtitle else "",
    ]
    return "\n".join([*filter(None, head), *parts, "</svg>"]) + "\n"


def colours(chosen: Sequence[str]) -> str:
    """The classes of lines and of what is filled, one for each series."""
    return "\n".join(
        f".line.s{index} {{ stroke: {colour}; }} .mark.s{index} {{ fill: {colour}; }}"
        for index, colour in enumerate(chosen)
    )


def label(x: float, y: float, text: str, *, kind: str = "", anchor: str = "start") -> str:
    """A text; `anchor` says which end of it is at x."""
    chosen = f' class="{kind}"' if kind else ""
    return f'<text{chosen} x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{safe(text)}</text>'


def safe(text: str) -> str:
    """Text from outside as XML can hold it, on one line, cut where it would run off the page."""
    shown = visible_line(text)
    if len(shown) > LETTERS:
        shown = shown[: LETTERS - 1] + "…"
    return escape("".join("\ufffd" if ord(char) in (0xFFFE, 0xFFFF) else char for char in shown))


def spread(heights: Sequence[float], gap: float = 16) -> list[float]:
    """The same heights, moved down where two labels would touch, in the order they were given."""
    moved = list(heights)
    below = float("-inf")
    for index in sorted(range(len(heights)), key=lambda index: heights[index]):
        below = moved[index] = max(heights[index], below + gap)
    return moved


def ceiling(value: float) -> float:
    """The round number at the top of an axis that shows `value`, a multiple of 4 small steps."""
    if value <= 0:
        return 1.0
    unit = 10.0 ** floor(log10(value))
    return next(unit * step for step in (1, 1.2, 1.6, 2, 3, 4, 6, 8, 10) if unit * step >= value)


def number(value: float) -> str:
    """A number on an axis: "4,000", "37.5", "0.25"."""
    return f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:.3g}"


def plot_speed(found: Mapping[str, Any]) -> str:
    """Decode speed against the length of the prompt, of what `glm bench --json` prints."""
    points = [
        (float(item["prompt_tokens"]), item["decode_tokens_per_s"])
        for item in found["speeds"]
        if item["prompt_tokens"] and item["decode_tokens_per_s"]
    ]
    threads = f"{found['threads']} threads" if found["threads"] else ""
    title = f"{found['name'] or found['model']}: decode speed"
    subtitle = ", ".join(filter(None, [found["device"], threads]))
    return line_plot(title, subtitle, {"": points}, x="tokens of context", y="tokens/s")


if __name__ == "__main__":
    print(plot_speed(json.load(sys.stdin)), end="")
