"""Ids to text as it arrives: characters, stop strings, reasoning; and the chat template's protocol.

Knows nothing of torch, nets or conversations' storage. What is uncertain is held back: half a
character, half a stop string, half a <think> tag. What has been shown is never taken back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from glmcli.types import Message


@dataclass(frozen=True, slots=True)
class Prompt:
    """A conversation as ids, ready for the assistant's reply."""

    ids: list[int]
    thinking: bool = False
    """The prompt ends with an opened reasoning mark: the reply starts inside the reasoning."""
    goes_on: bool = False
    """The last message is the assistant's, and the reply goes on with it."""


@dataclass(frozen=True, slots=True)
class Marks:
    """What a model writes around its reasoning. Recognised at the start of a reply only."""

    open: str = "<think>"
    close: str = "</think>"
    open_id: int | None = None
    """The mark as one token; if it is known, the same mark spelled in letters is plain text."""
    close_id: int | None = None


class Decoder(Protocol):
    """The ids of one reply to text."""

    def push(self, token: int) -> str:
        """The text that is certain now; "" while half a character is held back."""
        ...

    def flush(self) -> str:
        """What was held back, incomplete as it is. More ids may follow."""
        ...


class Template(Protocol):
    """How one family of models is written to and read."""

    stop_ids: frozenset[int]
    """Ids that end a reply: end of text, end of turn, and the next role where that ends a turn."""
    marks: Marks

    def encode(self, messages: Sequence[Message], *, think: bool | None = None) -> Prompt:
        """The whole prompt. Text of messages never becomes control ids. Raises UsageError."""
        ...

    def decoder(self, prompt: Prompt) -> Decoder:
        """A decoder for the reply to `prompt` (which matters if the reply goes on with text)."""
        ...
