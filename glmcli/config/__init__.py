"""Loading settings: option > environment > .env > config.toml > default.

Beside language.py the only module that reads the environment. What the files of the working folder
may decide, and what only once the user trusts it, is written in the table: see config/settings.py
and config/near.py.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from glmcli.config.files import OURS, Dotenv, nearest, read_dotenv, read_toml
from glmcli.config.known import BUILT_IN_MODEL
from glmcli.config.near import BESIDE, UNTRUSTED, Ignored, NearRule, sifted
from glmcli.config.place import CONFIG_NAME, ConfigFile, default_folder, find_config, move_config
from glmcli.config.settings import (
    RESUMED,
    Settings,
    choices,
    parse,
    setting_fields,
    show,
    variable,
)
from glmcli.config.values import ON
from glmcli.errors import ConfigError
from glmcli.language import in_one_line, later, tr, verbatim
from glmcli.ours import is_first_today
from glmcli.paths import absolute

__all__ = [
    "BUILT_IN_MODEL",
    "RESUMED",
    "Settings",
    "choices",
    "load_settings",
    "parse",
    "setting_fields",
    "show",
    "variable",
]

DEMONSTRATION = later(
    "smollm2 is a small model for demonstration; "
    "choose a real one with --model or GLM_MODEL: a folder or a hub id."
)
"""Said once a day where nobody chose a model."""
SAYING_NOTHING = ("NUM", "N", "DEFAULT", "NAME", "VALUE", "PATH")
"""Words that others put into names of variables."""
MANY = 100
"""At most this many names of a `.env`, or of the environment, are compared with ours."""
OPENAIS = re.compile(
    r"(?i)(?!OPENAI_BASE_URL$)OPENAI(?:_?API)?(?:_?(?:BASE|HOST|UR[LI]|ENDPOINT|SERVER|ADDRESS|PATH))+$"
)
"""What other programs call the variable with the address of a server like OpenAI's."""
SHORTEST = len("GLM_TOP")
"""A variable that is no shorter may be the beginning of one of ours."""

TYPED, ENVIRONMENT, DOTENV, TOML = "option", "environment", ".env", "config.toml"
"""The sources, by name; the first is asked first."""
SOURCES = {
    "option": later("option"),
    "environment": later("environment"),
    "default": later("default"),
    "role": later("role"),
}
"""What sources that are no files are called, for a person."""
ROLE = "role"
"""The source of what comes with `--role NAME`: as good as typed, but options go before it."""

SourceLayer = tuple[str, Mapping[str, Any]]
"""A source's name, and what it sets."""
Decide = Callable[[Path, Path, bytes, Mapping[str, Any]], bool]
"""Whether a `.env` is trusted: the folder that remembers it, its path, its content, and those of
its settings that need it."""


def demonstration(settings: Settings) -> str:
    """What to say of the model if nobody chose it, and it was not said today; else "".

    The folder of the history remembers the day; where nothing may be written, each call is a first,
    unless one that may write came before it.
    """
    if "model" in settings.sources:
        return ""
    is_due = is_first_today(settings.home / "demonstration", keep=settings.history)
    return tr(DEMONSTRATION) if is_due else ""


def load_settings(
    options: Mapping[str, Any],
    *,
    environ: Mapping[str, str] | None = None,
    folder: Path | None = None,
    needed: Collection[str] | None = None,
    decide: Decide | None = None,
) -> Settings:
    """Merge all sources. `options` leaves out what was not typed.

    A malformed value of a `needed` setting (None: all) raises ConfigError, others are
    ignored; a config.toml that cannot be read raises it too, and where a model is needed, one
    with a name that is no setting: else `strange` tells of it. `decide` says whether a
    `.env` is trusted; without it, what was kept.
    """
    environ = os.environ if environ is None else environ
    folder = folder or Path()
    own: list[SourceLayer] = [(TYPED, options), (ENVIRONMENT, named(environ))]
    chosen, source = first_value("home", own)
    home = parse("home", chosen or default_folder("data"), source)
    may = partial(sifted, rules=near_rules(), folder=folder, environ=environ)
    dotenv = read_dotenv(folder / ".env")
    values, problems = settings_in(dotenv)
    problems += slips(environ, ENVIRONMENT)
    taken, ignored = may(values, trusted=False)
    powerful = untrusted_among(ignored)
    strange: list[str] = []
    answers = needed is None or "model" in needed
    told = None if answers else strange
    read = partial(read_toml, known={*setting_fields(), "keys"}, told=told)
    place = find_config(chosen and home)
    toml = read(place.path) if chosen or "home" not in powerful else None
    # Where something more trusted decides all of it, nobody needs to trust the folder.
    if any(first_value(name, own)[0] is None for name in powerful):
        check_own(own, needed)  # before anybody is asked anything
        is_trusted = decide or kept_decision
        if is_trusted(home, folder / ".env", dotenv.data, powerful):
            taken, ignored = may(values, trusted=True)
    layers = [*own, (DOTENV, taken)]
    if "home" in taken and chosen is None:
        home = parse("home", taken["home"], DOTENV)
        # Its content was not looked at when the `.env` was trusted.
        place = ConfigFile(home / CONFIG_NAME)
        source = f"{place.path}"
        near_toml, refused = may(read(place.path), trusted=False, source=source, untrusted=BESIDE)
        layers.append((source, near_toml))
        ignored = refused | ignored
    else:
        layers.append((TOML, read(place.path) if toml is None else toml))
        problems += problems_of(place, layers[-1][1])
    near = {source: source, **({DOTENV: str(absolute(folder / DOTENV))} if values else {})}
    settings = merge_layers(layers, home, ignored, needed, problems, near)
    return replace(
        settings,
        config_file=place.path,
        left_behind=left_behind(place),
        strange=tuple(strange),
        **openais(environ),
    )


def openais(environ: Mapping[str, str]) -> dict[str, Any]:
    """What the environment says of OpenAI's server, or of one like it, as fields of Settings."""
    return {
        "openai_url": environ.get("OPENAI_BASE_URL", ""),
        "openai_key": environ.get("OPENAI_API_KEY", ""),
        "openai_slip": next(
            (each for each in environ if OPENAIS.match(each) and environ[each]), ""
        ),
    }


def problems_of(place: ConfigFile, toml: Mapping[str, Any]) -> list[str]:
    """What is wrong with the user's config.toml, as far as it changes nothing else."""
    if "home" not in toml:
        return []
    return [tr("{path} sets home, which only GLM_HOME does", path=place.path)]


def told_today(settings: Settings) -> str:
    """The line about a config.toml that is not read, if it was not said today; else ""."""
    if not settings.left_behind:
        return ""
    is_due = is_first_today(settings.home / "left_behind", keep=settings.history)
    return settings.left_behind if is_due else ""


def left_behind(place: ConfigFile | None = None) -> str:
    """The line about a config.toml of the user's that is not read; "" if there is none."""
    if place is None:
        place = find_config(os.environ.get("GLM_HOME") and own_home())
    if not place.unread:
        return ""
    return tr("{old} is not read, since there is {new}", old=place.unread, new=place.path)


def own_config(environ: Mapping[str, str] | None = None) -> Path:
    """The user's config.toml, there or not, whatever a folder's `.env` says. Raises ConfigError."""
    environ = os.environ if environ is None else environ
    return find_config(environ.get("GLM_HOME") and own_home(environ)).path


def whole_own_config() -> Path:
    """The same from the root. Raises ConfigError, UsageError as `absolute` does."""
    return absolute(own_config())


def move_own_config(tell: Callable[[str], None]) -> None:
    """Move a config.toml of an earlier version, see `move_config`; with a GLM_HOME it stays."""
    if not os.environ.get("GLM_HOME"):
        move_config(tell)


def merge_layers(
    layers: Sequence[SourceLayer],
    home: Path,
    ignored: dict[str, Ignored],
    needed: Collection[str] | None,
    problems: Sequence[str],
    near: Mapping[str, str],
) -> Settings:
    """The settings: of each the first value. Raises ConfigError if one that is needed is none.

    `near` has the paths of the folder's files, by the names of their layers.
    """
    last, toml = layers[-1]
    values: dict[str, Any] = {"keys": toml.get("keys", {})}
    sources = {"keys": last}
    for name in setting_fields():
        raw, source = first_value(name, layers)
        if raw is None:
            continue
        try:
            values[name] = parse(name, raw, source)
            sources[name] = source
        except ConfigError as exc:
            if needed is None or name in needed:
                if source == TOML:
                    unset = tr("glm config unset {name} takes it out", name=name)
                    exc.hint = in_one_line(exc.hint, unset)
                elif source in near and source not in (TYPED, ENVIRONMENT):
                    past = tr(
                        "it stands in {path}: correct it there, or set {variable} in the"
                        " environment, which goes first",
                        path=near[source],
                        variable=variable(name),
                    )
                    exc.hint = in_one_line(exc.hint, past)
                raise
            ignored[name] = Ignored(source, raw, verbatim(exc.message))
    beside_key = next((of for _, of in layers if of.get("api_key") is not None), {})
    values["key_url"] = str(beside_key.get("base_url") or "")
    values["home"] = home
    values["cache"] = values.get("cache") or default_folder("cache")
    settings = Settings(**values, sources=sources, problems=tuple(problems))
    return replace(settings, ignored={n: i for n, i in ignored.items() if matters(n, i, settings)})


def check_own(own: Sequence[SourceLayer], needed: Collection[str] | None) -> None:
    """Raise ConfigError if a value that is needed and that no file can replace is malformed."""
    for name in setting_fields():
        raw, source = first_value(name, own)
        if raw is not None and (needed is None or name in needed):
            parse(name, raw, source)


def matters(name: str, item: Ignored, settings: Settings) -> bool:
    """Whether the program does something else since it ignored a value."""
    if settings.sources.get(name) in (TYPED, ENVIRONMENT, DOTENV) and name != "keys":
        return False
    try:
        return name == "keys" or bool(parse(name, item.value, DOTENV) != getattr(settings, name))
    except ConfigError:
        return True


def own_home(environ: Mapping[str, str] | None = None) -> Path:
    """The data folder that no file of a working folder chooses. Raises ConfigError."""
    environ = os.environ if environ is None else environ
    home: Path = parse("home", environ.get("GLM_HOME") or default_folder("data"), ENVIRONMENT)
    return home


def own_value(name: str, options: Mapping[str, Any]) -> Any:
    """What an option or the environment sets, as it is written; None if neither does."""
    return first_value(name, [(TYPED, options), (ENVIRONMENT, named(os.environ))])[0]


def powerful_settings(folder: Path, dotenv: Dotenv) -> dict[str, Any]:
    """What a `.env` sets that counts only if the folder is trusted, by the name of the setting."""
    values, _ = settings_in(dotenv)
    _, ignored = sifted(
        values, rules=near_rules(), trusted=False, folder=folder, environ=os.environ
    )
    return untrusted_among(ignored)


def untrusted_among(ignored: Mapping[str, Ignored]) -> dict[str, Any]:
    """The values that would be taken if the folder were trusted."""
    return {name: item.value for name, item in ignored.items() if item.why == UNTRUSTED}


def first_value(name: str, layers: Sequence[SourceLayer]) -> tuple[Any, str]:
    """The first layer's value for a setting, and that layer's name."""
    for source, values in layers:
        if values.get(name) is not None:
            return values[name], source
    return None, "default"


def named(variables: Mapping[str, Any]) -> dict[str, Any]:
    """Settings among variables, by name. An empty one counts as unset."""
    found = {name: variables.get(variable(name)) for name in setting_fields()}
    return {name: value for name, value in found.items() if value}


def near_rules() -> dict[str, NearRule]:
    """What a folder may make of each setting. Keys of servers have no rule: it never has any."""
    return {name: item.metadata["near"] for name, item in setting_fields().items()}


def settings_in(dotenv: Dotenv) -> tuple[dict[str, Any], list[str]]:
    """What a `.env` sets, by name, and what is wrong with it."""
    unread = tr("{why}; nothing of it is used", why=dotenv.unread) if dotenv.unread else ""
    return named(dotenv.values), [*filter(None, [unread]), *slips(dotenv.values, DOTENV)]


def slips(names: Iterable[str], source: str) -> list[str]:
    """A line for each variable that is nearly one of ours, and what it may be meant to be."""
    known = {variable(name) for name in setting_fields()}
    named_so = (name for name in sorted(names) if name.upper().startswith(OURS))
    strange = (name for name in named_so if name not in known)
    found = ((name, meant_variable(name.upper(), known)) for name in islice(strange, MANY))
    return [
        tr(
            "{source} sets {name}, which is not a setting; did you mean {near}?",
            source=tr("the environment") if source == ENVIRONMENT else source,
            name=name,
            near=near,
        )
        for name, near in found
        if near
    ]


def meant_variable(name: str, known: Collection[str]) -> str:
    """The variable of ours that another is a slip for, or short for; "" for one of elsewhere.

    Names that look like ours may be those of other programs, GLM_ROOT_DIR for one: more words than
    ours has, or other ones, are theirs, but for those that say nothing.
    """
    words = name.removeprefix(OURS).split("_")
    plain = OURS + "_".join(word for word in words if word not in SAYING_NOTHING)
    if near := nearest(name, known, cutoff=0.88) or nearest(plain, known, cutoff=1):
        return near
    if not words[1:] and (
        near := nearest(words[0], [each.removeprefix(OURS) for each in known], cutoff=0.75)
    ):
        return OURS + near
    short = [
        each
        for each in known
        if {*words} <= {*each.removeprefix(OURS).split("_")}
        or (len(name) >= SHORTEST and each.startswith(name))
    ]
    return tr(" or ").join(sorted(short)) if len(short) <= 2 else ""


def kept_decision(home: Path, dotenv: Path, data: bytes, powerful: Mapping[str, Any]) -> bool:
    """Whether the user has trusted a `.env` with just this content before."""
    from glmcli.config.trust import load_decisions

    return load_decisions(home).about(dotenv, data) is True


def wants_traceback() -> bool:
    """Whether errors come with a traceback; asked when settings may not have been loaded."""
    return os.environ.get("GLM_DEBUG", "").lower() in ON or "--debug" in sys.argv


def want_traceback() -> None:
    """Have errors come with a traceback from now on, in this process and those that it starts."""
    os.environ[variable("debug")] = "on"
