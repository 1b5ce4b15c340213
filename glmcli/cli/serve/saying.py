"""What a server says while it runs, as long as anybody reads it.

Knows nothing of what is said.
"""

from __future__ import annotations

import math
import os
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, TextIO

from glmcli.chat.bugs import without_keys
from glmcli.cli.dialog import on_stderr
from glmcli.harmless import as_told

if TYPE_CHECKING:
    from glmcli.engines.thread import EngineThread
    from glmcli.terminal.replies.text import StatusLine
    from glmcli.types import Progress


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
    """A line that is too long for a window of so many `columns`, in parts between its words.

    A command is so as a shell takes its parts. All are whole where `columns` is 0.
    """
    if not columns or len(row) <= columns:
        return [row]
    if not row.startswith("  "):
        from glmcli.terminal.told import in_rows

        return in_rows(row, columns).split("\n")
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


class ServerLog:
    """A line with the time of day for each request, on stderr, which first takes the row of the
    model's loading away. Called from any thread.
    """

    def __init__(self, status: StatusLine, *, quiet: bool) -> None:
        self._status = status
        self._quiet = quiet
        self._writing = threading.Lock()

    def __call__(self, line: str) -> None:
        """Write a line without any key that was read, unless it is to be quiet."""
        if self._quiet or sys.stderr is None:
            return
        line = without_keys(line)
        now = time.strftime("%H:%M:%S")
        with self._writing, going_on_without(sys.stderr):
            self._status.clear()
            sys.stderr.write(f"{on_stderr(f'{now} {as_told(line)}')}\n")
            sys.stderr.flush()

    def show(self, progress: Progress | None) -> None:
        """Show how far the loading is, in a row that is taken back."""
        from glmcli.types import Chunk

        with self._writing:
            self._status.show(Chunk(progress=progress))

    def is_loaded(self, engine: EngineThread, stop: threading.Event) -> bool:
        """Load the model and say how far it is; whether it was done before `stop`.

        Raises GlmError.
        """
        try:
            return engine.wait(math.inf, stop, lambda: self.show(engine.progress))
        finally:
            with self._writing:
                self._status.clear()

    def end_row(self) -> None:
        """End the row of a Ctrl-C: what is said next, or a shell's prompt, has its own."""
        if sys.stderr is not None and sys.stderr.isatty():
            with going_on_without(sys.stderr):
                sys.stderr.write("\n")
                sys.stderr.flush()


def server_log(plain: str, *, quiet: bool) -> ServerLog:
    """The log on stderr; `plain` is the setting."""
    from glmcli.terminal.output import outputs
    from glmcli.terminal.replies.text import StatusLine

    return ServerLog(StatusLine(outputs(plain)[1]), quiet=quiet)
