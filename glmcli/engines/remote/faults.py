"""What goes wrong between the program and a server, as errors that a user can act on.

The one place that knows what the HTTP library raises. Text of a server is shown in one line and
without a key: `Faults.clean` is the door for all of it. Control characters are for the terminal to
make visible. Knows nothing of models or prompts.
"""

from __future__ import annotations

import re
import socket
import ssl
from collections.abc import Collection, Iterator
from typing import Any

import httpx

from glmcli.config.known import BUILT_IN_MODEL
from glmcli.config.proxies import Proxy
from glmcli.engines.remote.masking import Mask
from glmcli.engines.remote.proxied import add_detail, is_no_socks, proxy_failed, wants_password
from glmcli.engines.remote.refusals.busy import BUSY, seconds_to_wait, when_free
from glmcli.engines.remote.refusals.hints import look_at_log, wait_longer, wrong_kind
from glmcli.engines.remote.refusals.kinds import is_filter, is_rate
from glmcli.engines.remote.refusals.reasons import codes_of, opened, useful_part
from glmcli.errors import ConnectionLost, EngineError, NoText, ServerRefused
from glmcli.files import DEEPEST, depth, loads
from glmcli.language import tr
from glmcli.types import as_count

CONNECT_S = 5.0
ERROR_CHARS = 500
CLEANED_CHARS = 20_000
"""How much of what a server says is looked at where only its start is shown."""
PARENTHESES = re.compile(r"\*\*\s*\((.*)\)\s*$", re.DOTALL)


class Cancelled(Exception):
    """The user stopped the request. Not an error: it never leaves the remote engines."""


class Unreachable(EngineError):
    """No connection to the server; nothing was sent."""


class Refused(ServerRefused):
    """A server's answer that is not a success, or an event in a stream, whose status is 200."""

    def __init__(
        self,
        message: str,
        hint: str = "",
        *,
        status: int,
        detail: str,
        answer: Any,
        again: bool = False,
    ) -> None:
        super().__init__(message, hint, again=again)
        self.status = status
        self.detail = detail
        """The useful part of what the server said."""
        self.answer = answer
        """The whole answer if it was JSON, else None."""


class Faults:
    """Makes the errors of one server. `keys` are all that the user has: none of them is shown."""

    def __init__(
        self,
        host: str,
        *,
        keys: Collection[str] = (),
        key_hint: str = "",
        proxy: Proxy | None = None,
        address_from: str = "",
    ) -> None:
        self.host = host
        self._proxy = proxy
        self._address_from = address_from or "--base-url"
        self.mask = Mask(keys)
        self._key_hint = key_hint or tr("set GLM_API_KEY to its key")

    def clean(self, text: str, limit: int = ERROR_CHARS) -> str:
        """Text of the server in one line, without keys, its start if it is long."""
        return one_line(self.mask(text[:CLEANED_CHARS]), limit)

    def answer(self, data: bytes) -> dict[str, Any]:
        """The JSON object in an answer to a question, without keys; null is an empty one.

        Raises EngineError.
        """
        try:
            answer = loads(as_text(data))
        except (ValueError, RecursionError):
            answer = data
        if answer is None:
            return {}
        if not isinstance(answer, dict) or depth(answer, DEEPEST) > DEEPEST:
            raise self.garbled(data)
        masked: dict[str, Any] = self.mask.value(answer)
        return masked

    def message(self, data: bytes) -> dict[str, Any]:
        """A message of a stream as it came. Raises EngineError if it is not a JSON object."""
        try:
            message = loads(as_text(data))
        except (ValueError, RecursionError):
            message = None
        if not isinstance(message, dict):
            raise self.garbled(data)
        return message

    def garbled(self, data: bytes) -> EngineError:
        """The error for bytes that are not a message of the protocol."""
        detail = self.clean(data[:CLEANED_CHARS].decode("utf-8", "replace"), 80) or tr("nothing")
        line = tr("{host} sent an unreadable message", host=self.host)
        return EngineError(add_detail(line, detail), wrong_kind(self._address_from))

    def failed(self, answer: object) -> Refused:
        """The error for one that a server sent in a stream, in place of a reply or after it."""
        answer = self._readable(answer)
        detail = self.clean(useful_part(answer, tr("no reason given")))
        line = add_detail(tr("{host} failed", host=self.host), detail)
        return Refused(line, status=200, detail=detail, answer=answer, again=True)

    def broken_off(self, reason: str = "") -> EngineError:
        """The error for a reply that the server itself gave up."""
        line = tr("{host} broke the reply off", host=self.host)
        return EngineError(f"{line} ({self.clean(reason, 80)})" if reason else line, again=True)

    def taken_back(self) -> EngineError:
        """The error for a reply that another one took the place of."""
        line = tr("{host} took back what it had sent", host=self.host)
        return EngineError(line, again=True)

    def filtered(self) -> ServerRefused:
        """The error for a reply that was ended because of what it says."""
        return ServerRefused(
            tr("a filter of {host} ended the reply", host=self.host), tr("ask in other words")
        )

    def asked_tool(self, calls: str) -> NoText:
        """The error for a model that wants a tool to be used and says nothing."""
        line = tr("the model asked for the tool {calls}", calls=self.clean(calls, 300))
        return NoText(line, tr("no tools are offered here: ask for an answer in words"))

    def declined(self, text: str) -> NoText:
        """The error for a model that refuses in a field of its own and says nothing."""
        line = tr("the model declined: {text}", text=self.clean(text, 300))
        return NoText(line, tr("ask in other words"))

    def not_text(self, form: str) -> NoText:
        """The error for a reply in another form."""
        line = tr("the model answered with {form}, not with text", form=form)
        return NoText(line, tr("ask for an answer in words"))

    def cannot_go_on(self) -> EngineError:
        """The error for a server that begins each reply from the start."""
        return EngineError(tr("{host} cannot go on with a reply", host=self.host), again=True)

    def too_much(self, size: str) -> EngineError:
        """The error for an answer without an end."""
        line = tr("{host} sent more than {size}: no server needs that", host=self.host, size=size)
        return EngineError(line, wrong_kind(self._address_from))

    def endless(self) -> EngineError:
        """The error for a message without an end."""
        line = tr("{host} sent a message without an end", host=self.host)
        return EngineError(line, wrong_kind(self._address_from))

    def late(self, seconds: float) -> ConnectionLost:
        """The error for a server that did not answer in the time that it had in all."""
        return ConnectionLost(self._no_answer(seconds), wait_longer(), again=True)

    def silent(self, seconds: float) -> ConnectionLost:
        """The error for a server that says nothing more."""
        line = tr("{host} sent nothing for {seconds:.0f} s", host=self.host, seconds=seconds)
        return ConnectionLost(line, wait_longer(), again=True)

    def idle(self, seconds: float) -> ConnectionLost:
        """The error for a server that sends signs of life and no text."""
        line = tr(
            "{host} sent signs of life but no text for {seconds:.0f} s",
            host=self.host,
            seconds=seconds,
        )
        return ConnectionLost(line, wait_longer(), again=True)

    def cut_off(self) -> ConnectionLost:
        """The error for a reply that stops without having ended."""
        line = tr("{host} stopped before the reply was complete", host=self.host)
        return ConnectionLost(line, look_at_log(), again=True)

    def worker(self, code: object, text: str) -> EngineError:
        """The error that a FastChat worker sends in place of text.

        What matters stands in parentheses, after a sentence about high traffic that is never the
        cause.
        """
        found = PARENTHESES.search(text[-CLEANED_CHARS:])
        detail = self.clean(found[1] if found else text)
        if code == 50005:
            line = tr("{host} has no worker for this model", host=self.host)
            return EngineError(line, tr("glm models list shows what it has"))
        if code == 50006:
            line = tr("the worker behind {host} does not answer", host=self.host)
            return ConnectionLost(line, again=True)
        if code == 50002:
            line = add_detail(tr("the worker's memory is full"), detail)
            hint = tr("shorten the conversation or --max-tokens")
            return EngineError(line, hint)
        line = tr("{host} failed", host=self.host)
        if as_count(code) is not None:
            line += f" ({code})"
        return EngineError(add_detail(line, detail), look_at_log(), again=True)

    def no_worker(self, model: str) -> EngineError:
        """The error for a model that no worker serves any more."""
        return EngineError(
            tr("no worker of {host} serves {model}", host=self.host, model=model),
            tr("glm models list shows what it has"),
            again=True,
        )

    def lost_worker(self, address: str) -> Unreachable:
        """The error for a worker whose address is not one."""
        where = self.clean(address, 80)
        return Unreachable(
            tr("{host} says that its worker is at {where!r}", host=self.host, where=where),
            tr("the worker needs --worker-address http://HOST:PORT"),
        )

    def wrong_worker(self, address: str) -> EngineError:
        """The error for a worker at an address that only an attack would name."""
        where = self.clean(address, 80)
        return EngineError(
            tr("{host} names a worker at {where}, where none can be", host=self.host, where=where),
            tr("give the worker's own address with --base-url, if you trust it"),
        )

    def no_template(self) -> EngineError:
        """The error for a worker that only the controller reaches, which does not describe it."""
        return EngineError(
            tr(
                "the worker's own address cannot be reached; {host} can pass requests on, but does"
                " not say which template the model needs",
                host=self.host,
            ),
            tr("name it with --template, or give the worker's address with --base-url"),
        )

    def refused(self, response: httpx.Response, data: bytes) -> Refused:
        """The error for an answer that is not a success."""
        status, headers = response.status_code, response.headers
        text = as_text(data)
        try:
            answer = loads(text)
        except (ValueError, RecursionError):
            answer = None
        answer = self._readable(answer)
        page = headers.get("content-type", "").startswith("text/html")
        detail = self.clean("" if page else useful_part(answer, text))
        message = tr("{host} refused ({status})", host=self.host, status=status)
        where = self.clean(response.extensions.get("location", ""), 200)
        if 300 <= status < 400 and where:
            message = tr("{host} moved to {where}", host=self.host, where=where)
        elif status < 300 and page:
            message = tr("{host} sent a web page, not an answer", host=self.host)
        else:
            message = add_detail(message, detail)
        codes = codes_of(answer)
        wait_s = seconds_to_wait(status, headers.get("retry-after", ""), codes)
        hint = self._hint(status, wait_s, "\n".join((detail, *codes)))
        again = status >= 500 and status not in BUSY  # what is busy says itself when
        error = Refused(message, hint, status=status, detail=detail, answer=answer, again=again)
        error.wait_s = wait_s
        return error

    def _readable(self, answer: Any) -> Any:
        """An error's answer with the JSON inside its texts, without keys; None if too deep."""
        answer = opened(answer)
        return self.mask.value(answer) if depth(answer, DEEPEST) <= DEEPEST else None

    def _hint(self, status: int, wait_s: float | None, said: str) -> str:
        if status == 407 and self._proxy is not None:
            return wants_password(self._proxy)
        if status in (401, 403):
            return self._key_hint
        if status in BUSY:
            return when_free(wait_s)
        if is_rate(said):
            return tr("that is more at once than you may ask for: shorten it, or ask later")
        if is_filter(said):
            return tr("ask in other words")
        if status == 402:
            return tr("look at your account there, or set --max-tokens to less")
        if status in (404, 405) or status < 400:
            return tr(
                "check {name}: for openai: it often ends in /v1, for fastchat: it never does",
                name=self._address_from,
            )
        if status >= 500:
            return look_at_log()
        return tr("check the name of the model and the sampling settings")

    def lost(self, exc: Exception, silence_s: float) -> Exception:
        """The error for what the network did; anything else is a bug and stays as it is.

        What libraries say of it may quote the server, and a traceback shows that: it is masked too.
        """
        for cause in causes(exc):
            cause.args = tuple(self._quoted(item) for item in cause.args)
        if isinstance(exc, httpx.ConnectError | httpx.ConnectTimeout | httpx.ProxyError):
            return self._unreachable(exc)
        if isinstance(exc, httpx.ReadTimeout):
            return self.silent(silence_s)
        if self._proxy is not None and is_no_socks(exc, self._proxy):
            return Unreachable(*proxy_failed(exc, self._proxy, self.host, ""))
        if isinstance(exc, httpx.TransportError | httpx.DecodingError):
            return self.cut_off()
        return exc

    def _quoted(self, item: object) -> object:
        if isinstance(item, bytes | bytearray):
            item = item.decode("utf-8", "replace")
        return self.clean(item) if isinstance(item, str) else item

    def _no_answer(self, seconds: float) -> str:
        return tr("{host} did not answer within {seconds:.0f} s", host=self.host, seconds=seconds)

    def _unreachable(self, exc: Exception) -> Unreachable:
        host, name = self.host, self._address_from
        detail = self.clean(str(exc))
        if self._proxy is not None and not is_about_tls(exc):
            return Unreachable(*proxy_failed(exc, self._proxy, self.host, detail))
        if isinstance(exc, httpx.ConnectTimeout):
            return self._down(self._no_answer(CONNECT_S))
        for cause in causes(exc):
            if isinstance(cause, ConnectionRefusedError):
                return self._down(tr("nothing listens at {host}", host=host))
            if isinstance(cause, socket.gaierror):
                return Unreachable(
                    tr("{host} is not a known host", host=host),
                    tr("check {name} and the network", name=name),
                    in_chat=tr("check the address and the network"),
                )
            if isinstance(cause, ssl.SSLCertVerificationError):
                line = tr("the certificate of {host} is not trusted", host=host)
                line = add_detail(line, self.clean(cause.verify_message))
                hint = tr("SSL_CERT_FILE can name the certificate of your own authority")
                return Unreachable(line, hint)
            if isinstance(cause, ssl.SSLError):
                line = tr("{host} does not speak TLS", host=host)
                return Unreachable(line, tr("try http:// instead of https://"))
        return self._down(add_detail(tr("{host} cannot be reached", host=host), detail))

    def _down(self, line: str) -> Unreachable:
        """The error where a server is not running, or is elsewhere."""
        return Unreachable(
            line,
            tr("start the server, or give its address with {name}", name=self._address_from),
            in_chat=tr(
                "start the server, or go on with another model: /model {name}, "
                "/model openai: {url}",
                name=BUILT_IN_MODEL,
                url=self._address_from.partition(" ")[2] or "URL",
            ),
        )


def is_about_tls(exc: Exception) -> bool:
    """Whether a connection was there already, and the server's certificate was in the way."""
    return any(isinstance(cause, ssl.SSLError) for cause in causes(exc))


def one_line(text: str, limit: int = ERROR_CHARS) -> str:
    """Text of anybody in one line, its start if it is long."""
    text = " ".join(text.split())
    return text if len(text) <= limit else text[: limit - 1] + "…"


def as_text(data: bytes) -> str:
    """Bytes of a server as text; what is not UTF-8 becomes U+FFFD, and the rest stays."""
    return data.decode("utf-8-sig", "replace")


def causes(exc: BaseException | None) -> Iterator[BaseException]:
    """An exception and all that led to it, each once."""
    seen: list[BaseException] = []
    while exc is not None and exc not in seen:
        seen.append(exc)
        yield exc
        exc = exc.__cause__ or exc.__context__
