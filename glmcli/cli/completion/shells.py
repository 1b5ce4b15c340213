"""Completion for shells: what may come next on a command line that is still being typed.

The protocol and the search are Typer's; here they get harmless words, and the words that shells
split differently. Nothing is written, and whatever goes wrong offers nothing and says nothing.
"""

from __future__ import annotations

import importlib
import os
import re
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from io import TextIOWrapper
from typing import Any, NoReturn

import typer

from glmcli.cli.completion.candidates import PATHS, narrow
from glmcli.cli.completion.scripts import (
    KIND,
    SCRIPTS,
    ZSH_APOSTROPHE,
    ZSH_PATHS,
    ZSH_VALUE,
    ZSH_WORDS,
)
from glmcli.config import wants_traceback
from glmcli.terminal.visible import visible_line

SHELLS = ("bash", "zsh", "fish", "powershell", "pwsh")
BREAKS = ":=@"
"""Characters at which bash takes a word apart (COMP_WORDBREAKS) and that stand within ours."""
_BROKEN = re.compile(f"[{BREAKS}]+")
_PLAIN = re.compile(r"(?:--?|@)?[\w./](?:[\w./:@=+,~-]*[\w./:=])?")
"""Words that no shell reads as anything but themselves: bash puts them in as they are."""
_LONGEST_HELP = 80
LISTING = ("33", "63", "64")
"""COMP_TYPE where bash shows all words, and puts in no more than what they have in common."""


def answer_shell() -> NoReturn:
    """Answer a shell that asks by Typer's protocol, and exit."""
    if sys.stdout is None:
        os._exit(1)
    # Help is text: Typer would read it as Rich's markup, and take 0.1 s to import that.
    sys.modules["rich"] = None  # type: ignore[assignment]
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
    code = 1
    try:
        completed_command().main([], prog_name="glm")
    except SystemExit as exc:  # how Typer ends when it has answered
        code = exc.code if isinstance(exc.code, int) else 0
    except Exception:  # a shell that waits for words has no use for a message
        if wants_traceback():
            raise
    with suppress(OSError):
        sys.stdout.flush()
    os._exit(code)  # Python takes 10 ms to end by itself, and a thread may still be asking


def completed_command() -> Any:
    """The command line as Typer builds it, with the shells that it knows fitted to it."""
    from glmcli.cli import command_line

    line = os.environ.get("COMP_WORDS") or os.environ.get("_TYPER_COMPLETE_ARGS", "")
    command = typer.main.get_command(command_line(typed_command(line)))
    # Click's, or the copy of it that newer versions of Typer bring along.
    package = typer.Context.__mro__[1].__module__.rpartition(".")[0]
    click_shells = importlib.import_module(f"{package}.shell_completion")
    for shell in SHELLS:
        if kind := click_shells.get_completion_class(shell):
            click_shells.add_completion_class(fitted_shell(kind), shell)
    return command


def typed_command(line: str) -> str:
    """The command on a line that is being typed; "" if it is not yet a whole word."""
    words = line.split(maxsplit=2)
    return "" if len(words) < 2 or (len(words) == 2 and not line[-1:].isspace()) else words[1]


def fitted_shell(kind: Any) -> Any:
    """A shell of Typer's that is given our words, each within what it replaces."""

    class Fitted(kind):  # type: ignore[misc]
        source_template = SCRIPTS[kind.name]
        _cut = 0
        """Characters of the word before the cursor that the shell keeps."""
        _start = ""
        """Of a word that is an option with its value: all before the value."""
        _offers = "words"
        """Or the kind of paths that the shell has to complete, where there are none."""

        def get_completion_args(self) -> tuple[list[str], str]:
            """The words before the cursor, and the one at it."""
            from glmcli.cli.options import with_values

            args, word = super().get_completion_args()
            if self.name == "bash":
                *args, word = rejoined([*args, word])
                self._cut = max(word.rfind(":") + 1, word.rfind("=") + 1, word.rfind("@"))
            return with_values(args, word), word

        def get_completions(self, args: list[str], incomplete: str) -> list[Any]:
            """What may stand at the cursor, harmless for the shell and for its terminal."""
            option, equals, _ = incomplete.partition("=")
            self._start = option + equals if equals and option.startswith("-") else ""
            found = []
            offers, is_ours = "words", self.name == "bash" and bool(os.environ.get(KIND))
            for item in super().get_completions(args, incomplete):
                if item.help in PATHS:
                    offers = PATHS[item.help]
                    continue
                value = f"{self._start}{item.value}"
                item.value, item.help = value[max(0, self._cut) :], harmless(item.help or "")
                if is_ours and value.startswith("@"):  # the script divides lines, not words
                    item.value, value = item.value.replace(" ", "\\ "), value.replace(" ", "_")
                if item.value and _PLAIN.fullmatch(value):
                    found.append(item)
            self._offers = "words" if found else offers
            if self.name == "bash" and os.environ.get("COMP_TYPE") in LISTING:
                show_help(found)
            return found

        def complete(self) -> str:
            """The answer in the form of the shell's script."""
            said: str = super().complete()
            if self.name == "zsh":
                paths = ZSH_PATHS[self._offers]
                said = said.replace("_arguments ", ZSH_WORDS, 1).replace("''", ZSH_APOSTROPHE)
                return said if said != "_files" else ZSH_VALUE + paths if self._start else paths
            return "\n".join(filter(None, [self._offers, said])) if os.environ.get(KIND) else said

    return Fitted


def show_help(items: Sequence[Any]) -> None:
    """Put its help behind each of several words, in a column as wide as bash's window lets it be.

    What the words have in common stays the same: none of them holds a blank.
    """
    stated = os.environ.get("COLUMNS", "")
    columns = int(stated) if stated.isdecimal() else 80
    widest = max((len(item.value) for item in items), default=0)
    for item in items if len(items) > 1 else ():
        if item.help:
            item.value = narrow(f"{item.value:<{widest}}  {item.help}", max(columns - 1, widest))


def rejoined(words: Sequence[str]) -> list[str]:
    """The words of a command line that bash has taken apart: `openai`, `:` and `gpt` are one.

    Whether there was a blank between them cannot be seen. Before an option there was, and before an
    `@`, unless it follows a hub id.
    """
    found = [""]
    is_open = False
    for word in words:
        is_break = _BROKEN.fullmatch(word) is not None
        follows = found[-1] and (word[0] != "@" or "/" in found[-1]) if is_break else is_open
        if follows and word[:1] not in ("", "-"):
            found[-1] += word
        else:
            found.append(word)
        is_open = is_break
    return found[1:]


def harmless(help_text: str) -> str:
    """A line that steers neither a terminal nor a shell, which may evaluate it in quotes."""
    line = visible_line(help_text).replace("\\", "/")
    return line if len(line) <= _LONGEST_HELP else f"{line[:_LONGEST_HELP]}…"
