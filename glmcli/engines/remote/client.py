"""The HTTP client of one server: which certificates are trusted, and which proxy is used.

The one place where a client is made, and where its connections are cut off. What the environment
names for it and cannot be used is an error in one line. Knows nothing of requests.
"""

from __future__ import annotations

import socket
import ssl
import threading
from contextlib import suppress
from weakref import WeakSet

import httpx

from glmcli.config.proxies import Proxy
from glmcli.engines.remote.address import host_of
from glmcli.engines.remote.faults import CONNECT_S
from glmcli.errors import ConfigError
from glmcli.language import tr

KEEP_S = 2.0
"""How long an idle connection is kept: less than the 5 s after which many servers close it."""


class Connections:
    """Open connections, which one thread can cut off while another one reads them."""

    def __init__(self) -> None:
        self._sockets: WeakSet[socket.socket] = WeakSet()
        self._lock = threading.Lock()

    def add(self, connection: socket.socket) -> None:
        """Remember an open connection for as long as somebody uses it."""
        with self._lock:
            self._sockets.add(connection)

    def copy(self) -> Connections:
        """Those of now; later ones are not in it."""
        copied = Connections()
        with self._lock:
            copied._sockets.update(self._sockets)
        return copied

    def cut_off(self, *, close: bool = False) -> None:
        """Cut off all of them; whoever reads them wakes up with an error, or at an end.

        With `close` nobody reads them any more.
        """
        with self._lock:
            connections = list(self._sockets)
        for connection in connections:
            with suppress(OSError):  # closed already
                connection.shutdown(socket.SHUT_RDWR)
            if close:
                connection.close()


def make_client(
    url: httpx.URL,
    headers: dict[str, str],
    *,
    silence_s: float,
    proxy: Proxy | None = None,
    transport: httpx.BaseTransport | None = None,
) -> httpx.Client:
    """A client for one server. Raises ConfigError."""
    meets_proxy = proxy is not None and proxy.url.startswith("https:")
    certificates = trusted_certificates() if url.scheme == "https" or meets_proxy else None
    for_proxy = certificates if meets_proxy else None
    try:
        if proxy is not None:
            host_of(httpx.URL(proxy.url))
        return httpx.Client(
            headers=headers,
            timeout=httpx.Timeout(silence_s, connect=CONNECT_S),
            limits=httpx.Limits(keepalive_expiry=KEEP_S),
            follow_redirects=False,
            verify=True if certificates is None else certificates,
            proxy=None if proxy is None else httpx.Proxy(proxy.url, ssl_context=for_proxy),
            trust_env=False,
            transport=transport,
            event_hooks={"response": [keep_location]},
        )
    except (ImportError, ValueError, httpx.InvalidURL) as exc:
        if proxy is None:
            raise
        line = tr(
            "the proxy that {variable} names cannot be used: {address}",
            variable=proxy.variable,
            address=proxy.address,
        )
        hint = tr("correct {variable}, or unset it", variable=proxy.variable)
        if isinstance(exc, ImportError):
            hint = tr("install what speaks SOCKS: pip install 'httpx[socks]'")
        raise ConfigError(line, hint) from exc


def keep_location(response: httpx.Response) -> None:
    """Move the address that an answer leads to out of the HTTP library's sight.

    It would make a request of it, although none is sent, and fails where it is no address.
    """
    response.extensions["location"] = response.headers.pop("location", "")


def trusted_certificates() -> ssl.SSLContext:
    """The certificates that are trusted. Raises ConfigError for files that cannot be read.

    SSL_CERT_FILE and SSL_CERT_DIR count for this machine too.
    """
    try:
        return httpx.create_ssl_context(trust_env=True)
    except (OSError, ValueError) as exc:  # ssl.SSLError is an OSError
        raise ConfigError(
            tr("the certificates that SSL_CERT_FILE or SSL_CERT_DIR names cannot be read"),
            tr("name a file with certificates in PEM form, or unset it"),
        ) from exc
