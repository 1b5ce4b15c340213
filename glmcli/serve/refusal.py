"""What a request is told that is not answered: a status, and an error in OpenAI's shape.

What goes over the wire is English. Knows nothing of HTTP beyond the numbers of its statuses.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from glmcli.errors import ContextFull, GlmError, OutOfMemory, UsageError, told_error
from glmcli.files import json_text
from glmcli.serve.holder import Full, LetGo, NotCounted

INVALID, SERVER = "invalid_request_error", "server_error"


class Refusal(Exception):
    """A request that is not answered, and why."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        kind: str = INVALID,
        code: str | None = None,
        param: str | None = None,
        headers: Mapping[str, str] | None = None,
        note: str = "",
    ) -> None:
        """`param` is the field that is at fault, `code` what a program can look for.

        `note` is what the log says, which holds nothing of what was sent; "" for the field's name,
        or the message where there is none.
        """
        super().__init__(message)
        self.status = HTTPStatus(status)
        self.message = message
        self.kind = kind
        self.code = code
        self.param = param
        self.headers = headers or {}
        self.note = note or (f"{param}: {code or 'refused'}" if param else message)

    def as_json(self) -> dict[str, Any]:
        """The error as OpenAI's clients read it.

        Source: https://platform.openai.com/docs/guides/error-codes
        """
        fields = {"message": self.message, "type": self.kind}
        return {"error": {**fields, "param": self.param, "code": self.code}}


def refusal_of(error: GlmError, *, param: str = "messages") -> Refusal:
    """What an error of ours is to a client; `param` is the field that holds the prompt.

    Where it helps to ask again, it says when.
    """
    line, hint = told_error(error)
    message = f"{line}; {hint}" if hint else line
    if isinstance(error, ContextFull):
        return overflow_refusal(error, message, param)
    if isinstance(error, UsageError):
        return Refusal(400, message, param=param)
    if isinstance(error, Full):
        code, kind = "rate_limit_exceeded", "rate_limit_error"
        return Refusal(429, message, kind=kind, code=code, headers=again_in(error.wait_s))
    if isinstance(error, NotCounted):
        return Refusal(503, message, kind=SERVER, headers=again_in(error.wait_s))
    if isinstance(error, LetGo):
        return Refusal(503, message, kind=SERVER)
    if isinstance(error, OutOfMemory):
        return Refusal(503, message, kind=SERVER, code="out_of_memory")
    return Refusal(500, message, kind=SERVER)


def again_in(seconds: float) -> dict[str, str]:
    """The header that says in how many seconds to ask again."""
    return {"Retry-After": f"{max(1, math.ceil(seconds))}"}


def overflow_refusal(error: ContextFull, message: str, param: str) -> Refusal:
    """A prompt that does not fit, in OpenAI's words where both numbers are known."""
    if error.limit is not None and error.needed is not None:
        message = (
            f"This model's maximum context length is {error.limit} tokens. However, your "
            f"{param} resulted in {error.needed} tokens. Please reduce the length of the {param}."
        )
    code = "context_length_exceeded"
    return Refusal(400, message, code=code, param=param, note=message)


def crowded() -> bytes:
    """The whole answer to a connection that is one too many."""
    refusal = Refusal(503, "too many connections", kind=SERVER, headers={"Retry-After": "1"})
    data = json.dumps(refusal.as_json()).encode()
    head = (
        "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(data)}\r\nRetry-After: 1\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + data


def only_length(sizes: Sequence[str]) -> str:
    """The digits of the Content-Length, which may be there more than once. Raises Refusal."""
    size = sizes[0]
    if len(set(sizes)) > 1:
        raise Refusal(400, "there are two values of Content-Length, which differ")
    if size.isascii() and size.isdigit():
        return size
    is_below = size.isascii() and size[:1] == "-" and size[1:].isdigit()
    raise Refusal(400, f"the Content-Length is {'below 0' if is_below else 'not a number'}")


def refuse_half_characters(raw: bytes, data: dict[str, Any]) -> None:
    """Raise Refusal for half of a surrogate pair, which only JSON's escapes can hold."""
    if b"\\ud" not in raw and b"\\uD" not in raw:
        return
    try:
        json_text(data).encode("utf-8")
    except UnicodeEncodeError as exc:
        line = "the body holds half of a surrogate pair, which is no character"
        raise Refusal(400, line, code="invalid_character") from exc
