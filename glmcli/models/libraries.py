"""Libraries kept in hand: watched while they work, kept off the terminal, their errors translated.

Progress is reported by the thread that asked, whatever threads and bars a library uses. Knows
nothing of what they are asked to do.
"""

from __future__ import annotations

import logging
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from glmcli.errors import GlmError, ModelError, first_line
from glmcli.language import tr

_T = TypeVar("_T")

OLDEST, TOO_NEW = 5, 6
"""Major versions: the first that loads weights in the way used here, and the first untested one."""
NAMELESS = ("Exception", "PanicException")
"""Classes of errors whose names say nothing."""


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
    """Turn whatever foreign code raises into a ModelError: a Rust panic is no Exception."""
    try:
        yield
    except (GlmError, KeyboardInterrupt, SystemExit, GeneratorExit):
        raise
    except BaseException as exc:
        kind, why = type(exc).__name__, first_line(exc)
        if kind not in (*NAMELESS, why):
            why = f"{kind}: {why}"
        raise ModelError(tr("{what} fails: {why}", what=what, why=why), hint) from exc


def check_transformers() -> None:
    """Raise ModelError if transformers is missing, too old or too new."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        installed = version("transformers")
    except PackageNotFoundError:
        raise ModelError(
            tr("transformers is not installed"),
            tr('install one that was tested: pip install "transformers>=5.0,<6"'),
        ) from None
    major = installed.partition(".")[0]
    if not major.isdigit() or not OLDEST <= int(major) < TOO_NEW:
        raise ModelError(
            tr(
                "transformers {installed} cannot be used: it must be 5.0 or later, before 6",
                installed=installed,
            ),
            tr('install one that was tested: pip install "transformers>=5.0,<6"'),
        )
