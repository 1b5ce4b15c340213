"""Words around a reply: what it cost, how it ended, what the engine is doing; sizes and lists.

Pure functions from values to lines. Knows nothing of the terminal.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from glmcli.errors import NoText
from glmcli.language import later, ntr, tr
from glmcli.paths import split_address
from glmcli.terminal.visible import MOST_A_CELL, visible, visible_line

if TYPE_CHECKING:
    from glmcli.types import Message, Progress, Usage

STOPS = later(" · Ctrl-C stops")
TITLE_CELLS = 30
"""How much of a title stands beside its id: with age and kind it fits a narrow window."""
BUSY_S = 1.0
"""Any server may take this long to begin."""
MEASURED_S, SOON_S = 1.0, 2.0
"""Work is measured so long before its end is estimated; an end sooner than the second is near."""
_STAGES = {
    "fetching": later("fetching the model"),
    "converting": later("converting the model"),
    "loading": later("loading the model"),
    "reading": later("reading the prompt"),
    "summarising": later("summarising the oldest turns"),
}
"""What an engine does before there is text."""


def size(count: int | None) -> str:
    """Bytes for a person: "259 MB"."""
    if count is None:
        return ""
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"


def age(moment: float, say: Callable[[str], str] = tr) -> str:
    """How long ago, in the largest unit that fits, whose name is passed through `say`: "5 min".

    "?" for 0, an unknown time.
    """
    if not moment:
        return "?"
    seconds = max(0.0, time.time() - moment)
    for unit, length in ((later("d"), 86400), (later("h"), 3600), (later("min"), 60)):
        if seconds >= length:
            return f"{seconds // length:.0f} {say(unit)}"
    return f"{seconds:.0f} {say(later('s'))}"


def span(seconds: float) -> str:
    """A time to the second, from two minutes on to the minute: "9 s", "2 h", "1 h 30 min"."""
    whole = round(max(0.0, seconds))
    if whole < 120:
        return f"{whole} {tr('s')}"
    hours, minutes = divmod(round(whole / 60), 60)
    parts = (hours, tr("h")), (minutes, tr("min"))
    return " ".join(f"{n} {unit}" for n, unit in parts if n)


def summary_line(title: str, moment: float, kind: str) -> str:
    """What stands beside the id of a conversation: its title, its age, and whether it is an ask."""
    return " · ".join(filter(None, [title, age(moment), tr("ask") if kind == "ask" else ""]))


def system_text(system: str | None) -> str:
    """A system prompt, or what there is in its place."""
    return tr("(none)") if system is None else system or tr("(empty)")


def stats_line(usage: Usage, context_tokens: int | None) -> str:
    """What a reply cost: "3 tokens · first 0.50 s · 2.0 tok/s · window 13 of 8,192"."""
    parts = []
    if usage.completion_tokens is not None:
        parts.append(token_phrase(usage.completion_tokens))
    if usage.first_token_s is not None:
        parts.append(tr("first {seconds:.2f} s", seconds=usage.first_token_s))
    if usage.tokens_per_s is not None:
        parts.append(tr("{speed:.1f} tok/s", speed=usage.tokens_per_s))
    if usage.cached_tokens:
        parts.append(
            tr("cached {cached:,} of {all:,}", cached=usage.cached_tokens, all=usage.prompt_tokens)
        )
    if usage.total_tokens is not None:
        used, window = usage.total_tokens, context_tokens
        parts.append(
            tr("window {used:,} of {window:,}", used=used, window=window)
            if window
            else tr("window {used:,}", used=used)
        )
    return " · ".join(parts)


def clipped(line: str, columns: int, *, keep_end: bool = False) -> str:
    """A line cut to `columns` cells: its start, or its end; "…" stands for the rest."""
    if fits(line, columns):
        return line
    if columns < 1:
        return ""
    import wcwidth

    most = MOST_A_CELL * columns
    if keep_end:
        line = line[-most:]
        cells = wcwidth.width(line)
        return "…" + wcwidth.clip(line, max(cells - columns + 1, 0), cells).lstrip()
    return wcwidth.clip(line[:most], 0, columns - 1).rstrip() + "…"


def fits(line: str, columns: int) -> bool:
    """Whether a line fits `columns` cells, and has not far more characters."""
    if line.isascii() and line.isprintable():
        return len(line) <= columns
    import wcwidth  # it imports a lot

    return len(line) <= MOST_A_CELL * columns and wcwidth.width(line) <= columns


def fitting(lines: Sequence[str], columns: int) -> str:
    """The first of the lines that fits `columns` cells; else the last, clipped."""
    return next((line for line in lines if fits(line, columns)), clipped(lines[-1], columns))


def status_row(heads: Sequence[str], columns: int) -> str:
    """What happens, in the longest of its forms for which there is room; and how to stop it."""
    import wcwidth

    stops = tr(STOPS)
    return fitting(heads, columns - wcwidth.width(stops)) + stops


def queue_rows(lines: Sequence[str], draft: str, *, columns: int, most: int) -> list[str]:
    """What waits while a reply comes: at most so many of the last lines, then the one being typed.

    The last line says how it is taken back, if there is room.
    """
    hidden = len(lines) - most if len(lines) > most else 0
    rows = [f"> {clipped(visible_line(line), columns - 2)}" for line in lines[hidden:]]
    if rows:
        rows[-1] = fitting([rows[-1] + tr(" · waits, Up takes it back"), rows[-1]], columns)
    if hidden:
        rows.insert(0, "  " + ntr("{n:,} earlier line waits", "{n:,} earlier lines wait", hidden))
    if draft.strip():
        rows.append(f"> {clipped(visible_line(draft), columns - 3, keep_end=True)}_")
    return rows


def question_rows(
    text: str, *, colours: int = 0, bold: bool = False, in_words: bool = False, columns: int = 0
) -> str:
    """What was sent, as it stays on a terminal: bold, behind a mark in colour, where these work.

    `in_words` has a word for the mark. Lines are broken between words at `columns`, if not 0.
    """
    mark = tr("you: ") if in_words else "> "
    lines = question_lines(text, columns and columns - len(mark.encode()) - 1)
    if in_words:
        return mark + "\n".join(lines) + "\n"
    rows = "\n  ".join(lines)
    if not bold:
        return f"> {rows}\n"
    mark = "\x1b[1;36m> \x1b[39m" if colours else "\x1b[1m> "
    return f"{mark}{rows}\x1b[0m\n"


def question_lines(text: str, room: int) -> list[str]:
    """What was sent in lines of so many cells, broken between words; as it is for 0."""
    text = visible(text)
    if room and not all(fits(line, room) for line in text.split("\n")):
        from glmcli.terminal.rows import hang  # it imports Rich

        text = hang(text, max(room, 1))
    return text.split("\n")


def end_note(
    reply: Message,
    context_tokens: int | None = None,
    window: int | None = None,
    *,
    commands: bool = False,
) -> str:
    """What must be said of a reply that did not end by itself, or is empty; "" for all others.

    `window` is what --window says, if it was given; `commands`: whether /commands run where it is
    said, so that one can be named.
    """
    used = reply.usage.total_tokens if reply.usage else None
    is_full = bool(context_tokens and used and used >= context_tokens)
    is_set = window == context_tokens
    note, way = how_it_ended(reply, is_full=is_full, set_window=window if is_set else None)
    return tr("; ").join(filter(None, [note, way if commands else ""]))


def how_it_ended(
    reply: Message, *, is_full: bool, set_window: int | None = None
) -> tuple[str, str]:
    """What must be said of the end of a reply, and which of the /commands go on from there."""
    match reply.finish_reason:
        case "cancelled" if reply.text:
            return tr("stopped; what arrived is kept"), ""
        case "cancelled" if reply.thinking:
            return tr("stopped while it was thinking"), tr("/retry asks again")
        case "cancelled":
            return tr("stopped before the first word"), ""
        case "interrupted" if reply.text:
            return tr("interrupted; what arrived is kept"), tr("/continue goes on")
        case "interrupted" if reply.thinking:
            return tr("interrupted while it was thinking"), tr("/retry asks again")
        case "interrupted":
            return tr("interrupted before the first word"), tr("/retry asks again")
        case "length" if is_full and set_window:
            note = tr("cut: --window is {n:,}", n=set_window)
            return note, tr("/reset starts a new conversation")
        case "length" if is_full:
            return tr("cut: the window is full"), tr("/reset starts a new conversation")
        case "length" if reply.text:
            return tr("cut at the token limit"), tr("/continue goes on")
        case "length" if reply.thinking:
            note = tr("cut at the token limit while it was thinking")
            return note, tr("/retry max_tokens=N asks again")
        case "length":
            return tr("cut at the token limit before the first word"), ""
        case "time" if reply.text:
            return tr("cut at the time limit of the model (max_time)"), tr("/continue goes on")
        case "time" if reply.thinking:
            return tr("cut at the time limit of the model (max_time) while it was thinking"), ""
        case "time":
            return tr("cut at the time limit of the model (max_time) before the first word"), ""
        case _ if reply.text.strip():
            return "", ""
        case _ if reply.thinking:
            return tr("the model only thought"), tr("/thinking shows what")
        case _:
            return tr("the model ended its reply without a word"), ""


def no_answer(
    reply: Message,
    context_tokens: int | None = None,
    window: int | None = None,
    *,
    commands: bool = False,
) -> NoText | None:
    """The error for a reply that says nothing and was not stopped; None for all others.

    `context_tokens` and `window` are those of `end_note`.
    """
    if reply.finish_reason == "cancelled" or reply.text.strip():
        return None
    if reply.finish_reason != "length":
        return NoText(end_note(reply, commands=commands), again=reply.finish_reason == "stop")
    note = end_note(reply, context_tokens, window)
    if note != end_note(reply):  # the window is full, and the note says so
        return NoText(note, in_chat=tr("/reset starts a new conversation"))
    hint = tr("set --max-tokens to more")
    if reply.thinking:
        hint = tr("set --max-tokens to more; --no-think keeps the model from thinking")
    return NoText(note, hint, in_chat=tr("/retry max_tokens=N asks again"))


class TimeLeft:
    """How long work will take yet, by the speed at which it went since it was first reported."""

    def __init__(self) -> None:
        self._stage = ""
        self._from = (0, 0.0)
        self._last = (0, 0.0)

    def at(self, progress: Progress | None, now: float) -> float | None:
        """Seconds; None as long as that is a guess. `now` in seconds of any clock."""
        if progress is None or not progress.total:
            return None
        if progress.stage != self._stage or progress.done < self._from[0]:
            self._stage, self._from = progress.stage, (progress.done, now)
            self._last = self._from
        if progress.done > self._last[0]:
            self._last = progress.done, now
        done, seconds = (self._last[0] - self._from[0]), self._last[1] - self._from[1]
        if not done or seconds < MEASURED_S:
            return None
        since = now - self._last[1]
        return max((progress.total - self._last[0]) * seconds / done - since, 0.0)


def progress_line(progress: Progress | None, seconds: float | None, *, brief: bool = False) -> str:
    """What happens before there is text, for a person who waits; `brief` without its details."""
    clock = "" if seconds is None else tr(", {seconds:.0f} s", seconds=seconds)
    is_soon = seconds is not None and seconds < BUSY_S
    if progress is None or (progress.stage == "waiting" and is_soon and not progress.note):
        return tr("waiting for the model") + clock
    if progress.stage == "parts":
        return (progress.note.split(tr(", "))[0] if brief else progress.note) + clock
    if progress.stage == "stuck":
        return tr("the model has made no step for {seconds:,} s", seconds=progress.done)
    if progress.stage == "waiting":
        note = f" ({progress.note})" if progress.note else ""
        if brief or progress.unit != "s":
            return tr("waiting") + note + clock
        return tr("waiting{clock}; the server may be busy", clock=clock) + note
    parts = [tr(_STAGES[progress.stage])]
    if brief:
        return parts[0] + clock
    if progress.note:
        parts.append(progress.note)
    if progress.total and progress.done < progress.total:
        total = amount(progress.total, progress.unit)
        done = f"{progress.done:,}"
        if progress.unit == "bytes":  # "128 of 512 tokens", but "1 MB of 2 MB"
            done = amount(progress.done, progress.unit)
        parts.append(tr("{done} of {total}", done=done, total=total))
    elif progress.done and not progress.total:
        parts.append(amount(progress.done, progress.unit))
    return tr(", ").join(parts) + clock


def progress_forms(
    progress: Progress | None, seconds: float | None, left: float | None = None
) -> list[str]:
    """The same for a row of a terminal: the whole line, and the line without its details.

    `left` is how many seconds it will take yet, said in place of those that passed.
    """
    if left is not None and left >= SOON_S:
        ends = tr(", ") + tr("about {seconds:.0f} s left", seconds=left)
        return [f"{form}{ends}" for form in progress_forms(progress, None)]
    return [visible_line(progress_line(progress, seconds, brief=it)) for it in (False, True)]


def amount(count: int, unit: str) -> str:
    """A number with its unit."""
    if unit == "bytes":
        return f"{count / 1e6:,.0f} MB"
    return token_phrase(count) if unit == "tokens" else f"{count:,} {unit}"


def token_phrase(count: int) -> str:
    """A count of tokens: "1 token", "2 tokens"."""
    return ntr("{n:,} token", "{n:,} tokens", count)


def was_with(model: str, *, typed: bool) -> str:
    """How to go back to the model of a conversation: `typed` at the prompt, or in a shell."""
    how, between = ("/model", " ") if typed else ("-m", " --base-url ")
    return tr(
        "it was with {model}, {how} {model} goes back to it",
        model=between.join(filter(None, split_address(model))),
        how=how,
    )
