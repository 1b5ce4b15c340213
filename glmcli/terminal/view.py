"""Views: one reply on a terminal, in a pipe, or as JSON; and the lines around it.

A view gets chunks and writes text. Knows nothing of engines, sessions or stores.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, replace
from types import TracebackType
from typing import Any, Self

from glmcli.errors import GlmError
from glmcli.terminal.tty import Output, Quiet
from glmcli.terminal.visible import visible
from glmcli.types import Chunk, Message, Progress, Usage

Facts = Callable[[], Mapping[str, Any]]
"""Gives the model and the conversation of a reply, for machines."""


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

    def show(self, chunk: Chunk) -> None:
        """Say what happens, if the terminal can take it back."""
        self._progress = chunk.progress or self._progress
        line = progress_line(self._progress, time.monotonic() - self._started)
        if self._output.is_live and line != self._shown:
            self._output.write(f"\r\x1b[K{visible(line)[: self._output.size().columns - 1]}")
            self._shown = line

    def clear(self) -> None:
        """Take the row back."""
        if self._shown:
            self._output.write("\r\x1b[K")
            self._shown = ""


class TextView(BaseView):
    """Raw text, one write per delta, exactly one newline at the end; thinking goes to `err`."""

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
        self._err = err if thinking == "show" else None
        self._status = status
        self._stream = stream
        self._held = ""
        self._wrote = False
        self._was_thinking = False

    def show(self, chunk: Chunk) -> None:
        """Write the delta; line ends are held back until something follows them."""
        if self._status:
            if chunk.text or chunk.thinking or chunk.finish_reason:
                self._status.clear()
                self._status = None
            else:
                self._status.show(chunk)
        if chunk.thinking and self._err:
            self._err.write(chunk.thinking)
            self._was_thinking = True
        if not chunk.text:
            return
        if self._was_thinking and self._err:
            self._err.write("\n")
            self._was_thinking = False
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
        if not self._stream:
            self._out.write(self._held.rstrip("\n"))
        if reply.text or reply.finish_reason != "cancelled":
            self._out.write("\n")

    def abandon(self) -> None:
        """End the line if there is one."""
        if self._status:
            self._status.clear()
        if self._wrote:
            self._out.write("\n")


class PlainView(TextView):
    """Deltas on a terminal without Markdown: made harmless, with a status row until they come."""

    def __init__(self, out: Output, quiet: Quiet, *, thinking: str = "fold") -> None:
        super().__init__(out, out, thinking=thinking, status=StatusLine(out))
        self._quiet = quiet

    def show(self, chunk: Chunk) -> None:
        """Write the delta, or the status while there is none."""
        super().show(replace(chunk, text=visible(chunk.text), thinking=visible(chunk.thinking)))

    def finish(self, reply: Message) -> None:
        """End the line, if there is one."""
        if reply.text:
            super().finish(reply)


def terminal_view(out: Output, quiet: Quiet, *, thinking: str, plain: bool) -> BaseView:
    """The view for a terminal: live Markdown, or plain deltas where that is wanted or needed."""
    if plain or not out.is_live:
        return PlainView(out, quiet, thinking=thinking)
    from glmcli.terminal.live import LiveView

    return LiveView(out, quiet, thinking=thinking)


class JsonView(BaseView):
    """One JSON object when the reply is complete."""

    def __init__(self, out: Output, facts: Facts) -> None:
        self._out = out
        self._facts = facts

    def finish(self, reply: Message) -> None:
        """Write the object."""
        self._out.write(to_json(reply_fields(reply) | dict(self._facts())) + "\n")


class JsonLinesView(BaseView):
    """An event a line: text and thinking deltas, then `done` or `error`."""

    def __init__(self, out: Output, facts: Facts) -> None:
        self._out = out
        self._facts = facts

    def show(self, chunk: Chunk) -> None:
        """Write a line for each kind of delta in the chunk."""
        for kind, delta in (("thinking", chunk.thinking), ("text", chunk.text)):
            if delta:
                self._out.write(to_json({"type": kind, "delta": delta}) + "\n")

    def finish(self, reply: Message) -> None:
        """Write the `done` line."""
        fields = {"type": "done"} | reply_fields(reply) | dict(self._facts())
        self._out.write(to_json(fields) + "\n")

    def fail(self, error: GlmError) -> None:
        """Write the `error` line."""
        fields = {"error": error.message, "hint": error.hint, "exit": error.exit_code}
        self._out.write(to_json({"type": "error"} | fields) + "\n")


class RecordsView(BaseView):
    """FastChat's worker format, one object a line: text cumulative, a record for each token.

    A record is written when the next token is known, since the last one says how the reply ended.
    Source: `worker_generate_stream` of FastChat's model worker.
    """

    def __init__(self, out: Output) -> None:
        self._out = out
        self._prompt = 0
        self._text = ""
        self._tokens = 0
        self._pending = False

    def show(self, chunk: Chunk) -> None:
        """Take in a chunk; write the record of the token before it."""
        if chunk.progress and chunk.progress.stage == "reading":
            self._prompt = chunk.progress.total or 0
        if not (chunk.tokens or chunk.text):
            return
        if self._pending and (chunk.tokens or not chunk.finish_reason):
            self._write(None)
        self._text += chunk.text
        self._tokens += chunk.tokens
        self._pending = True

    def finish(self, reply: Message) -> None:
        """Write the last record."""
        usage = reply.usage or Usage()
        self._prompt = usage.prompt_tokens or self._prompt
        self._tokens = usage.completion_tokens or self._tokens
        self._write(reply.finish_reason)

    def _write(self, reason: str | None) -> None:
        usage = {
            "prompt_tokens": self._prompt,
            "completion_tokens": self._tokens,
            "total_tokens": self._prompt + self._tokens,
        }
        record = {"text": self._text, "error_code": 0, "usage": usage, "finish_reason": reason}
        self._out.write(to_json(record) + "\n")


def reply_fields(reply: Message) -> dict[str, Any]:
    """What machines are told of a reply."""
    usage = reply.usage or Usage()
    counts = asdict(usage)
    counts["total_tokens"] = usage.total_tokens
    speed = usage.tokens_per_s
    counts["tokens_per_s"] = None if speed is None else round(speed, 2)
    order = (
        "prompt_tokens",
        "cached_tokens",
        "completion_tokens",
        "total_tokens",
        "first_token_s",
        "total_s",
        "tokens_per_s",
    )
    return {
        "text": reply.text,
        "thinking": reply.thinking,
        "finish_reason": reply.finish_reason,
        "usage": {name: counts[name] for name in order},
    }


def to_json(value: object) -> str:
    """One line of JSON, every character as itself."""
    return json.dumps(value, ensure_ascii=False)


def stats_line(usage: Usage, context_tokens: int | None) -> str:
    """What a reply cost: "42 tokens · first 0.2 s · 35 tok/s · cached 120/140 · 182 of 8,192"."""
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


def end_note(reply: Message, context_tokens: int | None = None) -> str:
    """What must be said when a reply did not end by itself; "" if it did."""
    if reply.finish_reason == "cancelled":
        return "stopped; what arrived is kept" if reply.text else "stopped before the first word"
    if reply.finish_reason == "length":
        used = (reply.usage or Usage()).total_tokens
        if context_tokens and used and used >= context_tokens:
            return "cut: the window is full; /reset starts a new conversation"
        return "cut at the token limit; /continue goes on"
    if not reply.text and not reply.thinking:
        return "the model ended its reply without a word"
    return ""


def progress_line(progress: Progress | None, seconds: float | None) -> str:
    """What happens before there is text, for a person who waits."""
    clock = "" if seconds is None else f", {seconds:.0f} s"
    if progress is None:
        return "waiting for the model" + clock
    if progress.stage == "waiting":
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
    if progress.note:
        parts.append(progress.note)
    if progress.total and progress.done < progress.total:
        parts.append(
            f"{amount(progress.done, progress.unit)} of {amount(progress.total, progress.unit)}"
        )
    elif progress.done and not progress.total:
        parts.append(amount(progress.done, progress.unit))
    return ", ".join(parts) + clock


def amount(count: int, unit: str) -> str:
    """A number with its unit."""
    return f"{count / 1e6:,.0f} MB" if unit == "bytes" else f"{count:,} {unit}"


def plural(count: int, noun: str) -> str:
    """A count and its noun: "1 token", "2 tokens"."""
    return f"{count:,} {noun}" + ("" if count == 1 else "s")
