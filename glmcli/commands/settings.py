"""The command that shows and changes settings while a chat runs."""

from __future__ import annotations

import difflib
from dataclasses import fields, replace
from typing import Any

from glmcli.commands.table import Chat, command
from glmcli.config import parse, show
from glmcli.errors import ConfigError, UsageError
from glmcli.types import GenerationParams

PARAMS = [item.name for item in fields(GenerationParams)]
DISPLAY = {"markdown": "plain", "stats": "stats", "thinking": "thinking", "notify": "notify"}
"""Names for how replies are shown, and the settings behind them."""
CONTEXT = "context"
"""What becomes of a prompt that does not fit."""
DEFAULT = ("default", "none", "unset")
"""Words that give a setting back to the model."""


@command("[NAME VALUE]")
def set(chat: Chat, rest: str) -> str:
    """Show the settings, or change one; `default` gives it back to the model."""
    if not rest:
        rows = [(name, getattr(chat.session.params, name)) for name in PARAMS]
        rows += [(name, display_value(chat, name)) for name in DISPLAY]
        rows.append((CONTEXT, chat.session.context))
        return "\n".join(f"{name:<20}{show(value) or 'default'}" for name, value in rows)
    name, value = pair(rest)
    name = param_name(name)
    if name == CONTEXT:
        chosen = "auto" if value.lower() in DEFAULT else str(parsed_value(name, value))
        chat.session.context = "drop-oldest" if chosen == "auto" else chosen
        return f"{name} is {chat.session.context}"
    if name in DISPLAY:
        set_display(chat, name, value)
        return f"{name} is {show(display_value(chat, name))}"
    chat.session.params = chat.session.params.merged({name: param_value(name, value)})
    return f"{name} is {show(getattr(chat.session.params, name)) or 'default'}"


@command()
def multiline(chat: Chat, rest: str) -> str:
    """Switch what Enter does: send, or make a new line (then Alt-Enter sends)."""
    chat.enter_sends = not chat.enter_sends
    return "Enter sends" if chat.enter_sends else "Enter makes a new line, Alt-Enter sends"


def display_value(chat: Chat, name: str) -> object:
    """How replies are shown now; `markdown` is the opposite of the setting `plain`."""
    value = getattr(chat.settings, DISPLAY[name])
    return not value if name == "markdown" else value


def set_display(chat: Chat, name: str, value: str) -> None:
    """Change how replies are shown. Raises UsageError."""
    parsed = parsed_value(DISPLAY[name], value)
    changes: dict[str, Any] = {DISPLAY[name]: not parsed if name == "markdown" else parsed}
    chat.settings = replace(chat.settings, **changes)


def pair(text: str) -> tuple[str, str]:
    """NAME=VALUE or NAME VALUE. Raises UsageError."""
    name, separator, value = text.partition("=" if "=" in text.split()[0] else " ")
    if not separator or not value.strip():
        raise UsageError(f"{name} has no value", f"/set {name} VALUE, or /set {name} default")
    return name.strip(), value.strip()


def param_name(name: str) -> str:
    """A setting's name. Raises UsageError with the nearest one."""
    known = [*PARAMS, *DISPLAY, CONTEXT]
    name = name.lstrip("-").replace("-", "_")
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {near[0]}?" if near else f"one of: {', '.join(known)}"
        raise UsageError(f"there is no setting {name}", hint)
    return name


def param_value(name: str, value: str) -> object:
    """A sampling setting's value; None gives it back to the model. Raises UsageError."""
    if value.lower() in DEFAULT or (value == "off" and name != "think"):
        return () if name == "stop" else None
    return parsed_value(name, value)


def parsed_value(name: str, value: str) -> object:
    """A setting's value. Raises UsageError."""
    try:
        return parse(name, value, "option")
    except ConfigError as exc:
        raise UsageError(exc.message.removeprefix("--"), exc.hint) from exc
