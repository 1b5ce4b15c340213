"""A reply on its way between two threads."""

from __future__ import annotations

from glmcli.engines.delivery import joined
from glmcli.types import Chunk


def test_what_is_joined_says_the_same():
    turned = Chunk("c", "b", was_thinking=True)
    last = Chunk(finish_reason="stop")
    items = [Chunk("a"), Chunk("a", tokens=1), turned, Chunk("d"), Chunk(notice="n"), last]
    assert joined(items) == [Chunk("aa", tokens=1), turned, Chunk("d"), Chunk(notice="n"), last]
