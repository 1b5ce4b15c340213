"""The end of a one-shot: what is said below its reply, and the error where there is no answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from glmcli.cli.asking.forms import check_code_in
from glmcli.cli.asking.long import cost_of_parts
from glmcli.cli.asking.offer import offer_to_keep, said_of_kept
from glmcli.cli.dialog import say_notice
from glmcli.cli.opening import Interrupted
from glmcli.config import DOTENV, Settings
from glmcli.language import tr

if TYPE_CHECKING:
    from glmcli.session import Session
    from glmcli.terminal.output import Output
    from glmcli.types import Message


def check_answer(reply: Message, session: Session, settings: Settings, code: str) -> None:
    """Raise Interrupted, or an error for a reply without a word, or without the code asked for."""
    from glmcli.terminal.phrases import no_answer

    if session.is_stopped():
        raise Interrupted
    if nothing := no_answer(reply, session.engine.context_tokens, settings.window):
        nothing.message = with_source(nothing.message, reply, settings)
        nothing.is_in_output = not code
        raise nothing
    if code:
        check_code_in(reply, code, session.conversation.id)


def below_reply(reply: Message, session: Session, settings: Settings, err: Output) -> None:
    """Tell a person how a one-shot ended if not by itself, and anybody who asked what it cost."""
    from glmcli.terminal.phrases import end_note, stats_line

    window = session.engine.context_tokens
    if reply.finish_reason in ("length", "time") and reply.text.strip():
        note = end_note(reply, window, settings.window)
        say_notice(err, False, with_source(note, reply, settings))
    if settings.stats and settings.sources.get("stats") and reply.usage:
        from glmcli.engines import whereabouts

        line = stats_line(reply.usage, window)
        line = " · ".join(filter(None, [line, whereabouts(session.engine)]))
        say_notice(err, False, line)
        say_notice(err, False, cost_of_parts(session.engine))
    say_notice(err, False, offer_to_keep(settings, session.engine))
    if err.is_tty:
        say_notice(err, False, said_of_kept(settings))


def with_source(note: str, reply: Message, settings: Settings) -> str:
    """What is said of a reply that was cut, and that a file of the folder says where."""
    if reply.finish_reason == "length" and settings.sources.get("max_tokens") == DOTENV:
        return tr("{note}, which {source} sets", note=note, source=DOTENV)
    return note
