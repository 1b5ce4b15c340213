"""Words around a reply: what it cost, how it ended, what the engine is doing; sizes and lists.

Pure functions from values to lines. Knows nothing of the terminal.
"""

from __future__ import annotations

from collections.abc import Sequence

import wcwidth

from glmcli.terminal.visible import visible, visible_line
from glmcli.types import Message, Progress, Usage

STOPS = " · Ctrl-C stops"


def size(count: int | None) -> str:
    """Bytes for a person: "259 MB"."""
    if count is None:
        return ""
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"


def stats_line(usage: Usage, context_tokens: int | None) -> str:
    """What a reply cost: "3 tokens · first 0.50 s · 2.0 tok/s · window 13 of 8,192"."""
    parts = []
    if usage.completion_tokens is not None:
        parts.append(plural(usage.completion_tokens, "token"))
    if usage.first_token_s is not None:
        parts.append(f"first {usage.first_token_s:.2f} s")
    if usage.tokens_per_s is not None:
        parts.append(f"{usage.tokens_per_s:.1f} tok/s")
    if usage.cached_tokens:
        parts.append(f"cached {usage.cached_tokens:,} of {usage.prompt_tokens:,}")
    if usage.total_tokens is not None:
        window = f" of {context_tokens:,}" if context_tokens else ""
        parts.append(f"window {usage.total_tokens:,}{window}")
    return " · ".join(parts)


def clipped(line: str, columns: int, *, keep_end: bool = False) -> str:
    """A line of at most so many cells: its start, or its end; "…" stands for the rest."""
    cells = wcwidth.width(line)
    if cells <= columns:
        return line
    if columns < 1:
        return ""
    if keep_end:
        return "…" + wcwidth.clip(line, cells - columns + 1, cells).lstrip()
    return wcwidth.clip(line, 0, columns - 1).rstrip() + "…"


def fitting(lines: Sequence[str], columns: int) -> str:
    """The first of the lines that has so many cells at most; else the last, clipped."""
    fits = (line for line in lines if wcwidth.width(line) <= columns)
    return next(fits, clipped(lines[-1], columns))


def status_row(heads: Sequence[str], columns: int) -> str:
    """What happens, in the longest of its forms for which there is room; and how to stop it."""
    return fitting(heads, columns - len(STOPS)) + STOPS


def question_rows(text: str) -> str:
    """What was sent, as it stays on a terminal."""
    return "> " + visible(text).replace("\n", "\n  ") + "\n"


def end_note(reply: Message, context_tokens: int | None = None) -> str:
    """What must be said when a reply did not end by itself, or is none; "" for all others."""
    used = (reply.usage or Usage()).total_tokens
    is_full = bool(context_tokens and used and used >= context_tokens)
    match reply.finish_reason:
        case "cancelled" if reply.text:
            return "stopped; what arrived is kept"
        case "cancelled" if reply.thinking:
            return "stopped while it was thinking; /retry asks again"
        case "cancelled":
            return "stopped before the first word"
        case "length" if is_full:
            return "cut: the window is full; /reset starts a new conversation"
        case "length" if reply.text:
            return "cut at the token limit; /continue goes on"
        case "length" if reply.thinking:
            return "cut at the token limit while it was thinking; /retry max_tokens=N asks again"
        case "length":
            return "cut at the token limit before the first word"
        case _ if reply.text:
            return ""
        case _ if reply.thinking:
            return "the model only thought; /thinking shows what"
        case _:
            return "the model ended its reply without a word"


def progress_line(progress: Progress | None, seconds: float | None, *, brief: bool = False) -> str:
    """What happens before there is text, for a person who waits; `brief` without its details."""
    clock = "" if seconds is None else f", {seconds:.0f} s"
    if progress is None:
        return "waiting for the model" + clock
    if progress.stage == "waiting":
        if brief:
            return "waiting" + clock
        note = f" ({progress.note})" if progress.note else ""
        return f"waiting{clock}; the server may be busy{note}"
    words = {
        "fetching": "fetching the model",
        "converting": "converting the model",
        "loading": "loading the model",
        "reading": "reading the prompt",
        "summarising": "summarising the oldest turns",
    }
    parts = [words[progress.stage]]
    if brief:
        return parts[0] + clock
    if progress.note:
        parts.append(progress.note)
    if progress.total and progress.done < progress.total:
        done = amount(progress.done, progress.unit)
        done = done.removesuffix(f" {progress.unit}")  # "128 of 512 tokens", but "1 MB of 2 MB"
        parts.append(f"{done} of {amount(progress.total, progress.unit)}")
    elif progress.done and not progress.total:
        parts.append(amount(progress.done, progress.unit))
    return ", ".join(parts) + clock


def progress_forms(progress: Progress | None, seconds: float | None) -> list[str]:
    """The same for a row of a terminal: the whole line, and the line without its details."""
    return [visible_line(progress_line(progress, seconds, brief=it)) for it in (False, True)]


def amount(count: int, unit: str) -> str:
    """A number with its unit."""
    return f"{count / 1e6:,.0f} MB" if unit == "bytes" else f"{count:,} {unit}"


def plural(count: int, noun: str) -> str:
    """A count and its noun: "1 token", "2 tokens"."""
    return f"{count:,} {noun}" + ("" if count == 1 else "s")
