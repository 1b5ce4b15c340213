"""How many tokens messages take, where nobody counts them."""

from __future__ import annotations

import re
from collections.abc import Sequence

from glmcli.types import Message

AROUND_TOKENS = 16
"""What a template puts around a message, about."""
TOKEN_BYTES = 3
"""A token is taken for so many bytes: fewer than in most texts."""
FEWEST_BYTES = 2
"""Bytes that a token has at least, over a whole text: a shorter prompt need not be counted."""
TOKEN_LETTERS = 8
"""No vocabulary in use gets so many letters into a token, over a whole text: English prose has four
to five, seven where tokens may span words."""
REPEATED = re.compile(r"(.)\1+", re.DOTALL)
"""A token can hold a hundred of the same letter."""


def most_tokens(messages: Sequence[Message]) -> int:
    """What a prompt takes at most: a token is a byte at least."""
    return sum(AROUND_TOKENS + len(each.text.encode("utf-8", "replace")) for each in messages)


def likely_tokens(messages: Sequence[Message]) -> int:
    """About what a prompt takes, rather too much than too little."""
    sizes = (len(each.text.encode("utf-8", "replace")) for each in messages)
    return sum(AROUND_TOKENS + size // TOKEN_BYTES for size in sizes)


def least_tokens(messages: Sequence[Message]) -> int:
    """Fewer tokens than any prompt of these messages takes."""
    return sum(len(REPEATED.sub(r"\1", each.text)) // TOKEN_LETTERS for each in messages)
