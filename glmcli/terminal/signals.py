"""The signals that end the program, and what they raise. Knows nothing of the terminal."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import ClassVar

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGTSTP)


class Killed(SystemExit):
    """SIGTERM or SIGHUP arrived. No error: it passes every `except Exception` on its way out.

    A terminal that is gone counts as SIGHUP, which may have been ignored or not yet heard of. A
    SystemExit, since that is what asyncio lets pass when it is raised inside a callback.
    """

    first_at: ClassVar[float | None] = None
    """When the program began to leave."""
    latest: ClassVar[Killed | None] = None
    """The one that is on its way out."""
    taken: ClassVar[Callable[[Killed], None] | None] = None
    """See `kept_back`."""

    def __init__(self, signum: int) -> None:
        super().__init__(signum)
        self.signum = signum
        Killed.first_at = Killed.first_at or time.monotonic()
        Killed.latest = self


def arrive(exc: Killed) -> None:
    """Raise it, in the handler of a signal, or keep it back."""
    if Killed.taken is None:
        raise exc
    Killed.taken(exc)


@contextmanager
def kept_back(tell: Callable[[], None]) -> Iterator[list[Killed]]:
    """What arrives while this lasts is put into a list, and raised at its end; `tell` is called.

    For what would be torn if something were raised between any two steps of it.
    """
    arrived: list[Killed] = []

    def take(exc: Killed) -> None:
        arrived.append(exc)
        tell()

    before, Killed.taken = Killed.taken, take
    try:
        yield arrived
    finally:
        Killed.taken = before
        if arrived:
            raise arrived[0]


@contextmanager
def raised() -> Iterator[None]:
    """Within `kept_back`: what arrives is raised at once, as it is elsewhere."""
    before, Killed.taken = Killed.taken, None
    try:
        yield
    finally:
        Killed.taken = before
