"""What passes between a caller and the process that keeps a model: a line of JSON each way.

Knows nothing of sockets. What comes over one was written by another process of the same user,
perhaps of another version: names that are not known are left out.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from typing import Any, TypeVar

from glmcli import errors
from glmcli.errors import ContextFull, EngineError, GlmError, OutOfMemory
from glmcli.types import Chunk, GenerationParams, Message, Progress, Usage

_T = TypeVar("_T")
_OF_MESSAGES = ("role", "text", "thinking", "name", "tools")
"""What an engine is given of a message."""
_OBJECTS = {"answer", "error", "progress", "chunk", "facts", "failure"}
"""Names in a line of an answer whose values are objects, or null."""
_TEXTS = ("model", "full_name", "address", "device", "details", "version", "state")
_NUMBERS = ("window", "pid", "busy", "waiting", "clients", "idle_s", "keep_s", "ends_in_s")
_SIZES = ("memory_bytes", "slot_bytes", "slot_limit")
_FACTS: dict[str, Any] = {
    **dict.fromkeys(_TEXTS, str),
    **dict.fromkeys((*_NUMBERS, *_SIZES), int | float | None),
    "filled": dict | None,
}
"""What the values are that a process says of itself."""


def as_line(data: Mapping[str, Any]) -> bytes:
    """An object as a line. Lone surrogates pass: JSON has an escape for them."""
    return json.dumps(data, separators=(",", ":")).encode("ascii") + b"\n"


def parsed_line(line: bytes) -> dict[str, Any]:
    """The object of a line. Raises ValueError."""
    try:
        data = json.loads(line)
    except RecursionError as exc:
        raise ValueError("nested too deeply") from exc
    if not isinstance(data, dict):
        raise ValueError("not an object")
    return data


def checked_answer(line: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a process that keeps a model said. Raises ValueError if no such process says that."""
    for name in _OBJECTS & line.keys():
        if not isinstance(line[name], dict | None):
            raise ValueError(name)
    try:
        if "error" in line:
            error_in(line["error"])
        if "progress" in line:
            known(Progress, line["progress"])
        if "chunk" in line:
            chunk_in(line["chunk"])
    except (TypeError, AttributeError, KeyError) as exc:
        raise ValueError("not as it is written") from exc
    return line


def possible(facts: Mapping[str, Any]) -> dict[str, Any]:
    """The facts whose values can be what they are called."""
    return {name: it for name, it in facts.items() if isinstance(it, _FACTS.get(name, object))}


def status_in(data: Mapping[str, Any]) -> dict[str, Any]:
    """What a process says of itself. Raises ValueError if it is none that keeps a model."""
    status = possible(data)
    if not {"model", "state"} <= status.keys():
        raise ValueError("no process that keeps a model")
    return status


def request_of(messages: Sequence[Message], params: GenerationParams) -> dict[str, Any]:
    """A prompt and how to sample, as an object."""
    sent = [{name: getattr(item, name) for name in _OF_MESSAGES} for item in messages]
    return {
        "messages": [{name: text for name, text in item.items() if text} for item in sent],
        "params": slim(params),
    }


def messages_in(data: Mapping[str, Any]) -> list[Message]:
    """The messages of a request. Raises ValueError, TypeError, KeyError."""
    return [known(Message, {"text": "", **item}) for item in data["messages"]]


def params_in(data: Mapping[str, Any]) -> GenerationParams:
    """How a request wants to be sampled. Raises TypeError, ValueError."""
    params = known(GenerationParams, data.get("params") or {})
    return params.merged({"stop": tuple(params.stop)})


def slim(value: Any) -> dict[str, Any]:
    """A dataclass without what is empty or unset."""
    pairs = ((item.name, getattr(value, item.name)) for item in fields(value))
    return {name: each for name, each in pairs if each is not None and each not in ("", ())}


def chunk_object(chunk: Chunk) -> dict[str, Any]:
    """A chunk as an object."""
    found = {name: each for name, each in slim(chunk).items() if each}
    for name in ("usage", "progress"):
        if name in found:
            found[name] = asdict(found[name])
    return found


def chunk_in(data: Mapping[str, Any]) -> Chunk:
    """The chunk of an object. Raises TypeError."""
    found = dict(data)
    if "usage" in found:
        found["usage"] = known(Usage, found["usage"])
    if "progress" in found:
        found["progress"] = known(Progress, found["progress"])
    return known(Chunk, found)


def item_object(index: int, item: Chunk | GlmError) -> dict[str, Any]:
    """An item of a batch as an object; an empty one for a tick."""
    if isinstance(item, GlmError):
        return {"index": index, "failure": error_object(item)}
    return {} if item == Chunk() else {"index": index, "chunk": chunk_object(item)}


def item_in(data: Mapping[str, Any]) -> tuple[int, Chunk | GlmError]:
    """The item of an object. Raises TypeError, ValueError, KeyError."""
    is_failure = "failure" in data
    item = error_in(data["failure"]) if is_failure else chunk_in(data["chunk"])
    return int(data["index"]), item


def error_object(error: GlmError) -> dict[str, Any]:
    """An error as an object, with what is needed to raise it again."""
    found = {"kind": type(error).__name__, "code": error.exit_code, "again": error.again}
    found |= {name: getattr(error, name) for name in ("message", "hint", "in_chat")}
    for name in ("needed", "limit", "output", "is_set", "at_least", "free"):
        if hasattr(error, name):
            found[name] = getattr(error, name)
    return found


def error_in(data: Mapping[str, Any]) -> GlmError:
    """The error of an object: of its own kind, or else with its exit code."""
    message, hint = str(data.get("message")), str(data.get("hint") or "")
    kind = getattr(errors, str(data.get("kind")), None)
    error: GlmError
    if kind is ContextFull:
        flags = {name: bool(data.get(name)) for name in ("is_set", "at_least")}
        error = ContextFull(data.get("needed"), data.get("limit"), data.get("output"), **flags)
    elif kind is OutOfMemory:
        error = OutOfMemory(data.get("needed"), data.get("free"))
        error.message, error.hint, error.args = message, hint, (message,)
    else:
        is_ours = isinstance(kind, type) and issubclass(kind, GlmError)
        make: type[GlmError] = kind if is_ours and kind is not None else EngineError
        error = make(message, hint)
        error.exit_code = int(data.get("code") or error.exit_code)
    error.again, error.in_chat = bool(data.get("again")), str(data.get("in_chat") or "")
    return error


def known(kind: type[_T], data: Mapping[str, Any]) -> _T:
    """A dataclass of the fields that it has. Raises TypeError if a needed one is missing."""
    make: Any = kind
    names = {item.name for item in fields(make)}
    made: _T = make(**{name: value for name, value in data.items() if name in names})
    return made
