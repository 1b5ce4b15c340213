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

from glmcli.config import wants_traceback
from glmcli.terminal.visible import visible_line

SHELLS = ("bash", "zsh", "fish", "powershell", "pwsh")
BREAKS = ":=@"
"""Characters at which bash takes a word apart (COMP_WORDBREAKS) and that stand within ours."""
_BROKEN = re.compile(f"[{BREAKS}]+")
_PLAIN = re.compile(r"(?:--?|@)?[\w./](?:[\w./:@=+,~-]*[\w./:=])?")
"""Words that no shell reads as anything but themselves: bash puts them in as they are."""
_LONGEST_HELP = 80
_ZSH_END = "compdef %(complete_func)s %(prog_name)s"
_ZSH_LOADED = f"""if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
  %(complete_func)s "$@"
else
  {_ZSH_END}
fi"""
"""Installed, the script is a function that zsh loads at the first Tab: it has to answer then."""


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


def mend_scripts() -> None:
    """Let Typer's script for zsh answer the first Tab; called before it is shown or installed."""
    from typer._completion_shared import _completion_scripts as scripts

    scripts |= {shell: mended_script(script) for shell, script in scripts.items()}


def mended_script(script: str) -> str:
    """A script of Typer's; that for zsh answers the first Tab."""
    return script.replace(_ZSH_END, _ZSH_LOADED)


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
        source_template = mended_script(kind.source_template)
        _cut = 0
        """Characters of the word before the cursor that the shell keeps."""

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
            start = option + equals if equals and option.startswith("-") else ""
            found = []
            for item in super().get_completions(args, incomplete):
                value = f"{start}{item.value}"
                item.value, item.help = value[max(0, self._cut) :], harmless(item.help or "")
                if item.value and _PLAIN.fullmatch(value):
                    found.append(item)
            return found

    return Fitted


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
