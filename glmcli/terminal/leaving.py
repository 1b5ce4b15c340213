"""How the program ends by a signal, with the terminal as it was. Knows nothing of what runs."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable
from types import FrameType
from typing import NoReturn

from glmcli.terminal.quiet import give_back_terminal
from glmcli.terminal.signals import SIGNALS, Killed, arrive

_GRACE_S = 2.0
"""Shells send several signals when a window closes. One that comes later than this after the first
means a program that hangs."""
_AGAIN_S = 0.01
"""What is raised once more comes this long after it was dropped: behind what drops it."""


def install_signals(on_interrupt: Callable[[], None]) -> None:
    """Install the handlers for the whole life of the process.

    SIGINT never raises: it calls `on_interrupt`. SIGTERM, SIGHUP and SIGQUIT raise Killed, the
    first of them only, so that what it interrupts can be saved; one that comes much later ends the
    process at once, for something hangs. What nohup or a shell has chosen to ignore stays ignored.
    A closed pipe raises PipeClosed instead of a signal, for the same reason.
    """

    def interrupted(signum: int, frame: FrameType | None) -> None:
        on_interrupt()

    def killed(signum: int, frame: FrameType | None) -> None:
        if Killed.first_at is None:
            arrive(Killed(signum))
        elif time.monotonic() - Killed.first_at > _GRACE_S:
            die_by(signum)

    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
        if signal.getsignal(signum) is not signal.SIG_IGN:
            signal.signal(signum, interrupted if signum == signal.SIGINT else killed)
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)


def raise_again(lost: sys.UnraisableHookArgs) -> None:
    """For sys.unraisablehook: raise a signal's exception once more if Python has dropped it.

    It drops those that are raised while it clears up, as in the callback of a weak reference; what
    was to be saved on the way out would be lost.
    """
    exc = lost.exc_value

    def again(signum: int, frame: FrameType | None) -> None:
        if isinstance(exc, Killed) and exc is Killed.latest:  # no other one is on its way
            arrive(exc)

    if isinstance(exc, Killed):
        signal.signal(signal.SIGALRM, again)
        signal.setitimer(signal.ITIMER_REAL, _AGAIN_S)
    elif isinstance(exc, KeyboardInterrupt):
        die_by(signal.SIGINT)
    else:
        sys.__unraisablehook__(lost)


def leave(code: int) -> NoReturn:
    """End the process with an exit code, without waiting for an engine that may be inside torch."""
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    give_back_terminal()
    os._exit(code)


def die_by(signum: int) -> NoReturn:
    """End the process by the signal itself, so that shells and their loops see what happened."""
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    with contextlib.suppress(Killed):  # it is gone
        give_back_terminal()
    signal.signal(signum, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signum])
    os.kill(os.getpid(), signum)
    os._exit(128 + signum)
