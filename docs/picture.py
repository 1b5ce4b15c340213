"""Make docs/session.svg: a real chat with the built-in model, as a picture.

python docs/picture.py: types into the program on a pseudo-terminal and draws what is seen.
"""

from __future__ import annotations

import io
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from rich.console import Console
from rich.style import Style
from rich.text import Text

from tests.support.term import Term

COLUMNS, ROWS = 88, 36
QUESTIONS = (
    "What is the capital of France? One sentence.",
    "Show a Python hello world program in a Markdown code block.",
)
NAMES = {"brown": "yellow"}
"""pyte's names for the terminal's colours, where Rich has another."""


def row_of(cells, columns: int) -> Text:
    """One row of the emulator's screen, with its styles."""
    row = Text()
    for column in range(columns):
        cell = cells[column]
        colour = None if cell.fg == "default" else NAMES.get(cell.fg, cell.fg)
        style = Style(color=colour, bold=cell.bold, italic=cell.italics, underline=cell.underscore)
        row.append(cell.data, style)
    row.rstrip()
    return row


def main() -> None:
    """Chat, and draw."""
    with (
        tempfile.TemporaryDirectory() as folder,
        Term("chat", "--temperature", "0", home=Path(folder), cols=COLUMNS, rows=ROWS) as term,
    ):
        term.at_prompt()
        for number, question in enumerate(QUESTIONS, 1):
            term.type(question + "\r")
            term.until(lambda t, n=number: t.text().count("tok/s ·") >= n, "the reply", 300)
            term.at_prompt()
        term.type("/tokens\r").see("session:").at_prompt()
        rows = [row_of(term.screen.buffer[y], COLUMNS) for y in range(ROWS)]
    while rows and not rows[-1].plain.strip():
        rows.pop()
    console = Console(record=True, width=COLUMNS, file=io.StringIO())
    for row in rows:
        console.print(row, no_wrap=True, overflow="crop")
    console.save_svg(str(Path(__file__).parent / "session.svg"), title="glm chat")


if __name__ == "__main__":
    main()
