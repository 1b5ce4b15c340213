"""What `glm serve` is told, as far as it is wrong before anything is loaded.

Knows nothing of sockets.
"""

from __future__ import annotations

import ipaddress
import os
import re
import stat
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from shlex import quote

from glmcli.config import ENVIRONMENT, TOML, TYPED, Settings
from glmcli.errors import ConfigError, UsageError
from glmcli.files import printable
from glmcli.language import tr

_NO_HOST = re.compile(r"[/@\[\]\s?#]|^[\d.]+$|^0[xX]")
"""What no name of a machine has; of numbers only whole addresses are taken."""

THEIRS = ("OLLAMA_HOST", "LLAMA_ARG_HOST", "LLAMA_ARG_PORT")
"""Variables that say where a server of another program listens."""
_PLACE = re.compile(r"\[?(.*?)\]?(?:(?<!:):([0-9]+))?", re.DOTALL)


def check_address(settings: Settings, port: int | None, path: Path | None) -> None:
    """Raise UsageError where a socket and a port or a host are asked for, ConfigError as below.

    Where nothing says where to listen, it is told which variables are not read.
    """
    from glmcli.cli.dialog import tell

    if path is None:
        check_host(settings)
        is_chosen = port is not None or "host" in settings.sources
        if line := "" if is_chosen else unread_address(settings, os.environ):
            tell(line)
        return
    if port is not None:
        raise UsageError(tr("--socket and --port ask for two addresses"), tr("say one"))
    if settings.sources.get("host") == TYPED:
        raise UsageError(tr("--socket and --host ask for two addresses"), tr("say one"))


def check_served(settings: Settings) -> None:
    """Raise UsageError for a model that another server has."""
    from glmcli.engines import split_name

    if split_name(settings.model)[0] in ("openai", "fastchat"):
        raise UsageError(
            tr("{model} has a server already", model=settings.model),
            tr("glm serve is for a model on this machine: a folder, a hub id, a built-in name"),
        )


def check_host(settings: Settings) -> None:
    """Raise ConfigError for what is no host: an address with its scheme or port, half a number."""
    host = settings.host
    with suppress(ValueError):
        ipaddress.ip_address(host)
        return
    if ":" in host or _NO_HOST.search(host):
        raise ConfigError(
            tr(
                "{name} {host} is not a host to listen at", name=source_of_host(settings), host=host
            ),
            tr("it is a name or a number alone, as 127.0.0.1 or ::1; --port N is the port"),
        )


def unread_address(settings: Settings, environ: Mapping[str, str]) -> str:
    """A line for where another program's variables would have it listen; "" if there are none."""
    from glmcli.config.proxies import is_loopback

    name = next((each for each in THEIRS if environ.get(each, "").strip()), "")
    if not name:
        return ""
    typed = environ[name].strip()
    bare = typed.rpartition("://")[2].partition("/")[0]
    host, port = (environ.get("LLAMA_ARG_HOST", "").strip(), environ.get("LLAMA_ARG_PORT", ""))
    if name == "OLLAMA_HOST":
        host, port = _PLACE.fullmatch(bare).groups(default="")  # type: ignore[union-attr]
    is_other = bool(host) and not is_loopback(host)
    options = [f"--host {quote(host)}"] if is_other else []
    options += [f"--port {quote(port.strip())}"] if port.strip() else []
    if not options:
        return ""
    line = tr("{name} is not read, {options} is", name=name, options=" ".join(options))
    needs = is_other and not settings.serve_key
    return tr("; ").join([line, *([tr("--host needs GLM_SERVE_KEY")] if needs else [])])


def tell_open_folder(folder: Path) -> None:
    """Say it where others may put a socket of theirs in the place of one in a folder."""
    from glmcli.cli.dialog import tell

    with suppress(OSError):
        found = folder.stat()
        may_others = found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
        is_kept = found.st_mode & stat.S_ISVTX  # only the owner of a file takes it away
        if may_others and not is_kept:
            name = printable(folder)
            tell(tr("others may write in {folder}, and put a socket of theirs there", folder=name))


def check_has_key(settings: Settings) -> None:
    """Raise ConfigError if others could ask who have no key."""
    from glmcli.config.proxies import is_loopback

    if is_loopback(settings.host) or settings.serve_key:
        return
    where = source_of_host(settings)
    raise ConfigError(
        tr("at {host} other machines could ask, and there is no key", host=settings.host),
        tr("set GLM_SERVE_KEY to a secret that clients send, or leave --host out")
        if where == "--host"
        else tr(
            "{name} says so: set GLM_SERVE_KEY to a secret of clients, or say --host 127.0.0.1",
            name=where,
        ),
    )


def key_to_send(settings: Settings) -> str:
    """The key without blanks around it, which no client sends. Raises ConfigError."""
    if not settings.serve_key:
        return ""
    key = settings.serve_key.strip()
    name = {ENVIRONMENT: "GLM_SERVE_KEY"}.get(settings.sources.get("serve_key", ""), "serve_key")
    if not key:
        raise ConfigError(
            tr("{name} is blank: no client could send it", name=name),
            tr("set it to a secret, or unset it"),
        )
    if not (key.isascii() and key.isprintable()) or " " in key:
        raise ConfigError(
            tr("{name} holds characters that no client sends in a key", name=name),
            tr("set it to letters, digits and signs of ASCII without blanks"),
        )
    return key


def source_of_host(settings: Settings) -> str:
    """What says where to listen, as a user finds it."""
    names = {TYPED: "--host", ENVIRONMENT: "GLM_HOST", TOML: f"{TOML}: host"}
    return names.get(settings.sources.get("host", TYPED), "host")
