"""Vocabularies small enough to be written in a test."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from itertools import pairwise


def byte_pairs(text: str, *, size: int) -> list[bytes]:
    """A vocabulary made by merging the most frequent pair again and again."""
    tokens = [bytes([byte]) for byte in range(256)]
    parts = [bytes([byte]) for byte in text.encode()]
    while len(tokens) < size:
        pairs = [a + b for a, b in pairwise(parts) if a + b not in tokens]
        best = max(sorted(set(pairs)), key=pairs.count)
        tokens.append(best)
        parts = merge(parts, best)
    return tokens


def merge(parts: list[bytes], pair: bytes) -> list[bytes]:
    merged: list[bytes] = []
    for part in parts:
        if merged and merged[-1] + part == pair:
            merged[-1] = pair
        else:
            merged.append(part)
    return merged


def tiktoken_file(tokens: Iterable[bytes]) -> bytes:
    lines = [base64.b64encode(token) + b" %d\n" % rank for rank, token in enumerate(tokens)]
    return b"".join(lines)
