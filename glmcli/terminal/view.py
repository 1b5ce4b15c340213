"""Views: one reply on a terminal or in a pipe; and the lines around it.

A view gets chunks and writes text. Knows nothing of engines, sessions or stores.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from types import TracebackType
from typing import Self

import wcwidth

from glmcli.errors import GlmError
from glmcli.terminal.tty import Output, Quiet
from glmcli.terminal.visible import visible, visible_line
from glmcli.types import Chunk, Message, Progress, Usage

STOPS = " · Ctrl-C stops"


class BaseView:
    """A view that shows nothing; the others fill in what they show."""

    _quiet: AbstractContextManager[object] = nullcontext()
    """What is entered while the reply is shown: a terminal is quiet then."""

    def __enter__(self) -> Self:
        self._quiet.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Leave the terminal as it was."""
        self._quiet.__exit__(kind, exc, trace)

    def show(self, chunk: Chunk) -> None:
        """Show the next piece of a reply."""

    def finish(self, reply: Message) -> None:
        """The reply is complete."""

    def abandon(self) -> None:
        """The reply broke off."""

    def fail(self, error: GlmError) -> None:
        """Tell a machine of an error. People are told by the door that they came through."""


class StatusLine:
    """One row that says what happens until there is text; it leaves nothing behind."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._started = time.monotonic()
        self._shown = ""
        self._progress: Progress | None = None
        self._is_thinking = False

    def show(self, chunk: Chunk) -> None:
        """Say what happens, if the terminal can take it back."""
        self._progress = chunk.progress or self._progress
        self._is_thinking = self._is_thinking or bool(chunk.thinking)
        seconds = time.monotonic() - self._started
        forms = progress_forms(self._progress, seconds)
        if self._is_thinking:
            forms = [f"thinking, {seconds:.0f} s"]
        row = fitting(forms, self._output.size().columns - 1)
        if self._output.is_live and row != self._shown:
            self._output.write(f"\r\x1b[K{row}")
            self._shown = row

    def clear(self) -> None:
        """Take the row back."""
        if self._shown:
            self._output.write("\r\x1b[K")
            self._shown = ""


class TextView(BaseView):
    """Raw text, one write per delta, exactly one newline at the end; thinking goes to `err`.

    Folded thinking is a row that leaves nothing behind, and is shown where there are no such rows.
    """

    def __init__(
        self,
        out: Output,
        err: Output | None = None,
        *,
        thinking: str = "hide",
        stream: bool = True,
        status: StatusLine | None = None,
    ) -> None:
        self._out = out
        cannot_fold = err is not None and not err.is_live
        self._err = err if thinking == "show" or (thinking == "fold" and cannot_fold) else None
        self._status = status
        self._stream = stream
        self._held = ""
        self._wrote = False
        self._was_thinking = False

    def show(self, chunk: Chunk) -> None:
        """Write the delta; line ends are held back until something follows them."""
        if self._status:
            if chunk.text or (chunk.thinking and self._err) or chunk.finish_reason:
                self._status.clear()
                self._status = None
            else:
                self._status.show(chunk)
        if chunk.thinking and self._err:
            if not self._was_thinking and self._wrote and self._err is self._out:
                self._err.write("\n")
            self._err.say(chunk.thinking)
            self._was_thinking = True
        if not chunk.text:
            return
        self._end_thinking()
        text = self._held + chunk.text
        body = text.rstrip("\n")
        self._held = text[len(body) :]
        if not self._stream:
            self._held = text
        elif body:
            self._wrote = True  # first, since a signal may end the write
            self._out.write(body)

    def finish(self, reply: Message) -> None:
        """End the line; nothing is written for a reply that was stopped before its first word."""
        self._end_thinking()
        if not self._stream:
            self._out.write(reply.text.rstrip("\n"))
        if reply.text or reply.finish_reason != "cancelled":
            self._out.write("\n")

    def abandon(self) -> None:
        """End the line if there is one."""
        if self._status:
            self._status.clear()
        self._end_thinking()
        if self._wrote:
            self._out.write("\n")

    def _end_thinking(self) -> None:
        if self._was_thinking and self._err:
            self._err.write("\n")
        self._was_thinking = False


class PlainView(TextView):
    """Deltas on a terminal without Markdown: made harmless, with a status row until they come."""

    def __init__(self, out: Output, quiet: Quiet, *, thinking: str = "fold") -> None:
        shown = "show" if thinking == "show" else "hide"
        super().__init__(out, out, thinking=shown, status=StatusLine(out))
        self._quiet = self._terminal = quiet

    def show(self, chunk: Chunk) -> None:
        """Write the delta, or the status while there is none."""
        self._terminal.collect()
        super().show(replace(chunk, text=visible(chunk.text), thinking=visible(chunk.thinking)))

    def finish(self, reply: Message) -> None:
        """End the line, if there is one."""
        if reply.text:
            super().finish(reply)
        else:
            self._end_thinking()


class AtTheEnd(BaseView):
    """Shows a reply through another view, but not before it is complete."""

    def __init__(self, view: BaseView) -> None:
        self._view = view
        self._quiet = view

    def show(self, chunk: Chunk) -> None:
        """Show what happens, without the text."""
        self._view.show(replace(chunk, text="", thinking=""))

    def finish(self, reply: Message) -> None:
        """Show the reply."""
        self._view.show(Chunk(thinking=reply.thinking))
        self._view.show(Chunk(reply.text))
        self._view.finish(replace(reply, finish_reason=reply.finish_reason and "stop"))

    def abandon(self) -> None:
        """The reply broke off."""
        self._view.abandon()


def terminal_view(
    out: Output, quiet: Quiet, *, thinking: str, plain: bool, after: str = ""
) -> BaseView:
    """The view for a terminal: live Markdown, or plain deltas where that is wanted or needed.

    `after` is the beginning of a reply that goes on.
    """
    if plain or not out.is_live:
        return PlainView(out, quiet, thinking=thinking)
    from glmcli.terminal.live import LiveView

    return LiveView(out, quiet, thinking=thinking, after=after)


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
