"""The form in which `glm ask` prints a reply: as text, as JSON, or only the code in it.

Knows nothing of how a reply is made or painted.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from glmcli.cli.asking.long import fields_of
from glmcli.cli.completion.candidates import code_choices, if_asked
from glmcli.config import Settings
from glmcli.errors import UsageError
from glmcli.language import tr

if TYPE_CHECKING:
    from glmcli.session import Session
    from glmcli.terminal.output import Output
    from glmcli.terminal.replies.text import BaseView
    from glmcli.types import Message


class Format(StrEnum):
    """How `glm ask` prints the reply."""

    text = "text"
    markdown = "markdown"
    json = "json"
    jsonl = "jsonl"
    records = "records"


Form = Annotated[
    Format | None,
    typer.Option(
        "-f", "--format", help=tr("form of the reply; unset: text, but rendered on a terminal")
    ),
]
LastCode = Annotated[bool, typer.Option("-x", help=tr("print only the code of the last block"))]
Code = Annotated[
    str | None,
    typer.Option(
        "--code",
        metavar="all|last|N",
        help=tr("print only code: all of it, of the last block, or of block N"),
        autocompletion=if_asked(code_choices),
    ),
]


def code_to_print(which: str | None, format: Format | None) -> str:
    """Which code to print; "" for the whole reply. Raises UsageError."""
    if which is None:
        return ""
    if not re.fullmatch("last|all|[1-9][0-9]{0,8}", which):
        raise UsageError(
            tr("--code {which}: all, last, or the number of a block", which=which),
            tr("-x alone prints the last block"),
        )
    if format not in (None, Format.text, Format.json):
        raise UsageError(
            tr("only code cannot be printed as {format}", format=format),
            tr("-x and --code go with -f text and -f json"),
        )
    return which


def check_code_in(reply: Message, which: str, conversation: str) -> None:
    """Raise GlmError if the reply has not the code that was to be printed."""
    from glmcli.terminal.markdown.code import chosen_code

    shows = tr("glm history show {id} shows the reply", id=conversation) if conversation else ""
    chosen_code(reply.text, which, shows or tr("without -x it is printed whole"))


def reply_view(
    format: Format | None,
    code: str,
    session: Session,
    settings: Settings,
    out: Output,
    err: Output,
    *,
    stream: bool,
    quiet: bool,
) -> BaseView:
    """The view that a one-shot's format and its stdout ask for; for `code` of the reply only."""
    from glmcli.terminal.quiet import Quiet
    from glmcli.terminal.replies import json as json_view
    from glmcli.terminal.replies import text as view

    def facts() -> dict[str, Any]:
        made = fields_of(session.engine)
        return {"model": settings.model, "conversation": session.conversation.id, **made}

    match format:
        case Format.json:
            shown: BaseView = json_view.JsonView(out, facts)
        case Format.jsonl:
            shown = json_view.JsonLinesView(out, facts)
        case Format.records:
            shown = json_view.RecordsView(out)
        case _ if out.is_tty and code:
            shown = view.PlainView(out, Quiet(out), thinking=settings.thinking, numbered=False)
        case _ if out.is_tty:
            plain = format is Format.text or (settings.is_plain and format is None)
            thinking, columns = settings.thinking, settings.width
            shown = view.terminal_view(
                out, Quiet(out), thinking=thinking, plain=plain, columns=columns
            )
            shown = shown if stream else view.AtTheEnd(shown)
        case _:
            status = None if quiet else view.StatusLine(err)
            thinking = "hide" if quiet and settings.thinking == "fold" else settings.thinking
            stream = stream or bool(code)
            shown = view.TextView(out, err, thinking=thinking, stream=stream, status=status)
    if format in (Format.json, Format.jsonl, Format.records) and not quiet:
        shown = view.Announced(shown, view.StatusLine(err))
    return view.CodeView(shown, code) if code else shown
