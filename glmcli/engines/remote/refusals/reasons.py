"""The reason in an error's answer, wherever the server put it, or the server behind that.

Gateways pass on what another server said: in a field of its own, in JSON inside a text, or both.
Knows nothing of connections, nor of what a reason means.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from glmcli.files import loads
from glmcli.types import as_count

NESTED = ("error", "message", "detail", "msg")
INNER_FIELDS = (
    *("metadata", "raw", "innererror", "inner_error", "details", "cause", "errors", "reason"),
    *("body", "response", "exception", "provider_error", "upstream_error"),
)
"""Where a gateway puts what the server behind it said."""
CODES_IN = ("code", "type")
_DEEPEST = 6
_FEW = 8
"""How many errors of a list, and how many reasons of an answer, are looked at."""
_JSON_CHARS, _REASON_CHARS = 20_000, 2000
_STARTS = ("{", "[", '"')


def opened(answer: Any, depth: int = _DEEPEST) -> Any:
    """The same answer, in which texts that are JSON of an error are read."""
    if not depth:
        return answer
    if isinstance(answer, list):
        return [opened(item, depth - 1) for item in answer[:_FEW]] + answer[_FEW:]
    if isinstance(answer, dict):
        names = {*NESTED, *INNER_FIELDS}
        return {
            name: opened(item, depth - 1) if name in names else item
            for name, item in answer.items()
        }
    if isinstance(answer, str) and answer.lstrip()[:1] in _STARTS and len(answer) <= _JSON_CHARS:
        try:
            read = loads(answer)
        except (ValueError, RecursionError):
            return answer
        return opened(read, depth - 1) if isinstance(read, dict | list | str) else answer
    return answer


def parts_of(answer: Any, depth: int = _DEEPEST) -> Iterator[dict[str, Any]]:
    """The objects in an opened answer that may say what kind of error it is, the outer ones first.

    No deeper than a few of them lie in each other.
    """
    if isinstance(answer, list):
        for item in answer[:_FEW] if depth else ():
            yield from parts_of(item, depth - 1)
    elif isinstance(answer, dict) and depth:
        yield answer
        for name in (*NESTED, *INNER_FIELDS):
            yield from parts_of(answer.get(name), depth - 1)


def useful_part(answer: Any, text: str) -> str:
    """The sentence of an opened answer that says what is wrong, and behind it the inner reason.

    `text` stands for an answer without one.
    """
    outer = _sentence(answer)
    inner = next((each for each in inner_reasons(answer) if each not in (outer or "")), "")
    if outer is None:
        return inner or text
    if outer in inner or not inner:
        return inner or outer
    return f"{outer.rstrip()}: {inner}"


def inner_reasons(answer: Any) -> list[str]:
    """What gateways pass on in an opened answer, outer ones first."""
    found: list[str] = []
    for part in parts_of(answer):
        for name in INNER_FIELDS:
            value = part.get(name)
            said = value if isinstance(value, str) else _sentence(value)
            if said and said.strip() and not said.strip().isdigit() and len(found) < _FEW:
                found.append(said.strip()[:_REASON_CHARS])
    return found


def codes_of(answer: Any) -> list[str]:
    """The codes and types in an opened answer."""
    parts = list(parts_of(answer))[:_FEW]
    return [str(part[name]) for part in parts for name in CODES_IN if part.get(name)]


def _sentence(answer: Any) -> str | None:
    """The first sentence of an answer; None if it has none."""
    for _ in range(2 * _DEEPEST):
        if isinstance(answer, dict):
            found = (answer.get(name) for name in (*NESTED, "code"))
            answer = next((item for item in found if item and item is not True), None)
        elif isinstance(answer, list):
            answer = answer[0] if answer else None
        else:
            break
    if isinstance(answer, int):
        return "" if as_count(abs(answer)) is None else str(answer)
    return answer if isinstance(answer, str) else None
