"""What `glm ask` asks: the prompt, or the last message of a file, with files. Knows no model."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from glmcli.cli.completion.candidates import file_paths, if_asked
from glmcli.cli.options import with_files
from glmcli.errors import UsageError
from glmcli.language import tr

if TYPE_CHECKING:
    from glmcli.types import Conversation, Message

Messages = Annotated[
    str | None,
    typer.Option(
        "--messages",
        metavar="FILE",
        help=tr("JSON messages to put before PROMPT"),
        autocompletion=if_asked(file_paths),
    ),
]


def question_of(text: str | None, files: list[str], earlier: Conversation) -> str | Message:
    """The prompt, or the last message of `earlier` if it asks, with files. Raises UsageError."""
    question: str | Message | None = text
    if question is None and earlier.messages and earlier.messages[-1].role in ("user", "tool"):
        question = earlier.messages.pop()
    if files or question is not None:
        question = with_files(question, files)
    if question is None:
        raise no_prompt()
    return question


def is_typed_on() -> bool:
    """Whether nothing can come from stdin but what is typed."""
    return sys.stdin is None or sys.stdin.isatty()


def no_prompt() -> UsageError:
    """The error to raise where there is nothing to ask."""
    from glmcli.cli.hints.meant import taken_prompt

    hint = taken_prompt() or tr('type one: glm ask "why is the sky blue?"')
    return UsageError(tr("there is no prompt"), hint)
