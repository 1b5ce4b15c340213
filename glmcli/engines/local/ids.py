"""Ids of two prompts, compared. Knows nothing of what they stand for."""

from __future__ import annotations

from collections.abc import Sequence


def shared_prefix(one: Sequence[int], other: Sequence[int]) -> int:
    """How many ids both begin with."""
    for index, (a, b) in enumerate(zip(one, other, strict=False)):
        if a != b:
            return index
    return min(len(one), len(other))
