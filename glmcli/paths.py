"""Paths, files and texts from a user: what was typed becomes a path, and a file becomes text.

Knows nothing of what the text is for.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from glmcli import files
from glmcli.errors import UsageError

LARGEST_PROMPT = 10 * files.MB
"""Bytes; far more than any window holds."""
_QUOTED = re.compile(r"""(["'])(.+)\1""")
_ESCAPED = re.compile(r"\\(.)")


def path_of(typed: str) -> Path:
    r"""The path that was typed: `~` as the home folder, and quotes and `\ ` as in a shell.

    Raises UsageError for what can be none, such as the home folder of nobody.
    """
    if "\0" in typed:
        raise UsageError("a path holds no NUL character", "check the path")
    quoted = _QUOTED.fullmatch(typed)
    name = quoted[2] if quoted else typed
    if not quoted and "\\" in name and not os.path.lexists(name):
        name = _ESCAPED.sub(r"\1", name)
    try:
        return Path(name).expanduser()
    except RuntimeError as exc:
        raise UsageError(f"{name}: there is no such home folder", "check the path") from exc


def is_file(path: Path) -> bool:
    """Whether there is a file that can be reached; names that cannot be are none."""
    try:
        return path.is_file()
    except OSError:
        return False


def checked(text: str) -> None:
    """Raise UsageError if `text` cannot be a prompt: if it is blank, or no text."""
    if not text.strip():
        raise UsageError("the prompt is empty", 'type a question: glm ask "why is the sky blue?"')
    if "\0" in text:
        raise UsageError("the prompt holds a NUL character", "is it a binary file?")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as exc:
        raise UsageError(
            "the prompt is not valid UTF-8", "convert it, for example with iconv"
        ) from exc


def read_system(system: str) -> str:
    """The system prompt; `@FILE` stands for the file's text. Raises UsageError."""
    if not system.startswith("@"):
        return system
    path = path_of(system[1:])
    return files.read_text(path, limit=LARGEST_PROMPT, what="the system prompt").strip()
