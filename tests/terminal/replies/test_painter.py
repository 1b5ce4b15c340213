"""What a terminal shows after painting, seen through an emulator, and what that takes."""

import re

import pyte
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glmcli.terminal.markdown.stream import MarkdownStream, render
from glmcli.terminal.replies.painter import Painter
from glmcli.terminal.rows import Row
from glmcli.terminal.theme import BOLD, CODE, DIM, PLAIN
from tests.support.documents import SAMPLE, documents, long_sample, random_pieces
from tests.support.term import Screen


class Terminal:
    """A painter and the emulator that it writes to."""

    def __init__(self, columns: int = 60, lines: int = 12, colours: int = 16) -> None:
        self.columns = columns
        self.screen = Screen(columns, lines, history=100_000, ratio=1e-9)
        self.frames: list[str] = []
        self._stream = pyte.Stream(self.screen)
        self.painter = Painter(self.write, columns=columns, lines=lines, colours=colours)

    def write(self, text: str) -> None:
        self.frames.append(text)
        self._stream.feed(text)

    @property
    def bytes(self) -> int:
        return sum(len(frame.encode()) for frame in self.frames)

    def cells(self) -> list[list[tuple[object, ...]]]:
        """Scrollback and screen, text and styles, without the blank rows at the end."""
        buffer = [self.screen.buffer[y] for y in range(self.screen.lines)]
        rows = [
            [(c.data, c.fg, c.bold, c.italics, c.underscore, c.strikethrough) for c in cells]
            for cells in (
                [line[x] for x in range(self.columns)]
                for line in [*self.screen.history.top, *buffer]
            )
        ]
        while rows and all(cell[0] == " " for cell in rows[-1]):
            rows.pop()
        return rows

    def text(self) -> list[str]:
        return ["".join(str(cell[0]) for cell in row).rstrip() for row in self.cells()]


def row(text: str, style=PLAIN) -> Row:
    return ((text, style),)


def status(count: int) -> Row:
    return row(f"answering · {count} tokens · 45.0 tok/s · Ctrl-C stops", DIM)


def at_once(text: str, columns: int, lines: int) -> Terminal:
    terminal = Terminal(columns, lines)
    terminal.painter.paint(render(text, width=terminal.painter.width))
    terminal.painter.finish()
    return terminal


def streamed(chunks: list[str], columns: int, lines: int, *, with_status: bool = True) -> Terminal:
    terminal = Terminal(columns, lines)
    stream = MarkdownStream(width=terminal.painter.width)
    for count, chunk in enumerate(chunks):
        stream.feed(chunk)
        below = status(count // 5 * 25) if with_status else None
        terminal.painter.paint(stream.take(), stream.live(), below)
    stream.finish()
    terminal.painter.paint(stream.take())
    terminal.painter.finish()
    return terminal


def sample_frames() -> list[str]:
    """4,000 tokens, five a frame: 50 tokens a second at 10 frames a second."""
    tokens = long_sample(4000)
    return ["".join(tokens[start : start + 5]) for start in range(0, len(tokens), 5)]


# what is on the screen


@settings(max_examples=300, derandomize=True, deadline=None)
@given(
    documents(),
    st.sampled_from([40, 60, 80]),
    st.sampled_from([8, 12, 24]),
    st.booleans(),
    st.integers(0, 2**32),
)
def test_scrollback_and_screen_equal_the_text_at_once(text, columns, lines, with_status, seed):
    chunks = random_pieces(text, seed)[-100:]
    whole = at_once("".join(chunks), columns, lines)
    assert streamed(chunks, columns, lines, with_status=with_status).cells() == whole.cells()


@pytest.mark.parametrize(("columns", "lines"), [(100, 30), (40, 12)])
def test_the_sample_ends_up_as_it_is_at_once(columns, lines):
    chunks = sample_frames()
    whole = at_once("".join(chunks), columns, lines)
    assert streamed(chunks, columns, lines).cells() == whole.cells()


def test_the_status_row_is_always_the_last_and_leaves_no_trace():
    terminal = Terminal(lines=6)
    for count in range(20):
        terminal.painter.paint([row(f"row {count}")], [row("open")], status(count))
        assert terminal.text()[-2:] == ["open", status(count)[0][0]]
    terminal.painter.finish()
    assert terminal.text() == [f"row {count}" for count in range(20)]


def test_live_rows_that_do_not_fit_are_shown_when_they_are_final():
    terminal = Terminal(lines=6)
    rows = [row(f"row {count}") for count in range(20)]
    for count in range(20):
        terminal.painter.paint([], rows[:count], status(count))
        assert terminal.screen.history.top == type(terminal.screen.history.top)([])
    terminal.painter.paint(rows)
    assert terminal.text() == [f"row {count}" for count in range(20)]


def test_the_first_and_the_newest_rows_are_shown_when_not_all_can_be():
    terminal = Terminal(lines=24)
    rows = [row(f"row {count}") for count in range(60)]
    for count in range(23, 60):
        terminal.painter.paint([], rows[:count], status(count))
        shown = terminal.text()[:-1]
        assert shown[:15] == [f"row {number}" for number in range(14)] + ["…"]
        newest = [f"row {number}" for number in range(count)][-len(shown[15:]) :]
        assert shown[15:] == newest
        assert 5 <= len(newest) <= 7


def test_output_after_finish_begins_on_a_line_of_its_own():
    terminal = Terminal()
    terminal.painter.paint([row("final")], [row("live")], status(1))
    terminal.painter.finish()
    terminal.write("prompt> ")
    assert terminal.text() == ["final", "prompt>"]
    terminal.write("\r\n")
    terminal.painter.paint([row("again")])
    assert terminal.text() == ["final", "prompt>", "again"]


def test_a_status_row_that_is_too_long_is_cut():
    terminal = Terminal(columns=20)
    terminal.painter.paint([], [], status(1))
    assert terminal.text() == ["answering · 1 toke…"]


# what is written


def test_a_frame_writes_the_cells_that_changed():
    terminal = Terminal()
    for text in ("some words", "some words more"):
        terminal.painter.paint([], [row(text)])
    assert terminal.frames[-1] == " more"
    terminal.painter.paint([], [row("some swords more")])
    assert terminal.frames[-1] == "\x1b[6Gswords more"
    terminal.painter.paint([], [row("same swords more")])
    assert terminal.frames[-1] == "\x1b[2Ga\x1b[17G"


def test_a_frame_without_a_change_writes_nothing():
    terminal = Terminal()
    for _ in range(3):
        terminal.painter.paint([], [row("some words")], status(1))
    assert len(terminal.frames) == 1


def test_a_row_with_emoji_is_never_addressed_by_column():
    terminal = Terminal()
    for text in ("👨‍👩‍👧 ab", "👨‍👩‍👧 ac"):
        terminal.painter.paint([], [row(text)], status(1))
    assert "👨‍👩‍👧 ac" in terminal.frames[-1]


def test_a_mark_that_joins_a_character_is_written_with_it():
    terminal = Terminal()
    for text in ("cafe", "cafe\u0301"):
        terminal.painter.paint([], [row(text)], status(1))
    assert "e\u0301" in terminal.frames[-1]


def test_no_frame_asks_the_terminal_or_clears_the_screen():
    written = "".join(streamed(sample_frames(), 100, 30).frames)
    sequences = set(re.findall(r"\x1b\[[?\d;]*([A-Za-z])", written))
    assert sequences <= {"A", "G", "K", "J", "L", "m"}
    assert re.findall(r"\x1b\[[23]J", written) == []


def test_no_more_than_16_colours_and_none_at_all_if_not_wanted():
    styled = [(("a", BOLD), ("b", CODE))]
    for colours, written in [(16, "\x1b[1ma\x1b[0m\x1b[36mb\x1b[0m"), (0, "\x1b[1ma\x1b[0mb")]:
        terminal = Terminal(colours=colours)
        terminal.painter.paint(styled)
        assert terminal.frames == [written]


def test_the_sample_stays_within_its_bytes():
    frames = sample_frames()
    plain_rows = streamed(frames, 100, 30, with_status=False)
    with_status = streamed(frames, 100, 30)
    assert plain_rows.bytes <= 28_000
    assert with_status.bytes <= 40_000
    assert max(len(frame.encode()) for frame in with_status.frames) <= 2_000


def test_bytes_stay_in_proportion_to_the_text():
    frames = sample_frames()
    assert streamed(frames * 2, 100, 30).bytes <= 2.1 * streamed(frames, 100, 30).bytes


# a window that changes


def test_what_waits_stands_above_the_status_row_and_is_not_written_again():
    terminal = Terminal(columns=60, lines=12)
    queue = [row("> waits one"), row("> waits two")]
    for count in range(1, 8):
        live = [row(f"word {n}") for n in range(count)]
        terminal.painter.paint([], live, status(1), queue)
    assert terminal.text()[-4:-1] == ["word 6", "> waits one", "> waits two"]
    assert "".join(terminal.frames).count("waits") == 2
    assert "".join(terminal.frames).count("answering") == 1
    terminal.painter.paint([], live, status(1), queue[:1])
    assert terminal.text()[-3:] == ["word 6", "> waits one", status(1)[0][0]]
    terminal.painter.paint([row(f"word {n}") for n in range(20)], [], status(1), queue)
    assert terminal.text()[-4:] == ["word 19", "> waits one", "> waits two", status(1)[0][0]]
    terminal.painter.finish()
    assert terminal.text() == [f"word {n}" for n in range(20)]


@pytest.mark.parametrize("columns", [30, 90])
def test_a_resize_takes_what_waits_off_too(columns):
    terminal = Terminal(columns=60, lines=12)
    live, queue = [row("x" * 50)], [row("> waits " * 5)]
    terminal.painter.paint([row("final")], live, row("status"), queue)
    terminal.screen.resize(12, columns)
    terminal.columns = columns
    terminal.painter.resize(columns, 12, reflow=False)
    terminal.painter.paint([row("x" * 29), row("x" * 21)], [], row("status"), queue)
    assert "".join(terminal.text()).count("waits") <= 5
    assert terminal.text()[0] == "final"
    assert terminal.text()[-1] == "status"


def resized(reflow: bool, columns: int, lines: int, final: int = 20) -> Terminal:
    """What gets a new size, with two live rows of 50 cells and a status row."""
    terminal = Terminal(columns=60, lines=12)
    live = [row("x" * 50), row("y" * 50)]
    terminal.painter.paint([row("final")] * final, live, row("status"))
    terminal.painter.resize(columns, lines, reflow=reflow)
    return terminal


@pytest.mark.parametrize(
    ("reflow", "columns", "lines", "up"),
    [(True, 60, 8, 2), (True, 30, 12, 4), (True, 90, 12, 2), (False, 30, 12, 2), (True, 30, 3, 2)],
)
def test_a_resize_takes_exactly_the_live_rows_off(reflow, columns, lines, up):
    assert resized(reflow, columns, lines).frames[-1] == f"\x1b[{up}A\r\x1b[K\x1b[B\x1b[J\x1b[A"


def test_a_resize_reaches_no_higher_than_the_rows_that_it_knows_of():
    """tmux keeps the cursor where it is and pushes rows above it into its history."""
    terminal = resized(reflow=True, columns=30, lines=12, final=1)
    assert terminal.frames[-1] == "\x1b[3A\r\x1b[K\x1b[B\x1b[J\x1b[A"
    terminal.painter.paint(live=[row("x" * 50), row("y" * 50)])
    assert terminal.frames[-1].count("x") == 20


@pytest.mark.parametrize(("at", "up"), [(9, 4), (5, 4), (3, 2)])
def test_a_resize_reaches_all_that_is_below_the_row_the_window_begins_with(at, up):
    """Where the terminal says in which row the cursor is, nothing is assumed."""
    terminal = Terminal(columns=60, lines=12)
    terminal.painter.paint(live=[row("x" * 50), row("y" * 50)], status=row("status"))
    terminal.painter.resize(30, 12, reflow=True, row=at)
    assert terminal.frames[-1] == f"\x1b[{up}A\r\x1b[K\x1b[B\x1b[J\x1b[A"
    terminal.painter.paint(live=[row("x" * 29), row("x" * 21), row("y" * 29), row("y" * 21)])
    assert terminal.frames[-1].count("x") == (50 if up == 4 else 0)
    assert terminal.frames[-1].count("y") == 50


def test_what_follows_text_out_of_reach_begins_without_a_blank():
    terminal = Terminal(columns=60, lines=12)
    terminal.painter.paint(live=[row("x" * 30 + " " + "y" * 10)], status=row("status"))
    terminal.painter.resize(30, 12, reflow=True, row=2)
    terminal.painter.paint(live=[row("x" * 29), row("x " + "y" * 10)])
    assert terminal.frames[-1] == "y" * 10


def test_text_taken_back_after_a_resize_leaves_the_rows_above_it():
    terminal = Terminal(columns=60, lines=12)
    terminal.write("others\r\n" * 4)
    terminal.painter.paint([row("final")], [row("live")], row("status"))
    terminal.painter.resize(50, 12, reflow=True, row=7)
    terminal.painter.take_back()
    assert terminal.text() == ["others"] * 4


def test_a_window_without_reflow_shows_live_rows_at_their_new_width():
    terminal = Terminal(columns=60, lines=12)
    terminal.painter.paint([row("final")], [row("x" * 50)], row("status"))
    terminal.screen.resize(12, 30)
    terminal.columns = 30
    terminal.painter.resize(30, 12, reflow=False)
    terminal.painter.paint([], [row("x" * 29), row("x" * 21)], row("status"))
    assert terminal.text() == ["final", "x" * 29, "x" * 21, "status"]


def test_rows_that_a_smaller_window_pushed_out_of_reach_are_not_shown_twice():
    terminal = resized(reflow=True, columns=30, lines=3)
    terminal.painter.paint([], [row("x" * 29), row("x" * 21), row("y" * 29), row("y" * 21)])
    assert terminal.frames[-1].count("x") == 0
    assert terminal.frames[-1].count("y") == 50


def test_rows_that_say_something_else_than_those_out_of_reach_are_shown_whole():
    terminal = resized(reflow=True, columns=30, lines=3)
    terminal.painter.paint([row("x" * 29), row("z" * 29)])
    assert terminal.frames[-1].count("x") == terminal.frames[-1].count("z") == 29


def test_rows_out_of_reach_are_known_again_when_their_marks_turn_out_not_to_be_closed():
    terminal = Terminal(columns=60, lines=12)
    terminal.painter.paint([], [row("bold words " * 4)] * 2, row("status"))
    terminal.painter.resize(30, 3, reflow=True)
    terminal.painter.paint([row("**bold words " * 4), row("next")])
    assert "bold" not in terminal.frames[-1]
    assert "next" in terminal.frames[-1]


def test_a_status_row_that_is_wrapped_leaves_less_in_reach():
    terminal = Terminal(columns=60, lines=12)
    terminal.painter.paint([row("final")] * 20, [row("x" * 50)] * 6, row("s" * 50))
    assert terminal.painter.resize(30, 12, reflow=True)
    assert terminal.frames[-1].startswith("\x1b[10A")
    terminal.painter.paint(live=[row("x" * 50)] * 6)
    assert terminal.frames[-1].count("x") == 250


def test_a_row_made_for_a_wider_window_is_cut():
    terminal = Terminal(columns=20)
    terminal.painter.paint([row("x" * 30)])
    assert terminal.text() == ["x" * 19, "x" * 11]


def test_sample_rows_are_in_order():
    """The emulator itself is not trusted: some words of the sample, once each."""
    said = "\n".join(streamed(sample_frames()[:140], 60, 12).text())
    for words in ("Reading a sensor", "What you need", "deque(maxlen=WINDOW)", "recommended"):
        assert said.count(words) == SAMPLE.count(words) == 1


def test_a_row_that_becomes_shorter_is_erased_from_its_first_cell():
    """Terminals that wrap rows again, like tmux, count the cells that were only erased behind."""
    terminal = Terminal()
    terminal.painter.paint(live=[row("a long row"), row("below")])
    terminal.painter.paint(live=[row("a row"), row("below")])
    assert terminal.frames[-1].split("\x1b[K")[1].startswith("a row")
    assert terminal.text() == ["a row", "below"]
