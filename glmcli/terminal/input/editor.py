"""The user's editor and clipboard. Knows nothing of drafts or keys."""

from __future__ import annotations

import base64
import os
import shlex
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from glmcli.errors import UsageError
from glmcli.language import tr
from glmcli.paths import is_file
from glmcli.terminal.output import Output

CLIPBOARDS = (
    ("WAYLAND_DISPLAY", ("wl-copy",)),
    ("DISPLAY", ("xclip", "-selection", "clipboard")),
    ("DISPLAY", ("xsel", "--clipboard", "--input")),
    ("", ("pbcopy",)),
    # tmux's own buffer, and the clipboard around it; it takes no OSC 52 from programs by default
    ("TMUX", ("tmux", "load-buffer", "-w", "-")),
)
"""(environment variable that must be set, command that takes the text on stdin)."""
OSC52_BYTES = 74_994
"""More than this is ignored by common terminals."""


def edit_text(text: str, out: Output, *, name: str = "message.md") -> str:
    """Let the user change a text in $VISUAL or $EDITOR; returns it as saved. Raises UsageError.

    `name` is that of the file, by which an editor knows what it holds.
    """
    chosen = (os.environ.get(variable, "").strip() for variable in ("VISUAL", "EDITOR"))
    command = next(filter(None, chosen), "vi")
    editor = Path(command.split()[0]).name
    with tempfile.TemporaryDirectory(prefix="glm-") as folder:
        path = Path(folder) / name
        path.write_text(text, encoding="utf-8", errors="replace")
        try:
            with deaf_to_interrupts():
                code = subprocess.call([*shlex.split(command), str(path)])
            edited = path.read_text(encoding="utf-8") if is_file(path) else None
        except UnicodeDecodeError as exc:
            raise UsageError(
                tr("the editor {name} did not save UTF-8 (byte {at:,})", name=editor, at=exc.start),
                tr("nothing was changed"),
            ) from exc
        except (OSError, ValueError) as exc:
            why = getattr(exc, "strerror", None) or exc
            raise UsageError(
                tr("the editor {name} cannot be used: {why}", name=editor, why=why),
                tr("VISUAL or EDITOR names the one to use: export EDITOR=nano"),
            ) from exc
    if code < 0:
        out.write("\n")  # it left the row as the terminal's ^C did
        raise UsageError(
            tr("the editor {name} was stopped", name=editor), tr("nothing was changed")
        )
    if code:
        raise UsageError(
            tr("the editor {name} ended with {code}", name=editor, code=code),
            tr("nothing was changed"),
        )
    if edited is None:
        raise UsageError(
            tr("the editor {name} left no file behind", name=editor), tr("nothing was changed")
        )
    return edited.rstrip("\n")


@contextmanager
def deaf_to_interrupts() -> Iterator[None]:
    """Ignore Ctrl-C here and in the event loop; other programs still get it."""
    wakeup = signal.set_wakeup_fd(-1)
    before = signal.signal(signal.SIGINT, lambda signum, frame: None)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        signal.set_wakeup_fd(wakeup)


def copy_text(text: str, out: Output) -> None:
    """Copy through the terminal (OSC 52) and to the machine's clipboard. Raises UsageError."""
    data = text.encode("utf-8", "replace")
    for variable, command in CLIPBOARDS:
        there = (not variable or os.environ.get(variable)) and shutil.which(command[0])
        if there and run_quietly(command, data) == 0:
            return
    if not out.is_live:
        raise UsageError(tr("there is no clipboard here"), tr("/save writes it to a file"))
    if len(data) > OSC52_BYTES:
        raise UsageError(
            tr("the text is too long for the terminal's clipboard"), tr("/save writes it to a file")
        )
    out.write(f"\x1b]52;c;{base64.b64encode(data).decode()}\x07")


def run_quietly(command: Sequence[str], data: bytes) -> int:
    """Run a command with `data` on its stdin; its exit code."""
    done = subprocess.run(command, input=data, stderr=subprocess.DEVNULL, check=False)
    return done.returncode
