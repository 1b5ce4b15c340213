"""What a server says while it runs, as long as anybody reads it.

Knows nothing of what is said.
"""

from __future__ import annotations

import math
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, TextIO

from glmcli.config import Settings
from glmcli.harmless import as_told

if TYPE_CHECKING:
    from glmcli.engines.thread import EngineThread


def say_set_up(rows: Sequence[str]) -> None:
    """Say on stdout how clients are set up, as long as anybody reads it."""
    columns = 0
    with suppress(OSError, ValueError):
        columns = os.get_terminal_size(sys.stdout.fileno()).columns
    text = "".join(as_told(part) + "\n" for row in rows for part in in_parts(row, columns))
    with going_on_without(sys.stdout):
        sys.stdout.write(text)
        sys.stdout.flush()


def in_parts(row: str, columns: int) -> list[str]:
    """A command that is too long for a window of so many `columns`, as a shell takes its parts.

    Any other line is whole, and so are all where `columns` is 0.
    """
    if not columns or len(row) <= columns or not row.startswith("  "):
        return [row]
    parts, words = [], row.split()
    part = f"  {words[0]}"
    for word in words[1:]:
        if len(part) + len(word) + 3 > columns:
            parts.append(f"{part} \\")
            part = f"    {word}"
        else:
            part += f" {word}"
    return [*parts, part]


@contextmanager
def going_on_without(stream: TextIO) -> Iterator[None]:
    """Whatever is written into a stream goes nowhere once nobody reads it: a server goes on."""
    try:
        yield
    except BrokenPipeError:
        with open(os.devnull, "w") as nowhere:  # noqa: PTH123
            os.dup2(nowhere.fileno(), stream.fileno())
    except OSError:  # a full disk, for one, may have room again
        return


def in_log() -> Callable[[str], None]:
    """Writes a line with the time of day for each request, on stderr; from any thread."""
    writing = threading.Lock()

    def write(line: str) -> None:
        if sys.stderr is None:
            return
        with writing, going_on_without(sys.stderr):
            sys.stderr.write(f"{time.strftime('%H:%M:%S')} {as_told(line)}\n")
            sys.stderr.flush()

    return write


def is_loaded(engine: EngineThread, stop: threading.Event, settings: Settings) -> bool:
    """Load the model and say how far it is; whether it was done before `stop`. Raises GlmError."""
    from glmcli.terminal.output import outputs
    from glmcli.terminal.replies.text import StatusLine
    from glmcli.types import Chunk

    status = StatusLine(outputs(settings.plain)[1])
    try:
        return engine.wait(math.inf, stop, lambda: status.show(Chunk(progress=engine.progress)))
    finally:
        status.clear()
