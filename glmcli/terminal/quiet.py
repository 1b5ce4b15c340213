"""What a terminal can do; quiet mode while a reply streams; writing without loss; signals.

Knows nothing of replies or rows: bytes, sizes, modes and signal numbers only.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import termios
from collections.abc import Callable, Iterator
from types import FrameType, TracebackType
from typing import Any, ClassVar, NamedTuple, Self

from glmcli.errors import GlmError
from glmcli.language import tr
from glmcli.terminal.output import Output, PipeClosed
from glmcli.terminal.reading import end_if_gone

SETTLE_S = 0.4
"""A window that kept its size this long is not being dragged. tmux wraps its rows again at
once, and what is drawn until it says so, up to 0.25 s later, is torn."""
PASTE_ON, PASTE_OFF = "\x1b[?2004h", "\x1b[?2004l"
SHOW_CURSOR = "\x1b[?25h"
MODIFIERS_ON, MODIFIERS_OFF = "\x1b[>4;1m", "\x1b[>4m"
"""xterm's modifyOtherKeys at level 1: Shift-Enter is told apart, Ctrl-C stays what it is."""


class Queued(NamedTuple):
    """What was typed while a reply came."""

    lines: tuple[str, ...] = ()
    """They are sent when the reply is there."""
    draft: str = ""
    """The line that is not sent yet."""
    cursor: int | None = None
    """The row, from 1, that the terminal said the cursor is in since the last time; 0 if it said
    nothing, None where it must not be asked: its answer would be taken for keys."""


class Quiet:
    """A terminal on which what is typed waits, whole, for whoever reads next.

    ECHO, ICANON and ICRNL are off; ISIG and NOFLSH on, so that Ctrl-C throws away neither what was
    typed nor what was printed; bracketed paste on, without a gap, so that a paste is never taken
    for Enter. Ctrl-Z suspends with the terminal as it was: at once, or when the rows that are being
    painted were taken off. A context manager that may be entered inside itself. Where stdin is no
    terminal, only Ctrl-Z is its business and that nothing typed is shown among the rows.
    """

    in_force: ClassVar[Quiet | None] = None
    """Whose modes the terminal has, see `give_back_terminal`."""

    def __init__(
        self,
        output: Output,
        *,
        for_editor: bool = False,
        collect: Callable[[], Queued] = Queued,
    ) -> None:
        """`for_editor`: whether an editor reads what is typed, which understands modified keys."""
        self.wants_suspend = False
        """Whether Ctrl-Z was pressed while rows are painted; then `suspend` is to be called."""
        self.collect = collect
        """To be called at every tick: takes what was typed to where the next reader finds it, and
        says what that is. The kernel holds 4 KB of it, and after that not even a Ctrl-C gets
        through."""
        self._for_editor = for_editor
        self._is_painting = False
        self._is_lifted = False
        self._resumed: Callable[[], None] = lambda: None
        self._output = output
        self._depth = 0
        self._before: list[Any] | None = None
        self._took_echo = False
        self._previous: Any = None

    def __enter__(self) -> Self:
        self._depth += 1
        if self._depth == 1:
            with contextlib.suppress(AttributeError, ValueError, OSError, termios.error):
                self._before = termios.tcgetattr(sys.stdin.fileno())
            Quiet.in_force = self  # and the handler first: a signal may come at any moment
            self._previous = signal.signal(signal.SIGTSTP, self._stop_asked)
            self._set(quiet=True)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Give the terminal back as it was, if it is still there."""
        self._depth -= 1
        if self._depth == 0:
            give_back_terminal()
            signal.signal(signal.SIGTSTP, self._previous)
            self._before = None

    @contextlib.contextmanager
    def painting(self) -> Iterator[None]:
        """Quiet, with rows on the screen that must be taken off before Ctrl-Z may suspend."""
        with self:
            self._is_painting = True
            try:
                yield
            finally:
                self._is_painting = False
                if self.wants_suspend:
                    self.suspend()

    @contextlib.contextmanager
    def lifted(self, resumed: Callable[[], None] = lambda: None) -> Iterator[None]:
        """Give the terminal to another program, or to a question, which is shown again by `resumed`
        when it was suspended.
        """
        self._set(quiet=False)
        self._is_lifted = True
        try:
            with self.shown_again(resumed):
                yield
        finally:
            self._is_lifted = False
            self._set(quiet=True)

    @contextlib.contextmanager
    def shown_again(self, resumed: Callable[[], None]) -> Iterator[None]:
        """Have `resumed` show a question again when the program was suspended meanwhile."""
        self._resumed = resumed
        try:
            yield
        finally:
            self._resumed = lambda: None

    def _set(self, *, quiet: bool) -> None:
        if self._before is None:
            self._set_echo(on=not quiet)
            return
        if not in_foreground(sys.stdin.fileno()):
            return
        mode: list[Any] = [*self._before[:6], list(self._before[6])]
        if quiet:
            mode[0] &= ~(termios.ICRNL | termios.INLCR | termios.IGNCR)
            mode[3] = mode[3] & ~(termios.ECHO | termios.ICANON) | termios.NOFLSH
            mode[6][termios.VMIN], mode[6][termios.VTIME] = 1, 0
        try:
            termios.tcsetattr(sys.stdin.fileno(), termios.TCSANOW, mode)
        except termios.error as exc:
            end_if_gone(sys.stdin.fileno())
            raise GlmError(tr("the terminal refuses its mode: {exc}", exc=exc)) from exc
        if self._output.knows_codes:
            asks = self._for_editor and self._output.tells_keys_apart
            on, off = (MODIFIERS_ON, MODIFIERS_OFF) if asks else ("", "")
            self._output.write(PASTE_ON + on if quiet else off + PASTE_OFF + SHOW_CURSOR)

    def _set_echo(self, *, on: bool) -> None:
        """Let the terminal show what is typed, or not; all else is of whoever reads from it."""
        fd = self._output.fd
        if not (self._output.is_live and in_foreground(fd)) or (on and not self._took_echo):
            return
        with contextlib.suppress(termios.error):
            mode = termios.tcgetattr(fd)
            if on or mode[3] & termios.ECHO:
                mode[3] = mode[3] | termios.ECHO if on else mode[3] & ~termios.ECHO
                termios.tcsetattr(fd, termios.TCSANOW, mode)
                self._took_echo = not on

    def suspend(self) -> None:
        """Stop the process as Ctrl-Z does; returns when it goes on."""
        self.wants_suspend = False
        self._set(quiet=False)
        signal.signal(signal.SIGTSTP, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTSTP)  # the process stops here, and goes on after `fg`
        signal.signal(signal.SIGTSTP, self._stop_asked)
        self._set(quiet=self._depth > 0 and not self._is_lifted)
        self._resumed()

    def _stop_asked(self, signum: int, frame: FrameType | None) -> None:
        if self._is_painting:
            self.wants_suspend = True
        else:
            self._output.write("\n")
            self.suspend()


def give_back_terminal() -> None:
    """Give the terminal its modes back, if that was not done: a signal may come just before it."""
    if Quiet.in_force is not None:
        with contextlib.suppress(OSError, GlmError, PipeClosed, termios.error):
            Quiet.in_force._set(quiet=False)
        Quiet.in_force = None


def in_foreground(fd: int) -> bool:
    """Whether this process may change the modes of its terminal; others are stopped for trying."""
    try:
        return os.tcgetpgrp(fd) == os.getpgrp()
    except OSError:  # a terminal without jobs
        return True
