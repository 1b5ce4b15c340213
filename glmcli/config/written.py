"""Changes of a text of settings, config.toml: one value more, other or less, comments kept.

Every value is checked by the table of settings before it is in the text. Knows nothing of files.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from glmcli.config.files import CORRECT, nearest, parse_toml, read_keys, toml_values
from glmcli.config.settings import choices, masked, parse, setting_fields
from glmcli.config.values import READ_SECRETS, Seconds, parsed
from glmcli.errors import ConfigError, UsageError
from glmcli.language import later, tr
from glmcli.paths import absolute

if TYPE_CHECKING:
    from tomlkit import TOMLDocument

KEYS = "keys."
"""What stands before the host whose key is meant: keys.HOST."""
UNSET = ("default", "none", "unset")
_LOCALE = later("the language is that of the locale: LC_ALL=zh_CN.UTF-8 glm")
_COLOURS = later("colours are those of the terminal; NO_COLOR=1 leaves them out")
_OWN = later("config.toml is for all folders: glm config set NAME VALUE")
OTHERS = {
    "no_save": later("it is called history: glm config set history off"),
    "save": later("it is called history: glm config set history off"),
    "markdown": later("it is called plain: glm config set plain on"),
    "key": later("it is called api_key"),
    "url": later("it is called base_url"),
    "system_prompt": later("it is called system"),
    **dict.fromkeys(("language", "lang", "locale"), _LOCALE),
    **dict.fromkeys(("theme", "color", "colour", "colors", "colours"), _COLOURS),
    **dict.fromkeys(("g", "global", "user", "local"), _OWN),
    **dict.fromkeys(("temp", "t"), later("it is called temperature")),
    **dict.fromkeys(("num_ctx", "ctx", "context_length"), later("it is called window")),
    **dict.fromkeys(("num_predict", "max_length"), later("it is called max_tokens")),
    "keys": later("write keys.HOST, with the host of the server"),
    **dict.fromkeys(
        ("stream", "no_stream"), later("it is an option of one call: glm ask --no-stream")
    ),
    **dict.fromkeys(
        ("format", "json"), later("it is an option of one call: glm ask --format FORM")
    ),
    "role": later("it is an option of one call: glm chat --role NAME"),
    "quiet": later("it is an option of one call: glm ask --quiet"),
    "home": later("export GLM_HOME=FOLDER; it also says where this file lies"),
}
"""What a setting is called elsewhere, or where else it is decided -> what to do."""
_HEAD = later(
    "Settings of glm. A line counts without its #; glm config show lists what is in force."
)


def setting_named(typed: str) -> str:
    """The setting, or keys.HOST, that is meant by `top-p`, `--top-p` or `GLM_TOP_P`.

    Raises UsageError with the nearest one.
    """
    if typed.startswith(KEYS):
        return KEYS + typed.removeprefix(KEYS).strip("\"'").lower()
    name = typed.strip().lstrip("-").replace("-", "_").lower().removeprefix("glm_")
    if name in setting_fields() and name != "home":
        return name
    near = nearest(name, setting_fields(), cutoff=0.7)
    meant = (typed, near) if near and name not in (*OTHERS, "home") else None
    hint = "" if meant else tr("glm config show lists all settings")
    if name in OTHERS:
        hint = tr(OTHERS[name])
    if name == "home":
        raise UsageError(tr("config.toml cannot say where it lies"), hint)
    shown = typed if name.partition("=")[0] in setting_fields() else typed.partition("=")[0]
    raise UsageError(tr("there is no setting {name}", name=shown), hint, meant=meant)


def checked_value(name: str, typed: str | list[str]) -> Any:
    """A value as TOML has it: a text, a number, a boolean or a list, which may be typed as one.

    Raises ConfigError, and UsageError where none was typed: blanks mean something to `stop` alone.
    """
    if not (typed.strip() if isinstance(typed, str) and name != "stop" else typed):
        raise UsageError(
            tr("{name} has no value", name=name),
            tr("glm config unset {name} takes it out", name=name),
        )
    if name.startswith(KEYS):
        host = name.removeprefix(KEYS)
        return read_keys({host: typed}, Path("config.toml"))[host]
    item = setting_fields()[name]
    try:
        value = parsed(typed, str(item.type), label=name, rules=item.metadata)
    except ConfigError as exc:
        if str(typed).lower() in UNSET:
            exc.hint = tr("glm config unset {name} gives it back", name=name)
        elif words := choices(name):
            exc.hint = tr("one of: {names}", names=", ".join(words))
        raise
    if isinstance(value, Path):
        return str(absolute(value))
    if isinstance(value, Seconds):
        return str(value)
    return list(value) if isinstance(value, tuple) else value


def with_value(text: str, path: Path, name: str, value: Any) -> str:
    """The text with the value of a setting, or of keys.HOST.

    Raises ConfigError, also for what no file of UTF-8 can hold.
    """
    if not is_storable([name, value]):
        raise ConfigError(
            tr("{name} has a character that cannot be stored", name=name),
            tr("it is a byte that is not UTF-8, or half of a surrogate pair; write it as UTF-8"),
        )
    document = document_of(text, path)
    table, key = table_of(document, name)
    table[key] = value
    return document.as_string()


def is_storable(value: object) -> bool:
    """Whether UTF-8 can say every text in a value."""
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


def without_value(text: str, path: Path, name: str) -> str:
    """The text without it; the same text if it is not in there. Raises ConfigError."""
    document = document_of(text, path)
    table, key = table_of(document, name)
    if key not in table:
        return text
    del table[key]
    return document.as_string()


def table_of(document: TOMLDocument, name: str) -> tuple[Any, str]:
    """The table that a setting stands in, made if there is none, and its key there."""
    if not name.startswith(KEYS):
        return document, name
    if not isinstance(document.get("keys"), dict):
        document["keys"] = {}
    return document["keys"], name.removeprefix(KEYS)


def document_of(text: str, path: Path) -> TOMLDocument:
    """The text with its comments. Raises ConfigError."""
    import tomlkit
    from tomlkit.exceptions import TOMLKitError

    toml_values(text, path)
    try:
        document = tomlkit.parse(text)
    except (TOMLKitError, ValueError, RecursionError) as exc:
        raise ConfigError(f"{path}: {exc}", tr(CORRECT)) from exc
    keys = document.get("keys")
    own = (document.get("api_key"), document.get("serve_key"))
    written = [*own, *(keys.values() if isinstance(keys, dict) else ())]
    READ_SECRETS.update(str(key) for key in written if isinstance(key, str))
    return document


def check_text(text: str, path: Path) -> None:
    """Raise ConfigError for the first thing in a whole text of settings that cannot be one."""
    values = parse_toml(text, path, known={*setting_fields(), "keys"})
    for name, raw in values.items():
        if name != "keys":
            parse(name, raw, path.name)


def shown_value(name: str, value: Any) -> str:
    """A value for a person: keys hidden."""
    return masked("keys" if name.startswith(KEYS) else name, value)


def all_unset(say: Callable[[str], str] = tr) -> str:
    """A text to begin with: every setting with its meaning, none in force."""
    lines = [f"# {say(_HEAD)}", ""]
    for name, item in setting_fields().items():
        if name == "home":
            continue
        words = item.metadata.get("choices")
        help_text = say(item.metadata["help"]) + (f": {', '.join(words)}" if words else "")
        lines += [f"# {help_text}", f"# {name} = {toml_text(item.default)}", ""]
    return "\n".join([*lines, "# [keys]", '# "HOST:PORT" = "KEY"', ""])


def toml_text(value: object) -> str:
    """A default as it would be written; nothing for one that is not set."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):
        return "[]"
    if value is None or isinstance(value, Path):
        return ""
    return f'"{value}"' if isinstance(value, str | Seconds) else str(value)
