"""Foreign programs in a process of their own: chat templates, and tokenizers with their patterns.

Python cannot break off what runs in C or Rust, nor limit its memory, so foreign.py runs there and
is ended when a job takes too much. Whatever happens to it, the caller gets a ModelError, and the
next job starts a new one. Knows nothing of templates or tokenizers.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from threading import Lock
from typing import Any

from glmcli.engines.local.prompt import foreign
from glmcli.errors import GlmError, ModelError, first_line

PROGRAM = Path(__file__).with_name("foreign.py")
MEMORY_BYTES = 1_500_000_000
"""For all that is in the process; the largest tokenizers need 0.5 GB."""
ANSWER_BYTES = 256 << 20
PATIENCE = 15
"""Seconds on the clock for each second of the processor, on a machine that may be busy."""
LETTERS_A_SECOND = 200_000
"""The least that is expected of a template or a tokenizer."""
TICK_MS = 50
PASSED_ON = ("PATH", "LD_LIBRARY_PATH", "TZ", "TMPDIR")
"""Of the environment: what libraries are found by, and the time zone. No key, no secret."""


class ProgramFailed(Exception):
    """A foreign program ended with an error of its own."""

    def __init__(self, message: str, kinds: list[str]) -> None:
        super().__init__(message)
        self.kinds = kinds
        """The names of the error's class and of those that it is derived from."""


class Apart:
    """A process for foreign programs. It is started at the first job, or again after it was ended.

    `what` names the program in errors, `hint` is what to do about it. `prepare` gives the jobs that
    each new process begins with.
    """

    def __init__(
        self, what: str, hint: str, *, prepare: Callable[[], list[dict[str, Any]]] = list
    ) -> None:
        self._what = what
        self._hint = hint
        self._prepare = prepare
        self._lock = Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._waiting: list[dict[str, Any]] = []
        self._end: Callable[[], object] = lambda: None

    def start(self) -> None:
        """Start the process, which is ready when this one needs it; returns at once."""
        with self._lock:
            if self._process is None or self._process.poll() is not None:
                self._start()

    def ask(self, do: str, *, cpu_s: float = 2.0, **job: Any) -> Any:
        """What a job returns.

        Raises ModelError if it takes too much, ProgramFailed if it fails by itself.
        """
        with self._lock:
            if self._process is None or self._process.poll() is not None:
                self._start()
            for first in self._waiting:
                self._ask(first)
            self._waiting = []
            return self._ask({"do": do, "cpu_s": cpu_s, **job})

    def close(self) -> None:
        """End the process."""
        self._end()
        self._process = None

    def _start(self) -> None:
        self._end()
        paths = [str(Path(path).absolute()) for path in sys.path if path]
        command = [
            sys.executable,
            "-I",
            "-S",
            "-X",
            "utf8",
            str(PROGRAM),
            str(MEMORY_BYTES),
            *paths,
        ]
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,  # a Rust panic prints what no user can read
                start_new_session=True,  # Ctrl-C is for the program, not for its parts
                env={name: os.environ[name] for name in PASSED_ON if name in os.environ}
                | {"TOKENIZERS_PARALLELISM": "false"},
            )
        except OSError as exc:
            raise ModelError(
                f"no process can be started for {self._what}: {exc.strerror}",
                "close other programs",
            ) from exc
        self._end = weakref.finalize(self, ended, self._process)
        self._waiting = self._prepare()

    def _ask(self, job: dict[str, Any]) -> Any:
        process = self._process
        assert process is not None and process.stdin is not None
        patience_s = job["cpu_s"] * PATIENCE
        try:
            with suppress(BrokenPipeError):  # how it ended says more
                foreign.send(process.stdin, job)
            data = self._wait(process, time.monotonic() + patience_s)
        except BaseException:  # half an answer may be under way
            self.close()
            raise
        if "value" in data:
            return data["value"]
        if "limit" in data:
            raise self._stopped(data["limit"])
        raise ProgramFailed(data["error"], data["kinds"])

    def _wait(self, process: subprocess.Popen[bytes], deadline: float) -> Any:
        """The answer. Raises ModelError if the process ends, or has to be ended, before."""
        assert process.stdout is not None
        poll = select.poll()
        poll.register(process.stdout, select.POLLIN)
        while not poll.poll(TICK_MS):
            if time.monotonic() > deadline:
                raise self._stopped("takes too long")
        answer = foreign.received(process.stdout, most=ANSWER_BYTES)
        if answer is not None:
            return answer
        process.kill()
        if process.wait() == -signal.SIGXCPU:
            raise self._stopped("takes too long")
        raise self._stopped("breaks down or needs too much memory")

    def _stopped(self, why: str) -> ModelError:
        return ModelError(f"{self._what} {why}: it was stopped", self._hint)


def ended(process: subprocess.Popen[bytes]) -> None:
    """End a process at once, and wait for its end."""
    process.kill()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with suppress(OSError):
                pipe.close()
    process.wait()


@cache
def templates() -> Apart:
    """The process for all chat templates."""
    return Apart("the model's chat template", "choose another model, or repair its chat template")


def seconds_for(letters: int) -> float:
    """What a program may take of the processor for a text of so many letters."""
    return 2.0 + letters / LETTERS_A_SECOND


@contextmanager
def errors_of(what: str, hint: str) -> Iterator[None]:
    """Make a ModelError of whatever foreign code raises here, a Rust panic included.

    A panic is no Exception, so that `except Exception` lets it through.
    """
    try:
        yield
    except (GlmError, KeyboardInterrupt, SystemExit, GeneratorExit):
        raise
    except BaseException as exc:
        raise ModelError(f"{what} fails: {first_line(exc)}", hint) from exc
