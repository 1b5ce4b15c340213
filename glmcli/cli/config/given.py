"""What is typed behind `glm config set`: a name and a value that means the same everywhere.

Knows nothing of files of settings.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import Any

from glmcli.config import load_settings
from glmcli.errors import UsageError
from glmcli.files import MB, decode_text
from glmcli.language import tr

_LONGEST = MB
"""Bytes of a value on stdin."""


def name_and_value(name: str, words: list[str]) -> tuple[str, str]:
    """The two parts of NAME VALUE or NAME=VALUE, a VALUE of several words included.

    Raises UsageError.
    """
    if not words and "=" in name:
        name, _, value = name.partition("=")
        return name, value
    if words == ["-"] and sys.stdin is not None and not sys.stdin.isatty():
        from glmcli.cli.options import read_all_stdin

        return name, decode_text(read_all_stdin(_LONGEST), "stdin").strip("\r\n")
    if not words or words == ["-"]:
        raise UsageError(
            tr("{name} has no value", name=name),
            tr("glm config set NAME VALUE, or glm config unset NAME"),
        )
    return name, " ".join(words[1:] if words[0] == "=" else words)


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
        return str(path_of(value).absolute())
    elif name == "system" and value.startswith("@"):
        return f"@{path_of(value[1:]).absolute()}"
    elif name == "model":
        from glmcli.engines import lasting_name

        settings = replace(load_settings({}, needed=()), model=value)
        if value.startswith(("./", "../", "/", "~")):
            from glmcli.models.names import place_of

            place_of(value, settings.model_options)
        return lasting_name(settings)
    return value
