"""An engine of which something is told."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from threading import Event

from glmcli.engines import Asked, BatchItem, Engine, TellsOwn, Warms
from glmcli.engines.batches import batch_of
from glmcli.types import Chunk, GenerationParams, Message


class ToldEngine:
    """What another engine is and does, and a line about it."""

    def __init__(self, engine: Engine, line: str) -> None:
        self._engine = engine
        self._line = line

    @property
    def name(self) -> str:
        """That of the engine."""
        return self._engine.name

    @property
    def device(self) -> str:
        """That of the engine."""
        return self._engine.device

    @property
    def details(self) -> str:
        """Those of the engine."""
        return self._engine.details

    @property
    def context_tokens(self) -> int | None:
        """The window of the engine."""
        return self._engine.context_tokens

    def stream(
        self, messages: Sequence[Message], params: GenerationParams, cancel: Event
    ) -> Generator[Chunk, None, None]:
        """The reply of the engine, behind the line."""
        yield Chunk(notice=self._line, once=True)
        yield from self._engine.stream(messages, params, cancel)

    def batch(self, prompts: Sequence[Asked], cancel: Event) -> Generator[BatchItem, None, None]:
        """The replies of the engine to several prompts, behind the line."""
        if prompts:
            yield 0, Chunk(notice=self._line, once=True)
        yield from batch_of(self._engine, prompts, cancel)

    def count(
        self, messages: Sequence[Message], cancel: Event | None = None, think: bool | None = None
    ) -> int | None:
        """The size of a prompt."""
        return self._engine.count(messages, cancel, think)

    def warm(self, messages: Sequence[Message], params: GenerationParams, cancel: Event) -> None:
        """Let the engine get ready, if it can."""
        if isinstance(self._engine, Warms):
            self._engine.warm(messages, params, cancel)

    def filled(self, params: GenerationParams) -> GenerationParams | None:
        """What the engine fills in, if it tells."""
        return self._engine.filled(params) if isinstance(self._engine, TellsOwn) else None

    def own_system(self) -> str:
        """The system prompt of the engine's own, if it tells."""
        return self._engine.own_system() if isinstance(self._engine, TellsOwn) else ""

    def close(self) -> None:
        """Close the engine."""
        self._engine.close()
