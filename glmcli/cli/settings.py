"""The settings of a command: loaded, and what the working folder's `.env` has to do with them said.

Asks on a terminal whether a folder is trusted, before anything else happens. Knows nothing of what
the command does.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Collection, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from glmcli.cli.dialog import is_agreed, tell
from glmcli.cli.first import at_first_start
from glmcli.config import (
    DOTENV,
    ENVIRONMENT,
    ROLE,
    TOML,
    TYPED,
    load_settings,
    move_own_config,
    own_value,
    told_today,
    want_traceback,
)
from glmcli.config.files import Dotenv, read_dotenv
from glmcli.config.near import UNTRUSTED, Ignored
from glmcli.config.settings import (
    Settings,
    entry,
    masked,
    parse,
    setting_fields,
    variable,
)
from glmcli.config.values import Malformed
from glmcli.errors import ConfigError
from glmcli.harmless import in_a_line
from glmcli.language import later, ntr, tr
from glmcli.paths import absolute

if TYPE_CHECKING:
    from glmcli.conversation.roles import NamedRole
    from glmcli.terminal.output import Output

TOLD = {
    "model": later("the model {value}"),
    "base_url": later("the server {value}"),
    "home": later("the history in {value}"),
    "cache": later("the cache in {value}"),
    "system": later('the system prompt "{value}"'),
    "template": later("the template {value}"),
    "adapter": later("the adapter {value}"),
}
"""What a person is told of where a folder chose it."""
REMOTE = ("openai", "fastchat")
"""Engines that have an address."""
OF_SERVERS = frozenset({"base_url", "api_key", "keys"})
OF_FILES = frozenset({"cache", "trust_remote_code"})
"""Settings that only a server has to do with, and only a model that is opened here."""
OF_PIPES = frozenset({"plain"})
"""Settings that say only how a reply is shown on a terminal."""
WIDEST = 200
"""Characters of a value that are shown."""
MOST_LOOKED_AT = 100_000
"""Characters that are looked at: a run of blanks among them is one sign."""
_BLANKS = re.compile("^ +| +$|  +")
_NAMED = 2
"""Names of ignored settings in the line about them."""


def opened_settings(
    options: Mapping[str, Any],
    needed: Collection[str],
    *,
    model: str | None = None,
    changes: bool = False,
    role: NamedRole | None = None,
    newcomer: Output | None = None,
) -> Settings:
    """The settings of a command that needs some of them; says what the folder has decided.

    `model` is one that the command's own arguments bring along, "" if it cannot be known yet;
    `changes` says that it may change later. What a `role` sets goes before all but options.
    `newcomer` is the terminal of a chat, which may be their first: see glmcli/cli/first. Raises
    ConfigError, also where nobody but an untrusted `.env` names the model or the server.
    """
    opens = "model" in needed
    typed = {name: value for name, value in options.items() if value is not None}
    by_role = {} if role is None else {k: v for k, v in role.settings.items() if k not in typed}
    options = {**typed, **by_role}

    def used_with(chosen: str | None) -> Collection[str]:
        if changes or not (opens or model):
            return needed
        return used(needed, model or chosen, is_given=bool(model))

    move_own_config(tell)
    known = used_with(None if model == "" else own_value("model", options))
    settings = load_settings(options, needed=needed, decide=partial(decided, known))
    uses = used_with(settings.model if "model" in settings.sources else None)
    ignored = {name: item for name, item in settings.ignored.items() if name in uses}
    if ignored and opens and not is_on_terminal():
        check_chosen(settings, ignored, model=model)
    if opens and model is None and "model" not in settings.sources and not is_on_terminal():
        check_read(settings)
    of_weight = uses if changes or sys.stdout.isatty() else {*uses} - OF_PIPES
    lines = [ignored_line(ignored), *taken_lines(settings, of_weight)]
    lines += [told_today(settings)] if opens else []
    for line in [*filter(None, lines), *settings.strange, *(settings.problems if opens else ())]:
        tell(line)
    if settings.debug:
        want_traceback()
    if role is not None:
        settings = replace(settings, sources={**settings.sources, **dict.fromkeys(by_role, ROLE)})
    if newcomer and model is None and is_on_terminal():
        return at_first_start(settings, newcomer)
    return settings


def used(needed: Collection[str], model: str | None, *, is_given: bool) -> Collection[str]:
    """The settings that count with a model; all of them while it is None.

    `is_given` says that the command's arguments name it, so that the setting does not.
    """
    if model is None:
        return needed
    engine, colon, _ = model.partition(":")
    unused = set(OF_FILES if engine in REMOTE else OF_SERVERS)
    if colon and engine == "echo":
        unused |= OF_FILES
    return {*needed} - unused - ({"model"} if is_given else set())


def decided(
    used: Collection[str], home: Path, dotenv: Path, data: bytes, powerful: Mapping[str, Any]
) -> bool:
    """Whether the user trusts a `.env`: as decided before, or as a person says who is asked now."""
    from glmcli.config.trust import decide, load_decisions

    answer = load_decisions(home).about(dotenv, data)
    if answer is None and not powerful.keys().isdisjoint(used) and is_on_terminal():
        answer = is_agreed(question(dotenv, powerful))
        if answer is not None:
            try:
                decide(home, dotenv, data, tell, trusted=answer)
            except ConfigError as exc:
                tell(exc.message)
    return bool(answer)


def question(dotenv: Path, powerful: Mapping[str, Any]) -> str:
    """What a person is asked about a `.env`, with the lines that it is about."""
    path = absolute(dotenv)
    head = tr("{path} sets what a folder may decide only if you trust it:", path=path)
    return "\n".join([head, *setting_lines(powerful), tr("Trust it, as it is now? [y/N] ")])


def setting_lines(values: Mapping[str, Any]) -> list[str]:
    """Settings as lines of a `.env`, harmless for a terminal, keys masked, long ones cut."""
    lines = []
    for name, value in values.items():
        lines.append(f"  {variable(name)}={as_it_is_set(name, value)}")
    return lines


def as_it_is_set(name: str, value: Any) -> str:
    """A setting's value with nothing hidden: what cannot be seen has a sign, a long one is cut.

    Blanks are counted where there are several, or where they stand at an end.
    """
    text = masked(name, value)
    line = "".join(sign_of(letter) for letter in text[: MOST_LOOKED_AT + WIDEST])
    line = _BLANKS.sub(lambda run: ntr("<{n:,} blank>", "<{n:,} blanks>", len(run[0])), line)
    if len(line) > WIDEST or len(text) > MOST_LOOKED_AT + WIDEST:
        line = line[:WIDEST] + tr("… ({count:,} characters)", count=len(text))
    return line


def sign_of(letter: str) -> str:
    """A character as it can be seen."""
    shown = in_a_line(letter)
    return shown if shown.isprintable() else f"<U+{ord(letter):04X}>"


def is_on_terminal() -> bool:
    """Whether a person can be asked: they see stderr, and what they type comes from stdin."""
    if sys.stdin is None or sys.stderr is None:
        return False
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return False
    from glmcli.terminal.quiet import in_foreground

    return in_foreground(sys.stdin.fileno())


def check_read(settings: Settings) -> None:
    """Raise ConfigError if there is a `.env` that cannot be read: it may name a model."""
    dotenv = read_dotenv(Path(DOTENV)) if settings.problems else Dotenv()
    if dotenv.unread:
        raise ConfigError(dotenv.unread, tr("use --model, or correct the file"))


def check_chosen(settings: Settings, ignored: Mapping[str, Ignored], *, model: str | None) -> None:
    """Raise ConfigError if another model or server would answer than the folder's `.env` names."""
    chosen = model if "model" not in settings.sources else settings.model
    is_unused = chosen and chosen.partition(":")[0] not in REMOTE
    missing = []
    if "model" in ignored and chosen is None:
        missing.append("model")
    if "base_url" in ignored and "base_url" not in settings.sources and not is_unused:
        missing.append("base_url")
    for name in missing:
        if isinstance(ignored[name].value, Malformed):  # trust would not help
            parse(name, ignored[name].value, ignored[name].source)
    if missing:
        what = tr(" and ").join(told(name, ignored[name].value) for name in missing)
        item, options = ignored[missing[0]], tr(" and ").join(map(option_of, missing))
        hint = tr("glm config trust lets it choose; or use {options}", options=options)
        raise ConfigError(
            tr("{source} chooses {what}, and is not trusted", source=item.source, what=what),
            hint
            if item.why == UNTRUSTED
            else tr("use {options}: {why}", options=options, why=tr(item.why)),
        )


def ignored_line(ignored: Mapping[str, Ignored]) -> str:
    """One short line about all that was not taken; "" if there is nothing to say."""
    names = [entry(name) for name in ignored]
    reasons = {(item.source, item.why) for item in ignored.values()}
    if not names:
        return ""
    if len(reasons) == 1 and len(names) <= _NAMED:
        source, why = reasons.pop()
        return tr(
            "ignored: {names} of {source} ({why})",
            names=", ".join(names),
            source=source,
            why=tr(why),
        )
    if len(names) <= _NAMED:
        return tr("ignored: {names} (glm config show says why)", names=", ".join(names))
    return tr(
        "ignored: {names} and {n} more (glm config show says why)",
        names=", ".join(names[:_NAMED]),
        n=len(names) - _NAMED,
    )


def taken_lines(settings: Settings, used: Collection[str]) -> list[str]:
    """A line for each file of the folder that has chosen what a person would want to know of."""
    chosen: dict[str, list[str]] = {}
    table = setting_fields()
    for name in [*TOLD, *(name for name in table if name not in TOLD)]:
        if table[name].metadata["changes"] != "more":
            continue
        source = settings.sources.get(name, TYPED)
        if name in used and source not in (TYPED, ENVIRONMENT, TOML):
            chosen.setdefault(source, []).append(told(name, getattr(settings, name)))
    return [
        tr("chosen by {source}: {items}", source=source, items=", ".join(items))
        for source, items in chosen.items()
    ]


def told(name: str, value: Any) -> str:
    """A setting of a folder, in words."""
    line = as_it_is_set(name, value)
    return tr(TOLD[name], value=line) if name in TOLD else f"{entry(name)}={line}"


def option_of(name: str) -> str:
    """The option of a setting."""
    return f"--{name.replace('_', '-')}"
