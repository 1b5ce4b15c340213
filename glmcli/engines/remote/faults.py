"""What goes wrong between the program and a server, as errors a user can act on.

Text of a server is shown in one line and without a key: `Faults.clean` is the door for all of it.
Control characters are for the terminal to make visible. Knows nothing of models or prompts.
"""

from __future__ import annotations

import json
import re
import socket
import ssl
from collections.abc import Collection, Iterator
from typing import Any

import httpx

from glmcli.engines.remote.masking import Mask
from glmcli.errors import ConnectionLost, EngineError, ServerRefused
from glmcli.files import DEEPEST, depth
from glmcli.messages import said

CONNECT_S = 5.0
ERROR_CHARS = 500
CLEANED_CHARS = 20_000
"""How much of what a server says is looked at where only its start is shown."""
LONGEST_BREAK_S = 86_400
MOST = 2**53
"""The largest number that JSON can carry everywhere; no count is larger."""
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
    """Makes the errors of one server. `keys` are all that the user has: none of them is shown."""

    def __init__(self, host: str, *, keys: Collection[str] = (), key_hint: str = "") -> None:
        self.host = host
        self.mask = Mask(keys)
        self._key_hint = key_hint or said("key")

    def clean(self, text: str, limit: int = ERROR_CHARS) -> str:
        """Text of the server in one line, without keys, its start if it is long."""
        return one_line(self.mask(text[:CLEANED_CHARS]), limit)

    def answer(self, data: bytes) -> dict[str, Any]:
        """The JSON object in an answer to a question, without keys; null is an empty one.

        Raises EngineError.
        """
        try:
            answer = json.loads(data)
        except (ValueError, RecursionError):
            answer = data
        if answer is None:
            return {}
        if not isinstance(answer, dict) or depth(answer, DEEPEST) > DEEPEST:
            raise self.garbled(data)
        masked: dict[str, Any] = self.mask.value(answer)
        return masked

    def message(self, data: bytes) -> dict[str, Any]:
        """A message of a stream as it came. Raises EngineError if it is no JSON object."""
        try:
            message = json.loads(data)
        except (ValueError, RecursionError):
            message = None
        if not isinstance(message, dict):
            raise self.garbled(data)
        return message

    def garbled(self, data: bytes) -> EngineError:
        """The error for what is no message of the protocol."""
        detail = self.clean(data[:CLEANED_CHARS].decode("utf-8", "replace"), 80) or "nothing"
        return EngineError(said("garbled", host=self.host, detail=detail), said("garbled-hint"))

    def failed(self, answer: object) -> EngineError:
        """The error for one that a server sent in place of a reply."""
        detail = self.clean(useful_part(answer, "no reason given"))
        return EngineError(f"{self.host} failed: {detail}", "/retry asks again")

    def broken_off(self, reason: str) -> EngineError:
        """The error for a reply that the server itself gave up."""
        return EngineError(
            f"{self.host} broke the reply off ({self.clean(reason, 80)})", "/retry asks again"
        )

    def too_much(self, size: str) -> EngineError:
        """The error for an answer without an end."""
        return EngineError(said("too-much", host=self.host, size=size), said("garbled-hint"))

    def late(self, seconds: float) -> ConnectionLost:
        """The error for a server that did not answer in the time that it had in all."""
        message = said("no-answer", host=self.host, seconds=seconds)
        return ConnectionLost(message, said("silent-hint"))

    def silent(self, seconds: float) -> ConnectionLost:
        """The error for a server that says nothing more."""
        message = said("silent", host=self.host, seconds=seconds)
        return ConnectionLost(message, said("silent-hint"))

    def idle(self, seconds: float) -> ConnectionLost:
        """The error for a server that sends signs of life and no text."""
        return ConnectionLost(said("idle", host=self.host, seconds=seconds), said("silent-hint"))

    def cut_off(self) -> ConnectionLost:
        """The error for a reply that stops without having ended."""
        return ConnectionLost(said("cut-off", host=self.host), said("cut-off-hint"))

    def worker(self, code: object, text: str) -> EngineError:
        """The error that a FastChat worker sends in place of text.

        What matters stands in parentheses, after a sentence about high traffic that is never the
        cause.
        """
        host = self.host
        found = PARENTHESES.search(text[-CLEANED_CHARS:])
        detail = self.clean(found[1] if found else text)
        if code == 50005:
            return EngineError(f"{host} has no worker for this model", "glm models list shows them")
        if code == 50006:
            return ConnectionLost(f"the worker behind {host} does not answer", "/retry asks again")
        if code == 50002:
            return EngineError(
                f"the worker's memory is full: {detail}",
                "shorten the conversation or --max-tokens; /retry asks again",
            )
        shown = "" if as_count(code) is None else f" ({code})"
        return EngineError(
            f"{host} failed{shown}: {detail}", "/retry asks again; the worker's log may say why"
        )

    def wrong_worker(self, address: str) -> EngineError:
        """The error for a worker at an address that only an attack would name."""
        message = said("worker-address", host=self.host, where=self.clean(address, 80))
        return EngineError(message, said("worker-address-hint"))

    def refused(self, response: httpx.Response, data: bytes) -> Refused:
        """The error for an answer that is no success."""
        status, headers = response.status_code, response.headers
        text = data.decode("utf-8", "replace")
        try:
            answer = json.loads(text)
        except (ValueError, RecursionError):
            answer = None
        if depth(answer, DEEPEST) > DEEPEST:
            answer = None
        answer = self.mask.value(answer)
        page = headers.get("content-type", "").startswith("text/html")
        detail = self.clean("" if page else useful_part(answer, text))
        message = said("refused", host=self.host, status=status, detail=detail)
        if 300 <= status < 400:
            where = self.clean(headers.get("location", ""), 200) or "?"
            message = said("moved", host=self.host, where=where)
        elif status == 200:
            message = said("page", host=self.host)
        hint = self._hint(status, headers.get("retry-after", ""))
        return Refused(message, hint, status=status, detail=detail, answer=answer)

    def _hint(self, status: int, retry_after: str) -> str:
        if status in (401, 403):
            return self._key_hint
        if status in (429, 503):
            seconds = int(retry_after) if re.fullmatch(r"[0-9]{1,6}", retry_after) else 0
            known = 0 < seconds <= LONGEST_BREAK_S
            return said("busy-until", seconds=seconds) if known else said("busy")
        if status in (404, 405) or status < 400:
            return said("address")
        return said("cut-off-hint" if status >= 500 else "settings")

    def lost(self, exc: Exception, silence_s: float) -> Exception:
        """The error for what the network did; anything else is a bug and stays as it is.

        What libraries say of it may quote the server, and a traceback shows that: it is masked too.
        """
        for cause in causes(exc):
            cause.args = tuple(self._quoted(item) for item in cause.args)
        if isinstance(exc, httpx.ConnectError | httpx.ConnectTimeout | httpx.ProxyError):
            return Unreachable(*self._unreachable(exc))
        if isinstance(exc, httpx.ReadTimeout):
            return self.silent(silence_s)
        if isinstance(exc, httpx.TransportError | httpx.DecodingError):
            return self.cut_off()
        return exc

    def _quoted(self, item: object) -> object:
        if isinstance(item, bytes | bytearray):
            item = item.decode("utf-8", "replace")
        return self.clean(item) if isinstance(item, str) else item

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
                why = said("certificate", host=self.host, detail=self.clean(cause.verify_message))
                return why, said("certificate-hint")
            if isinstance(cause, ssl.SSLError):
                return said("no-tls", host=self.host), said("no-tls-hint")
        return said("unreachable", host=self.host, detail=detail), said("start")


def one_line(text: str, limit: int = ERROR_CHARS) -> str:
    """Text of anybody in one line, its start if it is long."""
    text = " ".join(text.split())
    return text if len(text) <= limit else text[: limit - 1] + "…"


def as_count(value: object) -> int | None:
    """A number of a server if it can be a count, else None: unknown."""
    return value if type(value) is int and 0 <= value <= MOST else None


def useful_part(answer: Any, text: str) -> str:
    """The sentence in an error's answer that says what is wrong, wherever the server put it."""
    for _ in range(4):
        if isinstance(answer, dict):
            found = (answer.get(name) for name in ("error", "message", "detail", "msg", "code"))
            answer = next((item for item in found if item), None)
        elif isinstance(answer, list):
            answer = answer[0] if answer else None
    if isinstance(answer, int):
        return "" if as_count(abs(answer)) is None else str(answer)
    return answer if isinstance(answer, str) else text


def causes(exc: BaseException | None) -> Iterator[BaseException]:
    """An exception and all that led to it, each once."""
    seen: list[BaseException] = []
    while exc is not None and exc not in seen:
        seen.append(exc)
        yield exc
        exc = exc.__cause__ or exc.__context__
