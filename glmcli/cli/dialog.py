"""What a command says to a person beside its output, and what it asks them.

Knows nothing of what is said or asked. Only what is typed after the question answers it: not
what was typed before, nor a paste.
"""

from __future__ import annotations

import re
import select
import signal
import sys
import termios
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import takewhile
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, TypeVar

from glmcli.errors import GlmError
from glmcli.harmless import as_told
from glmcli.language import tr
from glmcli.paths import link_line
from glmcli.terminal.told import on_terminal
from glmcli.terminal.visible import visible

if TYPE_CHECKING:
    from glmcli.terminal.input.keys.question import Question
    from glmcli.terminal.output import Output

_T = TypeVar("_T")
CALM_S = 0.05
"""What was typed or pasted before a question comes without such a pause."""
MOST_AHEAD = 1 << 20
PASTE, _PASTED = b"\x1b[200~", b"\x1b[201~"
_KEY = re.compile(rb"\x1b(?:\[[0-?]*[ -/]*[@-~]|O?[^\x1b\[])|[\xc0-\xff][\x80-\xbf]+|[^\x1b]", re.S)
_KEYS = {b"\n": "\r", b"\x08": "\x7f"}
"""Keys that are the same as another."""
_END = "\x04"


def tell(line: str) -> None:
    """Say a line on stderr that -q does not hide; a terminal breaks it between words."""
    if sys.stderr is None:
        return
    with suppress(OSError):
        sys.stderr.write(f"{on_stderr(as_told(line))}\n")
        sys.stderr.flush()


def tell_text(text: str) -> None:
    """Write a text of several lines on stderr; harmless on a terminal."""
    if sys.stderr is None:
        return
    with suppress(OSError):
        sys.stderr.write(f"{visible(text) if sys.stderr.isatty() else text}\n")
        sys.stderr.flush()


def on_stderr(text: str) -> str:
    """Lines of the program's own as they stand on stderr, in rows if that is a terminal."""
    fd = sys.stderr.fileno() if sys.stderr and sys.stderr.isatty() else -1
    return on_terminal(text, fd)


def print_line(line: str) -> None:
    """Print a line of the program's own on stdout; a terminal breaks it between words."""
    print(on_terminal(line, sys.stdout.fileno() if sys.stdout.isatty() else -1))


def tell_links(*paths: Path | None) -> None:
    """Say of each file that was named where it is, if a link leads there."""
    for path in dict.fromkeys(paths):
        if path is not None and (line := link_line(path)):
            tell(line)


def say_notice(err: Output, quiet: bool, line: str) -> None:
    """Tell a person something beside the answer; what cannot be told is no failure."""
    if line and not quiet:
        with suppress(GlmError):
            err.say(f"{fitted(line, err.fd)}\n")


def fitted(line: str, fd: int) -> str:
    """A note as it is told, in rows that fit if that is on a terminal."""
    return on_terminal(as_told(line), fd)


def is_agreed(question: str) -> bool | None:
    """Whether the person types yes; None at the end of input. Raises KeyboardInterrupt, Killed."""
    from glmcli.terminal.input.keys.question import yes_or_no
    from glmcli.terminal.output import Output

    out = Output(sys.stderr if sys.stderr and sys.stderr.isatty() else sys.stdout)
    return typed_answer(yes_or_no(question, out))


def typed_answer(asked: Question[_T]) -> _T | None:
    """What the person answers; None at the end of input. Raises KeyboardInterrupt, Killed."""
    from glmcli.terminal.quiet import Quiet

    out = asked.out
    with signals_heard(), Quiet(out) as quiet, quiet.shown_again(asked.show):
        if ahead := typed_ahead():
            out.write("" if ahead.endswith((b"\n", b"\r")) else "\n")
            tell(tr("what was typed before this question does not answer it"))
        asked.show()
        answer = answer_typed(asked)
        out.write("\n")
    return answer


@contextmanager
def signals_heard() -> Iterator[None]:
    """Let a signal that ends the program pass through whoever has changed the terminal's modes."""
    from glmcli.terminal.signals import Killed, arrive

    def killed(signum: int, frame: FrameType | None) -> None:
        arrive(Killed(signum))

    before = {}
    try:
        for signum in (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
            if signal.getsignal(signum) is signal.SIG_DFL:
                before[signum] = signal.signal(signum, killed)
        yield
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)


def typed_ahead() -> bytes:
    """Take away what is waiting to be read, up to the first pause. Raises Killed."""
    from glmcli.terminal.reading import read_some

    fd, taken = sys.stdin.fileno(), b""
    while len(taken) < MOST_AHEAD and select.select([fd], [], [], CALM_S)[0]:
        data = read_some(fd)
        if not data:
            break
        taken += data
    termios.tcflush(fd, termios.TCIFLUSH)
    return taken


def answer_typed(asked: Question[_T]) -> _T | None:
    """The answer that is typed now; None at the end of the input. Raises Killed.

    A paste is none, nor is more than a line at once, since not every terminal marks a paste.
    """
    from glmcli.terminal.input.keys.question import ENTER
    from glmcli.terminal.reading import read_some

    fd, waiting = sys.stdin.fileno(), b""
    while data := read_some(fd):
        waiting += data
        is_paste, at = PASTE in waiting, 0
        while is_paste and _PASTED not in waiting and (data := read_some(fd)):
            waiting = waiting[-len(_PASTED) :] + data
        while not is_paste and (found := _KEY.match(waiting, at)):
            at = found.end()
            key = _KEYS.get(found[0]) or found[0].decode("utf-8", "replace")
            if key == _END and not asked.text:
                return None
            is_paste = key == ENTER and at < len(waiting)
            if not is_paste and (answer := asked.take(key)) is not None:
                return answer
        if is_paste:
            asked.ask_again(tr("a paste does not answer it: {what}", what=asked.neither()))
        waiting = b"" if is_paste else waiting[at:]
    return None


def fail_in_json(error: GlmError, arguments: Sequence[str]) -> None:
    """Write an error of `glm ask` to stdout where the command line, right or wrong, wants JSON."""
    words = [*takewhile(lambda word: word != "--", arguments)]
    form = ""
    for word, value in zip(words, [*words[1:], ""], strict=True):
        if found := re.fullmatch("-[cqxy]*f(.*)|--format(?:=(.*))?", word):
            form = found[1] or found[2] or value
    is_each = any(word.partition("=")[0] == "--each" for word in words)
    if form in ("json", "jsonl") and not (is_each or error.is_in_output):
        from glmcli.terminal.output import outputs
        from glmcli.terminal.replies.json import write_failure

        write_failure(outputs()[0], error, in_lines=form == "jsonl")
