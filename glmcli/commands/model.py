"""The command that moves a running conversation to another model, here or on a server."""

from __future__ import annotations

from dataclasses import replace

from glmcli.commands.table import Chat, command
from glmcli.config import Settings
from glmcli.engines import full_name, is_local, split_name
from glmcli.engines.thread import EngineThread, engine_of
from glmcli.errors import GlmError, UsageError
from glmcli.messages import moved, too_long
from glmcli.types import Chunk
from glmcli.window import is_full

LOCAL_S = 2.0
"""How long to wait for a model that is loaded here: that may take minutes, the prompt need not."""
SERVER_S = 30.0
"""More than a server may take to say what it has."""


def names(chat: Chat, typed: str) -> list[tuple[str, str]]:
    """Names that work without the network, for completion."""
    from glmcli.engines.names import known_names

    return [(name, "") for name in known_names(chat.settings)]


@command("[NAME [URL]]", words=names)
def model(chat: Chat, rest: str) -> str:
    """Show the model, or go on with another: a folder, a hub id, or engine:name [URL]."""
    session, old = chat.session, chat.settings
    if not rest:
        return " · ".join(filter(None, [session.model, session.engine.device]))
    new = chosen(old, rest)
    both_here = is_local(old.model) and is_local(new.model)
    engine = engine_of(new)
    if both_here:
        chat.use_engine(engine)  # two models may not fit the memory: the old one goes first
    try:
        ready = opened(chat, engine, LOCAL_S if is_local(new.model) else SERVER_S)
    except GlmError as exc:
        stay(chat, engine, reload=both_here)
        hint = exc.hint.replace("--base-url", f"/model {split_name(new.model)[0]}: URL")
        exc.hint = "; ".join(filter(None, [hint, moved("stays", model=old.model)]))
        raise
    if not both_here and session.cancel.is_set():
        stay(chat, engine, reload=False)
        return moved("stays", model=old.model)
    if not both_here:
        chat.use_engine(engine)
    chat.settings = replace(new, model=full_name(new.model, engine.name))
    session.model = chat.settings.model
    return where_it_stands(chat) if ready else moved("loading", model=session.model)


def chosen(settings: Settings, rest: str) -> Settings:
    """The settings with the model, and the server's address, that were typed. Raises UsageError."""
    name, _, url = rest.rpartition(" ")
    if not url.startswith(("http://", "https://")):
        return replace(settings, model=rest)
    if not name:
        raise UsageError("an address alone names no engine", f"/model openai: {url}")
    sources = {**settings.sources, "base_url": "option"}
    return replace(settings, model=name.rstrip(), base_url=url, sources=sources)


def opened(chat: Chat, engine: EngineThread, patience_s: float) -> bool:
    """Open an engine and show how it goes; whether it is open in time. Raises GlmError."""
    with chat.view() as view:
        try:
            return engine.wait(
                patience_s,
                chat.session.cancel,
                lambda: view.show(Chunk(progress=engine.progress)),
            )
        finally:
            view.abandon()


def stay(chat: Chat, engine: EngineThread, *, reload: bool) -> None:
    """Let go of the engine that could not be opened; `reload` the one that made room for it."""
    if not reload:
        engine.close()
        return
    back = engine_of(chat.settings)
    chat.use_engine(back)
    back.start()


def where_it_stands(chat: Chat) -> str:
    """How much of the new model's window the conversation takes, as far as that can be known."""
    session = chat.session
    prompt = session.conversation.prompt()
    size = session.count(prompt) if prompt else None
    window = session.engine.context_tokens
    if session.conversation.messages:
        session.counted = (session.conversation.messages[-1], size)
    values = {"size": size, "window": window}
    known = ", ".join(name for name, value in values.items() if value) or "nothing"
    line = moved(known if prompt else "empty", model=session.model, **values)
    return f"{line}: {too_long(session.context)}" if is_full(size, window) else line
