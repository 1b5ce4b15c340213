"""How an application of prompt-toolkit ends whose loop fails, or that a signal ends.

asyncio loses the step that it has in hand where a signal raises something between two of them, and
then waits for it without end. Knows nothing of what is typed or drawn.
"""

from __future__ import annotations

from asyncio import AbstractEventLoop, Future, ensure_future, get_running_loop
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from prompt_toolkit.application import Application, run_in_terminal

from glmcli.terminal.signals import kept_back, raised


@contextmanager
def ended_by_signals(app: Application[Any]) -> Iterator[None]:
    """Run an application inside: a signal ends it after a step, and is raised at the end."""

    def end() -> None:
        for exc in arrived[:1]:
            exit_with(app, exc)

    def tell() -> None:
        if app.loop is not None:
            app.loop.call_soon_threadsafe(end)

    with kept_back(tell) as arrived:
        app.pre_run_callables.append(end)  # for one that comes before there is a loop
        yield


def end_on_failure(app: Application[Any]) -> None:
    """End the application whose loop this is when a callback fails; else it would go unnoticed."""

    def failed(loop: AbstractEventLoop, context: dict[str, Any]) -> None:
        exit_with(app, context.get("exception"))

    get_running_loop().set_exception_handler(failed)


def exit_with(app: Application[Any], exc: BaseException | None) -> None:
    """End an application with an error, if there is one and it has not ended."""
    if exc is not None and app.is_running and not app.is_done:
        app.exit(exception=exc)


def in_terminal(app: Application[Any], call: Callable[[], None]) -> None:
    """Call with the application taken off the screen; a signal is raised there at once."""

    def calling() -> None:
        with raised():
            call()

    def ended(done: Future[None]) -> None:
        if not done.cancelled():
            exit_with(app, done.exception())

    ensure_future(run_in_terminal(calling)).add_done_callback(ended)
