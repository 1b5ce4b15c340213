"""The files that settings come from: a folder's `.env` and the user's config.toml.

Reads them and nothing more. Knows neither what a setting may be nor who may decide it; values are
taken as they are written, nothing of the process environment is put into them.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from glmcli import files
from glmcli.config.values import READ_SECRETS, Malformed
from glmcli.errors import ConfigError
from glmcli.harmless import quoted
from glmcli.language import in_one_line, later, ntr, tr
from glmcli.paths import is_folder

_LARGEST = 1_000_000
"""Bytes of settings; a person writes some hundred lines."""
READ_AT_MOST = 16_000_000
"""This much of a `.env` is searched for a line of ours; without one it is silently ignored."""


MOST_NAMED = 3
"""Names that are no settings and are told."""
OURS = "GLM_"
CORRECT = later("correct it in an editor; on a terminal glm config edit opens it")


class Dotenv(NamedTuple):
    """The GLM_ lines of a `.env`, and the bytes that they were read from."""

    values: Mapping[str, str | Malformed] = {}
    data: bytes = b""
    unread: str = ""
    """Why the file was not read, if it is there and was not: it may hold settings."""


def read_dotenv(path: Path) -> Dotenv:
    """The lines of a `.env` that are ours. Never raises: the file may be anybody's.

    A folder of that name is none: many keep a virtual environment in it.
    """
    if is_folder(path):
        return Dotenv()
    try:
        with files.open_regular(path, limit=sys.maxsize, error=ConfigError) as file:
            size, data = os.fstat(file.fileno()).st_size, file.read(READ_AT_MOST)
    except ConfigError as exc:
        is_missing = isinstance(exc.__cause__, FileNotFoundError | NotADirectoryError)
        return Dotenv(unread="" if is_missing else exc.message)
    except OSError as exc:
        return Dotenv(unread=tr("{path} cannot be read: {why}", path=path, why=exc.strerror))
    if OURS.encode("utf-16-le") in data.upper():
        return Dotenv(data=data, unread=tr("{path} is not UTF-8 but UTF-16", path=path))
    if size <= READ_AT_MOST and OURS.encode() not in data.upper():
        return Dotenv()
    if size > _LARGEST:
        unread = tr(
            "{path} is too large: {size:,} bytes; {limit:,} is the limit",
            path=path,
            size=size,
            limit=_LARGEST,
        )
        return Dotenv(data=data[:_LARGEST], unread=unread)
    from glmcli.config.dotenv import assignments

    text = data.decode("utf-8-sig", "surrogateescape").replace("\r\n", "\n").replace("\r", "\n")
    return Dotenv(dict(assignments(text)), data)


def config_text(path: Path) -> str:
    """The text of config.toml; "" if there is none. Raises ConfigError."""
    try:
        return files.read_text(path, limit=_LARGEST, error=ConfigError)
    except ConfigError as exc:
        if isinstance(exc.__cause__, FileNotFoundError | NotADirectoryError):
            return ""
        raise


def read_toml(path: Path, known: Collection[str], told: list[str] | None = None) -> dict[str, Any]:
    """The settings of config.toml, by name; nothing if there is none.

    Raises ConfigError; but what only one entry is to blame for becomes a line of `told`, if given.
    """
    text = config_text(path)
    if not text:
        return {}
    values = parse_toml(text, path, known, told)
    if {"api_key", "serve_key", "keys"} & values.keys() and path.stat().st_mode & 0o077:
        raise ConfigError(
            tr("{path} holds a key and others may read it", path=path),
            tr("chmod 600 {path}", path=path),
        )
    return values


def parse_toml(
    text: str, path: Path, known: Collection[str], told: list[str] | None = None
) -> dict[str, Any]:
    """The settings in the text of config.toml, by name. See `read_toml`."""
    values = toml_values(text, path)
    with raised_or_told(told):
        check_names(values, path, known)
    values = {name: value for name, value in values.items() if name in known}
    if "keys" in values:
        entries = values.pop("keys")
        with raised_or_told(told):
            values["keys"] = read_keys(entries, path)
    return values


def toml_values(text: str, path: Path) -> dict[str, Any]:
    """What is in the text of config.toml. Raises ConfigError with the line that is wrong."""
    import tomllib

    try:
        return tomllib.loads(text)
    except RecursionError as exc:
        why = tr("{path} is nested too deeply", path=path)
        raise ConfigError(why, tr(CORRECT)) from exc
    except ValueError as exc:
        last = f"at line {text.rstrip().count(chr(10)) + 1}, the last"
        why = str(exc).replace("at end of document", last)
        raise ConfigError(f"{path}: {why}", tr(CORRECT)) from exc


@contextmanager
def raised_or_told(told: list[str] | None) -> Iterator[None]:
    """Make a line of `told`, if given, of a ConfigError."""
    try:
        yield
    except ConfigError as exc:
        if told is None:
            raise
        told.append(tr("; ").join([exc.message, exc.hint]))


def check_names(values: Iterable[str], path: Path, known: Collection[str]) -> None:
    """Raise ConfigError if one of them is not the name of a setting."""
    strange = [name for name in values if name not in known]
    if not strange:
        return
    from shlex import quote

    near = nearest(strange[0], known)
    hints = [tr("did you mean {near}?", near=near)] if near else []
    hints.append(
        tr(
            "glm config unset {name} takes it out, glm config edit opens the file",
            name=quote(strange[0]),
        )
    )
    raise ConfigError(
        ntr(
            "{path} sets {names}, which is not a setting",
            "{path} sets {names}, which are not settings",
            len(strange),
            path=path,
            names=", ".join(map(quoted, strange[:MOST_NAMED])),
        ),
        in_one_line(*hints),
    )


def read_keys(entries: object, path: Path, start: str = "") -> dict[str, str]:
    """The keys of the table [keys], by host. Raises ConfigError, which shows none of them."""
    hint = tr(
        'under [keys], write "HOST" = "KEY" or "HOST:PORT" = "KEY", without http:// or a path'
    )
    if not isinstance(entries, dict):
        raise ConfigError(tr("{path}: keys is not a table", path=path), hint)
    keys: dict[str, str] = {}
    for name, value in entries.items():
        host = f"{start}.{name}" if start else name
        if isinstance(value, dict):  # a.b = "…" without quotes is a table in a table
            keys |= read_keys(value, path, host)
        elif "/" in host:
            raise ConfigError(tr("{path}: {host!r} is not a host", path=path, host=host), hint)
        elif isinstance(value, str) and value:
            READ_SECRETS.add(value)
            keys[host.lower()] = value
        else:
            raise ConfigError(
                tr("{path}: the key of {host!r} is not text", path=path, host=host), hint
            )
    return keys


def nearest(word: str, known: Collection[str], *, cutoff: float = 0.6) -> str:
    """The known word that a misspelt one is nearest to; "" if none is near."""
    import difflib

    near = difflib.get_close_matches(word, known, n=1, cutoff=cutoff)
    return near[0] if near else ""
