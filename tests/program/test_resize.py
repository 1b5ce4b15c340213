"""A window that changes its size in the middle of a reply, in a terminal that wraps rows again."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from glmcli.terminal.markdown.stream import render
from tests.support.documents import SAMPLE, texts
from tests.support.tmux import GLM, Tmux, needs_tmux

pytestmark = [pytest.mark.pty, needs_tmux]
STEP = 5
FRAMES_A_KEY = 40
PROGRAM = """
import os, signal, sys, tty
from glmcli.terminal.markdown.stream import MarkdownStream
from glmcli.terminal.replies.painter import Painter
from glmcli.terminal.theme import DIM

text = open(sys.argv[1], encoding="utf-8").read()
size = os.get_terminal_size(1)
painter = Painter(sys.stdout.write, columns=size.columns, lines=size.lines)
stream, done = MarkdownStream(width=painter.width), 0
tty.setcbreak(0)
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGWINCH])

def paint():
    where = f"{done} {size.columns}x{size.lines}"
    painter.paint(stream.take(), stream.live(), ((where, DIM),))
    sys.stdout.flush()

def settle():
    # until the terminal has taken all that was painted
    os.write(1, b"\\x1b[5n")
    while os.read(0, 1) != b"n":
        pass
    with open(sys.argv[4], "w") as file:
        file.write(f"{done} {size.columns}x{size.lines}")

paint()
settle()
while (key := os.read(0, 1)) != b"q":
    if key == b"r":
        while size == os.get_terminal_size(1):  # tmux takes its time
            signal.sigwait([signal.SIGWINCH])
        size = os.get_terminal_size(1)
        reach = painter.reach(size.columns, size.lines, reflow=True)
        back = stream.lay_again(size.columns - 1, *reach)
        kept = painter.resize(size.columns, size.lines, reflow=True, back=back)
        stream.resize(painter.width, keep=kept)
        paint()
    for _ in range(int(sys.argv[2]) if key == b"f" else 0):
        stream.feed(text[done : done + int(sys.argv[3])])
        done += int(sys.argv[3])
        paint()
    settle()
stream.finish()
painter.paint(stream.take())
painter.finish()
print("END", flush=True)
os.read(0, 1)
"""


class Reply:
    """A window of tmux in which a text is streamed, so many frames a key."""

    def __init__(self, tmux: Tmux, settled: Path) -> None:
        self.tmux = tmux
        self.done = 0
        self._settled = settled
        self._see("0 100x30")

    def feed(self) -> None:
        """Stream a piece of the text."""
        self.done += FRAMES_A_KEY * STEP
        self.tmux.type("f")
        self._see(f"{self.done} ")

    def resize(self, columns: int, lines: int) -> None:
        """Change the size of the window."""
        self.tmux.resize(columns, lines).type("r")
        self._see(f"{self.done} {columns}x{lines}")

    def _see(self, where: str) -> None:
        """Wait until the terminal shows a frame to its end: half a one would be wrapped again."""

        def is_there(_: Tmux) -> bool:
            return self._settled.exists() and where in self._settled.read_text(encoding="utf-8")

        self.tmux.until(is_there, where)

    def end(self) -> str:
        """What is in the window after the reply."""
        return self.tmux.type("q").see("END").text().partition("END")[0]


@pytest.fixture
def reply(tmp_path):
    """`reply(text)`: a window of 100 x 30 in which the text can be streamed."""
    windows = []

    def start(text: str) -> Reply:
        program, file = tmp_path / "program.py", tmp_path / "text"
        program.write_text(PROGRAM, encoding="utf-8")
        file.write_text(text, encoding="utf-8")
        settled = tmp_path / "settled"
        command = [sys.executable, program, file, FRAMES_A_KEY, STEP, settled]
        windows.append(Tmux(*map(str, command), home=tmp_path, cols=100, rows=30))
        return Reply(windows[-1], settled)

    yield start
    for window in windows:
        window.close()


def words(first: int, count: int) -> str:
    """So many words that occur only once."""
    return " ".join(f"w{number:04d}" for number in range(first, first + count))


TABLE = "Intro\n\n| a | b | c | d |\n|---|---|---|---|\n" + "".join(
    "|" + "|".join(words(n * 12 + 3 * cell, 3) for cell in range(4)) + "|\n" for n in range(11)
)
CODE = "Code:\n\n```python\n" + "".join(f"    {words(n * 14, 14)}\n" for n in range(30)) + "```\n"
PARAGRAPHS = "\n\n".join(words(n * 60, 60) for n in range(4))


def letters(text: str) -> str:
    """What does not depend on the width: no blanks, no drawn lines."""
    return re.sub(r"[\s▌─]", "", text)


@pytest.mark.parametrize(
    "changes",
    [
        [(200, 60, 24), (400, 40, 24), (600, 100, 30)],
        [(200, 40, 12), (400, 120, 40), (600, 70, 20)],
        [(200, 100, 12), (400, 60, 24), (600, 80, 16)],
        [(600, 50, 30), (800, 120, 16), (1200, 40, 30), (1400, 40, 24), (1800, 80, 40)],
    ],
)
def test_nothing_is_lost_or_shown_twice_when_the_window_changes(reply, changes):
    """`changes`: after so many characters, so many columns and lines."""
    window = reply(SAMPLE)
    sizes = {done: size for done, *size in changes}
    while window.done < len(SAMPLE):
        window.feed()
        if window.done in sizes:
            window.resize(*sizes[window.done])
    assert letters(window.end()) == letters("".join(texts(render(SAMPLE, width=99))))


@pytest.mark.parametrize("text", [TABLE, CODE, PARAGRAPHS], ids=["table", "code", "paragraphs"])
@pytest.mark.parametrize(
    "changes",
    [
        [(600, 60, 30), (800, 40, 24)],
        [(400, 40, 24), (800, 40, 12), (1000, 100, 30)],
        [(200, 60, 12), (600, 40, 12)],
    ],
)
def test_every_word_is_shown_once_whatever_is_typed_when_the_window_changes(reply, text, changes):
    window = reply(text)
    sizes = {done: size for done, *size in changes}
    while window.done < len(text):
        window.feed()
        if window.done in sizes:
            window.resize(*sizes[window.done])
    shown = re.findall(r"w\d{4}", re.sub(r"\s", "", window.end()))
    assert sorted(shown) == re.findall(r"w\d{4}", text)
    assert shown == sorted(shown) or text is TABLE


@pytest.mark.parametrize(("columns", "widest"), [(60, 56), (140, 122)])
def test_what_is_on_the_screen_of_a_reply_has_no_split_words(reply, columns, widest):
    text = f"{words(0, 10)}\n\n" + "\n".join(f"- {words(20 * n, 20)}" for n in range(1, 6))
    window = reply(text)
    while window.done < len(text) - 100:
        window.feed()
    window.resize(columns, 30)
    shown = window.tmux.run("capture-pane", "-p").partition(f"\n{window.done} ")[0]
    whole = shown.partition("\n")[2]  # the first row may be the rest of one above the screen
    assert all(re.fullmatch(r"•|w\d{4}", word) for word in whole.split()[:-1])
    assert max(map(len, shown.splitlines())) == widest
    window.feed()
    assert re.findall(r"w\d{4}", re.sub(r"\s", "", window.end())) == re.findall(r"w\d{4}", text)


LATER = ["and one that waits", "another that waits too, of so many words that it wraps " + "x" * 40]
TYPED = {
    "words": [words(0, 40)],
    "chinese": [" ".join(f"第w{n:04}句话" for n in range(24))],
    "table": ["|a|b|", "|-|-|", *(f"|{words(n * 6, 3)}|{words(n * 6 + 3, 3)}|" for n in range(6))],
}


@pytest.mark.parametrize(
    ("kind", "later", "sizes"),
    [
        ("words", LATER, [(130, 30), (45, 20)]),
        ("words", [], [(100, 30), (60, 30)]),
        ("words", LATER, [(45, 30), (100, 30)]),
        ("chinese", LATER, [(100, 30), (60, 30)]),
        ("table", LATER, [(120, 24), (70, 30), (100, 20), (50, 24)]),
    ],
)
def test_a_reply_below_other_rows_is_whole_in_a_window_that_changes(tmp_path, kind, later, sizes):
    """How many of the rows above it are left there, after the terminal wrapped all of them again,
    only the terminal knows.
    """
    typed = TYPED[kind]
    wanted = re.findall(r"w\d{4}", "".join(typed))
    chat = [*GLM, "chat", "-m", "echo:delay=0.15"]
    with Tmux(*chat, home=tmp_path, cols=sizes[0][0], rows=sizes[0][1]) as tmux:
        tmux.at_prompt().type("first", "Enter").see("1 token · first").at_prompt()
        for line in typed:
            tmux.type(*(["C-j"] if line is not typed[0] else []), line)
        tmux.type("Enter").see("answering")
        for line in later:
            tmux.type(line, "Enter")
        count = len(wanted)
        for size in sizes[1:]:
            count += len(wanted) // 4
            tmux.until(lambda window, n=count: len(said(window)) > n, "more of the reply")
            tmux.resize(*size)
        text = tmux.see("tokens · first").text()
        assert said(tmux) == wanted * 2
        reply = text[: text.index("tokens · first")].rpartition("w0000")[2]
        assert re.findall(r"w\d{4}", reply) == wanted[1:]
        assert "wait" not in reply


@pytest.mark.parametrize(
    ("kind", "earlier", "sizes"),
    [
        ("words", 0, [(100, 24), (60, 24)]),
        ("words", 3, [(100, 24), (60, 24), (40, 24)]),
        ("chinese", 3, [(100, 30), (60, 30), (90, 30)]),
        ("table", 3, [(100, 30), (50, 30)]),
    ],
)
def test_the_question_above_a_reply_is_laid_out_again_with_it(tmp_path, kind, earlier, sizes):
    """`earlier`: so many commands were typed before. In the first screenful tmux puts rows out of
    reach before the program hears of the new width, with a word that it split: its end is the
    first of what is left.
    """
    typed = TYPED[kind]
    wanted = re.findall(r"w\d{4}", "".join(typed))
    chat = [*GLM, "chat", "-m", "echo:delay=0.1"]
    with Tmux(*chat, home=tmp_path, cols=sizes[0][0], rows=sizes[0][1]) as tmux:
        tmux.at_prompt()
        for _ in range(earlier):
            tmux.type("/help", "Enter").at_prompt()
        for line in typed:
            tmux.type(*(["C-j"] if line is not typed[0] else []), line)
        tmux.type("Enter").see("answering")
        for size in sizes[1:]:
            tmux.resize(*size)
        tmux.see("tokens · first").at_prompt()
        assert said(tmux) == wanted * 2
        split = re.compile(r"w\d{0,3}$|^ *\d{1,4}(?= w| *$)")
        rows = tmux.lines() if earlier else tmux.lines()[1:]
        assert not [row for row in rows if split.search(row)]


def said(tmux: Tmux) -> list[str]:
    """The words on the screen and above it, of question and reply, split or not."""
    return re.findall(r"w\d{4}", re.sub(r"\s", "", tmux.text()))
