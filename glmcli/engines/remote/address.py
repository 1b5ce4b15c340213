"""Where a server is, and which of the user's keys may be sent there.

Knows nothing of connections, nor of what a server is asked.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from urllib.parse import urlsplit

import httpx

from glmcli.config.servers import ServerOptions, with_scheme
from glmcli.config.values import hidden_query
from glmcli.errors import ConfigError
from glmcli.language import tr

OPENAI, OWN = "https://api.openai.com", "OPENAI_BASE_URL"
HIGHEST_PORT = 65535


@dataclass(frozen=True, slots=True)
class ChosenKey:
    """The key for a server, "" for none."""

    text: str = field(repr=False)
    hint: str
    """What to do if the server wants another one."""
    label: str = ""
    """Where it was set, to be named in an error."""
    notice: str = ""
    """What the user must hear before the server is asked: that their key is not sent."""


def parse_address(url: str) -> httpx.URL:
    """`url` if a server can live there, with a host whose name can be looked up.

    Without its query, which `query_of` has: servers are told apart without it.

    The one place where a text becomes an address. Raises ConfigError, which never shows a password.
    """
    try:
        address = httpx.URL(url.strip())
        urlsplit(url.strip())  # stricter about brackets
        host = host_of(address)
    except (httpx.InvalidURL, ValueError) as exc:  # so are idna's errors, and those of urllib
        raise ConfigError(tr("the address of the server is malformed"), "http://HOST:PORT") from exc
    if address.userinfo or ("@" in url and not host):
        raise ConfigError(
            tr("the address of the server holds a name or a password"),
            tr("a key belongs in GLM_API_KEY"),
        )
    if address.scheme not in ("http", "https") or not host:
        near = "" if "?" in url else with_scheme(url.strip())
        raise ConfigError(
            tr("{url!r} is not the address of a server", url=hidden_query(url)),
            "" if near else tr("write http://HOST:PORT or https://HOST"),
            meant=(url, near) if near else None,
        )
    if address.port is not None and not 0 < address.port <= HIGHEST_PORT:
        raise ConfigError(
            tr("there is no port {port:d}", port=address.port),
            tr("a port is a number from 1 to {highest:d}", highest=HIGHEST_PORT),
        )
    return address.copy_with(query=None, fragment=None)


def query_of(url: str) -> str:
    """What stands behind "?" in an address, with it, as it is sent with every request; or ""."""
    query = httpx.URL(url.strip()).query.decode("ascii")
    return f"?{query}" if query else ""


@contextmanager
def errors_name(label: str) -> Iterator[None]:
    """Have a ConfigError begin with where the value was set, unless that is ""."""
    try:
        yield
    except ConfigError as exc:
        if label:
            exc.message = tr(": ").join([label, exc.message])
        raise


def host_of(address: httpx.URL) -> str:
    """The host of an address as it is read. Raises UnicodeError for one that is no name.

    httpx decodes a name wherever it is used, and the system encodes it to look it up.
    """
    address.raw_host.decode("ascii").encode("idna")
    return address.host


def check_key(key: str, label: str = "") -> None:
    """Raise ConfigError, which does not show it, for a key that cannot be sent.

    `label` says where it was set.
    """
    if not (key.isascii() and key.isprintable()) or " " in key:
        raise ConfigError(
            tr("the key holds characters that no key has"),
            tr("check {name}", name=label)
            if label
            else tr("check GLM_API_KEY, or [keys] in config.toml"),
        )


def own_key(options: ServerOptions, address: httpx.URL) -> tuple[str, str]:
    """(the name under which [keys] has a key for an address, the key); both "" if it has none."""
    port = address.port or (443 if address.scheme == "https" else 80)
    host = f"[{address.host}]" if ":" in address.host else address.host
    names = (name for name in (f"{host}:{port}", host) if name in options.keys)
    name = next(names, "")
    return name, options.keys.get(name, "")


def with_openais_own(options: ServerOptions) -> tuple[ServerOptions, str]:
    """The options with what OPENAI_BASE_URL and OPENAI_API_KEY say, and a line that tells of it.

    They are for programs of all kinds, so they count only where nothing else is set; the key goes
    to the address that stands beside it, or to OpenAI itself, and to no other.
    """
    url = options.base_url or options.openai_url
    if options.api_key and options.openai_url and not options.base_url:
        source = options.sources.get("api_key", "environment")
        line = tr(
            "OPENAI_BASE_URL is not used, since {key} is set; --base-url URL names the server",
            key=options.key_name if source == "environment" else f"api_key ({source})",
        )
        return options, line
    if options.openai_slip and not url:
        line = tr("{name} is not read, {near} is", name=options.openai_slip, near=OWN)
        return options, line
    if options.api_key or not url:
        return options, ""
    names, sources, url_name = [], {**options.sources}, options.url_name
    if not options.base_url:
        names, url_name = [OWN], OWN
        sources["base_url"] = "environment"
    is_for = any(same_server(url, each) for each in (options.openai_url, OPENAI))
    with errors_name(replace(options, url_name=url_name, sources=sources).label("base_url")):
        own = own_key(options, parse_address(url))[1]
    key = options.openai_key if is_for and not own else ""
    if key:
        names.append("OPENAI_API_KEY")
        sources["api_key"] = "environment"
    if not names or (key and sources.get("base_url") == ".env"):
        return options, ""
    line = tr("{names} of the environment: asking {host}", names=", ".join(names), host=origin(url))
    taken = replace(
        options,
        base_url=url,
        api_key=key,
        key_url=key and url,
        key_name=names[-1],
        url_name=url_name,
        sources=sources,
    )
    return taken, line


def key_for(options: ServerOptions, address: httpx.URL) -> ChosenKey:
    """The key that may be sent to an address.

    A key for just this host goes before one for any host. A key that was given together with an
    address is for that server, not for another port or scheme of its host. An address from a .env
    file in the working folder may be anybody's: it gets no key but one from the same file.
    """
    sources = options.sources
    name, key = own_key(options, address)
    source = sources.get("keys" if name else "api_key", "")
    key = key if name else options.api_key
    if key and sources.get("base_url") == ".env" != source:
        hint = tr("no key was sent to an address from .env; give the address with --base-url")
        return ChosenKey("", hint)
    if name:
        hint = tr("correct the key of {host} under [keys] in config.toml", host=name)
        return ChosenKey(key, hint, label=f"keys.{name} (config.toml)")
    if key and options.key_url and not same_server(options.key_url, str(address)):
        hint = tr(
            "GLM_API_KEY was given for {host} and is not sent to {other}; "
            "set it together with the address, or [keys] in config.toml",
            host=origin(options.key_url),
            other=origin(str(address)),
        )
        return ChosenKey("", hint, notice=hint)
    if key:
        hint = tr("set {name} to another key", name=options.key_name)
        return ChosenKey(key, hint, label=options.label("api_key"))
    return ChosenKey("", tr("set GLM_API_KEY to its key"))


def origin(url: str) -> str:
    """Scheme, host and port of an address, without what is implied; "?" where it is none."""
    try:
        address = parse_address(url)
    except ConfigError:
        return "?"
    return f"{address.scheme}://{address.netloc.decode()}"


def same_server(one: str, other: str) -> bool:
    """Whether two addresses are the same server: scheme, host and port. No address is none's."""
    return one == other or (origin(one) == origin(other) != "?")
