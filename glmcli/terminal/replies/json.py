"""Views for machines: a reply as one JSON object, as lines of JSON, or as FastChat's records.

Knows nothing of engines, sessions or stores.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from glmcli.encoding import in_json
from glmcli.errors import GlmError, told_error
from glmcli.files import json_text
from glmcli.terminal.output import Output
from glmcli.terminal.replies.text import BaseView
from glmcli.terminal.visible import visible_json
from glmcli.types import Chunk, Message, Usage, reason_told

Facts = Callable[[], Mapping[str, Any]]
"""Gives the model and the conversation of a reply."""


class JsonView(BaseView):
    """One JSON object when the reply is complete."""

    def __init__(self, out: Output, facts: Facts) -> None:
        self._out = out
        self._facts = facts

    def finish(self, reply: Message) -> None:
        """Write the object."""
        write_json(self._out, reply_fields(reply) | dict(self._facts()))


class JsonLinesView(BaseView):
    """An event a line: text and thinking deltas, then `done` or `error`.

    `was_thinking` says that all text before it was thinking.
    """

    def __init__(self, out: Output, facts: Facts) -> None:
        self._out = out
        self._facts = facts

    def show(self, chunk: Chunk) -> None:
        """Write a line for each kind of delta in the chunk."""
        if chunk.was_thinking:
            write_json(self._out, {"type": "was_thinking"})
        for kind, delta in (("thinking", chunk.thinking), ("text", chunk.text)):
            if delta:
                write_json(self._out, {"type": kind, "delta": delta})

    def finish(self, reply: Message) -> None:
        """Write the `done` line."""
        fields = {"type": "done"} | reply_fields(reply) | dict(self._facts())
        write_json(self._out, fields)

    def fail(self, error: GlmError) -> None:
        """Write the `error` line."""
        write_failure(self._out, error, in_lines=True)


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
        self._text = chunk.text if chunk.was_thinking else self._text + chunk.text
        self._tokens += chunk.tokens
        self._pending = True

    def finish(self, reply: Message) -> None:
        """Write the last record."""
        usage = reply.usage or Usage()
        self._prompt = usage.prompt_tokens or self._prompt
        self._tokens = usage.completion_tokens or self._tokens
        self._write(reason_told(reply.finish_reason))

    def _write(self, reason: str | None) -> None:
        usage = {
            "prompt_tokens": self._prompt,
            "completion_tokens": self._tokens,
            "total_tokens": self._prompt + self._tokens,
        }
        record = {"text": self._text, "error_code": 0, "usage": usage, "finish_reason": reason}
        write_json(self._out, record)


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
        "finish_reason": reason_told(reply.finish_reason),
        "usage": {name: counts[name] for name in order},
    }


def write_failure(out: Output, error: GlmError, *, in_lines: bool) -> None:
    """Write an error for whoever wanted JSON, or its lines."""
    message, hint = told_error(error)
    fields: dict[str, Any] = {"error": {"message": message, "hint": hint, "code": error.exit_code}}
    if in_lines:
        fields = {"type": "error", "error": message, "hint": hint, "exit": error.exit_code}
    write_json(out, fields)
    error.is_in_output = True


def write_json(out: Output, value: object) -> None:
    """Write a line of JSON, every character as itself unless it would steer a terminal."""
    line = in_json(json_text(value), out.encoding) + "\n"
    out.write(visible_json(line) if out.is_tty else line)
