"""From options to a session: its store, its conversation, its engine.

Shared by `glm ask` and `glm chat`. Opens no model: the engine does at the first request.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from glmcli.cli.completion.candidates import conversations, if_asked
from glmcli.config import RESUMED, TYPED, Settings
from glmcli.errors import UsageError
from glmcli.language import tr
from glmcli.paths import check_utf8, read_system, split_address, system_as_word, system_file

if TYPE_CHECKING:
    from glmcli.session import Session
    from glmcli.store import Store
    from glmcli.terminal.output import Output
    from glmcli.types import Conversation, ConversationKind

ContinueChat = Annotated[
    bool, typer.Option("-c", "--continue", help=tr("go on with the last chat"))
]
ContinueAsk = Annotated[bool, typer.Option("-c", "--continue", help=tr("go on with the last ask"))]
Resume = Annotated[
    str | None,
    typer.Option(
        "--resume",
        metavar="[ID]",
        help=tr("go on with a conversation"),
        show_default=False,
        autocompletion=if_asked(conversations),
    ),
]


class Interrupted(BaseException):
    """The user stopped a one-shot; what had arrived was printed."""


def follow(session: Session, settings: Settings, *outputs: Output) -> None:
    """Have the outputs drop what a stop leaves unread, and speak in words to a screen reader."""
    from glmcli.terminal.output import read_aloud

    read_aloud(settings.plain, *outputs)
    for output in outputs:
        output.is_stopped = session.is_stopped


@contextmanager
def interrupts_first(session: Session) -> Iterator[None]:
    """End by Ctrl-C, if it ended the reader of a pipe as well."""
    from glmcli.terminal.output import PipeClosed

    try:
        yield
    except PipeClosed:
        if session.is_stopped():
            raise Interrupted from None
        raise


def open_session(
    settings: Settings,
    *,
    continue_: bool,
    resume: str | None,
    once: bool = False,
    commands: bool = False,
    system: str | None = None,
) -> tuple[Session, Settings]:
    """The session that the options ask for; its engine is opened at the first request.

    A resumed conversation brings its model and sampling settings along, where none were given; not
    one of a history that the `.env` of a folder chose. `system` is the prompt of a role: only one
    that was typed goes before it.
    """
    from glmcli.engines import name_at
    from glmcli.engines.thread import engine_of
    from glmcli.session import Session
    from glmcli.store import open_store
    from glmcli.types import Conversation

    if continue_ and resume is not None:
        line = tr("--continue and --resume ask for two conversations")
        raise UsageError(line, tr("say one"), meant=("--continue", ""))
    store = open_store(settings.home, enabled=settings.history)
    tell_notice(store)
    conversation = Conversation()
    params = settings.params
    if resume is not None or continue_:
        from glmcli.chat.commands.history import stored_params

        conversation = stored_conversation(store, resume, settings, once=once)
        params = stored_params(conversation, settings)
        if not settings.is_home_own:
            tell_untaken(conversation, settings)
        elif goes_on_where_it_was(conversation, settings):
            settings = with_model_of(conversation, settings)
    settings = ready_settings(settings, once=once)
    prompt = chosen_system(settings, system)
    session = Session(
        engine_of(settings),
        store,
        params=params,
        model=name_at(settings),
        conversation=conversation,
        context=settings.context,
        once=once,
        commands=commands,
        window=settings.window,
    )
    if prompt is not None:
        session.set_system(prompt)
    return session, settings


def goes_on_where_it_was(conversation: Conversation, settings: Settings) -> bool:
    """Whether a conversation brings its model along, or at least the address of the one that is set
    in the environment or the configuration too.
    """
    source = settings.sources.get("model")
    is_same = settings.model == split_address(conversation.model)[0]
    return bool(conversation.model) and (source is None or (source != TYPED and is_same))


def with_model_of(conversation: Conversation, settings: Settings) -> Settings:
    """The settings with the model of a conversation, at the address where it was; one that is typed
    goes before that. Another one is said not to count.
    """
    from glmcli.cli.dialog import tell

    model, url = split_address(conversation.model)
    sources = {"model": RESUMED, **settings.sources}
    if not url or sources.get("base_url") == TYPED:
        return replace(settings, model=model, sources=sources)
    if settings.base_url not in ("", url):
        tell(tr("it goes on at {url}, where it was; --base-url names another", url=url))
    sources["base_url"] = RESUMED
    return replace(settings, model=model, base_url=url, sources=sources)


def ready_settings(settings: Settings, *, once: bool) -> Settings:
    """The settings with the name of their model, once it is known that they can be followed.

    Says what could mislead about them. Raises UsageError, ConfigError, EngineError.
    """
    from glmcli.cli.served import with_model
    from glmcli.engines import check_followed

    check_followed(settings)
    settings = with_model(settings, once=once)
    tell_places(settings)
    check_utf8("".join(settings.stop), tr("a text of --stop is not valid UTF-8"))
    return settings


def chosen_system(settings: Settings, of_role: str | None) -> str | None:
    """The system prompt that was set, or the one of a role; None if there is neither.

    Only one that was typed goes before that of a role. Raises UsageError.
    """
    prompt, source = read_system(settings.system), settings.sources.get("system")
    return prompt if source == TYPED or (source and of_role is None) else of_role


def tell_places(settings: Settings) -> None:
    """Say where a model, an adapter or a system prompt is, if its name could mislead."""
    from glmcli.cli.dialog import tell, tell_links
    from glmcli.engines import folder_lines

    for line in folder_lines(settings):
        tell(line)
    tell_links(system_file(settings.system))
    if line := system_as_word(settings.system):
        tell(line)


def tell_notice(store: Store) -> None:
    """Say what had to be repaired as the history was opened."""
    from glmcli.cli.dialog import tell

    if notice := store.take_notice():
        tell(notice)


def tell_untaken(conversation: Conversation, settings: Settings) -> None:
    """Say which model of a conversation was not taken, since a `.env` chose its folder."""
    from glmcli.cli.dialog import tell
    from glmcli.engines import name_at

    model = conversation.model
    if model not in ("", settings.model, name_at(settings)):
        tell(
            tr(
                "{id} was with {model}, which is not taken, since a .env chose its folder: "
                "-m {model} goes on with it",
                id=conversation.id,
                model=" --base-url ".join(filter(None, split_address(model))),
            )
        )


def resumed_lines(session: Session, settings: Settings, *, in_role: bool) -> list[str]:
    """What to say of a conversation that goes on; nothing of a new one."""
    if not session.conversation.id:
        return []
    from glmcli.chat.commands.history import resumed

    return resumed(session, settings, in_role=in_role)


def newer_ask(session: Session, *, is_open: bool) -> str:
    """How to go on with an ask that is newer than the chat that goes on; "" if there is none.

    `is_open`: whether commands are typed where this is read.
    """
    newest = [each for each in session.store.list(1, "ask") if each.kind == "ask"]
    if not newest or newest[0].updated_at <= (session.conversation.updated or 0):
        return ""
    how = f"/resume {newest[0].id}" if is_open else f"--resume {newest[0].id}"
    return tr("there is a newer ask: {how} goes on with it", how=how)


def stored_conversation(
    store: Store, resume: str | None, settings: Settings, *, once: bool
) -> Conversation:
    """The last conversation of a kind, the one named, or the one picked.

    `once`: whether it is an ask that goes on. Raises UsageError.
    """
    kind: ConversationKind = "ask" if once else "chat"
    if resume is None:
        last = store.last(kind)
        if last is None:
            raise UsageError(tr("there is no conversation to continue"), way_on(store, kind))
        return last
    if not resume:
        from glmcli.cli.history.picking import can_pick, picked_conversation

        if settings.plain == "reader" or not can_pick():
            raise UsageError(tr("--resume needs an id here"), tr("glm history list shows them"))
        if not store.list(1):
            raise UsageError(tr("there is no conversation to continue"), way_on(store, kind))
        picked = picked_conversation(store, kind)
        if picked is None:
            raise UsageError(
                tr("no conversation was chosen"), tr("glm history list shows them all")
            )
        resume = picked
    return store.load(resume)


def way_on(store: Store, kind: ConversationKind) -> str:
    """What helps where there is none of the kind that was asked for."""
    for other in store.list(1):
        if other.kind == "ask":
            return tr("--resume {id} goes on with the last ask", id=other.id)
        return tr("--resume {id} goes on with the last chat", id=other.id)
    return tr("start one with {command}", command=f"glm {kind}")
