"""`glm ask`: one reply, then exit.

Knows nothing of how a reply is made or painted: that is the session's and the view's.
"""

from __future__ import annotations

import sys
from contextlib import closing
from enum import StrEnum
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from glmcli.cli.dialog import say_notice
from glmcli.cli.opening import (
    ContinueAsk,
    Interrupted,
    Resume,
    interrupts_first,
    open_session,
    resumed_line,
)
from glmcli.cli.options import (
    MODEL_OPTIONS,
    REPLY_OPTIONS,
    Files,
    Load,
    PromptWords,
    read_messages,
    read_prompt,
    split_prompt,
    with_files,
    with_settings,
)
from glmcli.config import DEMONSTRATION, DOTENV, Settings
from glmcli.errors import GlmError, UsageError
from glmcli.language import tr

if TYPE_CHECKING:
    from glmcli.session import Session
    from glmcli.terminal.output import Output
    from glmcli.terminal.replies.text import BaseView
    from glmcli.types import Conversation, Message


class Format(StrEnum):
    """How `glm ask` prints the reply."""

    text = "text"
    markdown = "markdown"
    json = "json"
    jsonl = "jsonl"
    records = "records"


@with_settings(*MODEL_OPTIONS, *REPLY_OPTIONS)
def ask(
    load: Load,
    words: PromptWords = None,
    file: Files = None,
    format: Annotated[
        Format, typer.Option("-f", "--format", help=tr("form of the reply"))
    ] = Format.text,
    messages: Annotated[
        str | None,
        typer.Option("--messages", metavar="FILE", help=tr("JSON messages to put before PROMPT")),
    ] = None,
    continue_: ContinueAsk = False,
    resume: Resume = None,
    no_stream: Annotated[
        bool, typer.Option("--no-stream", help=tr("print the reply at its end"))
    ] = False,
    no_stdin: Annotated[bool, typer.Option("--no-stdin", help=tr("ignore stdin"))] = False,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help=tr("no notices"))] = False,
) -> None:
    """Answer one question, then exit. Piped stdin is appended to PROMPT; - is stdin alone."""
    from glmcli.terminal.leaving import install_signals
    from glmcli.terminal.output import outputs
    from glmcli.terminal.phrases import no_answer
    from glmcli.types import Conversation

    out, err = outputs()
    say = partial(say_notice, err, quiet)
    prompt, files = split_prompt(words or [], file or [], command="ask", say=say)
    if prompt is None and not (files or messages) and (no_stdin or is_typed_on()):
        raise no_prompt()
    settings = load()
    earlier = read_messages(messages) if messages else Conversation()
    text = read_prompt(prompt, use_stdin=not no_stdin and messages != "-", say=say)
    question = question_of(text, files, earlier)
    session, settings = open_session(settings, continue_=continue_, resume=resume, once=True)
    if session.conversation.id and not quiet:
        say(resumed_line(session, settings))
    session.extend(earlier)
    install_signals(session.stop)
    out.is_stopped = err.is_stopped = session.is_stopped
    if "model" not in settings.sources:
        say(tr(DEMONSTRATION))
    view = reply_view(format, session, settings, out, err, stream=not no_stream, quiet=quiet)
    try:
        with interrupts_first(session), closing(session.store), view:
            reply = session.ask(question, view)
    except GlmError as exc:
        view.fail(exc)
        raise
    finally:
        for line in session.news():  # what was not sent or not saved: -q hides none of it
            say_notice(err, False, line)
    if not quiet:
        below_reply(reply, session, settings, err)
    if session.is_stopped():
        raise Interrupted
    if nothing := no_answer(reply):
        raise nothing


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
    return UsageError(tr("there is no prompt"), tr('type one: glm ask "why is the sky blue?"'))


def below_reply(reply: Message, session: Session, settings: Settings, err: Output) -> None:
    """Tell a person how a one-shot ended if not by itself, and anybody who asked what it cost."""
    from glmcli.terminal.phrases import end_note, stats_line

    window = session.engine.context_tokens
    if reply.finish_reason in ("length", "time"):
        note = end_note(reply, window, settings.window)
        if reply.finish_reason == "length" and settings.sources.get("max_tokens") == DOTENV:
            note = tr("{note}, which {source} sets", note=note, source=DOTENV)
        err.say(f"{note}\n")
    if settings.stats and settings.sources.get("stats") and reply.usage:
        from glmcli.engines import whereabouts

        line = stats_line(reply.usage, window)
        err.say(" · ".join(filter(None, [line, whereabouts(session.engine)])) + "\n")


def reply_view(
    format: Format,
    session: Session,
    settings: Settings,
    out: Output,
    err: Output,
    *,
    stream: bool,
    quiet: bool,
) -> BaseView:
    """The view that a one-shot's format and its stdout ask for."""
    from glmcli.terminal.quiet import Quiet
    from glmcli.terminal.replies import json as json_view
    from glmcli.terminal.replies import text as view

    def facts() -> dict[str, str]:
        return {"model": settings.model, "conversation": session.conversation.id}

    match format:
        case Format.json:
            return json_view.JsonView(out, facts)
        case Format.jsonl:
            return json_view.JsonLinesView(out, facts)
        case Format.records:
            return json_view.RecordsView(out)
        case _ if out.is_tty:
            plain = settings.plain and format is not Format.markdown
            live = view.terminal_view(out, Quiet(out), thinking=settings.thinking, plain=plain)
            return live if stream else view.AtTheEnd(live)
        case _:
            status = None if quiet else view.StatusLine(err)
            thinking = "hide" if quiet and settings.thinking == "fold" else settings.thinking
            return view.TextView(out, err, thinking=thinking, stream=stream, status=status)
