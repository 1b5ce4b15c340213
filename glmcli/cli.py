"""The command line: options in, exit code out. The only place that exits.

Commands import what they need when they run, so that --help is quick.
"""

from __future__ import annotations

import errno
import signal
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from enum import StrEnum
from functools import partial
from io import TextIOWrapper
from types import FrameType
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from glmcli import __version__, library
from glmcli.bench import bench
from glmcli.config import DEMONSTRATION, Settings, wants_traceback
from glmcli.config_commands import config
from glmcli.errors import GlmError, UsageError, error_lines
from glmcli.options import (
    MODEL_OPTIONS,
    REPLY_OPTIONS,
    Files,
    Words,
    as_it_is,
    read_messages,
    read_prompt,
    split_words,
    with_files,
    with_resume_value,
    with_settings,
)
from glmcli.paths import read_system
from glmcli.typed import Line
from glmcli.types import Conversation, Message

if TYPE_CHECKING:
    from glmcli.session import Session
    from glmcli.store import Store
    from glmcli.terminal.tty import Output
    from glmcli.terminal.view import BaseView

app = typer.Typer(
    name="glm",
    help="A terminal chat for language models that run on your own machine.",
    no_args_is_help=True,
    add_completion=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

app.add_typer(library.history, name="history")
app.add_typer(library.models, name="models")
app.add_typer(config, name="config")
app.command()(bench)

Continue = Annotated[
    bool, typer.Option("-c", "--continue", help="go on with the last conversation")
]
Resume = Annotated[
    str | None,
    typer.Option("--resume", metavar="[ID]", help="go on with a conversation", show_default=False),
]


class Format(StrEnum):
    """How `glm ask` prints the reply."""

    text = "text"
    markdown = "markdown"
    json = "json"
    jsonl = "jsonl"
    records = "records"


class Interrupted(BaseException):
    """The user stopped a one-shot; what had arrived was printed."""


@app.callback(invoke_without_command=True)
def root(
    version: Annotated[bool, typer.Option("--version", help="show the version and exit")] = False,
) -> None:
    """Hold the options that come before a command."""
    if version:
        sys.stdout.write(f"glm {__version__}\n")
        raise typer.Exit


@app.command()
@with_settings(*MODEL_OPTIONS, *REPLY_OPTIONS, "vi")
def chat(
    settings: Settings,
    words: Words = None,
    file: Files = None,
    commands: Annotated[
        bool,
        typer.Option("--commands", help="stdin is your own script: run its /commands"),
    ] = False,
    continue_: Continue = False,
    resume: Resume = None,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="no notices")] = False,
) -> None:
    """Chat in the terminal. With stdin not a terminal, every line of it is a turn."""
    from glmcli.chat.commands import is_command
    from glmcli.chat.commands.history import show_end
    from glmcli.chat.commands.settings import context_of
    from glmcli.chat.pipe import PipeChat
    from glmcli.chat.repl import banner, chat_in_pipe, chat_in_terminal
    from glmcli.chat.terminal import TerminalChat
    from glmcli.terminal.tty import install_signals, outputs

    out, err = outputs()
    say = partial(tell, err, quiet)
    prompt, files = split_words(words or [], file or [], command="chat", say=say)
    if prompt and is_command(Line(prompt)):
        say("the first turn is text; commands are typed at the prompt")
    session, settings = open_session(settings, continue_=continue_, resume=resume)
    session.context = context_of(settings.context)
    install_signals(session.stop)
    out.is_stopped = err.is_stopped = session.is_stopped
    with closing(session.store):
        if sys.stdin is not None and sys.stdin.isatty() and out.is_tty:
            terminal = TerminalChat(session, settings, out, err)
            terminal.attached += files
            if not quiet:
                terminal.note(banner(settings, session.store.recovered))
            if session.conversation.messages:
                terminal.note(show_end(terminal))
            chat_in_terminal(terminal, first=prompt)
            return
        with interrupts_first(session):
            pipe = PipeChat(session, settings, out, err)
            pipe.attached += files
            code = chat_in_pipe(pipe, first=prompt, commands=commands)
    if session.is_stopped():
        raise Interrupted
    raise typer.Exit(code)


@app.command()
@with_settings(*MODEL_OPTIONS, *REPLY_OPTIONS)
def ask(
    settings: Settings,
    words: Words = None,
    file: Files = None,
    format: Annotated[
        Format, typer.Option("-f", "--format", help="form of the reply")
    ] = Format.text,
    messages: Annotated[
        str | None,
        typer.Option("--messages", metavar="FILE", help="JSON messages to put before PROMPT"),
    ] = None,
    continue_: Continue = False,
    resume: Resume = None,
    no_stream: Annotated[
        bool, typer.Option("--no-stream", help="print the reply at its end")
    ] = False,
    no_stdin: Annotated[bool, typer.Option("--no-stdin", help="ignore stdin")] = False,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="no notices")] = False,
) -> None:
    """Answer one question, then exit. Piped stdin is appended to PROMPT; - is stdin alone."""
    from glmcli.terminal.tty import install_signals, outputs

    out, err = outputs()
    earlier = read_messages(messages) if messages else Conversation()
    use_stdin = not no_stdin and messages != "-"
    say = partial(tell, err, quiet)
    prompt, files = split_words(words or [], file or [], command="ask", say=say)
    text = read_prompt(prompt, use_stdin=use_stdin, say=say)
    question: str | Message | None = text
    if question is None and earlier.messages and earlier.messages[-1].role in ("user", "tool"):
        question = earlier.messages.pop()
    if files:
        question = with_files(question, files)
    if question is None:
        raise UsageError("there is no prompt", 'type one: glm ask "why is the sky blue?"')
    session, settings = open_session(settings, continue_=continue_, resume=resume, once=True)
    if session.conversation.id and not quiet:
        from glmcli.chat.commands.history import resumed

        say(resumed(session))
    session.conversation.system = session.conversation.system or earlier.system
    session.conversation.messages += earlier.messages
    session.context = "stop" if settings.context == "auto" else settings.context
    install_signals(session.stop)
    out.is_stopped = err.is_stopped = session.is_stopped
    if "model" not in settings.sources:
        say(DEMONSTRATION)
    view = reply_view(format, session, settings, out, err, stream=not no_stream, quiet=quiet)
    try:
        with interrupts_first(session), closing(session.store), view:
            reply = session.ask(question, view)
    except GlmError as exc:
        view.fail(exc)
        raise
    finally:
        for line in session.news():
            say(line)
    if not quiet:
        below_reply(reply, session, settings, err)
    if session.is_stopped():
        raise Interrupted


def tell(err: Output, quiet: bool, line: str) -> None:
    """Tell a person something beside the answer."""
    if line and not quiet:
        err.say(f"{line}\n")


@contextmanager
def interrupts_first(session: Session) -> Iterator[None]:
    """End by Ctrl-C, if it ended the reader of a pipe as well."""
    from glmcli.terminal.tty import PipeClosed

    try:
        yield
    except PipeClosed:
        if session.is_stopped():
            raise Interrupted from None
        raise


def below_reply(reply: Message, session: Session, settings: Settings, err: Output) -> None:
    """Tell a person how a one-shot ended if not by itself, and anybody who asked what it cost."""
    from glmcli.terminal.view import end_note, stats_line

    window = session.engine.context_tokens
    if err.is_tty and reply.finish_reason != "cancelled" and (note := end_note(reply, window)):
        err.say(note.partition(";")[0] + "\n")  # what comes next would be for a chat
    if settings.stats and settings.sources.get("stats") and reply.usage:
        from glmcli.engines import whereabouts

        line = stats_line(reply.usage, window)
        err.say(" · ".join(filter(None, [line, whereabouts(session.engine)])) + "\n")


def open_session(
    settings: Settings, *, continue_: bool, resume: str | None, once: bool = False
) -> tuple[Session, Settings]:
    """The session that the options ask for; its engine is opened at the first request.

    A resumed conversation brings its model and sampling settings along, where none were given.
    """
    from glmcli.engines.thread import engine_of
    from glmcli.served import named_model
    from glmcli.session import Session
    from glmcli.store import open_store

    store = open_store(settings.home, enabled=settings.history)
    conversation = Conversation()
    params = settings.params
    if resume is not None or continue_:
        from glmcli.chat.commands.history import params_of

        conversation = stored_conversation(store, resume)
        params = params_of(conversation, settings)
        if "model" not in settings.sources and conversation.model:
            resumed = {**settings.sources, "model": "the conversation"}
            settings = replace(settings, model=conversation.model, sources=resumed)
    settings = named_model(settings, once=once)
    if settings.system:
        conversation.system = read_system(settings.system)
    engine = engine_of(settings)
    session = Session(engine, store, params=params, model=settings.model, conversation=conversation)
    return session, settings


def stored_conversation(store: Store, resume: str | None) -> Conversation:
    """The last conversation, the one named, or the one that is picked. Raises UsageError."""
    if resume is None:
        last = store.last()
        if last is None:
            raise UsageError("there is no conversation to continue", "start one with glm chat")
        return last
    if not resume:
        if sys.stdin is None or not sys.stdin.isatty() or not sys.stdout.isatty():
            raise UsageError("--resume needs an id here", "glm history list shows them")
        from glmcli.terminal.picker import pick
        from glmcli.terminal.tty import Output

        resume = pick(store, Output(sys.stdout))
    return store.load(resume)


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
    from glmcli.terminal import json_view, view
    from glmcli.terminal.tty import Quiet

    def facts() -> dict[str, str]:
        return {"model": session.model, "conversation": session.conversation.id}

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


def run(arguments: list[str]) -> int:
    """Run the command line; returns the exit code. Raises Killed, Interrupted, PipeClosed."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")
    if sys.stdout is None:
        return report(UsageError("stdout is closed", "give the answer somewhere to go"))
    try:
        if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
            signal.signal(signal.SIGINT, interrupt)
        if arguments[:1] in (["ask"], ["chat"]):
            arguments = as_it_is(with_resume_value(arguments))
        code = app(arguments, prog_name="glm", standalone_mode=False)
        if code == 128 + signal.SIGINT:  # Typer's word for KeyboardInterrupt
            raise Interrupted
        return code if isinstance(code, int) else 0
    except GlmError as exc:
        return report(exc)
    except Exception as exc:
        # Typer's usage errors; their class moved between its versions, so look at the shape.
        if not hasattr(exc, "format_message"):
            raise
        return report(UsageError(exc.format_message().rstrip("."), usage_hint(exc)))


def usage_hint(exc: Exception) -> str:
    """What to do about a usage error of Typer's."""
    context = getattr(exc, "ctx", None)
    return f"{context.command_path if context else 'glm'} --help shows what can be typed"


def report(error: GlmError, cause: Exception | None = None) -> int:
    """Print an error's line and hint on stderr; returns its exit code."""
    if sys.stderr is not None:
        if wants_traceback():
            import traceback

            traceback.print_exception(cause or error)
        from glmcli.terminal.visible import visible

        text = error_lines(error)
        with suppress(OSError):  # the exit code says it too
            sys.stderr.write(visible(text) if sys.stderr.isatty() else text)
            sys.stderr.flush()
    return error.exit_code


def main() -> NoReturn:
    """The console script. Ends by the signal itself when one ended the program."""
    from glmcli.terminal.tty import Killed, PipeClosed, die_by, leave, leave_at_once

    sys.unraisablehook = leave_at_once
    try:
        leave(ended())
    except (Interrupted, KeyboardInterrupt):
        die_by(signal.SIGINT)
    except PipeClosed:
        die_by(signal.SIGPIPE)
    except Killed as exc:
        die_by(exc.signum)


def ended() -> int:
    """Run what was typed; returns the exit code. Raises Killed, Interrupted, PipeClosed."""
    try:
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # Python ignores it, lists need it
        code = run(sys.argv[1:])
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                stream.flush()
    except Exception as exc:
        hint = "" if wants_traceback() else "GLM_DEBUG=1 shows where"
        error = GlmError(f"internal error: {exc!r}", hint)
        if isinstance(exc, OSError) and exc.errno == errno.ENOSPC:
            error = GlmError(f"the output cannot be written: {exc.strerror}", "make room for it")
        code = report(error, exc)
    return code


def interrupt(signum: int, frame: FrameType | None) -> NoReturn:
    """Ctrl-C, where nothing else hears of it; a second one ends the program at once."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    raise KeyboardInterrupt
