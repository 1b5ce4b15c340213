"""`glm chat`: the door to the shell, on a terminal or in a pipe.

Knows nothing of what happens in it: see glmcli/chat.
"""

from __future__ import annotations

import sys
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from glmcli.cli.asking.files import STDIN, Files, Yes, attached_files, check_stdin
from glmcli.cli.asking.role import RoleName, role_named
from glmcli.cli.dialog import say_notice
from glmcli.cli.opening import (
    ContinueChat,
    Interrupted,
    Resume,
    follow,
    interrupts_first,
    newer_ask,
    open_session,
    resumed_lines,
)
from glmcli.cli.options import (
    MODEL_OPTIONS,
    REPLY_OPTIONS,
    Load,
    PromptWords,
    split_prompt,
    with_settings,
)
from glmcli.conversation.typed import Line
from glmcli.errors import UsageError
from glmcli.language import tr

if TYPE_CHECKING:
    from glmcli.chat.terminal import TerminalChat


@with_settings(*MODEL_OPTIONS, *REPLY_OPTIONS, "vi", changes=True)
def chat(
    load: Load,
    words: PromptWords = None,
    file: Files = None,
    yes: Yes = False,
    commands: Annotated[
        bool,
        typer.Option("--commands", help=tr("stdin is your own script: run its /commands")),
    ] = False,
    continue_: ContinueChat = False,
    resume: Resume = None,
    role: RoleName = None,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help=tr("no notices"))] = False,
) -> None:
    """Chat in the terminal. With stdin not a terminal, every line of it is a turn."""
    from glmcli.chat.pipe import PipeChat
    from glmcli.chat.repl import chat_in_pipe
    from glmcli.chat.terminal import TerminalChat
    from glmcli.conversation.lines import is_command
    from glmcli.terminal.leaving import install_signals
    from glmcli.terminal.output import outputs

    out, err = outputs()
    say = partial(say_notice, err, quiet)
    prompt, names = split_prompt(words or [], file or [], say=say)
    if prompt is None and STDIN in names:
        raise UsageError(tr("-a - needs a PROMPT here"), tr('glm chat -a - "what is this?"'))
    check_stdin(names, prompt, None, ignored=False)
    files = attached_files(names, yes=yes, say=say)
    if prompt and is_command(Line(prompt)):
        say(tr("the first turn is text; commands are typed at the prompt"))
    is_typed = sys.stdin is not None and sys.stdin.isatty()
    taken = role_named(role)
    session, settings = open_session(
        load(role=taken, newcomer=out if is_typed and out.is_tty and not quiet else None),
        continue_=continue_,
        resume=resume,
        commands=commands or is_typed,
        system=taken.system if taken else None,
    )
    install_signals(session.stop)
    follow(session, settings, out, err)
    with closing(session.store):
        is_open = is_typed and out.is_tty
        newer = newer_ask(session, is_open=is_open) if continue_ and not quiet else ""
        if is_open:
            terminal = TerminalChat(session, settings, out)
            terminal.attached, terminal.agrees_to_files, terminal.role = files, yes, taken
            meet(terminal, newer, prompt, quiet=quiet)
            return
        say(newer)
        for line in resumed_lines(session, settings, in_role=bool(taken)):
            say(line)
        with interrupts_first(session):
            pipe = PipeChat(session, settings, out, err)
            pipe.attached, pipe.agrees_to_files, pipe.role = files, yes, taken
            code = chat_in_pipe(pipe, first=prompt)
    if session.is_stopped():
        raise Interrupted
    raise typer.Exit(code)


def meet(chat: TerminalChat, newer: str, first: str | None, *, quiet: bool) -> None:
    """Chat on a terminal: how to get help, where a conversation stands that goes on, and so on.

    `newer` tells of another conversation, `first` is the first turn.
    """
    from glmcli.chat.commands.history import show_end
    from glmcli.chat.repl import banner, chat_in_terminal, parting_words

    chat.note("" if quiet else banner(chat.settings, chat.session, has_keys=chat.out.knows_codes))
    if chat.session.conversation.messages:
        chat.note(show_end(chat))
    chat.note(newer)
    chat_in_terminal(chat, first=first)
    chat.note(parting_words(chat, quiet=quiet))
