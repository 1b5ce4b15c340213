"""What goes wrong between the program and a server, as errors a user can act on.

Text of a server is shown in one line and without the key; control characters in it are for the
terminal to make visible. Knows nothing of models or prompts.
"""

from __future__ import annotations

import json
import re
import socket
import ssl
from collections.abc import Iterator
from typing import Any

import httpx

from glmcli.errors import ConnectionLost, EngineError, ServerRefused
from glmcli.trouble import said

CONNECT_S = 5.0
ERROR_CHARS = 500
BLANKS = re.compile(r"[ \t\r\n]+")
PARENTHESES = re.compile(r"\*\*\s*\((.*)\)\s*$", re.DOTALL)


class Cancelled(Exception):
    """The user stopped the request. Not an error: it never leaves the remote engines."""


class Unreachable(EngineError):
    """No connection to the server; nothing was sent."""


class Refused(ServerRefused):
    """A server's answer that is no success."""

    def __init__(self, message: str, hint: str, *, status: int, detail: str, answer: Any) -> None:
        super().__init__(message, hint)
        self.status = status
        self.detail = detail
        """The useful part of what the server said."""
        self.answer = answer
        """The whole answer if it was JSON, else None."""


class Faults:
    """Makes the errors of one server."""

    def __init__(self, host: str, *, key: str = "", key_hint: str = "") -> None:
        self.host = host
        self._key = key
        self._key_hint = key_hint or said("key")

    def clean(self, text: str) -> str:
        """Text of the server in one line, without the key."""
        return one_line(text.replace(self._key, "[key]") if self._key else text)

    def silent(self, seconds: float) -> ConnectionLost:
        """The error for a server that says nothing more."""
        message = said("silent", host=self.host, seconds=seconds)
        return ConnectionLost(message, said("silent-hint"))

    def cut_off(self) -> ConnectionLost:
        """The error for a reply that stops without having ended."""
        return cut_off(self.host)

    def refused(self, response: httpx.Response, data: bytes) -> Refused:
        """The error for an answer that is no success."""
        status, headers = response.status_code, response.headers
        text = data.decode("utf-8", "replace")
        try:
            answer = json.loads(text)
        except (ValueError, RecursionError):
            answer = None
        page = headers.get("content-type", "").startswith("text/html")
        detail = self.clean("" if page else useful_part(answer, text))
        message = said("refused", host=self.host, status=status, detail=detail)
        if 300 <= status < 400:
            where = self.clean(headers.get("location", "")) or "?"
            message = said("moved", host=self.host, where=where)
        elif status == 200:
            message = said("page", host=self.host)
        hint = self._hint(status, headers.get("retry-after", ""))
        return Refused(message, hint, status=status, detail=detail, answer=answer)

    def _hint(self, status: int, retry_after: str) -> str:
        if status in (401, 403):
            return self._key_hint
        if status in (429, 503):
            known = retry_after.isdecimal()
            return said("busy-until", seconds=retry_after) if known else said("busy")
        if status in (404, 405) or status < 400:
            return said("address")
        return said("cut-off-hint" if status >= 500 else "settings")

    def lost(self, exc: Exception, silence_s: float) -> Exception:
        """The error for what the network did; anything else is a bug and stays as it is."""
        if isinstance(exc, httpx.ConnectError | httpx.ConnectTimeout | httpx.ProxyError):
            return Unreachable(*self._unreachable(exc))
        if isinstance(exc, httpx.ReadTimeout):
            return self.silent(silence_s)
        if isinstance(exc, httpx.TransportError | httpx.DecodingError):
            return self.cut_off()
        return exc

    def _unreachable(self, exc: Exception) -> tuple[str, str]:
        if isinstance(exc, httpx.ConnectTimeout):
            return said("no-answer", host=self.host, seconds=CONNECT_S), said("start")
        detail = self.clean(str(exc))
        if isinstance(exc, httpx.ProxyError):
            return said("proxy", host=self.host, detail=detail), said("proxy-hint")
        for cause in causes(exc):
            if isinstance(cause, ConnectionRefusedError):
                return said("nobody", host=self.host), said("start")
            if isinstance(cause, socket.gaierror):
                return said("unknown", host=self.host), said("unknown-hint")
            if isinstance(cause, ssl.SSLCertVerificationError):
                why = said("certificate", host=self.host, detail=cause.verify_message)
                return why, said("certificate-hint")
            if isinstance(cause, ssl.SSLError):
                return said("no-tls", host=self.host), said("no-tls-hint")
        return said("unreachable", host=self.host, detail=detail), said("start")


def one_line(text: str, limit: int = ERROR_CHARS) -> str:
    """Text of anybody in one line, its start if it is long."""
    text = BLANKS.sub(" ", text).strip()
    return text if len(text) <= limit else text[: limit - 1] + "…"


def garbled(host: str, text: str) -> EngineError:
    """The error for what is no message of the protocol."""
    detail = one_line(text, 80) or "nothing"
    return EngineError(said("garbled", host=host, detail=detail), said("garbled-hint"))


def cut_off(host: str) -> ConnectionLost:
    """The error for a reply that stops without having ended."""
    return ConnectionLost(said("cut-off", host=host), said("cut-off-hint"))


def worker_fault(host: str, code: int, text: str) -> EngineError:
    """The error that a FastChat worker sends in place of text.

    What matters stands in parentheses, after a sentence about high traffic that is never the cause.
    """
    found = PARENTHESES.search(text)
    detail = one_line(found[1] if found else text)
    if code == 50005:
        return EngineError(f"{host} has no worker for this model", "glm models list shows them")
    if code == 50006:
        return ConnectionLost(f"the worker behind {host} does not answer", "/retry asks again")
    if code == 50002:
        return EngineError(
            f"the worker's memory is full: {detail}",
            "shorten the conversation or --max-tokens; /retry asks again",
        )
    return EngineError(
        f"{host} failed ({code}): {detail}", "/retry asks again; the worker's log may say why"
    )


def useful_part(answer: Any, text: str) -> str:
    """The sentence in an error's answer that says what is wrong, wherever the server put it."""
    for _ in range(4):
        if isinstance(answer, dict):
            found = (answer.get(name) for name in ("error", "message", "detail", "msg", "code"))
            answer = next((item for item in found if item), None)
        elif isinstance(answer, list):
            answer = answer[0] if answer else None
    return str(answer) if isinstance(answer, str | int) else text


def causes(exc: BaseException | None) -> Iterator[BaseException]:
    """An exception and all that led to it."""
    while exc is not None:
        yield exc
        exc = exc.__cause__ or exc.__context__
