"""What goes wrong between the program and a server, as errors a user can act on.

Text of a server is shown in one line, without control characters and without the key. Knows
nothing of models or prompts.
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

CONNECT_S = 5.0
ERROR_CHARS = 500
UNSEEN = re.compile(r"[\x00-\x20\x7f-\xa0\u061c\u200b-\u200f\u2028-\u202f\u2060-\u206f\ufeff]+")
"""Control characters, blanks, and what changes the direction of a line."""
PARENTHESES = re.compile(r"\*\*\s*\((.*)\)\s*$", re.DOTALL)
START = "start the server, or give its address with --base-url"


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
        self._key_hint = key_hint or "set GLM_API_KEY to its key"

    def clean(self, text: str) -> str:
        """Text of the server in one line that is safe to show."""
        return one_line(text.replace(self._key, "[key]") if self._key else text)

    def silent(self, seconds: float) -> ConnectionLost:
        """The error for a server that says nothing more."""
        return ConnectionLost(
            f"{self.host} sent nothing for {seconds:.0f} s",
            "it may be overloaded or frozen; /retry asks again, --timeout waits longer",
        )

    def cut_off(self) -> ConnectionLost:
        """The error for a reply that stops without having ended."""
        return ConnectionLost(
            f"{self.host} stopped before the reply was complete",
            "/retry asks again; the server's own log may say why",
        )

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
        message = f"{self.host} refused ({status})" + (f": {detail}" if detail else "")
        if 300 <= status < 400:
            message = f"{self.host} moved to {self.clean(headers.get('location', '')) or 'nowhere'}"
        elif status == 200:
            message = f"{self.host} sent a web page, not an answer"
        hint = self._hint(status, headers.get("retry-after", ""))
        return Refused(message, hint, status=status, detail=detail, answer=answer)

    def _hint(self, status: int, retry_after: str) -> str:
        if status in (401, 403):
            return self._key_hint
        if status in (429, 503):
            when = f"in {retry_after} s" if retry_after.isdecimal() else "in a moment"
            return f"the server is busy or still loading; /retry {when}"
        if status in (404, 405) or status < 400:
            return "check --base-url: for openai: it often ends in /v1, for fastchat: it never does"
        if status >= 500:
            return "/retry asks again; the server's own log may say why"
        return "check the name of the model and the sampling settings"

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
            return f"{self.host} did not answer within {CONNECT_S:.0f} s", START
        if isinstance(exc, httpx.ProxyError):
            why = self.clean(str(exc))
            return f"the proxy does not reach {self.host}: {why}", "check HTTPS_PROXY and NO_PROXY"
        for cause in causes(exc):
            if isinstance(cause, ConnectionRefusedError):
                return f"nothing listens at {self.host}", START
            if isinstance(cause, socket.gaierror):
                return f"{self.host} is not a known host", "check --base-url and the network"
            if isinstance(cause, ssl.SSLCertVerificationError):
                return (
                    f"the certificate of {self.host} is not trusted: {cause.verify_message}",
                    "SSL_CERT_FILE can name the certificate of your own authority",
                )
            if isinstance(cause, ssl.SSLError):
                return f"{self.host} does not speak TLS", "try http:// instead of https://"
        return f"{self.host} cannot be reached: {self.clean(str(exc))}", START


def one_line(text: str, limit: int = ERROR_CHARS) -> str:
    """Text of anybody in one line without control characters."""
    text = UNSEEN.sub(" ", text).strip()
    return text if len(text) <= limit else text[: limit - 1] + "…"


def garbled(host: str, text: str) -> EngineError:
    """The error for what is no message of the protocol."""
    return EngineError(
        f"{host} sent what is no message: {one_line(text, 80) or 'nothing'}",
        "is it the right kind of server? check --model and --base-url",
    )


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
