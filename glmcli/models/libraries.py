"""Long jobs of libraries: watched from the thread that asked, and kept off the terminal.

So that progress is reported by the engine's thread, whatever threads and bars a library uses.
"""

from __future__ import annotations

import logging
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from glmcli.messages import refusal

T = TypeVar("T")


OLDEST, TOO_NEW = 5, 6
"""Major versions: the first that loads weights in the way used here, and the first untested one."""


def watched(job: Callable[[], T], tick: Callable[[], None], *, every_s: float) -> T:
    """The result of `job`; `tick` is called on this thread until it is there.

    Raises what the job raises.
    """
    results: list[T] = []
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


def check_transformers() -> None:
    """Raise ModelError if transformers is missing, too old or too new."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        installed = version("transformers")
    except PackageNotFoundError:
        raise refusal("no-transformers") from None
    major = installed.partition(".")[0]
    if not major.isdigit() or not OLDEST <= int(major) < TOO_NEW:
        raise refusal("transformers-version", installed=installed)
