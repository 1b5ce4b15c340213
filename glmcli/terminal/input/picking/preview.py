"""A glance at one conversation below a list of them: when it was, how it ended.

Knows nothing of the list, nor of how it is drawn.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from glmcli.errors import GlmError
from glmcli.language import ntr, tr
from glmcli.paths import short_model
from glmcli.terminal.input.picking import Entry, Source
from glmcli.terminal.phrases import clipped
from glmcli.terminal.visible import steady, visible, visible_line
from glmcli.types import Message

QUESTION_ROWS = 2
Fragments = list[tuple[str, str]]


def preview_rows(
    source: Source, entry: Entry | None, *, columns: int, count: int
) -> list[Fragments]:
    """So many rows: the facts, the last question, the beginning of the reply to it."""
    if entry is None:
        return [[] for _ in range(count)]
    rows: list[Fragments] = [[("class:dim", clipped(facts(entry), columns))]]
    try:
        messages = source.last_words(entry.id)
    except GlmError as exc:
        messages = []
        rows.append([("class:warning", clipped(visible_line(exc.message), columns))])
    for message in messages:
        is_question = message.role == "user"
        most = QUESTION_ROWS if is_question else count
        style, mark = ("class:mark", "> ") if is_question else ("", "  ")
        for at, line in enumerate(text_rows(message, columns - 2)[:most]):
            rows.append([(style, mark if at == 0 else "  "), ("", line)])
    return (rows + [[] for _ in range(count)])[:count]


def facts(entry: Entry) -> str:
    """What is known of a conversation, in one line."""
    when = ""
    if entry.updated_at:  # else it is unknown
        when = time.strftime("%Y-%m-%d %H:%M", time.localtime(entry.updated_at))
    turns = ntr("{n:,} turn", "{n:,} turns", entry.turns)
    model = visible_line(short_model(entry.model))
    return "── " + " · ".join(filter(None, [entry.id, when, turns, model]))


def text_rows(message: Message, columns: int) -> Sequence[str]:
    """The text of a message, harmless, in rows that fit; no blank ones."""
    from rich.style import Style

    from glmcli.terminal.rows import plain, trimmed, wrap  # it imports Rich

    text = message.text.strip() or tr("(no text)")
    found = []
    for line in steady(visible(text)).expandtabs(4).splitlines():
        if line.strip():
            found += [plain(trimmed(row)) for row in wrap([(line, Style())], columns)]
    return found
