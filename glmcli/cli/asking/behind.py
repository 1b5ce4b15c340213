"""Engines that stand before another engine. They know nothing of what is asked."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import closing
from threading import Event

from glmcli.engines import Engine, state_of
from glmcli.engines.delivery import TICK_S
from glmcli.engines.estimate import likely_tokens, most_tokens
from glmcli.errors import ContextFull
from glmcli.language import later, tr
from glmcli.types import Chunk, GenerationParams, Message

ANSWER_SHARE = 8
"""The window divided by this is room for an answer."""
LONG_TOKENS = 2048
"""A shorter prompt fits any window."""
ONE_PIECE = later(
    "the model's window is not known: the text was sent in one piece; --window says how much fits"
)


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

    def count(
        self, messages: Sequence[Message], cancel: Event | None = None, think: bool | None = None
    ) -> int | None:
        """The size of a prompt of the engine behind."""
        return self.behind.count(messages, cancel, think)

    def close(self) -> None:
        """Close the engine behind."""
        self.behind.close()


class RoomyEngine(WrappedEngine):
    """Refuses a prompt that leaves too little of the window for the reply.

    What nobody counts is estimated. Where the window is not known, that is said of a long prompt.
    """

    def stream(
        self, messages: Sequence[Message], params: GenerationParams, cancel: Event
    ) -> Generator[Chunk, None, None]:
        """The reply. Raises ContextFull before anything is sent."""
        yield from self._opening(cancel)
        window = self.context_tokens
        if window is not None:
            reply = min(params.max_tokens or window, window // ANSWER_SHARE)
            if reply + most_tokens(messages) > window:
                size = self.count(messages, cancel, params.think)
                needed = likely_tokens(messages) if size is None else size
                if needed + reply > window and not cancel.is_set():
                    raise ContextFull(size, window)
        is_told = window is not None or likely_tokens(messages) < LONG_TOKENS
        with closing(self.behind.stream(messages, params, cancel)) as stream:
            for chunk in stream:
                if chunk.finish_reason and not is_told:
                    yield Chunk(notice=tr(ONE_PIECE))
                yield chunk

    def _opening(self, cancel: Event) -> Generator[Chunk, None, None]:
        """Open the engine behind, if it opens later: a window is known only then."""
        state = state_of(self.behind)
        state.start()
        while not (state.is_open or state.failure or cancel.wait(TICK_S)):
            yield Chunk(progress=state.progress)
        if state.failure:
            raise state.failure
