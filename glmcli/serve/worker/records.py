"""A reply as FastChat's worker writes it: JSON objects with all the text so far, a NUL after each.

Knows nothing of requests, nor of connections. Source: FastChat 0.2.36, serve/model_worker.py
(generate_stream_gate), serve/inference.py (generate_stream), whose counts these are: the number of
the last token from 0, which is that of the token that ends a reply if it ends by itself.
"""

from __future__ import annotations

import json
from typing import Any

from glmcli.errors import GlmError, OutOfMemory, told_error
from glmcli.serve.holder import Full
from glmcli.serve.refusal import Refusal
from glmcli.types import Chunk, FinishReason, reason_told

INTERNAL_ERROR, OUT_OF_MEMORY, OVERLOADED = 50001, 50002, 42903
HIGH_TRAFFIC = "**NETWORK ERROR DUE TO HIGH TRAFFIC. PLEASE REGENERATE OR REFRESH THIS PAGE.**"
"""With this FastChat begins every error; clients of it look in the brackets behind it."""
_BROKEN_OFF: tuple[FinishReason, ...] = ("interrupted", "cancelled")

WorkerRecord = dict[str, Any]


class Records:
    """The records of one reply, which begins with the text `before`."""

    def __init__(self, before: str = "") -> None:
        self._text = before
        self._prompt = 0
        self._tokens = 0

    def add(self, chunk: Chunk) -> WorkerRecord | None:
        """Take in a chunk; the record to send for it, if any."""
        if chunk.progress and chunk.progress.stage == "reading":
            self._prompt = chunk.progress.total or 0
        self._text += chunk.text
        self._tokens += chunk.tokens
        usage, reason = chunk.usage, chunk.finish_reason
        if usage is not None:
            self._prompt = usage.prompt_tokens or self._prompt
            self._tokens = usage.completion_tokens or self._tokens
        if not (chunk.text or chunk.tokens or reason):
            return None
        last = self._tokens if reason == "stop" else max(0, self._tokens - 1)
        return {
            "text": self._text,
            "error_code": 0,
            "usage": {
                "prompt_tokens": self._prompt,
                "completion_tokens": last,
                "total_tokens": self._prompt + last,
            },
            "finish_reason": "abort" if reason in _BROKEN_OFF else reason_told(reason),
            "logprobs": None,
        }


def error_record(error: GlmError | Refusal) -> WorkerRecord:
    """What a client is told of an error."""
    if not isinstance(error, GlmError):
        return {"text": f"{HIGH_TRAFFIC}\n\n({error})", "error_code": INTERNAL_ERROR}
    code = OUT_OF_MEMORY if isinstance(error, OutOfMemory) else INTERNAL_ERROR
    line, hint = told_error(error)
    said = f"{line}; {hint}" if hint else line
    return {
        "text": f"{HIGH_TRAFFIC}\n\n({said})",
        "error_code": OVERLOADED if isinstance(error, Full) else code,
    }


def as_message(record: WorkerRecord) -> bytes:
    """A record as it goes over the wire: ASCII, so that no NUL is inside it."""
    return json.dumps(record).encode("ascii") + b"\0"
