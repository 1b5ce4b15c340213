"""What was asked, as it stays on a terminal above its reply.

As text for whoever writes it, and as rows for a reply that lays it out again when the window
changes its width. Knows nothing of what is answered.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from glmcli.terminal.output import Output
from glmcli.terminal.phrases import question_lines, question_rows

if TYPE_CHECKING:
    from glmcli.terminal.rows import Row


def write_question(out: Output, text: str) -> None:
    """Have what was asked stay on the terminal; `Output.asked` is that text for what comes next."""
    out.write(
        question_rows(
            text,
            colours=out.colours,
            bold=out.is_live,
            in_words=out.is_reader,
            columns=out.size().columns,
        )
    )
    out.asked = text


def asked_rows(text: str, columns: int) -> list[Row]:
    """The rows that `write_question` writes in a window of so many columns."""
    from rich.style import Style

    from glmcli.terminal.theme import BOLD

    first, *others = question_lines(text, columns - len("> ") - 1)
    mark = ("> ", Style(color="cyan", bold=True))
    return [(mark, (first, BOLD)), *[((f"  {line}", BOLD),) for line in others]]
