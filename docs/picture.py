"""Make the recorded sessions of README and guide: what a terminal shows of the real program.

python docs/picture.py [NAME …]: types into the program on a pseudo-terminal and draws what is seen.
"""

from __future__ import annotations

import io
import sys
import tempfile
from itertools import groupby
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from rich.console import Console
from rich.style import Style
from rich.text import Text

from tests.support import guide
from tests.support.term import Term

HERE = Path(__file__).parent
COLUMNS, ROWS = 88, 36
QUESTIONS = (
    "What is the capital of France? One sentence.",
    "Show a Python hello world program in a Markdown code block.",
)
FILES = r"""
$ printf 'def add(a, b):\n    return a + b\n' > add.py
$ glm ask -m echo: "Review this" @add.py
$ cat add.py | glm ask -q --temperature 0 "Name this function. One sentence."
$ glm ask -q -x --temperature 0 "A Python hello world program in a Markdown code block" > hello.py
$ cat hello.py && python3 hello.py
$ glm ask -q "Review these" @./
send these 2 files? [y/N] n
"""
CHATS = ("Plan a trip to Chengdu", "What is a hash table?", "Write a birthday poem for Ann")
LIST = "\x07"
"""Ctrl-G."""
NAMES = {"brown": "yellow"}
"""pyte's names for the terminal's colours, where Rich has another."""


def style_of(cell) -> Style:
    """How one character of the emulator's screen looks."""
    colour = None if cell.fg == "default" else NAMES.get(cell.fg, cell.fg)
    return Style(color=colour, bold=cell.bold, italic=cell.italics, underline=cell.underscore)


def row_of(cells, columns: int) -> Text:
    """One row of the emulator's screen, with its styles."""
    row = Text()
    for style, run in groupby((cells[column] for column in range(columns)), style_of):
        row.append("".join(cell.data for cell in run), style)
    row.rstrip()
    return row


def draw(term: Term, path: Path, title: str) -> None:
    """Write what is on the screen as a picture."""
    columns = term.screen.columns
    rows = [row_of(term.screen.buffer[y], columns) for y in range(term.screen.lines)]
    while rows and rows[-1].plain.strip() in ("", "$"):
        rows.pop()
    console = Console(record=True, width=columns, file=io.StringIO())
    for row in rows:
        console.print(row, no_wrap=True, overflow="crop")
    console.save_svg(str(path), title=title)


def chat(path: Path) -> None:
    """Chat with the built-in model."""
    with (
        tempfile.TemporaryDirectory() as folder,
        Term(
            *("chat", "-m", "smollm2", "--temperature", "0"),
            home=Path(folder),
            cols=COLUMNS,
            rows=ROWS,
        ) as term,
    ):
        term.at_prompt()
        for number, question in enumerate(QUESTIONS, 1):
            term.type(question + "\r")
            term.until(lambda t, n=number: t.text().count("tok/s ·") >= n, "the reply", 300)
            term.at_prompt()
        term.type("/tokens\r").see("session:").at_prompt()
        draw(term, path, "glm chat")


def shell(path: Path, lines: str) -> None:
    """Type what a page of the guide would show."""
    with guide.reading("en") as reader:
        for step in guide.steps(f"```console\n{lines.strip()}\n```\n"):
            reader.do(step)
        draw(reader.term, path, "glm")


def earlier(path: Path) -> None:
    """Have some chats, and open the list of them in another."""
    with guide.reading("en") as reader:
        for question in CHATS:
            reader.do(guide.Step("glm chat -m echo:", [question]))
        reader.enter("$", "clear")
        reader.prompt("$")
        reader.enter("$", "glm chat -m echo:")
        reader.prompt(">")
        reader.term.type(LIST).see(CHATS[0])
        draw(reader.term, path, "glm chat, Ctrl-G")


def main() -> None:
    """Make the pictures that are named, or all."""
    sessions = {
        "session": lambda: chat(HERE / "session.svg"),
        "files": lambda: shell(HERE / "guide" / "files.svg", FILES),
        "history": lambda: earlier(HERE / "guide" / "history.svg"),
    }
    for name in sys.argv[1:] or sessions:
        sessions[name]()


if __name__ == "__main__":
    main()
