"""The signals that end the program, and what they raise. Knows nothing of the terminal."""

from __future__ import annotations

import signal
import time
from typing import ClassVar

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGTSTP)


class Killed(SystemExit):
    """SIGTERM or SIGHUP arrived. No error: it passes every `except Exception` on its way out.

    A terminal that is gone counts as SIGHUP, which may have been ignored or not yet heard of. A
    SystemExit, since that is what asyncio lets pass when it is raised inside a callback.
    """

    first_at: ClassVar[float | None] = None
    """When the program began to leave."""

    def __init__(self, signum: int) -> None:
        super().__init__(signum)
        self.signum = signum
        Killed.first_at = Killed.first_at or time.monotonic()
