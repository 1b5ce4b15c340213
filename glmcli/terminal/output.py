"""The two outputs: what they can show, and how bytes get out. Knows nothing of what is written."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import select
import signal
import sys
import termios
from collections.abc import Callable, Mapping
from typing import TextIO

from glmcli.encoding import TELLING
from glmcli.errors import GlmError
from glmcli.language import tr
from glmcli.terminal.signals import Killed
from glmcli.terminal.visible import visible

SIGNAL_POLL_S = 0.1
"""How long a signal that comes just before a read may go unnoticed."""

WRITE_BYTES = 4096
"""A pipe with any room takes this much, so no write blocks where a signal would not be heard."""
CUT = "\x18\x1b[0m\x1b[?7h\r\n"  # to the start of a row, after half of something

DARK_COLOURS = {"32": "34", "33": "35", "36": "34"}
"""Green, yellow and cyan are too pale on a light background: blue and magenta stand for them."""
_CODES = re.compile(r"(?<=\x1b\[)[0-9;]+(?=m)")

MODIFIERS_KNOWN = ("tmux", "WezTerm", "iTerm.app", "mintty")
"""TERM_PROGRAM of those that understand; others might print what they do not understand."""


def wants_colours(env: Mapping[str, str], *, is_live: bool) -> bool:
    """Whether to use colours: NO_COLOR forbids them, the next two demand them, CLICOLOR=0 declines.

    FORCE_COLOR=0 declines too, as other programs have it; CLICOLOR_FORCE=0 says nothing.
    Sources: no-color.org, force-color.org, bixense.com/clicolors.
    """
    if env.get("NO_COLOR"):
        return False
    if value := env.get("FORCE_COLOR"):
        return value.lower() not in ("0", "false")
    if env.get("CLICOLOR_FORCE", "0") not in ("", "0"):
        return True
    return is_live and env.get("CLICOLOR") != "0"


def is_light(env: Mapping[str, str]) -> bool:
    """Whether COLORFGBG says that the background is light: "0;15", its last number among the 16.

    Some terminals set it (rxvt, Konsole, iTerm2), and people do; vim and mutt read it too.
    """
    background = env.get("COLORFGBG", "").rpartition(";")[2]
    return background in ("7", "9", "10", "11", "12", "13", "14", "15")


def restyled(text: str, *, light: bool, italics: bool) -> str:
    """A text with the colours that a light background needs, or without italics: underlined where
    nothing else sets it off.
    """

    def other(found: re.Match[str]) -> str:
        codes = [DARK_COLOURS.get(code, code) if light else code for code in found[0].split(";")]
        return ";".join(codes if italics else [each for each in codes if each != "3"] or ["4"])

    return _CODES.sub(other, text)


class PipeClosed(BaseException):
    """Nobody reads the output any more: not an error, since the reader had enough."""


class Output:
    """Where text goes: a terminal, a pipe or a file, without Python's buffer in between.

    A buffered write of more than 8 KB to a terminal loses its end when a signal arrives, so bytes
    go out in an os.write loop. Raises PipeClosed, Killed if the terminal is gone, and GlmError if
    the system refuses the bytes.
    """

    def __init__(self, stream: TextIO) -> None:
        self.is_stopped: Callable[[], bool] = lambda: False
        """Whether the user stopped the output: then bytes that nobody takes are dropped."""
        self.is_reader = False
        """Whether this terminal is read aloud: then states are said in words, on rows of their own,
        and no row is drawn twice or decorated."""
        self.asked = ""
        """The question that stands on this terminal, if nothing was written below it."""
        self._is_cut = False
        self.fd = stream.fileno()
        self.encoding = stream.encoding or "utf-8"
        self._lacking = TELLING if stream.errors == TELLING else "replace"
        self._stream = stream
        """Kept, since a stream that nobody has is closed, and its number is another file's then."""
        self.is_tty = stream.isatty()
        self._term = os.environ.get("TERM", "")
        self._is_light = self.is_tty and is_light(os.environ)
        self._has_italics = not (self.is_tty and self._term.startswith("screen"))
        """Not in screen, nor in a tmux that calls itself so: they show them in reverse."""

    @property
    def knows_codes(self) -> bool:
        """Whether this is a terminal with escape sequences, which can tell pastes from keys."""
        return self.is_tty and self._term not in ("", "dumb", "unknown")

    @property
    def is_live(self) -> bool:
        """Whether rows can be repainted here."""
        return self.knows_codes and not self.is_reader

    @property
    def colours(self) -> int:
        """How many colours may be used: 0, or the 16 of the terminal's own palette."""
        return 16 if wants_colours(os.environ, is_live=self.is_live) else 0

    @property
    def is_unicode(self) -> bool:
        """Whether every character can be written."""
        return self.encoding.lower().replace("-", "").startswith("utf")

    @property
    def tells_keys_apart(self) -> bool:
        """Whether keys with modifiers can be asked for."""
        known = os.environ.get("TERM_PROGRAM") in MODIFIERS_KNOWN
        return self.knows_codes and (known or "XTERM_VERSION" in os.environ)

    @property
    def reflows(self) -> bool:
        """Whether rows are wrapped again when the window changes its width."""
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
        """Write text from outside, made harmless if this is a terminal."""
        self.write(visible(text) if self.is_tty else text)

    def write(self, text: str) -> None:
        """Write all of `text`; characters that the encoding lacks become '?'."""
        self.asked = ""
        try:
            self.send(text)
        except BrokenPipeError as exc:
            raise PipeClosed from exc
        except OSError as exc:
            if self.is_tty and exc.errno == errno.EIO:
                raise Killed(signal.SIGHUP) from exc
            error = GlmError(
                tr("the output cannot be written: {strerror}", strerror=exc.strerror),
                tr("make room for it"),
            )
            error.is_in_output = True  # where that cannot be written nothing more is
            raise error from exc

    def send(self, text: str) -> None:
        """The same, with the errors of the system.

        Where nobody reads, this waits, but not when the user stopped the reply or the program is
        leaving: the rest is left out then, with what a terminal was sent and has not shown.
        """
        if self._is_light or not self._has_italics:
            text = restyled(text, light=self._is_light, italics=self._has_italics)
        was_cut, is_dropped = self._is_cut, False
        start = CUT if was_cut and self.is_live else ""
        left = memoryview((start + text).encode(self.encoding, self._lacking))
        total = len(left)
        try:
            while left:
                piece, count = left[:WRITE_BYTES], 0
                if select.select([], [self.fd], [], SIGNAL_POLL_S)[1]:
                    with contextlib.suppress(BlockingIOError):
                        count = os.write(self.fd, piece)
                left = left[count:]
                has_room = count == len(piece)
                if not has_room and (self.is_stopped() or Killed.first_at is not None):
                    is_dropped = True
                    with contextlib.suppress(termios.error):  # a pipe keeps what it has
                        termios.tcflush(self.fd, termios.TCOFLUSH)
                    return
        finally:  # a signal may end this anywhere; a text of one piece is out, or it is not
            sent = total - len(left)
            self._is_cut = is_dropped or 0 < sent < total or (was_cut and not sent)


def outputs(plain: str = "") -> tuple[Output, Output]:
    """Stdout and stderr; what is written to a stderr that is closed goes nowhere.

    `plain` is the setting, which may say that they are read aloud.
    """
    stderr = sys.stderr or open(os.devnull, "w")  # noqa: PTH123, SIM115 (open to the end)
    out, err = Output(sys.stdout), Output(stderr)
    read_aloud(plain, out, err)
    return out, err


def read_aloud(plain: str, *outputs: Output) -> None:
    """Have outputs speak in words if the setting `plain` says that they are read aloud."""
    for output in outputs:
        output.is_reader = plain == "reader"
