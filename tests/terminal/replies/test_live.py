"""Replies on a terminal as they grow, on an emulated screen."""

from __future__ import annotations

import os
import re

import pyte
import pytest
from rich.cells import cell_len

from glmcli.conversation.attachments import read_attachment
from glmcli.terminal.quiet import SETTLE_S, Queued, Quiet
from glmcli.terminal.replies.live import LiveView
from glmcli.terminal.replies.place import REPORT_S
from glmcli.terminal.replies.text import AtTheEnd, show_message, terminal_view
from glmcli.types import Chunk, Message, Progress
from tests.support.documents import pieces

REPLY = Message("assistant", "", finish_reason="stop")


class FakeOutput:
    """An Output that feeds an emulator."""

    encoding = "utf-8"
    is_tty = is_live = knows_codes = is_unicode = reflows = True
    is_reader = False
    asked = ""
    is_stopped = staticmethod(lambda: False)
    colours = 16
    fd = 9999  # no file of this process

    def __init__(self, columns=60, lines=20):
        self.columns, self.lines = columns, lines
        self.screen = pyte.HistoryScreen(columns, lines, history=1000, ratio=1e-9)
        self.stream = pyte.Stream(self.screen)
        self.raw = ""
        self.now = 0.0

    def size(self):
        return os.terminal_size((self.columns, self.lines))

    def write(self, text):
        text = text.encode(self.encoding, "replace").decode(self.encoding)
        self.raw += text
        self.stream.feed(text)

    def rows(self):
        return [line.rstrip() for line in self.screen.display if line.strip()]


@pytest.fixture
def out():
    return FakeOutput()


def shown(out, *chunks, **settings):
    view = LiveView(out, Quiet(out), clock=lambda: out.now, **settings)
    for chunk in chunks:
        show(out, view, chunk)
    return view


def unstyled(raw: str) -> str:
    return re.sub("\x1b\\[[0-9;]*m", "", raw)


def show(out, view, chunk, seconds=1.0):
    """Show a chunk so much later than what was shown before; by default that is a frame."""
    out.now += seconds
    view.show(chunk)


def test_the_status_row_says_what_happens_and_leaves_nothing_behind(out):
    view = shown(out, Chunk(progress=Progress("reading", 128, 512)))
    assert "reading the prompt, 128 of 512 tokens" in out.rows()[-1]
    view.show(Chunk("**Hello**", tokens=1))
    show(out, view, Chunk())
    assert out.rows()[0] == "Hello"
    assert "answering · 1 token" in out.rows()[-1]
    view.finish(REPLY)
    assert out.rows() == ["Hello"]


def test_what_waits_is_shown_dimly_above_the_status_row(out):
    waits = Queued()
    view = LiveView(out, Quiet(out, collect=lambda: waits), clock=lambda: out.now)
    show(out, view, Chunk("Hello", tokens=1))
    waits = Queued(("first", "a\nb\x1b[2J"), "half")
    show(out, view, Chunk())
    assert out.rows()[0] == "Hello"
    assert out.rows()[1:4] == ["> first", "> a b␛[2J · waits, Up takes it back", "> half_"]
    assert "answering" in out.rows()[4]
    waits = Queued(tuple(f"line {n}" for n in range(20)), "")
    show(out, view, Chunk())
    assert out.rows()[1:3] == ["  15 earlier lines wait", "> line 15"]
    view.finish(REPLY)
    assert out.rows() == ["Hello"]


def test_reasoning_is_folded_to_one_live_row(out):
    thoughts = [Chunk(thinking=f"thought {n} ", tokens=2) for n in range(50)]
    view = shown(out, *thoughts)
    assert len(out.rows()) == 1
    assert "thinking" in out.rows()[0]
    assert "100 tokens" in out.rows()[0]
    assert "thought 49" in out.rows()[0]
    view.show(Chunk("Answer", tokens=1))
    view.finish(REPLY)
    assert out.rows()[-1] == "Answer"
    assert "thought for" in out.rows()[0]
    assert not any("thought 49" in row for row in out.rows())


def test_reasoning_can_be_shown_or_hidden(out):
    view = shown(out, Chunk(thinking="because", tokens=1), Chunk("So.", tokens=1), thinking="show")
    view.finish(REPLY)
    assert out.rows()[0] == "because"
    assert out.rows()[-1] == "So."
    hidden = FakeOutput()
    view = shown(
        hidden, Chunk(thinking="because", tokens=1), Chunk("So.", tokens=1), thinking="hide"
    )
    view.finish(REPLY)
    assert hidden.rows() == ["So."]


def test_hostile_text_is_made_visible(out):
    view = shown(out, Chunk("a\x1b]52;c;aGk=\x07b \u202ec", thinking="\x1b[2J"), thinking="show")
    view.finish(REPLY)
    assert "\x1b]52" not in out.raw
    assert "\x1b[2J" not in out.raw
    assert "\u202e" not in out.raw


def test_a_reply_that_breaks_off_keeps_what_was_shown(out):
    shown(out, Chunk("half a sen", tokens=3)).abandon()
    assert out.rows() == ["half a sen"]


def test_a_window_that_changes_its_size_loses_no_word(out):
    words = [f"word{n}" for n in range(60)]
    view = shown(out, *[Chunk(word + " ", tokens=1) for word in words[:30]])
    out.columns = 40
    out.screen.resize(20, 40)
    for word in words[30:]:
        show(out, view, Chunk(word + " ", tokens=1))
    view.finish(REPLY)
    text = " ".join(out.rows())
    assert all(word in text for word in words[30:])


@pytest.mark.parametrize("columns", [30, 100])
@pytest.mark.parametrize("end", ["", "\n\nThe end", "\n\n```\nx = 1\ny = 2\n"])
def test_the_rows_of_a_reply_that_are_final_are_laid_out_again_too(out, columns, end):
    """In a window without reflow, which cuts what is too wide: so nothing is lost either."""
    words = " ".join(f"word{n:02}" for n in range(12))
    text = f"# Title\n\n{words}\n\n- {words}\n- short\n\n> {words}{end}"
    out.reflows, out.lines = False, 40
    out.screen.resize(40, 60)
    view = shown(out, *[Chunk(piece, tokens=1) for piece in pieces(text, 5)])
    out.columns = columns
    out.screen.resize(40, columns)
    show(out, view, Chunk())
    show(out, view, Chunk())
    fresh = FakeOutput(columns, 40)
    shown(fresh, Chunk(text)).finish(REPLY)
    assert out.rows()[:-1] == fresh.rows()[: len(out.rows()) - 1]
    view.finish(REPLY)
    assert out.rows() == fresh.rows()


@pytest.mark.parametrize("lines", [6, 10])
def test_rows_of_a_reply_that_went_out_of_reach_are_not_laid_out_again(out, lines):
    """Each word is there once, on the screen or above it."""
    blocks = [" ".join(f"w{at:02}{n:02}" for n in range(15)) for at in range(8)]
    out.reflows, out.lines = False, lines
    out.screen.resize(lines, 60)
    view = shown(out, Chunk("\n\n".join(blocks) + "\n\n"))
    out.columns = 100
    out.screen.resize(lines, 100)
    show(out, view, Chunk("last"))
    show(out, view, Chunk())
    view.finish(REPLY)
    history = ["".join(row[x].data for x in sorted(row)) for row in out.screen.history.top]
    said = " ".join([*history, *out.rows()])
    assert re.findall(r"w\d{4}", said) == " ".join(blocks).split()
    assert len(out.rows()[-2]) > 60


def test_nothing_is_painted_until_a_window_that_changes_keeps_its_size(out):
    view = shown(out, Chunk("some words ", tokens=1))
    for columns in (50, 40, 60):
        out.columns = columns
        written = out.raw
        show(out, view, Chunk(f"at {columns} ", tokens=1), SETTLE_S / 2)
        assert out.raw == written
    show(out, view, Chunk(), SETTLE_S)
    assert out.rows()[0] == "some words at 50 at 40 at 60"


class Answers:
    """What is read of the keyboard: what the terminal says of its cursor."""

    def __init__(self, cursor):
        self.cursor = cursor

    def collect(self):
        return Queued(cursor=self.cursor)


def narrowed(out, answers):
    """A view with one row, which takes two in the window as it is now; the status is the third."""
    view = LiveView(out, Quiet(out, collect=answers.collect), clock=lambda: out.now)
    show(out, view, Chunk("some words " * 5, tokens=1))
    out.columns, out.raw = 30, ""
    show(out, view, Chunk())
    show(out, view, Chunk())
    return view


def test_the_terminal_is_asked_where_the_cursor_is_when_its_width_changed(out):
    answers = Answers(0)
    view = narrowed(out, answers)
    assert out.raw == "\x1b[6n"
    show(out, view, Chunk("and more", tokens=1), 0.1)
    assert out.raw == "\x1b[6n"
    answers.cursor = 9
    show(out, view, Chunk(), 0.1)
    assert out.raw.startswith("\x1b[6n\x1b[2A\r\x1b[K")
    answers.cursor = 0
    out.lines = 30
    show(out, view, Chunk())
    show(out, view, Chunk("at last", tokens=1))
    assert out.raw.count("\x1b[6n") == 1


def test_a_terminal_that_does_not_answer_is_not_waited_for(out):
    view = narrowed(out, Answers(0))
    show(out, view, Chunk(), REPORT_S)
    assert out.raw.startswith("\x1b[6n\r\x1b[K")
    out.columns, out.raw = 28, ""
    show(out, view, Chunk())
    show(out, view, Chunk())
    assert out.raw.startswith("\r\x1b[K")


def test_an_answer_for_a_window_that_changed_again_is_no_answer(out):
    answers = Answers(0)
    view = narrowed(out, answers)
    out.columns, answers.cursor = 28, 9
    show(out, view, Chunk(), 0.1)
    answers.cursor = 0
    show(out, view, Chunk())
    assert out.raw == "\x1b[6n" * 2
    answers.cursor = 9
    show(out, view, Chunk(), 0.1)
    assert out.raw.startswith("\x1b[6n" * 2 + "\x1b[2A\r\x1b[K")


def test_nothing_is_asked_where_the_answer_would_be_taken_for_keys(out):
    narrowed(out, Answers(None))
    assert out.raw.startswith("\r\x1b[K")


def test_the_end_does_not_wait_for_the_window(out):
    view = shown(out, Chunk("some words ", tokens=1))
    out.columns = 50
    view.show(Chunk("and more", tokens=1))
    view.finish(REPLY)
    assert out.rows() == ["some words and more"]


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "gbk"])
def test_characters_that_the_terminal_cannot_show_leave_no_holes(out, encoding):
    out.encoding, out.is_unicode = encoding, False
    text = "é 中文 and **粗 bold** 🙂 `code` &#20013; end\n\n|中|b|\n|-|-|\n|c|文d|\n"
    shown(out, *[Chunk(char, tokens=1) for char in text]).finish(REPLY)
    said = text.replace("&#20013;", "中").encode(encoding, "replace").decode(encoding)
    row, _, _, _, cells = said.replace("*", "").replace("`", "").splitlines()[:5]
    assert out.rows()[0].split() == row.split()
    assert out.rows()[-1].split() == cells.strip("|").split("|")
    before = [out.rows()[1].partition("b")[0], out.rows()[3].partition(cells[3])[0]]
    assert cell_len(before[0]) == cell_len(before[1])


PARTS = {
    "paragraph": ("Some words and **bold wo", "rds** with `code` and more of them"),
    "row": ("Words that take more than one row of the window, " * 3, "and the last of them"),
    "lines": ("one line\nanother li", "ne\n\nand a paragraph"),
    "list": ("1. one\n2. two\n   - in", "side\n3. three"),
    "quote": ("> a quo", "te\n>\n> - of two"),
    "code": ("Run:\n\n```python\ndef f(x):\n    ret", "urn x\n\nclass A:\n    pass\n```\nend"),
    "code line": ("```python\ndef f(x):\n", "    return x\n```\nend"),
    "table": ("| a | b |\n|---|---|\n| c | d |\n| so", "me long cell | e |\n\nend"),
    "block": ("A paragraph.\n\n", "Another one."),
    "formula": ("$$\nx*y", "*z\n$$"),
}


@pytest.mark.parametrize("name", PARTS)
@pytest.mark.parametrize("size", [1, 7, 1000])
def test_a_reply_that_goes_on_shows_every_word_in_the_place_that_it_has(out, name, size):
    before, after = PARTS[name]
    shown(out, Chunk(before)).finish(REPLY)
    first = out.rows()
    shown(out, *map(Chunk, pieces(after, size)), after=before).finish(REPLY)
    whole = FakeOutput()
    shown(whole, Chunk(before + after)).finish(REPLY)
    again = out.rows()[len(first) :]
    assert len(first) + len(again) >= len(whole.rows())
    assert again == whole.rows()[len(whole.rows()) - len(again) :]
    if name != "table":
        assert len(first) + len(again) <= len(whole.rows()) + 2


@pytest.mark.parametrize("inside", ["", "- "])
def test_a_table_that_becomes_wider_when_it_goes_on_is_shown_again_from_its_header(out, inside):
    lines = ["| Name | Age |", "|---|---|", "| Bob | 30 |", "| Alexander the Great | 20 |"]
    text = inside + f"\n{' ' * len(inside)}".join(lines)
    cut = text.index("b | 30")
    shown(out, Chunk(text[:cut])).finish(REPLY)
    first = out.rows()
    shown(out, *map(Chunk, pieces(text[cut:], 5)), after=text[:cut]).finish(REPLY)
    whole = FakeOutput()
    shown(whole, Chunk(text)).finish(REPLY)
    assert out.rows() == [*first, *whole.rows()]


@pytest.mark.parametrize("name", ["code", "code line"])
def test_code_that_goes_on_is_highlighted(out, name):
    before, after = PARTS[name]
    shown(out, Chunk(after, tokens=1), after=before).finish(REPLY)
    assert "\x1b[35mreturn\x1b[0m x" in out.raw


def test_reasoning_before_a_reply_that_goes_on_changes_nothing(out):
    before, after = PARTS["list"]
    chunks = [Chunk(thinking="why"), Chunk(after), Chunk(thinking="again"), Chunk("more")]
    shown(out, *chunks, after=before, thinking="show").finish(REPLY)
    assert [row.strip() for row in out.rows() if "thought" not in row] == [
        "why",
        "• inside",
        "3. three",
        "again",
        "more",
    ]


def test_a_stored_message_looks_as_it_did(out):
    live = FakeOutput()
    text = "# Title\n\n- one\n- two\n\n```py\nx = 1\n```\n"
    shown(live, *[Chunk(char, tokens=1) for char in text]).finish(REPLY)
    show_message(out, Quiet(out), Message("assistant", text), plain=False)
    assert "answering" in live.raw and "answering" not in out.raw
    assert out.rows() == live.rows()
    for plain in (False, True):
        show_message(out, Quiet(out), Message("user", "a question\n\n  of two parts"), plain=plain)
        assert unstyled(out.raw).endswith("> a question\n  \n    of two parts\n")


def test_a_reply_that_is_shown_at_its_end_has_no_status_row_then(out):
    view = AtTheEnd(LiveView(out, Quiet(out), clock=lambda: out.now))
    view.show(Chunk("a word", tokens=2))
    before = len(out.raw)
    view.finish(Message("assistant", "a word\n\nmore", finish_reason="stop"))
    assert "answering" not in out.raw[before:]
    assert out.rows() == ["a word", "more"]


def test_code_shows_its_number_and_reasoning_shows_none(out):
    code = "```py\nx\n```\n"
    view = shown(out, Chunk(thinking=code), Chunk(code + "\n" + code), thinking="show")
    view.finish(Message("assistant", code + "\n" + code, thinking=code, finish_reason="stop"))
    rows = [row for row in out.rows() if row.startswith("```p")]
    assert rows == ["```py", "```py  [1]", "```py  [2]"]


def test_numbers_go_on_where_a_reply_goes_on(out):
    for plain in (False, True):
        out.raw = ""
        view = terminal_view(out, Quiet(out), thinking="fold", plain=plain, after="```\na\n```\n")
        view.show(Chunk("\n```\nb\n```\n", tokens=1))
        view.finish(Message("assistant", "b", finish_reason="stop"))
        assert "[2]" in out.raw
        assert "[1]" not in out.raw


def test_a_stored_reply_without_markdown_ends_in_one_line_end(out):
    show_message(out, Quiet(out), Message("assistant", "**a**\x1b[2J\n\n"), plain=True)
    assert out.raw == "**a**␛[2J\n"


def test_a_stored_question_shows_the_headers_of_its_files(out, tmp_path):
    files = [tmp_path / "a.py", tmp_path / "b.md"]
    for file in files:
        file.write_text("```py\nx\n```\n" + "word\n" * 40)
    text = "\n\n".join(["What is this?\nFile: x", *map(read_attachment, files)])
    out.columns = 500
    show_message(out, Quiet(out), Message("user", text), plain=False)
    said = unstyled(out.raw).splitlines()
    assert said[:3] == ["> What is this?", "  File: x", "  "]
    assert [line.partition(" (")[0] for line in said[3:]] == [
        f"  File: {files[0]}",
        "  ",
        f"  File: {files[1]}",
    ]


def flooded(out, text, *, reply=""):
    """A view that was stopped with `text` taken in and not painted yet."""
    view = LiveView(out, Quiet(out), clock=lambda: out.now)
    with view:
        view.show(Chunk("the beginning\n\n", tokens=1))
        out.now += 10
        view.show(Chunk())
        out.is_stopped = lambda: True
        out.raw = ""
        view.show(Chunk(text))
        whole = "the beginning\n\n" + (reply or text)
        view.finish(Message("assistant", whole, finish_reason="cancelled"))


def test_a_stop_paints_no_more_than_a_screen_of_what_waits(out):
    flooded(out, "word " * 20_000)
    assert len(out.raw) < 200
    assert out.rows() == ["the beginning", "…"]


def test_a_stop_paints_the_last_words_that_came(out):
    flooded(out, "and the end")
    assert out.rows() == ["the beginning", "and the end"]


def test_a_row_stands_for_what_a_stop_left_out_before_it_came_here(out):
    flooded(out, "and", reply="and " + "more " * 1000)
    assert out.rows() == ["the beginning", "and", "…"]


def test_a_reply_as_fast_as_a_flood_is_painted_in_steps_that_a_stop_ends(out):
    view = LiveView(out, Quiet(out), clock=lambda: out.now)
    with view:
        out.now += 10
        out.is_stopped = lambda: "word 30\n" in out.raw.replace("\r", "")
        view.show(Chunk("".join(f"word {n}\n\n" for n in range(5000)), tokens=1))
        view.finish(Message("assistant", "x" * 100_000, finish_reason="cancelled"))
    assert "word 25" in out.raw
    assert "word 60" not in out.raw


LONG_THOUGHT = "".join(f"I think of {n}.\n\n" for n in range(6))


def turned(out, thought, text="", **settings):
    """A view after a reply that was text until it turned out to be thinking."""
    chunks = [Chunk(piece) for piece in pieces(thought, 5)]
    return shown(out, *chunks, Chunk(text, "the end", was_thinking=True), **settings)


@pytest.mark.parametrize("thought", ["short", LONG_THOUGHT])
def test_text_that_was_thinking_is_taken_off_the_screen(out, thought):
    out.write("before\r\n")
    view = turned(out, thought, "# Answer\n\nFour.")
    view.finish(REPLY)
    rows = out.rows()
    assert rows[0] == "before"
    assert "thought for" in rows[1]
    assert rows[2:] == ["Answer", "Four."]


def test_shown_thinking_is_shown_as_such_once(out):
    turned(out, LONG_THOUGHT, "Four.", thinking="show").finish(REPLY)
    text = "\n".join(out.rows())
    assert text.count("I think of 5.") == 1
    assert text.count("the end") == 1
    assert text.endswith("Four.")


def test_hidden_thinking_leaves_nothing(out):
    turned(out, LONG_THOUGHT, "Four.", thinking="hide").finish(REPLY)
    assert out.rows() == ["Four."]


def test_what_scrolled_away_stays_and_the_answer_comes_below(out):
    thought = "".join(f"I think of {n}.\n\n" for n in range(60))
    turned(out, thought, "Four.", thinking="fold").finish(REPLY)
    rows = out.rows()
    assert "thought for" in rows[-2]
    assert rows[-1] == "Four."
    assert len(rows) < 5
