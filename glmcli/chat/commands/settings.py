"""The command that shows and changes settings while a chat runs."""

from __future__ import annotations

import difflib
from dataclasses import replace

from glmcli.chat.commands.lines import (
    BY_COMMAND,
    CONTEXT,
    DISPLAY,
    PAIR,
    PARAMS,
    SET_HERE,
    line_for,
    said_of,
    way_to_set,
)
from glmcli.chat.commands.table import COMMANDS, Chat, columns, command
from glmcli.config import SOURCES, Settings, choices, parse, setting_fields, show
from glmcli.config.values import parsed
from glmcli.engines import TellsOwn, split_name
from glmcli.errors import ConfigError, UsageError
from glmcli.language import later, tr

DEFAULT = ("default", "none", "unset")
"""Words that give a setting back to the model."""


@command("[NAME VALUE]", words=lambda chat, typed: set_words(chat, typed))
def set(chat: Chat, rest: str) -> str:
    """Show the settings, or change one; `default` gives it back to the model."""
    if not rest:
        return columns([(name, in_force(chat, name, value)) for name, value in values(chat)])
    pairs = rest.split()
    if pairs[1:] and all(word.partition("=")[0] in SET_HERE and "=" in word for word in pairs):
        return "\n".join([set(chat, word) for word in pairs])
    name, value = pair(rest)
    name = param_name(name, value)
    if not value:
        return columns([(name, in_force(chat, name, dict(values(chat))[name]))])
    if name == CONTEXT and value.isdecimal():
        raise UsageError(
            tr("{name} is not a number of tokens", name=name), way_to_set("window", value)
        )
    if name == CONTEXT:
        chat.session.leave_out(
            "auto" if value.lower() in DEFAULT else str(parsed_value(name, value))
        )
        return setting_line(name, chat.session.context)
    if name in DISPLAY:
        return set_display(chat, name, value)
    chat.session.set_param(name, param_value(name, value))
    return setting_line(name, show(getattr(chat.session.params, name)) or tr("default"))


UNFILLED = {
    "max_tokens": later("what is left of the window"),
    "seed": later("another each time"),
    "think": later("as the model's template has it"),
    "stop": later("none"),
    "notify": "off",
}
"""What a setting comes to that neither the user nor the model has set."""
LEFT_TO = {
    **dict.fromkeys(("local", "gguf"), later("the model's own, known once it is loaded")),
    "openai": later("the server decides"),
    "echo": later("echo: has no use for it"),
}
"""What is said of a setting that only the model knows, by its engine."""


def in_force(chat: Chat, name: str, value: object) -> str:
    """The value that counts now, and who has set it."""
    if value not in (None, ()):
        field = DISPLAY.get(name, name)
        is_set_here = name in PARAMS and value != getattr(chat.settings, name)
        source = "/set" if is_set_here else chat.settings.sources.get(field, "default")
        shown = SOURCES.get(source, source)
        return tr("{value}  ({source})", value=show(value), source=tr(shown))
    engine = chat.session.engine
    filled = engine.filled(chat.session.params) if isinstance(engine, TellsOwn) else None
    own = getattr(filled, name, None)
    if own not in (None, ()):
        return tr("{value}  (the model's own)", value=show(own))
    if name in UNFILLED:
        return tr(UNFILLED[name])
    engine_name = split_name(chat.settings.model)[0]
    return tr(LEFT_TO.get(engine_name, LEFT_TO["openai"]))


def setting_line(name: str, value: str) -> str:
    """A setting and its value: "top_k is 40"."""
    return tr("{name} is {value}", name=name, value=value)


@command()
def multiline(chat: Chat, rest: str) -> str:
    """Switch Enter: it sends, or makes a new line (then Alt-Enter sends)."""
    if not chat.has_keys:
        raise UsageError(
            tr("Enter always sends here"), tr("a line that ends in a backslash goes on in the next")
        )
    chat.enter_sends = not chat.enter_sends
    if chat.enter_sends:
        return tr("Enter sends")
    return tr("Enter makes a new line, Alt-Enter sends")


def display_value(chat: Chat, name: str) -> object:
    """How replies are shown now; `markdown` is the opposite of the setting `plain`."""
    value = getattr(chat.settings, DISPLAY[name])
    return value == "off" if name == "markdown" else value


def set_display(chat: Chat, name: str, value: str) -> str:
    """Change how replies are shown; returns a note on it. Raises UsageError."""
    field, default = DISPLAY[name], getattr(Settings(), DISPLAY[name])
    new = default
    if value.lower() not in DEFAULT and not (default is None and value.lower() == "off"):
        new = plain_for(value) if name == "markdown" else parsed_value(field, value, label=name)
    sources = {**chat.settings.sources, field: "/set"}
    chat.settings = replace(chat.settings, **{field: new}, sources=sources)
    shown = show(display_value(chat, name)).removesuffix(".0")
    return setting_line(name, shown or "off")


def plain_for(markdown: str) -> str:
    """The setting `plain` for an "on" or "off" of Markdown. Raises UsageError."""
    try:
        help = later("whether replies are rendered")
        is_rendered = parsed(markdown, "bool", label="markdown", rules={"help": help})
    except ConfigError as exc:
        raise UsageError(exc.message, exc.in_chat or exc.hint) from exc
    return "off" if is_rendered else "on"


def pair(text: str) -> tuple[str, str]:
    """NAME=VALUE or NAME VALUE, or NAME alone. Raises UsageError."""
    name, value = PAIR.fullmatch(text.strip()).groups()  # type: ignore[union-attr]
    if not name or (not value and name != text.strip()):
        raise UsageError(
            tr("{name} has no value", name=name or text),
            tr("/set NAME VALUE, or /set NAME default"),
        )
    return name, value


def param_name(name: str, value: str = "") -> str:
    """A setting's name. Raises UsageError with the line that was meant, with its `value`."""
    name = name.lstrip("-").replace("-", "_")
    if name in SET_HERE:
        return name
    if name in setting_fields() and name not in BY_COMMAND:
        raise UsageError(tr("{name} cannot be set in a chat", name=name), way_to_set(name, value))
    first, _, rest = value.partition(" ")
    line = line_for(name, value, near=False)
    plain = name[2:].lstrip("_") if name.startswith("no") else ""
    if plain in DISPLAY:
        line = f"/set {plain} off"
    elif plain == "history":
        raise UsageError(tr("{name} cannot be set in a chat", name=plain), way_to_set(plain))
    elif f"{name}_{first}" in SET_HERE:
        line = f"/set {name}_{first} {rest}".strip()
    elif value and name not in COMMANDS and line.startswith("/") and "/set" not in line:
        line = ""  # a word for another command is none for a setting
    if not line and (near := difflib.get_close_matches(name, SET_HERE, n=1)):
        line = f"/set {near[0]} {value}".strip()
    hint = said_of(line) if line else tr("one of: {names}", names=", ".join(SET_HERE))
    raise UsageError(tr("there is no setting {name}", name=name), hint)


def param_value(name: str, value: str) -> object:
    """A sampling setting's value; None gives it back to the model. Raises UsageError."""
    if value.lower() in DEFAULT or (value == "off" and name != "think"):
        return () if name == "stop" else None
    return parsed_value(name, value)


def parsed_value(name: str, value: str, *, label: str = "") -> object:
    """A setting's value; `label` is its name where it was typed. Raises UsageError."""
    try:
        return parse(name, value, "option")
    except ConfigError as exc:
        problem = exc.message.removeprefix(f"--{name.replace('_', '-')}")
        raise UsageError(f"{label or name}{problem}", exc.in_chat or exc.hint) from exc


def set_words(chat: Chat, typed: str) -> list[tuple[str, str]]:
    """Words that may follow /set, for completion: names with their values, then new values."""
    name, blank, _ = typed.partition(" ")
    if not blank:
        return [(f"{name} ", show(value) or tr("default")) for name, value in values(chat)]
    field = "stats" if name == "markdown" else DISPLAY.get(name, name)  # both are on or off
    known = [*PARAMS, *DISPLAY.values(), CONTEXT]
    words = [*choices(field), "default"] if field in known else []
    return [(f"{name} {word}", "") for word in words]


def values(chat: Chat) -> list[tuple[str, object]]:
    """Every setting that can be changed here, and its value."""
    rows: list[tuple[str, object]] = [(name, getattr(chat.session.params, name)) for name in PARAMS]
    rows += [(name, display_value(chat, name)) for name in DISPLAY]
    return [*rows, (CONTEXT, chat.session.context)]
