"""`--long`: what becomes of a text that is longer than the model's window.

It is asked for whole first, since only the model knows what fits; what was refused leaves nothing
in the history. Knows nothing of how a text is cut and answered.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from glmcli.cli.asking.role import in_frame
from glmcli.cli.dialog import fitted, is_agreed, tell, tell_text
from glmcli.cli.opening import Interrupted
from glmcli.errors import ContextFull, GlmError, StoreError
from glmcli.language import ntr, tr

if TYPE_CHECKING:
    from glmcli.cli.asking.about import LongText, Made
    from glmcli.conversation.roles import NamedRole
    from glmcli.engines import Engine
    from glmcli.session import Session
    from glmcli.terminal.replies.text import BaseView
    from glmcli.types import Message


class Long(StrEnum):
    """What to do with a text that does not fit."""

    map = "map"


LongWay = Annotated[
    Long | None,
    typer.Option(
        "--long", help=tr("answer a text longer than the window in parts, and combine the answers")
    ),
]


def long_text(
    prompt: str | None, piped: str, files: Sequence[str], role: NamedRole | None
) -> LongText | None:
    """The text that a prompt is about, if some was piped or attached."""
    from glmcli.cli.asking.about import LongText
    from glmcli.conversation.attachments import heading, join_files

    if not (piped or files):
        return None

    def framed(said: str) -> str:
        return in_frame(said, role, has_files=True) or ""

    question = "" if prompt in (None, "-") else str(prompt)
    return LongText(question, join_files(piped, files), framed, [*map(heading, files)])


def answered(
    session: Session,
    question: str | Message,
    long: LongText | None,
    way: Long | None,
    views: Callable[[], BaseView],
    *,
    quiet: bool,
) -> Message:
    """The reply to a question; to `long` in parts, if it is too long and a person wants that.

    `views` makes a view. Raises GlmError, of which the view has told; Interrupted.
    """
    is_new, view = not session.conversation.id, views()
    asked = session.engine
    if way is not None and long is not None:
        from glmcli.cli.asking.behind import RoomyEngine

        session.wrap(RoomyEngine)
    try:
        with view:
            return session.ask(question, view)
    except GlmError as exc:
        if session.is_stopped():
            raise Interrupted from exc
        if way is not None and long is None and isinstance(exc, ContextFull):
            from glmcli.cli.asking.about import tell_where_it_is

            tell_where_it_is(exc, question)
        has_system = bool(session.conversation.system)
        if (
            long is None
            or not isinstance(exc, ContextFull)
            or not is_wanted(exc, long, way, has_system=has_system)
        ):
            view.fail(exc)
            raise
        window = exc.limit
    from glmcli.cli.asking.mapped import PartsEngine

    forget_question(session, is_new=is_new)
    view, parts = views(), PartsEngine(asked, long, window, quiet=quiet)
    session.wrap(lambda _: parts)
    ends = ""
    try:
        with view:
            reply = session.ask(long.kept(), view)
            ends = how_far(parts.made) if reply.finish_reason == "cancelled" else ""
    except GlmError as exc:
        view.fail(exc)
        tell_kept(session, parts.made)
        raise
    except BaseException:
        ends = how_far(parts.made)
        raise
    finally:
        if ends:
            tell_kept(session, parts.made, ends)
    return reply


def how_far(made: Made) -> str:
    """Where on the way an answer in parts was stopped."""
    if made.is_combining:
        return tr("stopped while the answers were combined")
    if not made.number:
        return tr("stopped before the first part")
    return tr("stopped in part {number:,} of {count:,}", number=made.number, count=made.parts)


def tell_kept(session: Session, made: Made, ends: str = "") -> None:
    """Say where the answers to parts are, after what is said of the end; all of them, if nowhere.

    On stderr, since they are not the answer.
    """
    text = session.conversation.messages[-1].text
    name = session.conversation.id
    if not text:
        kept = ""
    elif not session.is_saved:
        kept = tr("what arrived follows, since the history does not keep it:")
    elif not made.answered:
        kept = tr("what arrived is kept: glm history show {id}", id=name)
    else:
        kept = ntr(
            "the answer to {n:,} part is kept: glm history show {id}",
            "the answers to {n:,} parts are kept: glm history show {id}",
            made.answered,
            id=name,
        )
    if line := tr("; ").join(filter(None, [ends, kept])):
        tell(line)
    if text and not session.is_saved:
        tell_text(text)


def is_wanted(full: ContextFull, long: LongText, way: Long | None, *, has_system: bool) -> bool:
    """Whether to answer in parts: --long says so, or the person who is asked."""
    if not (long.question or long.framed("") or has_system):
        full.hint = tr('say what to do with the text: glm ask --long map "summarise this" < FILE')
        return False
    if way is not None:
        return True
    if full.output is not None or not is_person_there():
        return False
    text = tr("{problem}. Answer it in parts, and combine them? [y/N]", problem=full.message)
    with interrupts_raised():
        return bool(is_agreed(f"{fitted(text, sys.stderr.fileno())} "))


def is_person_there() -> bool:
    """Whether somebody sees stdout and stderr, and can type; stdin is theirs from now on.

    Where stdin was the text, it has been read to its end.
    """
    if sys.stdin is None or not all(each and each.isatty() for each in (sys.stdout, sys.stderr)):
        return False
    from glmcli.terminal.quiet import in_foreground

    if sys.stdin.isatty():
        return in_foreground(sys.stdin.fileno())
    try:
        terminal = os.open("/dev/tty", os.O_RDWR)
    except OSError:
        return False
    is_ours = in_foreground(terminal)
    if is_ours:
        os.dup2(terminal, sys.stdin.fileno())
    os.close(terminal)
    return is_ours


@contextmanager
def interrupts_raised() -> Iterator[None]:
    """Let Ctrl-C raise KeyboardInterrupt while a question waits for its answer."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def forget_question(session: Session, *, is_new: bool) -> None:
    """Take the last question out of the conversation and the history."""
    from glmcli.types import Conversation

    refused = session.conversation
    if not is_new:
        at = refused.last_question() or 0
        session.journal.attempt(lambda: session.store.rewind(refused, at, forget=True))
        return
    session.reset()
    session.extend(Conversation(messages=refused.messages[: refused.last_question()]))
    with suppress(StoreError):
        session.store.purge(refused.id)


def fields_of(engine: Engine) -> dict[str, Any]:
    """What machines are told of an answer that was made in parts."""
    from glmcli.cli.asking.mapped import PartsEngine

    return {"long": engine.made.fields()} if isinstance(engine, PartsEngine) else {}


def cost_of_parts(engine: Engine) -> str:
    """What all parts cost, for --stats; "" for an answer that was not made in parts."""
    made = fields_of(engine).get("long")
    if not made:
        return ""
    return tr(
        "{parts:,} parts: read {prompt_tokens:,} tokens, {cached_tokens:,} of them cached, wrote"
        " {completion_tokens:,}",
        **made,
    )
