"""What a terminal can do; quiet mode while a reply streams; writing without loss; signals.

Knows nothing of replies or rows: bytes, sizes, modes and signal numbers only.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
from collections.abc import Callable, Iterator
from types import FrameType
from typing import IO, Any, NoReturn

try:
    import termios
except ImportError:  # Windows has no termios: replies stream there without quiet mode
    termios = None  # type: ignore[assignment]

PASTE_ON, PASTE_OFF = "\x1b[?2004h", "\x1b[?2004l"
SHOW_CURSOR = "\x1b[?25h"


class Killed(BaseException):
    """SIGTERM or SIGHUP arrived. No error: it passes every `except Exception` on its way out."""

    def __init__(self, signum: int) -> None:
        super().__init__(signum)
        self.signum = signum


class Output:
    """Where text goes: a terminal, a pipe or a file, without Python's buffer in between.

    A buffered write of more than 8 KB to a terminal loses its end when a signal arrives, so bytes
    go out in an os.write loop. Raises BrokenPipeError and other OSErrors of the system.
    """

    def __init__(self, stream: IO[str]) -> None:
        self.fd = stream.fileno()
        self.encoding = stream.encoding or "utf-8"
        self.is_tty = stream.isatty()
        self.is_dumb = os.environ.get("TERM", "dumb") in ("", "dumb", "unknown")

    @property
    def is_live(self) -> bool:
        """Whether rows can be repainted here."""
        return self.is_tty and not self.is_dumb

    @property
    def colours(self) -> int:
        """How many colours may be used: 0, 16 or 256."""
        if not self.is_live or os.environ.get("NO_COLOR"):
            return 0
        return 256 if "256" in os.environ.get("TERM", "") or os.environ.get("COLORTERM") else 16

    @property
    def is_unicode(self) -> bool:
        """Whether every character can be written."""
        return self.encoding.lower().replace("-", "").startswith("utf")

    def size(self) -> os.terminal_size:
        """Columns and lines; 80 by 24 if unknown. COLUMNS in the environment is not believed."""
        try:
            size = os.get_terminal_size(self.fd)
        except OSError:
            return os.terminal_size((80, 24))
        return os.terminal_size((size.columns or 80, size.lines or 24))

    def write(self, text: str) -> None:
        """Write all of `text`; characters that the encoding lacks become '?'."""
        left = memoryview(text.encode(self.encoding, "replace"))
        while left:
            try:
                left = left[os.write(self.fd, left) :]
            except BlockingIOError:
                select.select([], [self.fd], [], 0.1)


@contextlib.contextmanager
def quiet(output: Output, *, on_resume: Callable[[], None] = lambda: None) -> Iterator[None]:
    """While a reply streams: what is typed is kept for the next prompt, unseen, and not lost.

    ECHO, ICANON and ICRNL are off; ISIG and NOFLSH on, so that Ctrl-C throws away neither what was
    typed nor what was printed; bracketed paste on. Ctrl-Z suspends; `on_resume` is called after it.
    """
    try:
        fd = sys.stdin.fileno()
        before = termios.tcgetattr(fd)
    except (AttributeError, ValueError, OSError, termios.error if termios else OSError):
        yield
        return

    def enter() -> None:
        mode: list[Any] = [*before[:6], list(before[6])]
        mode[0] &= ~(termios.ICRNL | termios.INLCR | termios.IGNCR)
        mode[3] = mode[3] & ~(termios.ECHO | termios.ICANON) | termios.NOFLSH
        mode[6][termios.VMIN], mode[6][termios.VTIME] = 1, 0
        termios.tcsetattr(fd, termios.TCSANOW, mode)
        if output.is_live:
            output.write(PASTE_ON)

    def leave() -> None:
        termios.tcsetattr(fd, termios.TCSANOW, before)
        if output.is_live:
            output.write(PASTE_OFF + SHOW_CURSOR)

    def suspend(signum: int, frame: FrameType | None) -> None:
        leave()
        output.write("\n")
        signal.signal(signum, signal.SIG_DFL)
        os.kill(os.getpid(), signum)  # the process stops here, and goes on here after `fg`
        signal.signal(signum, suspend)
        enter()
        on_resume()

    enter()
    previous = signal.signal(signal.SIGTSTP, suspend)
    try:
        yield
    finally:
        signal.signal(signal.SIGTSTP, previous)
        with contextlib.suppress(OSError, termios.error):  # the terminal may be gone
            leave()


def install_signals(on_interrupt: Callable[[], None]) -> None:
    """Install the handlers for the whole life of the process.

    SIGINT never raises: it calls `on_interrupt`. SIGTERM and SIGHUP raise Killed, once.
    """

    def interrupted(signum: int, frame: FrameType | None) -> None:
        on_interrupt()

    def killed(signum: int, frame: FrameType | None) -> None:
        signal.signal(signum, signal.SIG_IGN)
        raise Killed(signum)

    signal.signal(signal.SIGINT, interrupted)
    for name in ("SIGTERM", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), killed)


def die_by(signum: int) -> NoReturn:
    """End the process by the signal itself, so that shells and their loops see what happened."""
    signal.signal(signum, signal.SIG_DFL)
    os.kill(os.getpid(), signum)
    os._exit(128 + signum)
