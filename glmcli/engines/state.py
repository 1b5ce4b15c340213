"""What whoever waits for an engine can know of it, and do meanwhile.

Knows nothing of engines but whether they are open.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from threading import Event
from typing import Protocol, runtime_checkable

from glmcli.errors import GlmError
from glmcli.types import GenerationParams, Message, Progress


@runtime_checkable
class EngineState(Protocol):
    """What whoever waits for an engine can know of it, and do meanwhile."""

    @property
    def is_open(self) -> bool:
        """Whether the engine was opened."""
        ...

    @property
    def progress(self) -> Progress | None:
        """What is being done to open it, if that is known."""
        ...

    @property
    def failure(self) -> GlmError | None:
        """Why it could not be opened, if it could not."""
        ...

    def watch(self, call: Callable[[], None]) -> None:
        """Have `call` called, on any thread, when one of these changes; in place of an earlier."""
        ...

    def start(self) -> None:
        """Begin to open the engine, if that was not done; returns at once."""
        ...

    def wait(self, patience_s: float, stop: Event) -> bool:
        """Open it; whether it is open before `patience_s` or `stop`. Raises GlmError."""
        ...

    def warm_with(
        self,
        make: Callable[[], Sequence[Message] | None],
        params: GenerationParams,
        cancel: Event,
    ) -> None:
        """Let the idle engine get ready for messages that are made when it has time for them.

        `make` is called on any thread; None means that there is nothing to do. Returns at once.
        """
        ...


class AlwaysOpen:
    """The state of an engine that is used without a thread of its own."""

    is_open = True
    progress: Progress | None = None
    failure: GlmError | None = None

    def watch(self, call: Callable[[], None]) -> None:
        """Nothing changes."""

    def start(self) -> None:
        """Nothing is left to do."""

    def wait(self, patience_s: float, stop: Event) -> bool:
        """It is."""
        return True

    def warm_with(
        self, make: Callable[[], Sequence[Message] | None], params: GenerationParams, cancel: Event
    ) -> None:
        """There is nobody to do it."""


def state_of(engine: object) -> EngineState:
    """The state of any engine."""
    return engine if isinstance(engine, EngineState) else AlwaysOpen()
