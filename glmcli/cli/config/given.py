"""What is typed behind `glm config set`: a name and a value that means the same everywhere.

Knows nothing of files of settings.
"""

from __future__ import annotations

import sys
from contextlib import suppress
from dataclasses import replace
from typing import Any

from glmcli.cli.dialog import signals_heard, tell
from glmcli.config import load_settings, setting_fields
from glmcli.config.settings import is_one_word
from glmcli.config.written import KEYS, setting_named
from glmcli.errors import ModelError, UsageError
from glmcli.files import MB, decode_text
from glmcli.language import tr
from glmcli.paths import absolute, is_file, system_as_word

_LONGEST = MB
"""Bytes of a value on stdin."""


def name_and_value(name: str, words: list[str]) -> tuple[str, str | list[str]]:
    """The two parts of NAME VALUE or NAME=VALUE. Several words are one text; of `stop`, texts.

    Without a VALUE, a key is typed unseen on a terminal, or comes from stdin. Raises UsageError.
    """
    if not words and "=" in name:
        name, _, value = name.partition("=")
        words = [value]
    is_key = is_secret(name)
    words = ["-"] if is_key and not words else words
    if words == ["-"] and sys.stdin is not None and not sys.stdin.isatty():
        from glmcli.cli.options import read_all_stdin

        value = decode_text(read_all_stdin(_LONGEST), "stdin").strip("\r\n")
        if is_key and not value.strip():
            raise UsageError(
                tr("{name} has no value", name=name),
                tr(
                    "on a terminal glm config set {name} asks for it; in a pipe stdin has it",
                    name=name,
                ),
            )
        return name, value
    if words == ["-"] and is_key and sys.stdin is not None:
        return name, typed_unseen(name)
    if not words or words == ["-"]:
        raise UsageError(
            tr("{name} has no value", name=name),
            tr("glm config set {name} VALUE, or glm config unset {name}", name=name),
        )
    words = words[1:] if words[0] == "=" else words
    text = " ".join(words)
    if words[1:] and is_one_word(setting_named(name), text):
        raise UsageError(
            tr("{name} is one word, not {n}", name=name, n=len(words)),
            tr("quotes hold words together"),
        )
    return name, words if words[1:] and setting_named(name) == "stop" else text


def is_secret(name: str) -> bool:
    """Whether a name, as it is typed, is that of a key. Raises UsageError if it is of nothing."""
    name = setting_named(name)
    return name.startswith(KEYS) or bool(setting_fields()[name].metadata.get("secret"))


def typed_unseen(name: str) -> str:
    """What the person types for a key, which the terminal does not show; "" at the end of input.

    Raises KeyboardInterrupt, Killed.
    """
    from getpass import getpass

    with signals_heard(), suppress(EOFError):
        return getpass(tr("{name} (not shown): ", name=name)).strip()
    return ""


def lasting(name: str, value: Any) -> Any:
    """A value that means the same from every folder, and can be what it has to be.

    Raises ConfigError, ModelError, UsageError.
    """
    from glmcli.paths import path_of

    if name == "base_url" and value:
        from glmcli.engines.remote.address import parse_address

        parse_address(value)
    elif name in ("api_key", "serve_key") or name.startswith("keys."):
        from glmcli.engines.remote.address import check_key

        check_key(value)
    elif name == "adapter" and value:
        return str(absolute(path_of(value)))
    elif name == "system" and value.startswith("@"):
        path = absolute(path_of(value[1:]))
        if not is_file(path):
            tell(
                tr("there is no file {path} now; it is read when a conversation begins", path=path)
            )
        return f"@{path}"
    elif name == "system" and (line := system_as_word(value, "glm config set system {file}")):
        tell(line)
    elif name == "model":
        return lasting_model(value)
    return value


def lasting_model(value: str) -> str:
    """A model by a name that means the same everywhere; tells of one that is not there now.

    Raises ModelError for what can be none.
    """
    from glmcli.engines import ENGINES, lasting_name
    from glmcli.models.gguf.finding import find_gguf, means_gguf
    from glmcli.models.names import not_from_here, place_of

    settings = replace(load_settings({}, needed=()), model=value)
    if means_gguf(value):
        find_gguf(value, settings.model_options)
    elif value.startswith(("./", "../", "/", "~")):
        place_of(value, settings.model_options)
    elif value.partition(":")[0] not in ENGINES:
        if mistaken := not_from_here(value):
            raise mistaken
        try:
            place_of(value, settings.model_options)
        except ModelError as exc:
            tell(exc.message)
            tell(exc.hint)
    return lasting_name(settings)
