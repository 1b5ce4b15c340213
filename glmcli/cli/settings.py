"""The settings of a command: loaded, and what the working folder's `.env` has to do with them said.

Asks on a terminal whether a folder is trusted, before anything else happens. Knows nothing of what
the command does.
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from glmcli.config import DOTENV, load_settings
from glmcli.config.near import UNTRUSTED, Ignored
from glmcli.config.settings import Settings, masked, variable
from glmcli.errors import ConfigError
from glmcli.language import later, tr
from glmcli.terminal.visible import visible_line

TOLD = {
    "model": later("the model {value}"),
    "base_url": later("the server {value}"),
    "home": later("the history in {value}"),
    "cache": later("the cache in {value}"),
    "system": later("the system prompt {value}"),
    "template": later("the template {value}"),
    "history": later("that nothing is stored"),
}
"""What a person is told of where a folder chose it."""
REMOTE = ("openai", "fastchat")
"""Engines that have an address."""
WIDEST = 200
"""Characters of a value that are shown."""
YES = ("y", "yes")


def opened_settings(
    options: Mapping[str, Any], needed: Collection[str], *, model: str | None = None
) -> Settings:
    """The settings of a command that needs some of them; says what the folder has decided.

    `model` is one that the command's own arguments bring along, "" if it cannot be known yet.
    Raises ConfigError, also where nobody but an untrusted `.env` names the model or the server.
    """
    settings = load_settings(options, needed=needed, decide=partial(decided, needed))
    ignored = {name: item for name, item in settings.ignored.items() if name in needed}
    if ignored and not is_on_terminal():
        check_chosen(settings, ignored, model=model)
    lines = [ignored_line(ignored), taken_line(settings, needed)]
    for line in [*filter(None, lines), *(settings.problems if "model" in needed else ())]:
        tell(line)
    return settings


def decided(
    needed: Collection[str], home: Path, dotenv: Path, data: bytes, powerful: Mapping[str, Any]
) -> bool:
    """Whether the user trusts a `.env`: as decided before, or as a person says who is asked now."""
    from glmcli.config.trust import load_decisions

    decisions = load_decisions(home)
    answer = decisions.about(dotenv, data)
    if answer is None and not powerful.keys().isdisjoint(needed) and is_on_terminal():
        answer = is_agreed(dotenv, powerful)
        if answer is not None:
            try:
                decisions.with_answer(dotenv, data, trusted=answer).save()
            except ConfigError as exc:
                tell(exc.message)
    return bool(answer)


def is_agreed(dotenv: Path, powerful: Mapping[str, Any]) -> bool | None:
    """Whether the person at the terminal trusts a `.env`; None at the end of the input."""
    from glmcli.terminal.output import Output
    from glmcli.terminal.reading import read_line

    path = dotenv.absolute()
    lines = [tr("{path} sets what a folder may decide only if you trust it:", path=path)]
    lines += shown(powerful)
    question = "\n".join([*lines, tr("Trust it, as it is now? [y/N] ")])
    try:
        return read_line(question, Output(sys.stderr)).lower() in YES
    except EOFError:
        return None


def shown(values: Mapping[str, Any]) -> list[str]:
    """Settings as lines of a `.env`, harmless for a terminal, keys masked, long ones cut."""
    lines = []
    for name, value in values.items():
        line = visible_line(masked(name, value))
        if len(line) > WIDEST:
            line = line[:WIDEST] + tr("… ({count:,} characters)", count=len(line))
        lines.append(f"  {variable(name)}={line}")
    return lines


def is_on_terminal() -> bool:
    """Whether a person can be asked: they see stderr, and what they type comes from stdin."""
    if sys.stdin is None or sys.stderr is None:
        return False
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return False
    from glmcli.terminal.quiet import in_foreground

    return in_foreground(sys.stdin.fileno())


def check_chosen(settings: Settings, ignored: Mapping[str, Ignored], *, model: str | None) -> None:
    """Raise ConfigError if another model or server would answer than the folder's `.env` names."""
    chosen = model if "model" not in settings.sources else settings.model
    is_unused = chosen and chosen.partition(":")[0] not in REMOTE
    missing = []
    if "model" in ignored and chosen is None:
        missing.append("model")
    if "base_url" in ignored and "base_url" not in settings.sources and not is_unused:
        missing.append("base_url")
    if missing:
        what = tr(" and ").join(told(name, ignored[name].value) for name in missing)
        item, options = ignored[missing[0]], tr(" and ").join(map(option_of, missing))
        hint = tr("glm config trust lets it choose; or say {options}", options=options)
        raise ConfigError(
            tr("{source} chooses {what}, and is not trusted", source=item.source, what=what),
            hint
            if item.why == UNTRUSTED
            else tr("say {options}: {why}", options=options, why=tr(item.why)),
        )


def ignored_line(ignored: Mapping[str, Ignored]) -> str:
    """One line about all that was not taken; "" if there is nothing to say."""
    parts: dict[tuple[str, str], list[str]] = {}
    for name, item in ignored.items():
        parts.setdefault((item.source, item.why), []).append(variable(name))
    items = (
        tr("{names} of {source} ({why})", names=", ".join(names), source=source, why=tr(why))
        for (source, why), names in parts.items()
    )
    return tr("ignored: {items}", items="; ".join(items)) if parts else ""


def taken_line(settings: Settings, needed: Collection[str]) -> str:
    """One line about what the folder has chosen that a person would want to know of."""
    chosen = [
        told(name, getattr(settings, name))
        for name in TOLD
        if name in needed and settings.sources.get(name) == DOTENV
    ]
    return tr("chosen by .env: {items}", items=", ".join(chosen)) if chosen else ""


def told(name: str, value: Any) -> str:
    """A setting of a folder, in words."""
    line = visible_line(masked(name, value))
    return tr(TOLD[name], value=line if len(line) <= WIDEST else f"{line[:WIDEST]}…")


def option_of(name: str) -> str:
    """The option of a setting."""
    return f"--{name.replace('_', '-')}"


def tell(line: str) -> None:
    """Say a line on stderr that -q does not hide."""
    if sys.stderr is not None:
        with suppress(OSError):
            sys.stderr.write(f"{visible_line(line)}\n")
            sys.stderr.flush()
