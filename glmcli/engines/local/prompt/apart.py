"""Foreign programs in a process of their own: chat templates, and tokenizers with their patterns.

Python cannot break off what runs in C or Rust, nor limit its memory, so foreign.py runs there and
is ended when a job takes too much, or when nobody waits for it any more. Whatever happens to it,
the caller gets a ModelError, and the next job starts a new one. Knows nothing of templates.
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
from contextvars import ContextVar
from functools import cache
from pathlib import Path
from threading import Event, Lock, Timer
from typing import Any

from glmcli.engines.local.prompt import foreign
from glmcli.errors import GlmError, ModelError
from glmcli.language import later, tr

PROGRAM = Path(__file__).with_name("foreign.py")
MEMORY_BYTES = 1_500_000_000
"""For all that is in the process; the largest tokenizers need 0.5 GB."""
_ANSWER_BYTES = 256 << 20
WALL_S, WALL_PER_CPU = 60.0, 10.0
"""Seconds on the clock: so many, and so many for each second of the processor.

The system ends a job that works too much (`cpu_s`). This ends one that waits for something, so it
may be long: on a busy machine a job gets a tenth of a processor, and `cancel` ends it earlier.
"""
STOPPED = {
    "time": later("{what} takes too long: it was stopped"),
    "memory": later("{what} needs too much memory: it was stopped"),
    "depth": later("{what} calls itself too deeply: it was stopped"),
    "count": later("{what} counts too far: it was stopped"),
    "length": later("{what} writes far more than it is given: it was stopped"),
    "token": later("{what} has a token of more than 1,000 letters"),
    "tokens": later("{what} has more than 500,000 tokens"),
    "long": later("{what} has too many long tokens"),
    "added": later("{what} has more than 50,000 added tokens"),
    "crash": later("{what} breaks down or needs too much memory: it was stopped"),
}
"""What went beyond which limit; foreign.py names the limits."""
LETTERS_A_SECOND = 200_000
"""The least that is expected of a template or a tokenizer."""
TICK_MS = 50
_GRACE_S = 1.0
"""How long a process may work on an answer that nobody waits for."""
PASSED_ON = ("PATH", "LD_LIBRARY_PATH", "TZ", "TMPDIR")
"""Of the environment: what libraries are found by, and the time zone. No key, no secret."""


_cancel: ContextVar[Event | None] = ContextVar("cancel", default=None)


class GivenUp(GlmError):
    """The caller's `cancel` was set while a foreign program ran."""


@contextmanager
def heeding(cancel: Event | None) -> Iterator[None]:
    """Within this, waiting for a foreign program ends with GivenUp soon after `cancel` is set."""
    token = _cancel.set(cancel)
    try:
        yield
    finally:
        _cancel.reset(token)


class ProgramFailed(Exception):
    """A foreign program ended with an error of its own."""

    def __init__(self, message: str, kinds: list[str]) -> None:
        super().__init__(message)
        self.kinds = kinds
        """The names of the error's class and of those that it is derived from."""


class Apart:
    """A process for foreign programs. It is started at the first job, or again after it was ended.

    `what` names the program in errors, `hint` is what to do about it: texts of `later`. `prepare`
    gives the jobs that each new process begins with.
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
        self._is_late = False
        """Whether an answer is under way that nobody waits for any more."""
        self.taken_s = 0.0
        """What the jobs have taken of the processor so far."""
        self._end: Callable[[], object] = lambda: None

    def start(self) -> None:
        """Start the process, which is ready when this one needs it; returns at once."""
        with self._lock:
            if self._process is None or self._process.poll() is not None:
                self._start()

    def ask(self, do: str, *, cpu_s: float = 2.0, wall_s: float | None = None, **job: Any) -> Any:
        """What a job returns.

        Raises ModelError if it takes too much, ProgramFailed if it fails by itself, GivenUp.
        """
        with self._lock:
            self._drop_late_answer()
            if self._process is None or self._process.poll() is not None:
                self._start()
            for first in self._waiting:
                self._ask(first)
            self._waiting = []
            return self._ask({"do": do, "cpu_s": cpu_s, **job}, wall_s)

    def close(self) -> None:
        """End the process."""
        self._end()
        self._process = None
        self._is_late = False

    def _start(self) -> None:
        self._end()
        paths = [str(Path(path).absolute()) for path in sys.path if path]
        alive, held = os.pipe()  # nothing is written to it: it ends when this process does
        command = [
            sys.executable,
            "-I",
            "-S",
            "-X",
            "utf8",
            str(PROGRAM),
            str(alive),
            str(MEMORY_BYTES),
            *paths,
        ]
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                pass_fds=(alive,),
                stderr=subprocess.DEVNULL,  # a Rust panic prints what no user can read
                start_new_session=True,  # Ctrl-C is for the program, not for its parts
                env={name: os.environ[name] for name in PASSED_ON if name in os.environ}
                | {"TOKENIZERS_PARALLELISM": "false"},
            )
        except OSError as exc:
            os.close(held)
            message = tr(
                "{what}: a process for it cannot be started: {why}",
                what=tr(self._what),
                why=exc.strerror,
            )
            raise ModelError(message, tr("close other programs")) from exc
        finally:
            os.close(alive)
        self._end = weakref.finalize(self, end, self._process, held)
        self._waiting = self._prepare()
        self._is_late = False

    def _ask(self, job: dict[str, Any], wall_s: float | None = None) -> Any:
        process = self._process
        assert process is not None and process.stdin is not None
        wall_s = WALL_S + WALL_PER_CPU * job["cpu_s"] if wall_s is None else wall_s
        try:
            with suppress(BrokenPipeError):  # how it ended says more
                foreign.send(process.stdin, job)
            data = self._wait(process, time.monotonic() + wall_s)
        except GivenUp:  # the process may be starting: it is worth keeping for a while
            self._is_late = True
            late = Timer(_GRACE_S, self._end_late, [process])
            late.daemon = True
            late.start()
            raise
        except BaseException:  # half an answer may be under way
            self.close()
            raise
        self.taken_s += data["taken_s"]
        if "value" in data:
            return data["value"]
        if "limit" in data:
            raise self.stopped(data["limit"])
        raise ProgramFailed(data["error"], data["kinds"])

    def _drop_late_answer(self) -> None:
        """Read the answer that nobody waited for; end a process that still works on it."""
        if not self._is_late or self._process is None:
            return
        with suppress(ModelError):
            self._wait(self._process, time.monotonic() + _GRACE_S)
            self._is_late = False
            return
        self.close()

    def _end_late(self, process: subprocess.Popen[bytes]) -> None:
        """End a process if it still works on what nobody waits for."""
        with self._lock:
            if self._is_late and process is self._process and not is_readable(process, 0):
                self.close()

    def _wait(self, process: subprocess.Popen[bytes], deadline: float) -> Any:
        """The answer. Raises GivenUp; ModelError if the process ends or has to be ended before."""
        assert process.stdout is not None
        cancel = _cancel.get()
        while not is_readable(process, TICK_MS):
            if cancel is not None and cancel.is_set():
                raise GivenUp(tr("cancelled"))
            if time.monotonic() > deadline:
                raise self.stopped("time")
        answer = foreign.receive(process.stdout, most=_ANSWER_BYTES)
        if answer is not None:
            return answer
        process.kill()
        if process.wait() == -signal.SIGXCPU:
            raise self.stopped("time")
        raise self.stopped("crash")

    def stopped(self, limit: str) -> ModelError:
        """The error for going beyond a limit of STOPPED."""
        return ModelError(tr(STOPPED[limit], what=tr(self._what)), tr(self._hint))


def is_readable(process: subprocess.Popen[bytes], wait_ms: int) -> bool:
    """Whether an answer, or the end of the process, is there after so many milliseconds."""
    poll = select.poll()
    assert process.stdout is not None
    poll.register(process.stdout, select.POLLIN)
    return bool(poll.poll(wait_ms))


def end(process: subprocess.Popen[bytes], held: int) -> None:
    """End a process at once, and wait for its end; `held` is what it lives by."""
    os.close(held)
    process.kill()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with suppress(OSError):
                pipe.close()
    process.wait()


@cache
def templates() -> Apart:
    """The process for all chat templates."""
    return Apart(
        later("the model's chat template"),
        later("choose another model, or repair its chat template"),
    )


def seconds_for(letters: int) -> float:
    """What a program may take of the processor for a text of so many letters."""
    return 2.0 + letters / LETTERS_A_SECOND
