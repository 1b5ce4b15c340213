"""The files that arguments name: one each, a folder or pattern that a person agrees to, or stdin.

Knows nothing of the prompt that they go with.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from glmcli.cli.completion.candidates import file_paths, if_asked
from glmcli.cli.dialog import is_agreed, tell_links
from glmcli.cli.options import typed_or_piped
from glmcli.cli.settings import is_on_terminal
from glmcli.errors import UsageError
from glmcli.language import tr
from glmcli.paths import is_file, path_of

if TYPE_CHECKING:
    from glmcli.conversation.several import Several

Files = Annotated[
    list[str] | None,
    typer.Option(
        "-a",
        "--file",
        metavar="FILE",
        help=tr("a text file to send, a folder, a 'pattern', or - for stdin; repeat for more"),
        autocompletion=if_asked(file_paths),
    ),
]
Yes = Annotated[
    bool, typer.Option("-y", "--yes", help=tr("send folders and patterns without a question"))
]
STDIN = "-"


def attached_files(names: Sequence[str], *, yes: bool, say: Callable[[str], None]) -> list[str]:
    """The files that were named, each once, under its header; `-` is stdin.

    Raises UsageError, KeyboardInterrupt, Killed.
    """
    if not names:
        return []
    from glmcli.conversation.attachments import attachment, read_attachment
    from glmcli.conversation.several import find_several, is_pattern

    files: list[str] = []
    for name in dict.fromkeys(names):
        if name == STDIN:
            how = tr("type the text to send; Ctrl-D ends it")
            data = typed_or_piped(how, say, lambda: say(tr("waiting for the end of stdin")))
            files.append(attachment(data, Path("stdin"), where="stdin"))
            continue
        path = path_of(name)
        tell_links(path)
        if not is_file(path) and (several := find_several(name)):
            files += agreed_to(several, yes=yes, say=say)
        elif is_pattern(name) and not os.path.lexists(path):
            raise UsageError(tr("no file matches {pattern}", pattern=name), tr("check the path"))
        else:
            files.append(read_attachment(path))
    return [*dict.fromkeys(files)]


def agreed_to(several: Several, *, yes: bool, say: Callable[[str], None]) -> list[str]:
    """The files of a folder or pattern, if the person agrees. Raises UsageError."""
    answer = True if yes else None
    if not yes and is_on_terminal():
        answer = is_agreed(f"{several.question} [y/N] ")
    files = several.agreed(answer)
    if not files:
        raise UsageError(tr("nothing was sent"), tr("name fewer files, or each one"))
    if yes:
        say(several.summary)
    return files


def check_stdin(
    names: Sequence[str], prompt: str | None, messages: str | None, *, ignored: bool
) -> bool:
    """Whether stdin is left for the prompt. Raises UsageError if it is to be two things."""
    if STDIN not in names:
        return not ignored and messages != STDIN
    wants = {"--no-stdin": ignored, "PROMPT -": prompt == STDIN, "--messages -": messages == STDIN}
    if other := next((name for name, does in wants.items() if does), ""):
        raise UsageError(
            tr("-a - and {other} do not go together", other=other), tr("name a file instead of -")
        )
    if sys.stdin is None:
        raise UsageError(tr("stdin is closed"), tr("name a file instead of -"))
    return False
