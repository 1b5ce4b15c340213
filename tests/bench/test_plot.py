"""A plot is well-formed whatever it is given, and its points are where their numbers say."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

FOLDER = Path(__file__).parents[2] / "bench"
sys.path.insert(0, str(FOLDER))
from plot import HEIGHT, WIDTH, ceiling, line_plot, number, plot_speed, spread  # noqa: E402

SVG = "{http://www.w3.org/2000/svg}"
POINTS = [(100.0, 40.0), (1000.0, 30.0), (4000.0, 20.0)]


def drawn(title="t", series=None) -> ElementTree.Element:
    series = {"": POINTS} if series is None else series
    return ElementTree.fromstring(line_plot(title, "s", series, x="tokens", y="tokens/s"))


def texts(root: ElementTree.Element) -> list[str]:
    return [item.text or "" for item in root.iter(f"{SVG}text")]


def places(root: ElementTree.Element) -> list[tuple[float, float]]:
    return [(float(item.get("cx")), float(item.get("cy"))) for item in root.iter(f"{SVG}circle")]


def test_more_is_higher_and_longer_is_further_right_by_the_logarithm():
    (x1, y1), (x2, y2), (x3, y3) = places(drawn())
    assert x1 < x2 < x3
    assert y1 < y2 < y3  # SVG counts from the top
    assert y3 - y2 == pytest.approx(y2 - y1, abs=0.2)
    assert (x2 - x1) / (x3 - x1) == pytest.approx(1 / 1.602, abs=0.01)


def test_values_and_axes_are_written():
    shown = texts(drawn())
    for word in ("t", "s", "tokens", "tokens/s", "100", "1,000", "4,000", "30"):
        assert word in shown


@pytest.mark.parametrize(
    "name",
    ["</title><script>alert(1)</script>", 'a" onload="x', "a\x00\x1b[31m\ud800\ufffe\r\nb", "<&>"],
)
def test_a_hostile_name_is_only_text(name):
    page = line_plot(name, name, {name: POINTS, "b": POINTS}, x=name, y=name)
    root = ElementTree.fromstring(page)
    known = {"svg", "title", "style", "rect", "text", "line", "polyline", "circle"}
    assert {item.tag.removeprefix(SVG) for item in root.iter()} <= known
    assert not any("onload" in key for item in root.iter() for key in item.attrib)
    page.encode("utf-8")
    assert not re.search("[\x00-\x08\x0b-\x1f\ufffe\uffff]", page)


def test_a_long_name_does_not_run_off_the_page():
    assert max(len(text) for text in texts(drawn(title="x" * 5000))) <= 72


@pytest.mark.parametrize("points", [[], [(100.0, 40.0)], [(100.0, 0.0)], [(1.0, 1e-9), (9.0, 1e9)]])
def test_any_number_of_points(points):
    root = drawn(series={"": points})
    assert len(places(root)) == len(points)
    assert all(0 <= x <= WIDTH and 0 <= y <= HEIGHT for x, y in places(root))


def test_it_follows_light_and_dark():
    assert "prefers-color-scheme: dark" in line_plot("t", "", {"": POINTS}, x="", y="")


def test_labels_of_lines_that_end_together_do_not_touch():
    moved = spread([50.0, 52.0, 10.0])
    assert moved[2] == 10.0
    assert sorted(moved) == [10.0, 50.0, 66.0]


@pytest.mark.parametrize(("value", "top"), [(0, 1), (37, 40), (40, 40), (101, 120), (0.7, 0.8)])
def test_the_axis_ends_at_a_round_number(value, top):
    assert ceiling(value) == pytest.approx(top)


def test_numbers_on_axes():
    assert [number(value) for value in (4000, 37.5, 0.25, 0)] == ["4,000", "37.5", "0.25", "0"]


def test_what_glm_bench_prints_is_plotted():
    speeds = [{"prompt_tokens": 100, "decode_tokens_per_s": 20.0}, {"prompt_tokens": None}]
    found = {"model": "m", "name": "", "device": "cpu", "threads": 1, "speeds": speeds}
    shown = texts(ElementTree.fromstring(plot_speed(found)))
    assert "m: decode speed" in shown
    assert "20" in shown
