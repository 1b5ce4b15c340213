"""What OpenAI-compatible servers stream: server-sent events in, chunks out.

Written for what seven kinds of servers really send, which is less regular than the documents say:
fields may be missing, null or empty, errors are objects or strings, counts come anywhere or never.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from glmcli.engines.remote.faults import Faults, as_text
from glmcli.engines.remote.openai.deltas import (
    OTHER_TEXT,
    Delta,
    GrowingTexts,
    SoFar,
    forms_in_words,
)
from glmcli.engines.remote.stream import (
    HALF_PAIR,
    MESSAGE_BYTES,
    Words,
    split_at,
    text_of,
    whole_number,
)
from glmcli.engines.reply import followed
from glmcli.errors import EngineError
from glmcli.files import DEEPEST, depth, loads
from glmcli.language import tr
from glmcli.types import Chunk, FinishReason, Usage

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_LENGTH = ("length", "model_length", "max_tokens", "model_context_window_exceeded")
"""Why a reply ends that was cut at its limit."""
NO_REASON = ("", "null", "none")
"""A reply that goes on; some servers write null as a text."""
BROKEN_OFF = ("abort", "error", "cancelled", "network_error", "insufficient_system_resource")
FILTERED = ("content_filter", "sensitive", "safety", "recitation", "prohibited_content")
OTHER_FIELDS = (b":", b"id:", b"retry:")
"""Lines of an event that say nothing of the reply."""
FIRST_BYTES = (b"{", b"[DONE]", b"data:", b"event:", b"error:", b"id:", b"retry:")
"""How a line of a stream begins, behind `data:` or before."""
DONE: dict[str, Any] = {"done": True}
"""Stands for `[DONE]`; known by being this very object."""
SIGN_OF_LIFE = re.compile(rb'\s*(?:\[\s*\]|"?[\w .:-]{1,80}"?)\s*')
"""An event that is no object, and says nothing: null, "ping", an empty list."""
SHOWN_CALLS, SHOWN_CHARS = 5, 200
"""How much of the tools that a model asks for is shown."""


def sse_messages(pieces: Iterable[bytes], faults: Faults) -> Iterator[dict[str, Any]]:
    """The JSON of server-sent events, or of lines. An answer that is not a stream is one message.

    Source: the event stream format of the HTML standard; `[DONE]` is OpenAI's. Servers forget the
    empty line after an event: a line that is a whole message does not wait for one.
    """
    data: list[bytes] = []
    stray: list[bytes] = []
    size, is_error, has_begun, odd = 0, False, False, b""
    for line in sse_lines(pieces, faults):
        size += len(line) + 1
        if size > MESSAGE_BYTES:
            raise faults.endless()
        message, part = None, data
        if line.startswith(b"error:"):  # so llama.cpp wrote them until 2025
            message = {"error": error_of(line[6:])}
        elif line.startswith(b"event:"):
            is_error = line[6:].strip() == b"error"
        elif not line:
            if event := b"\n".join(data):
                message = {"error": error_of(event)} if is_error else event_message(event, faults)
                odd = odd or (b"" if message else event)
            is_error = False
        elif not line.startswith(OTHER_FIELDS):
            part = data if line.startswith(b"data:") else stray
            if rest := line.removeprefix(b"data:").strip():
                part.append(rest)
                message = whole_message(rest) if len(part) == 1 else None
            if message and message is not DONE and is_error:
                message = {"error": error_of(rest)}
        if message is not None:
            if message is DONE and odd and not has_begun:
                raise faults.garbled(odd)
            yield message
            if message is DONE:
                return
            part.clear()
            size, is_error, has_begun = 0, False, has_begun or bool(message)
    if rest := b"\n".join(data or stray):
        yield from last_message(rest, faults, is_error=is_error, with_text=not has_begun)
    elif odd and not has_begun:
        raise faults.garbled(odd)


def event_message(event: bytes, faults: Faults) -> dict[str, Any]:
    """The message of an event; an empty one for a sign of life. Raises EngineError for others."""
    return {} if SIGN_OF_LIFE.fullmatch(event) else faults.message(event)


def last_message(
    rest: bytes, faults: Faults, *, is_error: bool, with_text: bool
) -> Iterator[dict[str, Any]]:
    """What stands at the end and nothing behind it. Raises EngineError if nothing was a stream.

    What was cut off is no message: a reply without an end says so itself.
    """
    if is_error:
        found = {"error": error_of(rest)}
    else:
        try:
            found = DONE if rest == b"[DONE]" else faults.message(rest)
        except EngineError:
            if with_text and not any(each.startswith(rest[: len(each)]) for each in FIRST_BYTES):
                raise
            return
    yield found


def whole_message(line: bytes) -> dict[str, Any] | None:
    """The message that a line is; None if it is none, or not all of one."""
    if line == b"[DONE]":
        return DONE
    if not (line.startswith(b"{") and line.endswith(b"}")):
        return None
    try:
        found = loads(as_text(line))
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def error_of(data: bytes) -> object:
    """What a server says of an error, in JSON or just in words."""
    text = as_text(data).strip()
    try:
        found = loads(text) or text
    except (ValueError, RecursionError):
        return text
    return found.get("error") or found if isinstance(found, dict) else found


def sse_lines(pieces: Iterable[bytes], faults: Faults) -> Iterator[bytes]:
    """Lines without their ends. A byte order mark is not part of the first line."""
    first = True
    for part in split_at(b"\n", with_newlines(pieces), faults):
        yield part.removeprefix(BYTE_ORDER_MARK if first else b"").removesuffix(b"\n")
        first = False


def with_newlines(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes with every line ended by LF; the standard allows CR LF and CR as well."""
    cr = False
    for piece in pieces:
        rest = piece.removeprefix(b"\n") if cr else piece
        cr = piece.endswith(b"\r")
        if rest:
            yield rest.replace(b"\r\n", b"\n").replace(b"\r", b"\n")


class OpenAIReply:
    """One reply: the events of a stream in, chunks out."""

    def __init__(self, faults: Faults, stop: Sequence[str]) -> None:
        self.finished = False
        self.enough = False
        self._faults = faults
        self._words = Words(stop, faults.mask)
        self._reason: FinishReason | None = None
        self._usage = Usage()
        self._calls = Calls()
        self._declined = ""
        self._forms: set[str] = set()
        self._streams = False
        """Whether deltas came: a whole message after them is theirs once more."""
        self._text, self._thinking = SoFar(), SoFar()
        self._messages, self._thoughts = GrowingTexts(), GrowingTexts()
        self._has_begun = self._has_text = False
        self._place = ""
        """The index of the choice that is the reply; "" if no choice has come with one."""

    @property
    def notice(self) -> str:
        """What the user is to hear of a reply that has more than text."""
        notices = []
        if calls := self._faults.clean(str(self._calls), 300):
            notices.append(tr("the model also asked for the tool {calls}", calls=calls))
        if self._forms:
            forms = forms_in_words(self._forms)
            notices.append(
                tr("the model also sent {forms}, which are not shown here", forms=forms)
                if len(self._forms) > 1
                else tr("the model also sent {form}, which is not shown here", form=forms)
            )
        return tr("; ").join(notices)

    def take(self, message: dict[str, Any]) -> Chunk:
        """The chunk of one event. Raises EngineError for an error that the server sent as one."""
        if message is DONE:
            other = self._calls or self._declined or self._forms
            if self._reason is None and (self._has_begun or other):
                self._reason, self.finished = "stop", True
            return Chunk()
        self._raise_error(message)
        self._usage = read_usage(message) or self._usage
        choice = self._choice_of(message)
        if choice is None:
            return Chunk()
        if choice.get("error"):  # so OpenRouter ends a reply that its provider gave up
            raise self._faults.failed(choice)
        text, thinking = self._said_in(choice)
        self._finish(choice.get("finish_reason"), with_text=bool(text or thinking))
        self._has_text = self._has_text or bool(text.strip())
        self._has_begun = self._has_begun or bool(text or thinking)
        words = self._words.push(text, thinking)
        if self._words.stopped:
            self._reason = "stop"
            self.finished = self.enough = True
        return words

    def held(self) -> Chunk:
        """What could have been half a stop string or half a mark."""
        waiting = self._words.push(self._messages.flush(), self._thoughts.flush())
        return followed(waiting, self._words.flush())

    def end(self) -> Chunk:
        """The last chunk. The end of the stream alone is not the end of the reply.

        Raises NoText for a reply that is none, and for one that the model took back.
        """
        if self._reason is None:
            raise self._faults.cut_off()
        if not self._has_text and self._calls:
            raise self._faults.asked_tool(str(self._calls))
        if self._declined:
            raise self._faults.declined(self._declined)
        if not self._has_text and self._forms:
            raise self._faults.not_text(forms_in_words(self._forms))
        usage = self._usage
        if self._has_begun and usage.completion_tokens == 0:  # counted before the first of them
            usage = replace(usage, completion_tokens=None)
        return replace(self.held(), finish_reason=self._reason, usage=usage)

    def _said_in(self, choice: dict[str, Any]) -> tuple[str, str]:
        """The text and the thinking that a choice adds to the reply."""
        fields, whole = choice.get("delta"), choice.get("message")
        is_whole = not fields and isinstance(whole, dict)
        if is_whole:
            fields = whole
        elif not isinstance(fields, dict) and "text" in choice:  # the older interface
            fields = {"content": choice["text"]}
        said = Delta(fields)
        self._forms |= said.forms
        is_again = is_whole and self._streams
        self._streams = self._streams or (bool(fields) and not is_whole)
        if not (is_again and self._calls):
            self._calls.take(fields)
        if not (is_again and self._declined):
            self._declined += text_of(fields, "refusal")[: SHOWN_CHARS - len(self._declined)]
        text, thinking = said.text, said.thinking
        if is_again:
            text, is_other = self._text.new_in(text)
            thinking, _ = self._thinking.new_in(thinking)
            self._forms |= {OTHER_TEXT} if is_other else set()
        elif is_whole:
            text, thinking = self._messages.push(text), self._thoughts.push(thinking)
            self._forms |= {OTHER_TEXT} if self._messages.is_other else set()
        elif text or thinking:
            text = self._messages.flush() + text
            thinking = self._thoughts.flush() + thinking
        self._text.add(text)
        self._thinking.add(thinking)
        return text, thinking

    def _choice_of(self, message: dict[str, Any]) -> dict[str, Any] | None:
        """What a message has of the reply: of several choices the one at 0, or that came first."""
        choices = message.get("choices")
        if "choices" not in message and "done" in message:  # Ollama's own interface
            reason = message.get("done_reason") or ("stop" if message["done"] is True else None)
            return {"delta": message.get("message"), "finish_reason": reason}
        listed = [it for it in choices if isinstance(it, dict)] if isinstance(choices, list) else []
        places = [index_of(choice) for choice in listed]
        if not self._has_begun and "0" in places:  # what came before it said nothing
            self._place = "0"
        for choice, place in zip(listed, places, strict=True):
            self._place = self._place or place
            if place in ("", self._place):
                return choice
        return None

    def _finish(self, reason: object, *, with_text: bool) -> None:
        """Take in why the reply ends. Of several reasons the first counts, or one with new text."""
        kind = reason.lower() if isinstance(reason, str) else ""
        if kind in NO_REASON:
            return
        if kind in FILTERED:
            raise self._faults.filtered()
        if kind in BROKEN_OFF:
            raise self._faults.broken_off(str(reason))
        if self._reason is None or with_text:
            self._reason = "length" if kind in _LENGTH else "stop"
        self.finished = True

    def _raise_error(self, message: dict[str, Any]) -> None:
        if code := message.get("error_code"):
            raise self._faults.worker(code, text_of(message, "text"))
        if message.get("error") or "error" in (message.get("object"), message.get("type")):
            raise self._faults.failed(message)
        if "choices" not in message and (
            message.get("detail") or (text_of(message, "message") and message.get("code"))
        ):
            raise self._faults.failed(message)


def index_of(choice: dict[str, Any]) -> str:
    """The index of a choice, be it a number or a text; "" if it has none."""
    place = choice.get("index")
    return str(place).strip().removesuffix(".0") if isinstance(place, str | int | float) else ""


class Calls:
    """The tools that a model asks for, as far as they are shown; they come in deltas too."""

    def __init__(self) -> None:
        self._calls: dict[int, tuple[str, str]] = {}
        """Name and arguments, by the place that the server gives the call."""

    def __bool__(self) -> bool:
        return bool(self._calls)

    def __str__(self) -> str:
        return ", ".join(f"{name}({arguments})" for name, arguments in self._calls.values())

    def take(self, delta: object) -> None:
        """Take in what a delta has of them, in the old form or the new one."""
        if not isinstance(delta, dict):
            return
        calls = delta.get("tool_calls")
        for call in calls if isinstance(calls, list) else ():
            if isinstance(call, dict):
                self._add(call.get("index"), call.get("function"))
        self._add(0, delta.get("function_call"))

    def _add(self, place: object, function: object) -> None:
        if not isinstance(function, dict) or not function:
            return
        if not isinstance(place, int):  # each call is whole, or goes on with the last
            place = len(self._calls) - (not function.get("name"))
        if place not in self._calls and len(self._calls) == SHOWN_CALLS:
            return
        name, arguments = self._calls.get(place, ("", ""))
        name += text_of(function, "name")[:SHOWN_CHARS]
        arguments += HALF_PAIR.sub("\ufffd", arguments_of(function))
        self._calls[place] = name[:SHOWN_CHARS], arguments[:SHOWN_CHARS]


def arguments_of(function: dict[str, Any]) -> str:
    """The arguments of a call as JSON, also where a server sends them as an object."""
    given = function.get("arguments")
    if isinstance(given, str) or given is None:
        return given or ""
    is_deep = depth(given, DEEPEST) > DEEPEST
    return "…" if is_deep else json.dumps(given, ensure_ascii=False)


def read_usage(message: dict[str, Any]) -> Usage | None:
    """The counts of a message, wherever the server puts them; None if it has none."""
    usage, timings = message.get("usage"), message.get("timings")
    if "eval_count" in message:  # Ollama's own interface
        return Usage(
            prompt_tokens=whole_number(message, "prompt_eval_count"),
            completion_tokens=whole_number(message, "eval_count"),
        )
    if isinstance(usage, dict) and usage:
        return Usage(
            prompt_tokens=whole_number(usage, "prompt_tokens"),
            cached_tokens=whole_number(usage.get("prompt_tokens_details"), "cached_tokens"),
            completion_tokens=whole_number(usage, "completion_tokens"),
        )
    if isinstance(timings, dict):
        cached, read = whole_number(timings, "cache_n"), whole_number(timings, "prompt_n")
        return Usage(
            prompt_tokens=None if read is None else (cached or 0) + read,
            cached_tokens=None if read is None else cached or 0,
            completion_tokens=whole_number(timings, "predicted_n"),
        )
    return None
