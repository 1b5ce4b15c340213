"""Libraries kept in hand: watched while they work, kept off the terminal, their errors translated.

Progress is reported by the thread that asked, whatever threads and bars a library uses. Knows
nothing of what they are asked to do.
"""

from __future__ import annotations

import ctypes
import logging
import resource
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from glmcli.errors import GlmError, ModelError, OutOfMemory, first_line
from glmcli.language import later, tr
from glmcli.machine import data_bytes

_T = TypeVar("_T")

OLDEST, TOO_NEW = 5, 6
"""Major versions: the first that loads weights in the way used here, and the first untested one."""
FOR_MODELS_HERE = (
    *("transformers", "torch", "accelerate", "safetensors", "tokenizers", "sentencepiece"),
    *("gguf", "numpy", "jinja2", "huggingface-hub", "tqdm"),
)
"""Installed for models that are loaded here; whoever only asks servers may do without."""
NAMELESS = ("Exception", "PanicException")
"""Classes of errors whose names say nothing."""
NO_MEMORY = (
    *("out of memory", "not enough memory"),
    *("can't allocate memory", "cannot allocate memory"),
)
"""What torch and the system say when there is no memory left."""


def watch(job: Callable[[], _T], tick: Callable[[], None], *, every_s: float) -> _T:
    """The result of `job`; `tick` is called on this thread meanwhile. Raises what `job` raises."""
    results: list[_T] = []
    errors: list[BaseException] = []
    done = threading.Event()

    def run() -> None:
        try:
            results.append(job())
        except BaseException as exc:
            errors.append(exc)
        finally:
            done.set()

    threading.Thread(target=run, name="loader", daemon=True).start()
    while not done.wait(every_s):
        tick()
    if errors:
        raise errors[0]
    return results[0]


class TookTooLongError(BaseException):
    """Raised in a thread that is to end what it does. No `except Exception` stops it."""


@contextmanager
def limited(what: str, hint: str, *, cpu_s: float, memory_bytes: int) -> Iterator[None]:
    """Let this thread take so much of the processor within this, and this process so much memory.

    For foreign code that runs here: only what loops in Python, or asks for memory, is stopped. A
    library that has no memory says so in its own way. Raises ModelError.
    """
    watchdog = _Watchdog(cpu_s)
    too_long = ModelError(tr("{what} takes too long: it was stopped", what=what), hint)
    with _less_memory(memory_bytes) as is_ours:
        try:
            watchdog.start()
            yield
        except BaseException as exc:
            if watchdog.stop():
                raise too_long from None
            if not is_ours or not says_no_memory(exc):
                raise
            message = tr("{what} needs too much memory: it was stopped", what=what)
            raise ModelError(message, hint) from None
        if watchdog.stop():  # whatever has swallowed it
            raise too_long


class _Watchdog:
    """Raises TookTooLongError in the thread that made it once that has taken so many seconds."""

    LOOK_S, AGAIN_S = 0.05, 2.0
    """Between two looks; before it is raised once more where it was swallowed."""
    _raise_in = ctypes.pythonapi.PyThreadState_SetAsyncExc

    def __init__(self, cpu_s: float) -> None:
        self._thread = threading.get_ident()
        self._done, self._lock = threading.Event(), threading.Lock()
        self._has_raised = False
        self._until = self._taken() + cpu_s

    def start(self) -> None:
        """Begin to look."""
        threading.Thread(target=self._look, name="limits", daemon=True).start()

    def stop(self) -> bool:
        """Raise nothing any more; whether it was. What has not arrived yet arrives here."""
        try:
            self._done.set()
            with self._lock:
                has_raised = self._has_raised
            for _ in range(1000 * has_raised):  # Python looks for it in each round of a loop
                pass
        except TookTooLongError:
            self._done.set()
        return self._has_raised

    def _taken(self) -> float:
        """Seconds of the processor that the thread has taken; on the clock where none can tell."""
        if not hasattr(time, "pthread_getcpuclockid"):
            return time.monotonic()
        return time.clock_gettime(time.pthread_getcpuclockid(self._thread))

    def _look(self) -> None:
        wait_s = self.LOOK_S
        while not self._done.wait(wait_s):
            with self._lock:
                if self._taken() > self._until and not self._done.is_set():
                    error = ctypes.py_object(TookTooLongError)
                    self._raise_in(ctypes.c_ulong(self._thread), error)
                    self._has_raised = True
                    wait_s = self.AGAIN_S


@contextmanager
def _less_memory(more_bytes: int) -> Iterator[bool]:
    """Let the system give this process only so much more memory; whether that was done."""
    before, most = resource.getrlimit(resource.RLIMIT_DATA)
    used = data_bytes()
    limit = (used or 0) + more_bytes
    if used is None or (before != resource.RLIM_INFINITY and before <= limit):
        yield False
        return
    resource.setrlimit(resource.RLIMIT_DATA, (limit, most))
    try:
        yield True
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (before, most))


def says_no_memory(exc: BaseException) -> bool:
    """Whether a device or the machine has no memory left; each library says so in its own way."""
    if isinstance(exc, MemoryError):
        return True
    said = str(exc).lower()
    return isinstance(exc, RuntimeError | ValueError | OSError) and any(
        words in said for words in NO_MEMORY
    )


@contextmanager
def quiet() -> Iterator[None]:
    """Let no library log or warn: what matters is raised, or checked afterwards."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


@contextmanager
def errors_of(what: str, hint: str) -> Iterator[None]:
    """Turn whatever foreign code raises into a ModelError: a Rust panic is no Exception.

    Raises OutOfMemory if that is what it says.
    """
    try:
        yield
    except (GlmError, KeyboardInterrupt, SystemExit, GeneratorExit):
        raise
    except BaseException as exc:
        if says_no_memory(exc):
            raise OutOfMemory(None, None) from exc
        kind, why = type(exc).__name__, first_line(exc)
        if kind not in (*NAMELESS, why):
            why = f"{kind}: {why}"
        raise ModelError(tr("{what} fails: {why}", what=what, why=why), hint) from exc


LLAMA_CPP = "xllamacpp"
"""The library that brings llama.cpp along."""
NOT_INSTALLED = later("GGUF files are run by llama.cpp, which is not installed")


def check_llama() -> None:
    """Raise ModelError if what runs GGUF files is not installed."""
    if not installed_version(LLAMA_CPP):
        raise ModelError(
            tr(NOT_INSTALLED), tr("install it: {command}", command="pip install 'glm-chat[gguf]'")
        )


def check_libraries() -> None:
    """Raise ModelError if what a model on this machine needs is not installed."""
    if error := lacking_libraries():
        raise error


def lacking_libraries() -> ModelError | None:
    """The error for what a model on this machine needs and is not installed; None if all is."""
    missing = [name for name in FOR_MODELS_HERE if not installed_version(name)]
    if not missing:
        return None
    return ModelError(
        tr(
            "a model on this machine needs what is not installed: {names}",
            names=", ".join(missing),
        ),
        tr(
            "install the whole program: pip install ./glm_chat-*.whl, or name a model on a"
            " server: --model openai:NAME"
        ),
        in_chat=tr(
            "install the whole program: pip install ./glm_chat-*.whl, or name a model on a"
            " server: /model openai:NAME"
        ),
    )


def installed_version(name: str) -> str:
    """The version of a library, which is not imported; "" if it is not installed."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def check_transformers() -> None:
    """Raise ModelError if a library is missing, or transformers too old or too new."""
    check_libraries()
    installed = installed_version("transformers")
    major = installed.partition(".")[0]
    if not major.isdigit() or not OLDEST <= int(major) < TOO_NEW:
        raise ModelError(
            tr(
                "transformers {installed} cannot be used: it must be 5.0 or later, before 6",
                installed=installed,
            ),
            tr('install one that was tested: pip install "transformers>=5.0,<6"'),
        )
