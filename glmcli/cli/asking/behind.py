"""Engines that stand before another engine. They know nothing of what is asked."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import closing
from threading import Event

from glmcli.engines import Engine
from glmcli.errors import ContextFull
from glmcli.types import Chunk, GenerationParams, Message

ANSWER_SHARE = 8
"""The window divided by this is room for an answer."""


class WrappedEngine:
    """What another engine is and does."""

    def __init__(self, engine: Engine) -> None:
        self.behind = engine

    @property
    def name(self) -> str:
        """That of the engine behind."""
        return self.behind.name

    @property
    def device(self) -> str:
        """That of the engine behind."""
        return self.behind.device

    @property
    def details(self) -> str:
        """That of the engine behind."""
        return self.behind.details

    @property
    def context_tokens(self) -> int | None:
        """The window of the engine behind."""
        return self.behind.context_tokens

    def stream(
        self, messages: Sequence[Message], params: GenerationParams, cancel: Event
    ) -> Generator[Chunk, None, None]:
        """The reply of the engine behind."""
        yield from self.behind.stream(messages, params, cancel)

    def count(self, messages: Sequence[Message], cancel: Event | None = None) -> int | None:
        """The size of a prompt of the engine behind."""
        return self.behind.count(messages, cancel)

    def close(self) -> None:
        """Close the engine behind."""
        self.behind.close()


class RoomyEngine(WrappedEngine):
    """Refuses a prompt that leaves too little of the window for the reply, if its size is said."""

    def stream(
        self, messages: Sequence[Message], params: GenerationParams, cancel: Event
    ) -> Generator[Chunk, None, None]:
        """The reply. Raises ContextFull before its first text."""
        with closing(self.behind.stream(messages, params, cancel)) as stream:
            for chunk in stream:
                size, window = size_said(chunk), self.context_tokens
                if window is not None and size is not None:
                    reply = min(params.max_tokens or window, window // ANSWER_SHARE)
                    if size + reply > window:
                        raise ContextFull(size, window)
                yield chunk


def size_said(chunk: Chunk) -> int | None:
    """The size of the prompt, where an engine says it as it begins to read."""
    is_reading = chunk.progress is not None and chunk.progress.stage == "reading"
    return chunk.progress.total if chunk.progress and is_reading else None
