"""Where a server is, and which of the user's keys may be sent there.

Knows nothing of connections, nor of what a server is asked.
"""

from __future__ import annotations

import ipaddress

import httpx

from glmcli.config.servers import ServerOptions
from glmcli.errors import ConfigError
from glmcli.language import tr


def parse_address(url: str) -> httpx.URL:
    """`url` if a server can live there. Raises ConfigError, which never shows a password."""
    try:
        address = httpx.URL(url.strip())
    except httpx.InvalidURL as exc:
        raise ConfigError(tr("the address of the server is malformed"), "http://HOST:PORT") from exc
    if address.userinfo or ("@" in url and not address.host):
        raise ConfigError(
            tr("the address of the server holds a name or a password"),
            tr("a key belongs in GLM_API_KEY"),
        )
    if address.scheme not in ("http", "https") or not address.host:
        raise ConfigError(
            tr("{url!r} is not the address of a server", url=url),
            tr("write http://HOST:PORT or https://HOST"),
        )
    return address.copy_with(query=None, fragment=None)


def check_key(key: str) -> None:
    """Raise ConfigError, which does not show it, for a key that cannot be sent."""
    if not (key.isascii() and key.isprintable()) or " " in key:
        raise ConfigError(
            tr("the key holds characters that no key has"),
            tr("check GLM_API_KEY, or [keys] in config.toml"),
        )


def own_key(options: ServerOptions, address: httpx.URL) -> tuple[str, str]:
    """(the name under which [keys] has a key for an address, the key); both "" if it has none."""
    port = address.port or (443 if address.scheme == "https" else 80)
    host = f"[{address.host}]" if ":" in address.host else address.host
    names = (name for name in (f"{host}:{port}", host) if name in options.keys)
    name = next(names, "")
    return name, options.keys.get(name, "")


def key_for(options: ServerOptions, address: httpx.URL) -> tuple[str, str]:
    """(the key that may be sent to an address, what to do if the server wants another one).

    A key for just this host goes before one for any host. An address from a .env file in the
    working folder may be anybody's: it gets no key but one from the same file.
    """
    sources = options.sources
    name, key = own_key(options, address)
    source = sources.get("keys" if name else "api_key", "")
    key = key if name else options.api_key
    if key and sources.get("base_url") == ".env" != source:
        return "", tr("no key was sent to an address from .env; give the address with --base-url")
    if name:
        return key, tr("correct the key of {host} under [keys] in config.toml", host=name)
    if key:
        return key, tr("set GLM_API_KEY to another key")
    return "", tr("set GLM_API_KEY to its key")


def is_loopback(host: str) -> bool:
    """Whether a host is this machine, which no proxy can reach for us."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
