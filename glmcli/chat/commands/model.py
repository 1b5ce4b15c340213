"""The command that moves a running conversation to another model, here or on a server."""

from __future__ import annotations

import re
from dataclasses import replace

from glmcli.chat.commands.lines import SLASH_WORDS, said_of
from glmcli.chat.commands.table import Chat, command
from glmcli.config import TYPED, Settings
from glmcli.config.servers import with_scheme
from glmcli.conversation.window import is_full
from glmcli.engines import folder_lines, full_name, is_local, name_at, split_name
from glmcli.engines.thread import EngineThread, engine_of
from glmcli.errors import GlmError, UsageError
from glmcli.language import in_one_line, later, tr
from glmcli.paths import is_something, path_of
from glmcli.terminal.visible import visible_line
from glmcli.types import Chunk

LOCAL_S = 2.0
"""How long to wait for a model that is loaded here: that may take minutes, the prompt need not."""
SERVER_S = 30.0
"""More than a server may take to list its models."""
OF_SERVER = re.compile(r"(?:--model (\S+) )?--base-url (?=https?:)")
"""What names a server in a hint for the shell, before its address."""
TOO_LONG = {
    "stop": later("too long: the next question will be refused; /reset starts a new conversation"),
    "drop-oldest": later("too long: the oldest turns will not be sent"),
    "summarise": later("too long: a summary of the oldest turns will be sent"),
}
"""The fate of a conversation that does not fit the new model's window, by the setting `context`."""


def names(chat: Chat, typed: str) -> list[tuple[str, str]]:
    """Names that work without the network, for completion."""
    from glmcli.models.names import known_names

    return [(name, "") for name in known_names(chat.settings.model_options)]


@command("[NAME|FOLDER [URL]]", words=names)
def model(chat: Chat, rest: str) -> str:
    """Show the model, or go on with another: a folder, a hub id, gguf:, openai:, fastchat:…."""
    session, old = chat.session, chat.settings
    if not rest:
        return " · ".join(filter(None, [old.model, session.engine.device]))
    new, told = with_key(chat, chosen(old, rest))
    both_here = is_local(old.model) and is_local(new.model)
    engine = engine_of(new)
    if both_here:
        chat.use(engine, name_at(new))  # two may not fit the memory: the old one goes first
    stays = tr("the conversation stays with {model}", model=old.model)
    try:
        ready = open_in_time(chat, engine, LOCAL_S if is_local(new.model) else SERVER_S)
    except GlmError as exc:
        stay(chat, engine, reload=both_here)
        here = "--base-url" in exc.hint  # else the address came from elsewhere
        named = OF_SERVER.sub(lambda found: f"/model {found[1] or new.model} ", exc.hint)
        named = named.replace("--base-url", f"/model {split_name(new.model)[0]}: URL")
        hint = named if here or not exc.in_chat else exc.in_chat
        exc.hint, exc.again = in_one_line(hint, told, stays), False
        exc.in_chat = ""
        raise
    if not both_here and session.is_stopped():
        stay(chat, engine, reload=False)
        return stays
    name = full_name(new.model, engine.name)
    if not both_here:
        chat.use(engine, name_at(replace(new, model=name)))
    chat.settings = replace(new, model=name)
    if ready:
        now = where_it_stands(chat)
    else:
        now = tr("{model} is being loaded; the conversation goes on with it", model=name)
    return "\n".join(filter(None, [told, *folder_lines(new), now]))


def chosen(settings: Settings, rest: str) -> Settings:
    """The settings with the model, and the server's address, that were typed. Raises UsageError."""
    name, _, url = rest.rpartition(" ")
    sources = {**settings.sources, "model": TYPED}
    if rest in ("list", "ls") and not is_something(path_of(rest)):
        raise UsageError(tr("/model shows one model"), said_of(SLASH_WORDS["models"]))
    plain = re.sub(r"(?<!\S)(?:-m|--model|--base-url)[ =]", "", rest)
    if plain != rest:
        raise UsageError(tr("/model takes no options"), said_of(f"/model {plain}"))
    first, *options = rest.split()
    if any(re.match(r"-|\w+=", word) for word in options) and not is_something(path_of(rest)):
        line = " ".join(re.sub(r"^-+|=", " ", word).strip() for word in options)
        raise UsageError(
            tr("/model takes no settings"),
            tr("{line}, then {next}", line=f"/model {first}", next=f"/set {line}"),
        )
    if rest != settings.model:
        settings = replace(settings, adapter="")  # it belongs to the model before
    if not url.startswith(("http://", "https://")):
        if is_remote(name) and re.search("[.:]", url) and (near := with_scheme(url)):
            line = tr("{url!r} is not the address of a server", url=url)
            raise UsageError(line, said_of(f"/model {name} {near}"))
        return replace(settings, model=rest, sources=sources)
    if not name:
        raise UsageError(tr("an address alone does not name an engine"), f"/model openai: {url}")
    sources["base_url"] = TYPED
    return replace(settings, model=name.rstrip(), base_url=url, sources=sources)


def is_remote(model: str) -> bool:
    """Whether a model is one of a server."""
    return split_name(model)[0] in ("openai", "fastchat")


def with_key(chat: Chat, new: Settings) -> tuple[Settings, str]:
    """The settings with the key that may be sent to their server, and a line if there is none.

    One key is for one address; the user may agree that it goes to another. Where nobody can be
    asked it does not, and the line says so.
    """
    from glmcli.config.settings import masked
    from glmcli.engines.remote.address import same_server

    known = (same_server(new.base_url, url) for url in chat.key_is_for)
    if not chat.key or not is_remote(new.model) or any(known):
        return replace(new, api_key=chat.key, key_url=""), ""
    without = replace(new, api_key="", key_url="")
    if has_own_key(new):
        return without, ""
    where = visible_line(masked("base_url", new.base_url))
    agreed = chat.confirm(tr("GLM_API_KEY was not given for {host}: send it there?", host=where))
    if agreed is None:
        return without, tr(
            "GLM_API_KEY was not given for {host}, so it is not sent there; [keys] of config.toml "
            "holds a key for each server",
            host=where,
        )
    if not agreed:
        return without, ""
    chat.key_is_for.add(new.base_url)
    sources = {**new.sources, "base_url": TYPED}
    return replace(new, api_key=chat.key, key_url="", sources=sources), ""


def has_own_key(settings: Settings) -> bool:
    """Whether there is a key for just this server."""
    from glmcli.config.servers import server_options
    from glmcli.engines.remote.address import own_key, parse_address

    return bool(own_key(server_options(settings), parse_address(settings.base_url))[1])


def open_in_time(chat: Chat, engine: EngineThread, patience_s: float) -> bool:
    """Open an engine and show its progress; whether it is open in time. Raises GlmError."""
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
    chat.use(back, name_at(chat.settings))
    back.start()


def where_it_stands(chat: Chat) -> str:
    """How much of the new model's window the conversation takes, as far as that can be known."""
    session = chat.session
    model, size, window = chat.settings.model, session.recount(), session.engine.context_tokens
    if not session.conversation.prompt():
        return tr("now {model}", model=model)
    if not size and not window:
        return tr(
            "now {model}; how much of its window this conversation takes is not known", model=model
        )
    if not size:
        return tr(
            "now {model}, with a window of {window:,} tokens; its next reply will say how full "
            "it is",
            model=model,
            window=window,
        )
    if not window:
        return tr("now {model}; this conversation is {size:,} tokens there", model=model, size=size)
    line = tr(
        "now {model}; this conversation is {size:,} of {window:,} tokens there",
        model=model,
        size=size,
        window=window,
    )
    return tr(": ").join([line, tr(TOO_LONG[session.context])]) if is_full(size, window) else line
