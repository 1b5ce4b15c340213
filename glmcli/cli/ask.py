"""`glm ask`: one reply, then exit.

Knows nothing of how a reply is made or painted: that is the session's and the view's.
"""

from __future__ import annotations

from contextlib import closing
from functools import partial
from typing import Annotated

import typer

from glmcli.cli.asking.each.options import with_each
from glmcli.cli.asking.ending import below_reply, check_answer
from glmcli.cli.asking.files import Files, Yes, attached_files, check_stdin
from glmcli.cli.asking.forms import (
    Code,
    Form,
    LastCode,
    code_to_print,
    reply_view,
)
from glmcli.cli.asking.long import LongWay, answered, long_text
from glmcli.cli.asking.question import Messages, is_typed_on, no_prompt, question_of
from glmcli.cli.asking.role import RoleName, in_frame, role_named
from glmcli.cli.dialog import say_notice
from glmcli.cli.opening import (
    ContinueAsk,
    Resume,
    follow,
    interrupts_first,
    open_session,
    resumed_lines,
)
from glmcli.cli.options import (
    MODEL_OPTIONS,
    REPLY_OPTIONS,
    Load,
    PromptWords,
    read_messages,
    read_piped,
    split_prompt,
    with_piped,
    with_settings,
)
from glmcli.config import demonstration
from glmcli.language import tr

NoStream = Annotated[bool, typer.Option("--no-stream", help=tr("print the reply at its end"))]


@with_settings(*MODEL_OPTIONS, "keep", *REPLY_OPTIONS)
@with_each
def ask(
    load: Load,
    words: PromptWords = None,
    file: Files = None,
    yes: Yes = False,
    format: Form = None,
    messages: Messages = None,
    last_code: LastCode = False,
    code: Code = None,
    continue_: ContinueAsk = False,
    resume: Resume = None,
    role: RoleName = None,
    long: LongWay = None,
    no_stream: NoStream = False,
    no_stdin: Annotated[bool, typer.Option("--no-stdin", help=tr("ignore stdin"))] = False,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help=tr("no notices"))] = False,
) -> None:
    """Answer one question, then exit. Piped stdin is appended to PROMPT; - is stdin alone."""
    from glmcli.terminal.leaving import install_signals
    from glmcli.terminal.output import outputs
    from glmcli.types import Conversation

    out, err = outputs()
    say = partial(say_notice, err, quiet)
    code = code_to_print("last" if last_code and code is None else code, format)
    prompt, names = split_prompt(words or [], file or [], say=say)
    if prompt is None and not (names or messages) and (no_stdin or is_typed_on()):
        raise no_prompt()
    use_stdin = check_stdin(names, prompt, messages, ignored=no_stdin)
    files = attached_files(names, yes=yes, say=say)
    taken = role_named(role)
    settings = load(role=taken)
    earlier = read_messages(messages) if messages is not None else Conversation()
    piped = read_piped(prompt, use_stdin=use_stdin, say=say)
    text = in_frame(with_piped(prompt, piped), taken, has_files=bool(files) and not messages)
    question = question_of(text, files, earlier)
    system = taken.system if taken else None
    session, settings = open_session(
        settings, continue_=continue_, resume=resume, once=True, system=system
    )
    for line in [] if quiet else resumed_lines(session, settings, in_role=bool(taken)):
        say(line)
    session.extend(earlier)
    install_signals(session.stop)
    follow(session, settings, out, err)
    if not quiet:
        say(demonstration(settings))
    views = partial(
        reply_view, format, code, session, settings, out, err, stream=not no_stream, quiet=quiet
    )
    about = None if messages and text is None else long_text(prompt, piped, files, taken)
    try:
        with interrupts_first(session), closing(session.store):
            reply = answered(session, question, about, long, views, quiet=quiet)
    finally:
        for line in session.news():  # what was not sent or not saved: -q hides none of it
            say_notice(err, False, line)
    if not quiet:
        below_reply(reply, session, settings, err)
    check_answer(reply, session, settings, code)
