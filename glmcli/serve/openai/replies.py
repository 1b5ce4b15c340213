"""A reply as OpenAI's interface writes it: whole, or as server-sent events.

Knows nothing of requests, nor of connections.
"""

from __future__ import annotations

import secrets
import time
from typing import Any

from glmcli.files import json_text
from glmcli.types import Chunk, Usage, reason_told

WAITING = b": waiting\n\n"
"""A comment: it says that the connection lives."""
LAST_EVENT = b"data: [DONE]\n\n"


class Written:
    """One reply, written for a client: of a chat, or to a plain text."""

    def __init__(self, model: str, *, is_chat: bool) -> None:
        self._is_chat = is_chat
        kind = "chatcmpl" if is_chat else "cmpl"
        self._head = {
            "id": f"{kind}-{secrets.token_hex(16)}",
            "object": "",
            "created": int(time.time()),
            "model": model,
        }
        self._texts: list[str] = []
        self._thoughts: list[str] = []

    def add(self, chunk: Chunk) -> None:
        """Keep a chunk for `whole`."""
        if chunk.was_thinking:  # a closing mark without an opening one
            self._thoughts, self._texts = [*self._thoughts, *self._texts], []
        self._texts.append(chunk.text)
        self._thoughts.append(chunk.thinking)

    def whole(self, last: Chunk) -> dict[str, Any]:
        """The reply that was added, as one object; `last` says why it ended."""
        text, thinking = "".join(self._texts), "".join(self._thoughts)
        if self._is_chat:
            message = {"role": "assistant", "content": text}
            if thinking:
                message["reasoning_content"] = thinking
            choice: dict[str, Any] = {"index": 0, "message": message}
        else:
            choice = {"index": 0, "text": text}
        choice |= {"logprobs": None, "finish_reason": reason_told(last.finish_reason)}
        kind = "chat.completion" if self._is_chat else "text_completion"
        counts = {"usage": counts_of(last.usage)}
        return self._head | {"object": kind, "choices": [choice]} | counts

    def opening(self) -> bytes:
        """The event that comes first, before any text."""
        return self._event({"role": "assistant", "content": ""}) if self._is_chat else b""

    def event(self, chunk: Chunk) -> bytes:
        """The event for what a chunk holds; b"" if that is nothing."""
        if self._is_chat:
            fields = (("content", chunk.text), ("reasoning_content", chunk.thinking))
            delta = {name: said for name, said in fields if said}
            return self._event(delta) if delta else b""
        return self._event({"text": chunk.text}) if chunk.text else b""

    def ending(self, last: Chunk, *, counts: bool) -> bytes:
        """The events at the end."""
        end = self._event({} if self._is_chat else {"text": ""}, reason_told(last.finish_reason))
        if counts:
            end += as_event(self._chunk() | {"choices": [], "usage": counts_of(last.usage)})
        return end + LAST_EVENT

    def _chunk(self) -> dict[str, Any]:
        kind = "chat.completion.chunk" if self._is_chat else "text_completion"
        return self._head | {"object": kind}

    def _event(self, said: dict[str, str], reason: str | None = None) -> bytes:
        fields: dict[str, Any] = {"delta": said} if self._is_chat else said
        choice = {"index": 0, **fields, "logprobs": None, "finish_reason": reason}
        return as_event(self._chunk() | {"choices": [choice]})


def as_event(value: Any) -> bytes:
    """An event whose data is JSON."""
    return b"data: " + json_text(value).encode("utf-8", "replace") + b"\n\n"


def counts_of(usage: Usage | None) -> dict[str, Any]:
    """The counts of a reply; those that are not known are 0."""
    usage = usage or Usage()
    prompt, reply = usage.prompt_tokens or 0, usage.completion_tokens or 0
    return {
        "prompt_tokens": prompt,
        "completion_tokens": reply,
        "total_tokens": prompt + reply,
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens or 0},
    }
