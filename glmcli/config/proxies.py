"""Which proxy the environment names for an address: HTTP_PROXY, HTTPS_PROXY, ALL_PROXY, NO_PROXY.

In either case, the small letters first, as curl reads them. Knows nothing of connections.
"""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import SplitResult, urlsplit

from glmcli.errors import ConfigError
from glmcli.language import tr

KINDS = {"http": "http", "https": "https", "socks5": "socks5", "socks5h": "socks5h"}
KINDS["socks"] = "socks5h"  # what GNOME and others write
"""What a variable may name -> what HTTP libraries know."""
DEFAULT_PORTS = {"http": 80, "https": 443}
_HOST = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9._-]+))(?::(?:[1-9][0-9]{0,4})?)?")
"""A Host header (RFC 9110, 7.2), of names and numbers as this machine has them."""
_VARIABLES = ("http_proxy", "https_proxy", "all_proxy")


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy, and the variable that names it."""

    variable: str
    url: str = field(repr=False)
    """As HTTP libraries take it, with its password."""

    @property
    def address(self) -> str:
        """Where it is, as it may be shown."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"

    @property
    def password(self) -> str:
        """What is never shown; "" for none."""
        return urlsplit(self.url).password or ""

    @property
    def is_socks(self) -> bool:
        """Whether it passes on any connection, and knows nothing of HTTP."""
        return self.url.startswith("socks")


def proxy_for(url: str, environ: Mapping[str, str] | None = None) -> Proxy | None:
    """The proxy for an address, None for none and for this machine, which no proxy reaches for us.

    Raises ConfigError for one that cannot be used.
    """
    environ = os.environ if environ is None else environ
    parts = urlsplit(url)
    port = parts.port or DEFAULT_PORTS.get(parts.scheme, 0)
    host = parts.hostname or ""
    if is_loopback(host) or is_exempt(host, port, set_value("no_proxy", environ)[1]):
        return None
    for name in (f"{parts.scheme}_proxy", "all_proxy"):
        variable, value = set_value(name, environ)
        if value:
            return Proxy(variable, readable(variable, value))
    return None


@contextmanager
def readable_proxies(url: str) -> Iterator[None]:
    """Meanwhile the environment says the same in words that every HTTP library reads.

    `url` is what will be asked: no proxy is, for this machine.
    """
    changed: dict[str, str] = {}
    for name in _VARIABLES:
        variable, value = set_value(name, os.environ)
        if value:
            changed[variable] = readable(variable, value)
    variable, value = set_value("no_proxy", os.environ)
    exempt = [entry_name(entry) for entry in entries(value)]
    host = urlsplit(url).hostname or ""
    if is_loopback(host):
        exempt.append(host)
    if exempt:
        changed[variable or "no_proxy"] = ",".join(exempt)
    before = {name: os.environ.get(name) for name in changed}
    os.environ.update(changed)
    try:
        yield
    finally:
        for name, was in before.items():
            if was is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = was


def set_value(name: str, environ: Mapping[str, str]) -> tuple[str, str]:
    """The spelling of a variable that is set to something, and its value; both "" if none is."""
    for variable in (name, name.upper()):
        if value := environ.get(variable, "").strip():
            return variable, value
    return "", ""


def readable(variable: str, value: str) -> str:
    """The address of a proxy as HTTP libraries take it. Raises ConfigError, without a password."""
    text = value if "://" in value else f"http://{value}"
    kind, _, rest = text.partition("://")
    hint = tr("write http://HOST:PORT or socks5://HOST:PORT in {variable}", variable=variable)
    known = KINDS.get(kind.lower(), "")
    if kind and not known:
        line = tr(
            "{variable} names a proxy of a kind that cannot be used: {kind}",
            variable=variable,
            kind=kind[:40],
        )
        raise ConfigError(line, hint)
    text = f"{known}://{rest}"
    if not known or not is_address(text):
        raise ConfigError(tr("{variable} is not the address of a proxy", variable=variable), hint)
    return text


def is_address(text: str) -> bool:
    """Whether a text names a host, and a port that can be one."""
    try:
        parts: SplitResult = urlsplit(text)
        port = parts.port
    except ValueError:
        return False
    host = parts.hostname or ""
    return bool(re.fullmatch(r"[\w.:%-]+", host)) and port != 0 and text.isprintable()


def is_exempt(host: str, port: int, listed: str) -> bool:
    """Whether NO_PROXY lists a host: by its name, an end of it, its number or a block of numbers.

    An entry may have a port, a number of IPv6 may stand in brackets, and `*` is every host.
    """
    host = host.lower().rstrip(".")
    number = as_number(host)
    for entry in entries(listed.lower()):
        if entry == "*":
            return True
        name = entry_name(entry)
        if name != entry and (found := re.search(r":([0-9]+)$", entry)) and int(found[1]) != port:
            continue
        block = as_block(name)
        if number is not None and block is not None and number in block:
            return True
        if name and (host == name or host.endswith(f".{name}")):
            return True
    return False


def entries(listed: str) -> list[str]:
    """What NO_PROXY lists, in its order."""
    return [entry.rpartition("://")[2] for entry in re.split(r"[\s,]+", listed) if entry]


def entry_name(entry: str) -> str:
    """The host of an entry: without brackets, a port, or the dots and stars before a domain."""
    bare = entry.strip("[]")
    if entry == "*" or as_block(bare) is not None:
        return bare
    return re.sub(r":[0-9]+$", "", entry).strip("[]").lstrip("*").strip(".")


Number = ipaddress.IPv4Address | ipaddress.IPv6Address
AddressBlock = ipaddress.IPv4Network | ipaddress.IPv6Network


def as_number(host: str) -> Number | None:
    """The number that a host is, if it is one."""
    try:
        return ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None


def as_block(text: str) -> AddressBlock | None:
    """The numbers that a text stands for, one or many, if it is such."""
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        return None


def host_name(host: str) -> str:
    """The name in a Host header: without port, brackets and last dot; "" if it is none."""
    found = _HOST.fullmatch(host.strip(" \t"))
    return (found[1] or found[2]).removesuffix(".").lower() if found else ""


def is_loopback(host: str) -> bool:
    """Whether a host is this machine, which no proxy can reach for us."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
