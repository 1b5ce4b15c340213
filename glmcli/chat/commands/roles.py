"""The command that takes a role in a running chat: a system prompt and settings under a name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from glmcli.chat.commands.model import model
from glmcli.chat.commands.table import BeforeRole, Chat, columns, command
from glmcli.config import ROLE, Settings, load_settings
from glmcli.conversation.roles import NO_ROLE, ROLE_SETTINGS, SAMPLING, about_roles, load_role
from glmcli.errors import UsageError
from glmcli.language import tr
from glmcli.paths import read_system
from glmcli.terminal.phrases import clipped

ABOUT_CELLS = 40
"""How much of a role is shown in a list: with its name it fits a narrow window."""


def role_words(chat: Chat, typed: str) -> list[tuple[str, str]]:
    """Words that may follow /role, for completion."""
    names = [(name, about) for name, about, _ in about_roles()]
    return [*names, *([(NO_ROLE, chat.role.name)] if chat.role else [])]


@command("[NAME|off]", words=role_words)
def role(chat: Chat, rest: str) -> str:
    """Show the roles, or go on in one: its system prompt and settings; off ends it."""
    if not rest:
        now = chat.role.name if chat.role else ""
        return columns(
            [
                (f"{'*' if name == now else ' '} {name}", clipped(about, ABOUT_CELLS))
                for name, about, _ in about_roles()
            ]
        )
    if rest == NO_ROLE:
        if chat.role is None:
            raise UsageError(tr("there is no role to end"), tr("/role NAME takes one"))
        ended = chat.role.name
        end_role(chat)
        return tr("{name} has ended", name=ended)
    taken = load_role(rest)
    named = taken.settings.get("model", chat.settings.model)
    moved = model(chat, named) if named != chat.settings.model else ""
    end_role(chat)
    names = [name for name in taken.settings if name != "model"]
    session = chat.session
    system = session.conversation.system
    chat.before_role = BeforeRole(names, chat.settings, session.params, session.context, system)
    chat.role = taken
    values = {name: taken.settings[name] for name in names}
    sources = {**chat.settings.sources, **dict.fromkeys(names, "/role")}
    put(chat, values, replace(chat.settings, **values, sources=sources))
    if taken.system is not None:
        session.set_system(taken.system)
    said = tr("from now on {name}; /role off ends it", name=taken.name)
    return "\n".join(filter(None, [moved, said]))


def end_role(chat: Chat) -> None:
    """Give back what the role has set, but for the model, which stays: to load one takes long."""
    if chat.role is None:
        return
    names, settings, params, context, system = chat.before_role or without_role(chat)
    values = {name: getattr(params, name, getattr(settings, name)) for name in names}
    if "context" in values:
        values["context"] = context
    own = {name: getattr(settings, name) for name in names}
    sources = {k: v for k, v in chat.settings.sources.items() if k not in names}
    sources |= {k: v for k, v in settings.sources.items() if k in names}
    put(chat, values, replace(chat.settings, **own, sources=sources))
    if chat.role.system is not None and chat.session.conversation.system == chat.role.system:
        chat.session.set_system(system)
    chat.role = chat.before_role = None


def without_role(chat: Chat) -> BeforeRole:
    """What would be in force if the command line had named no role."""
    settings, sources = load_settings({}, needed=()), chat.settings.sources
    system = read_system(settings.system) if "system" in settings.sources else None
    names = [name for name in ROLE_SETTINGS if sources.get(name) == ROLE and name != "model"]
    return BeforeRole(names, settings, settings.params, settings.context, system)


def put(chat: Chat, values: Mapping[str, Any], settings: Settings) -> None:
    """Use other values from now on, and have the settings say so."""
    for name in SAMPLING:
        if name in values:
            chat.session.set_param(name, values[name])
    if "context" in values:
        chat.session.leave_out(values["context"])
    chat.settings = settings
