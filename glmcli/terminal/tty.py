"""What a terminal can do; quiet mode while a reply streams; writing without loss; signals.

Knows nothing of replies or rows: bytes, sizes, modes and signal numbers only.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import signal
import sys
import termios
import time
from collections.abc import Callable, Iterator
from types import FrameType, TracebackType
from typing import Any, ClassVar, NoReturn, Self, TextIO

from glmcli.errors import GlmError, UsageError
from glmcli.terminal.visible import visible

POLL_S = 0.1
"""How soon a signal is heard of that comes just before a read."""
GRACE_S = 2.0
"""Shells send several signals when a window closes. One that comes later than this after the first
means a program that hangs."""
LEAVE_S = 2.0  # two Ctrl-C on an empty line within this time leave the chat
SETTLE_S = 0.4
"""A window that has kept its size for so long is not being dragged. tmux wraps its rows anew at
once, and what is drawn until it says so, up to 0.25 s later, is torn."""
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGTSTP)
READ_BYTES = 1 << 16
WRITE_BYTES = 4096
"""A pipe with any room has room for so much, so that no write waits where a signal is not heard."""
CUT = "\x18\x1b[0m\x1b[?7h\r\n"  # to the start of a row, after half of something
PASTE_ON, PASTE_OFF = "\x1b[?2004h", "\x1b[?2004l"
SHOW_CURSOR = "\x1b[?25h"
MODIFIERS_ON, MODIFIERS_OFF = "\x1b[>4;1m", "\x1b[>4m"
"""xterm's modifyOtherKeys at level 1: Shift-Enter is told apart, Ctrl-C stays what it is."""
MODIFIERS_KNOWN = ("tmux", "WezTerm", "iTerm.app", "mintty")
"""TERM_PROGRAM of those that understand; others might print what they do not understand."""


class Killed(SystemExit):
    """SIGTERM or SIGHUP arrived. No error: it passes every `except Exception` on its way out.

    A terminal that is gone counts as SIGHUP, which may have been ignored or not yet heard of. A
    SystemExit, since that is what asyncio lets pass when it is raised inside a callback.
    """

    first_at: ClassVar[float | None] = None
    """When the program began to leave."""

    def __init__(self, signum: int) -> None:
        super().__init__(signum)
        self.signum = signum
        Killed.first_at = Killed.first_at or time.monotonic()


class PipeClosed(BaseException):
    """Nobody reads the output any more. No error: what was asked for was given."""


class Output:
    """Where text goes: a terminal, a pipe or a file, without Python's buffer in between.

    A buffered write of more than 8 KB to a terminal loses its end when a signal arrives, so bytes
    go out in an os.write loop. Raises PipeClosed, Killed if the terminal is gone, and GlmError if
    the system refuses the bytes.
    """

    def __init__(self, stream: TextIO) -> None:
        self.is_stopped: Callable[[], bool] = lambda: False
        """Whether the user stopped what is being written: then what nobody takes is left out."""
        self._is_cut = False
        self.fd = stream.fileno()
        self.encoding = stream.encoding or "utf-8"
        self.is_tty = stream.isatty()
        self._term = os.environ.get("TERM", "")

    @property
    def is_live(self) -> bool:
        """Whether rows can be repainted here."""
        return self.is_tty and self._term not in ("", "dumb", "unknown")

    @property
    def colours(self) -> int:
        """How many colours may be used: 0, or the 16 of the terminal's own palette."""
        return 0 if not self.is_live or os.environ.get("NO_COLOR") else 16

    @property
    def is_unicode(self) -> bool:
        """Whether every character can be written."""
        return self.encoding.lower().replace("-", "").startswith("utf")

    @property
    def tells_keys_apart(self) -> bool:
        """Whether keys with modifiers can be asked for."""
        known = os.environ.get("TERM_PROGRAM") in MODIFIERS_KNOWN
        return self.is_live and (known or "XTERM_VERSION" in os.environ)

    @property
    def reflows(self) -> bool:
        """Whether rows are wrapped anew when the window changes its width."""
        if "TMUX" in os.environ:
            return True
        return "XTERM_VERSION" not in os.environ and self._term not in ("linux", "screen")

    def size(self) -> os.terminal_size:
        """Columns and lines; 80 by 24 if unknown. COLUMNS in the environment is not believed."""
        try:
            size = os.get_terminal_size(self.fd)
        except OSError:
            return os.terminal_size((80, 24))
        return os.terminal_size((size.columns or 80, size.lines or 24))

    def say(self, text: str) -> None:
        """Write text that may hold what comes from outside: harmless on a terminal."""
        self.write(visible(text) if self.is_tty else text)

    def write(self, text: str) -> None:
        """Write all of `text`; characters that the encoding lacks become '?'."""
        try:
            self.send(text)
        except BrokenPipeError as exc:
            raise PipeClosed from exc
        except OSError as exc:
            if self.is_tty and exc.errno == errno.EIO:
                raise Killed(signal.SIGHUP) from exc
            raise GlmError(
                f"the output cannot be written: {exc.strerror}", "make room for it"
            ) from exc

    def send(self, text: str) -> None:
        """The same, with the errors of the system.

        Where nobody reads, this waits, but not when the user stopped the reply or the program is
        leaving: the rest is left out then, with what a terminal was sent and has not shown.
        """
        start = CUT if self._is_cut and self.is_live else ""
        left = memoryview((start + text).encode(self.encoding, "replace"))
        self._is_cut = True  # until all is out: a signal may end this anywhere
        while left:
            piece, count = left[:WRITE_BYTES], 0
            if select.select([], [self.fd], [], POLL_S)[1]:
                with contextlib.suppress(BlockingIOError):
                    count = os.write(self.fd, piece)
            left = left[count:]
            has_room = count == len(piece)
            if not has_room and (self.is_stopped() or Killed.first_at is not None):
                with contextlib.suppress(termios.error):  # a pipe keeps what it has
                    termios.tcflush(self.fd, termios.TCOFLUSH)
                return
        self._is_cut = False


def outputs() -> tuple[Output, Output]:
    """Stdout and stderr; what is written to a stderr that is closed goes nowhere."""
    err = sys.stderr or open(os.devnull, "w")  # noqa: PTH123, SIM115 (open to the end)
    return Output(sys.stdout), Output(err)


class Quiet:
    """A terminal on which what is typed waits, unseen and whole, for whoever reads next.

    ECHO, ICANON and ICRNL are off; ISIG and NOFLSH on, so that Ctrl-C throws away neither what was
    typed nor what was printed; bracketed paste on, without a gap, so that a paste is never taken
    for Enter. Ctrl-Z suspends with the terminal as it was: at once, or when the rows that are being
    painted were taken off. A context manager that may be entered inside itself; where stdin is no
    terminal only Ctrl-Z is its business.
    """

    in_force: ClassVar[Quiet | None] = None
    """Whose modes the terminal has, see `give_back_terminal`."""

    def __init__(self, output: Output, *, for_editor: bool = False) -> None:
        """`for_editor`: whether an editor reads what is typed, which understands modified keys."""
        self.wants_suspend = False
        """Whether Ctrl-Z was pressed while rows are painted; then `suspend` is to be called."""
        self.collect: Callable[[], None] = lambda: None
        """To be called at every tick: takes what was typed to where the next reader finds it. The
        kernel holds 4 KB of it, and after that not even a Ctrl-C gets through."""
        self._for_editor = for_editor
        self._is_painting = False
        self._is_lifted = False
        self._resumed: Callable[[], None] = lambda: None
        self._output = output
        self._depth = 0
        self._before: list[Any] | None = None
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
        self._is_lifted, self._resumed = True, resumed
        try:
            yield
        finally:
            self._is_lifted, self._resumed = False, lambda: None
            self._set(quiet=True)

    def _set(self, *, quiet: bool) -> None:
        if self._before is None or not in_foreground(sys.stdin.fileno()):
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
            raise GlmError(f"the terminal refuses its mode: {exc}") from exc
        if self._output.is_live:
            asks = self._for_editor and self._output.tells_keys_apart
            on, off = (MODIFIERS_ON, MODIFIERS_OFF) if asks else ("", "")
            self._output.write(PASTE_ON + on if quiet else off + PASTE_OFF + SHOW_CURSOR)

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


def read_some(fd: int, stopped: Callable[[], bool] = lambda: False) -> bytes:
    """What can be read, as soon as there is something; b"" at the end, or when stopped.

    Waits in small steps: a signal that comes just before a read would not be heard of until it is
    over. Raises Killed if there was a terminal that is gone.
    """
    while not select.select([fd], [], [], POLL_S)[0]:
        if stopped():
            return b""
    try:
        data = os.read(fd, READ_BYTES)
    except OSError:
        end_if_gone(fd)
        raise
    if not data:
        end_if_gone(fd)
    return data


def end_if_gone(fd: int) -> None:
    """Raise Killed if there was a terminal here that is gone: the same as SIGHUP."""
    try:
        termios.tcgetattr(fd)
    except termios.error as exc:
        if exc.args[0] in (errno.EIO, errno.ENXIO):
            raise Killed(signal.SIGHUP) from exc


def read_stdin(stopped: Callable[[], bool] = lambda: False) -> bytes:
    """`read_some` of stdin. One that is not open for reading, like that of nohup, is an empty one.

    Raises UsageError: what broke off in the middle is not to be answered.
    """
    try:
        return read_some(sys.stdin.fileno(), stopped)
    except OSError as exc:
        if exc.errno == errno.EBADF:
            return b""
        raise UsageError(
            f"stdin cannot be read: {exc.strerror}", "is what feeds it alive?"
        ) from exc


def read_line(
    question: str, out: Output, stopped: Callable[[], bool] = lambda: False, *, typed: str = ""
) -> str:
    """A line that is typed in answer to a question, on a terminal that edits lines itself.

    It begins with what was `typed` before. Raises EOFError at the end of the input, or when
    stopped.
    """
    out.say(question + typed)
    line = typed.encode(out.encoding, "surrogateescape")
    while not line.endswith(b"\n"):
        data = read_some(sys.stdin.fileno(), stopped)
        if not data:
            raise EOFError
        line += data
    return line.decode(out.encoding, "surrogateescape").strip()


def in_foreground(fd: int) -> bool:
    """Whether this process may change the modes of its terminal; others are stopped for trying."""
    try:
        return os.tcgetpgrp(fd) == os.getpgrp()
    except OSError:  # a terminal without jobs
        return True


def install_signals(on_interrupt: Callable[[], None]) -> None:
    """Install the handlers for the whole life of the process.

    SIGINT never raises: it calls `on_interrupt`. SIGTERM, SIGHUP and SIGQUIT raise Killed, the
    first of them only, so that what it interrupts can be saved; one that comes much later ends the
    process at once, for something hangs. What nohup or a shell has chosen to ignore stays ignored.
    A closed pipe is no signal but PipeClosed, for the same reason.
    """

    def interrupted(signum: int, frame: FrameType | None) -> None:
        on_interrupt()

    def killed(signum: int, frame: FrameType | None) -> None:
        if Killed.first_at is None:
            raise Killed(signum)
        if time.monotonic() - Killed.first_at > GRACE_S:
            die_by(signum)

    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
        if signal.getsignal(signum) is not signal.SIG_IGN:
            signal.signal(signum, interrupted if signum == signal.SIGINT else killed)
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)


def leave_at_once(lost: sys.UnraisableHookArgs) -> None:
    """For sys.unraisablehook: a signal's exception may be raised where Python drops it."""
    if isinstance(lost.exc_value, Killed | KeyboardInterrupt):
        die_by(getattr(lost.exc_value, "signum", signal.SIGINT))
    sys.__unraisablehook__(lost)


def leave(code: int) -> NoReturn:
    """End the process with an exit code. The engine's thread may be inside torch: nobody waits."""
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
