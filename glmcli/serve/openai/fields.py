"""Fields of a request, each of its type and within its range.

What is wrong is told by the field's name. Knows nothing of what they mean.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from glmcli.serve.refusal import Refusal

Fields = Mapping[str, Any]

LARGEST_WHOLE = 2**63 - 1
LARGEST = 1e300
MOST_TEXTS = 64


def number_in(
    body: Fields, name: str, *, low: float = -LARGEST, high: float = LARGEST
) -> float | None:
    """A number that was sent, as torch takes it, None if none was. Raises Refusal."""
    value = _number_in(body, name, low, high)
    return None if value is None else float(value)


def _number_in(body: Fields, name: str, low: float, high: float) -> float | None:
    value = body.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Refusal(400, f"{name} is a number, not {shown(value)}", param=name)
    if not low <= value <= high:
        at_least = f"at least {low:g}" if high == LARGEST and value < low else ""
        reach = at_least or f"from {whole_or(low)} to {whole_or(high)}"
        raise Refusal(400, f"{name} is {reach}, not {shown(value)}", param=name)
    return value


def whole_in(
    body: Fields, name: str, *, low: int = -LARGEST_WHOLE, high: int = LARGEST_WHOLE
) -> int | None:
    """A number without a fraction, 1.0 too; None if none was sent. Raises Refusal."""
    value = _number_in(body, name, low, high)
    if value is None:
        return None
    if int(value) != value:
        raise Refusal(400, f"{name} is a whole number, not {shown(value)}", param=name)
    return int(value)


def field_of(body: Fields, name: str, kind: type, words: str, *, within: str = "") -> Any:
    """A field of a type, None if it was not sent. Raises Refusal."""
    value = body.get(name)
    if value is None or type(value) is kind:
        return value
    param = f"{within}.{name}" if within else name
    raise Refusal(400, f"{param} is {words}, not {shown(value)}", param=param)


def flag_in(body: Fields, name: str, *, within: str = "") -> bool | None:
    """True or false, None if neither was sent. Raises Refusal."""
    found: bool | None = field_of(body, name, bool, "true or false", within=within)
    return found


def texts_in(body: Fields, name: str) -> tuple[str, ...]:
    """A text that was sent, or a list of them, without empty ones. Raises Refusal."""
    value = body.get(name)
    texts = [] if value is None else [value] if isinstance(value, str) else value
    if not isinstance(texts, list) or not all(isinstance(each, str) for each in texts):
        raise Refusal(400, f"{name} is a text or a list of texts", param=name)
    if len(texts) > MOST_TEXTS:
        raise Refusal(400, f"{name} takes {MOST_TEXTS} texts at most", param=name)
    return tuple(filter(None, texts))


def lack_of(value: Any) -> str:
    """What a field that has to be there lacks, "" if there is something in it."""
    if value is None:
        return "missing"
    return "empty" if value in ("", []) else ""


def shown(value: Any) -> str:
    """A number as it was sent, shortened; of anything else only what it is."""
    match value:
        case None | bool():
            return {None: "null", True: "true", False: "false"}[value]
        case float() if math.isnan(value):
            return "NaN"
        case int() | float() if abs(value) > (LARGEST_WHOLE if type(value) is int else LARGEST):
            return "a number that large"
        case int() | float():
            return f"{value}"
        case str():
            return f"a text of {len(value):,} character{'s' if len(value) != 1 else ''}"
        case list():
            return f"a list of {len(value):,}"
    return "an object"


def whole_or(number: float) -> str:
    """A limit without an exponent, where it is a whole number that is not too long."""
    return f"{number}" if isinstance(number, int) else f"{number:g}"
