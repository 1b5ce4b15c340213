"""Hostile texts on a terminal: work in proportion to the text, the same rows however it arrives."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

import pytest

from glmcli.conversation.attachments import headings_only, mention_at_end
from glmcli.engines.reply import Marks, Reasoning, StopStrings
from glmcli.terminal.markdown.stream import MarkdownStream, Row, render, warm_up
from glmcli.terminal.phrases import clipped
from glmcli.terminal.replies.painter import Painter
from glmcli.terminal.rows import plain
from tests.hostile.texts import TEXTS

LIMIT_S = 5.0
FRAMES = 200
"""Frames of a reply: a slow one gets no more, since each waits for several times its own cost."""
SLOW_ONCE = [
    "a table of many rows",
    "a table with rows too short",
    "joined emoji in one word",
    "combining marks on one letter",
    "skin tones",
    "conjuncts of one syllable",
    "joiners alone",
    "zero-width characters",
    "bidi marks",
    "definitions",
    "escape sequences",
    "stars and blanks",
    "wide blanks",
    "hashes behind a heading",
    "pre never closed",
    "dashes",
]


def text_of(name: str, characters: int) -> str:
    """The text in a small size."""
    make, _ = TEXTS[name]
    return make(max(int(characters / (len(make(20)) / 20)), 2))[: 4 * characters]


def show(text: str, *, width: int = 80, chunk: int = 0, frame: int = 0) -> list[Row]:
    """Its rows, painted as a reply: in deltas of `chunk` characters, with a frame after `frame`."""
    chunk, frame = chunk or len(text), frame or len(text) // FRAMES
    stream, painter = MarkdownStream(width=width), painter_of(width)
    rows: list[Row] = []
    waiting = 0
    for start in range(0, len(text), chunk):
        delta = text[start : start + chunk]
        stream.feed(delta)
        waiting += len(delta)
        if waiting >= frame:
            final, waiting = stream.take(), 0
            painter.paint(final, stream.live())
            rows += final
    stream.finish()
    final = stream.take()
    painter.paint(final)
    painter.finish()
    return rows + final


def painter_of(width: int) -> Painter:
    return Painter(lambda _: None, columns=width + 1, lines=24)


def calls(work: Callable[[], object]) -> int:
    """Calls of functions: a measure of work that does not depend on what else the machine does."""
    count = 0

    def one_more(*_: object) -> None:
        nonlocal count
        count += 1

    sys.setprofile(one_more)
    try:
        work()
    finally:
        sys.setprofile(None)
    return count


@pytest.mark.parametrize("name", SLOW_ONCE)
def test_four_times_the_text_is_about_four_times_the_work(name):
    warm_up()
    small, large = text_of(name, 1500), text_of(name, 6000)
    one, four = (calls(lambda text=text: show(text, frame=400)) for text in (small, large))
    assert four <= 8 * one


@pytest.mark.parametrize("name", TEXTS)
def test_a_small_hostile_text_streamed_equals_the_text_at_once(name):
    text = text_of(name, 400)
    at_once = render(text, width=20)
    assert show(text, width=20, chunk=7, frame=50) == at_once


def test_a_long_line_that_is_text_loses_nothing():
    text = "x" * 300_000
    assert "".join(map(plain, render(text, width=80))) == text


def test_a_long_line_that_is_text_takes_little_for_each_row():
    warm_up()
    rows = 10_000
    assert calls(lambda: render("x" * 20 * rows, width=20)) <= 40 * rows


def test_marks_without_end_are_all_shown():
    text = "a" + "\u0301" * 10_000
    assert "".join(map(plain, render(text, width=20))) == text


def test_emoji_joined_without_end_fit_into_the_rows():
    rows = render("\U0001f468\u200d" * 1000 + "x", width=20)
    assert len(rows) >= 100


def test_a_table_whose_rows_lack_cells_stays_a_table():
    header = "|a" * 100 + "|\n" + "|-" * 100 + "|\n"
    rows = render(header + "|b|\n" * 1500, width=400)
    assert [plain(row) for row in rows].count("b") == 1500


def test_a_stop_string_that_nearly_matches_is_looked_for_in_proportion():
    def work(n: int) -> int:
        def run() -> None:
            stops = StopStrings(["ab" * 50 + "c", "b" * 100 + "c"])
            for _ in range(n):
                stops.push("ab")

        return calls(run)

    assert work(2000) <= 5 * work(500)


def seconds(work: Callable[[], object]) -> float:
    """CPU time of what is no call of a function, at its least: other work disturbs it."""
    times = []
    for _ in range(3):
        begin = time.process_time()
        work()
        times.append(time.process_time() - begin)
    return min(times)


@pytest.mark.parametrize("thinking", [True, False])
def test_blanks_before_or_in_thinking_are_held_in_proportion(thinking):
    def work(n: int) -> float:
        def run() -> None:
            reasoning = Reasoning(Marks(), thinking=thinking)
            for _ in range(n):
                reasoning.push(" " * 100)

        return seconds(run)

    assert work(4000) <= 8 * work(1000) + 0.02


@pytest.mark.parametrize("keep_end", [True, False])
@pytest.mark.parametrize("character", ["\U0001f1e8", "\u0301", "\u200d", "x"])
def test_a_long_name_is_clipped_in_no_time(character, keep_end):
    shown = clipped(character * 500_000, 40, keep_end=keep_end)
    assert "…" in shown
    assert len(shown) <= 16 * 40 + 1


def test_a_path_is_completed_behind_many_marks_that_are_none():
    assert mention_at_end("@" * 500_000 + " ") is None
    found = mention_at_end("@" * 500_000 + " @note")
    assert found is not None
    assert found[1] == "note"


def test_headers_of_files_without_end_are_left_in_proportion():
    def work(n: int) -> float:
        text = f"File: a (1 bytes, sha256 {'0' * 16})\n\n```x\n" * n
        return seconds(lambda: headings_only(text))

    assert work(4000) <= 8 * work(1000) + 0.02


@pytest.mark.hostile
@pytest.mark.parametrize("thinking", [True, False])
@pytest.mark.parametrize("piece", [" ", "<", "</think", "\n", "<think> "])
def test_reasoning_is_parted_within_seconds(piece, thinking):
    reasoning = Reasoning(Marks(), thinking=thinking)
    begin = time.process_time()
    for _ in range(100_000):
        reasoning.push(piece)
    assert time.process_time() - begin < LIMIT_S


@pytest.mark.hostile
@pytest.mark.parametrize("width", [20, 80, 200])
@pytest.mark.parametrize("name", TEXTS)
def test_a_hostile_text_is_shown_at_once_within_seconds(name, width):
    make, size = TEXTS[name]
    text = make(size)
    begin = time.process_time()
    show(text, width=width)
    assert time.process_time() - begin < LIMIT_S


@pytest.mark.hostile
@pytest.mark.parametrize("chunk", [1, 997, 50_000])
@pytest.mark.parametrize("name", TEXTS)
def test_a_hostile_text_is_streamed_within_seconds_and_the_same(name, chunk):
    make, size = TEXTS[name]
    text = make(size)[: 200_000 if chunk == 1 else None]
    begin = time.process_time()
    rows = show(text, chunk=chunk)
    assert time.process_time() - begin < LIMIT_S
    assert rows == render(text, width=80)
