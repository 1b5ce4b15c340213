"""Kinds of values that a field of a checkpoint's JSON may hold: numbers, lists, bounds.

Knows nothing of which field holds what: see fields.py.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from glmcli.language import tr

LONGEST_LIST = 10_000
"""Values: one for each layer, or for each pair of a head."""


@dataclass(frozen=True, slots=True)
class FieldKind:
    """What a field may hold."""

    words: Callable[[], str]
    """As the end of "is 5, not ...": "a number", in the user's language."""
    fits: Callable[[Any], bool]


FieldTable = Mapping[str, FieldKind]


def as_list(value: Any) -> list[Any]:
    """A list as it is, anything else as the only one of a list."""
    return value if isinstance(value, list) else [value]


def as_whole(value: Any) -> Any:
    """A whole number that is written as 5.0 as one, also in a list; anything else as it is."""
    if isinstance(value, list):
        return [as_whole(each) for each in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def written_freely(kind: FieldKind) -> FieldKind:
    """A kind of whole numbers that may be written as 5.0."""
    return FieldKind(kind.words, lambda value: kind.fits(as_whole(value)))


def whole(least: int, most: int) -> FieldKind:
    """A whole number within bounds."""
    return FieldKind(
        lambda: tr("a whole number from {least:,} to {most:,}", least=least, most=most),
        lambda value: is_integer(value) and least <= value <= most,
    )


def some(kind: FieldKind) -> FieldKind:
    """One of a kind, or a list of them: one for each layer."""
    return FieldKind(
        lambda: tr("{kind}, or a list of at most {most:,}", kind=kind.words(), most=LONGEST_LIST),
        lambda value: value != [] and list_of(kind.fits)(as_list(value)),
    )


def number(least: float = -math.inf, most: float = math.inf) -> FieldKind:
    """A finite number within bounds."""

    def words() -> str:
        if most < math.inf:
            return tr("a number from {least:g} to {most:g}", least=least, most=most)
        if least == -math.inf:
            return tr("a number")
        return tr("a number of {least:g} or more", least=least)

    return FieldKind(words, lambda value: is_finite(value) and least <= value <= most)


def is_integer(value: Any) -> bool:
    """Whether it is a whole number; true and false are not."""
    return isinstance(value, int) and not isinstance(value, bool)


def is_finite(value: Any) -> bool:
    """Whether it is a number, a finite one; true and false are not."""
    return is_integer(value) or (isinstance(value, float) and math.isfinite(value))


def list_of(fits: Callable[[Any], bool], most: int = LONGEST_LIST) -> Callable[[Any], bool]:
    """Whether something is a list of at most so many items, all of which fit."""
    return lambda value: isinstance(value, list) and len(value) <= most and all(map(fits, value))
