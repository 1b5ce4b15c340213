"""What goes wrong between the program and a proxy, which is named by the variable that names it.

Only the proxy is connected to: what fails then is that, or what it says of the server. Knows
nothing of servers.
"""

from __future__ import annotations

import httpx

from glmcli.config.proxies import Proxy
from glmcli.language import tr

WANTS = ("407", "auth", "password")
"""What is said by a proxy that wants to know who asks."""


def proxy_failed(exc: Exception, proxy: Proxy, host: str, detail: str) -> tuple[str, str]:
    """The line and the hint for a server that was not reached through a proxy.

    `detail` is what the proxy or the HTTP library says, cleaned.
    """
    variable, address = proxy.variable, proxy.address
    hint = tr(
        "correct {variable}, unset it, or list {host} in NO_PROXY", variable=variable, host=host
    )
    if isinstance(exc, httpx.ProxyError):
        line = tr(
            "the proxy of {variable} ({address}) does not reach {host}",
            variable=variable,
            address=address,
            host=host,
        )
        is_stranger = any(word in detail.lower() for word in WANTS)
        return add_detail(line, detail), wants_password(proxy) if is_stranger else hint
    if isinstance(exc, httpx.ConnectError | httpx.ConnectTimeout):
        line = tr(
            "the proxy of {variable} ({address}) cannot be reached",
            variable=variable,
            address=address,
        )
        return line, hint
    line = tr(
        "the proxy of {variable} ({address}) does not speak SOCKS",
        variable=variable,
        address=address,
    )
    return line, hint


def wants_password(proxy: Proxy) -> str:
    """What helps where a proxy asks who the user is."""
    kind, variable = proxy.address.partition(":")[0], proxy.variable
    return tr("write {kind}://NAME:PASSWORD@HOST:PORT in {variable}", kind=kind, variable=variable)


def is_no_socks(exc: Exception, proxy: Proxy) -> bool:
    """Whether what should be a SOCKS proxy answered with something else.

    The HTTP library passes on what its own SOCKS library says of it.
    """
    is_about_socks = isinstance(exc, AssertionError) or type(exc).__module__.startswith("socksio")
    return proxy.is_socks and is_about_socks


def add_detail(line: str, detail: str) -> str:
    """A line, and behind it what the other side or the system says."""
    return f"{line}: {detail}" if detail else line
