"""The models that a server lists, at a glance: for a shell that waits for the names of models.

Asks at once or not at all, sends no key, and follows no redirect. Knows nothing of httpx, which
takes longer to import than a server on this machine to answer.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from glmcli.config.proxies import is_loopback, proxy_for
from glmcli.files import parse_json

MOST_BYTES = 1_000_000
NAME_CHARS = 1000
UNAUTHORIZED = 401
OLLAMAS_OWN = ("/api/chat", "/api/generate", "/api/tags")
"""Addresses of Ollama's own interface, which people copy; OpenAI's lies beside it."""


def api_url(base_url: str) -> str:
    """The address of OpenAI's interface on a server, however much was given, and its query."""
    url, mark, query = base_url.strip().partition("#")[0].partition("?")
    url = url.rstrip("/")
    own = next((own for own in OLLAMAS_OWN if url.endswith(own)), "")
    if own:
        url = f"{url.removesuffix(own)}/v1"
    for path in ("/chat/completions", "/completions", "/models"):
        url = url.removesuffix(path)
    url = f"{url}/v1" if urlsplit(url).path in ("", "/") else url
    return url + mark + query


def is_name(name: str) -> bool:
    """Whether a text can name a model: in one line, of characters that can be seen and typed."""
    return bool(name.strip()) and len(name) <= NAME_CHARS and name.isprintable()


class Glance(NamedTuple):
    """What a server has said in time."""

    models: Sequence[str] = ()
    """As --model takes them."""
    wants_key: bool = False


class KeyWanted(Exception):
    """A server answers only who sends a key."""


class TimedSocket(socket.socket):
    """A connection of which nothing is read after a time, however much there is to read."""

    until = 0.0
    """By time.monotonic()."""

    def recv_into(self, *args: Any) -> int:
        """As of any socket. Raises TimeoutError."""
        left = self.until - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self.settimeout(left)
        return super().recv_into(*args)


def listed_models(base_url: str, engines: Sequence[str], *, within_s: float) -> list[str]:
    """Models as --model takes them, of the first of the engines by which the server lists some.

    An empty list if it has not answered in time.
    """
    return list(glance_at(base_url, engines, within_s=within_s).models)


def glance_at(base_url: str, engines: Sequence[str], *, within_s: float) -> Glance:
    """The same, and whether a server that lists none wants a key. Nothing goes on afterwards."""
    found: list[Glance] = []
    until = time.monotonic() + within_s

    def ask_all() -> None:
        for engine in engines:
            with suppress(Exception):  # whatever a server may send: nobody waits for a message
                try:
                    names = ask_names(base_url, engine, until)
                except KeyWanted:
                    found.append(Glance(wants_key=True))
                    continue
                models = [f"{engine}:{name}" for name in names if is_name(name)]
                if models:
                    found.append(Glance(models))
                    return

    # A name may take seconds to be looked up, and a server may send a byte a second.
    asking = threading.Thread(target=ask_all, daemon=True)
    asking.start()
    asking.join(within_s)
    return found[-1] if found else Glance()


def ask_names(base_url: str, engine: str, until: float) -> list[str]:
    """The names that a server lists for an engine, by a time of time.monotonic().

    Raises KeyWanted, and whatever else its answer leads to.
    """
    from http.client import HTTPConnection

    parts = urlsplit(api_url(base_url) if engine == "openai" else base_url.strip().rstrip("/"))
    host = parts.hostname or ""
    if parts.scheme != "http" or not host or "@" in parts.netloc:
        return []  # a handshake takes longer than there is time
    if not is_loopback(host) and proxy_for(base_url):
        return []
    left = max(until - time.monotonic(), 0.001)
    connection = HTTPConnection(host, parts.port or 80, timeout=left)
    try:
        connection.connect()
        timed = TimedSocket(fileno=connection.sock.detach())
        timed.settimeout(left)
        timed.until = until
        connection.sock = timed
        if engine == "openai":
            connection.request("GET", f"{parts.path}/models")
        else:
            connection.request("POST", f"{parts.path}/list_models")
        response = connection.getresponse()
        data = response.read(MOST_BYTES + 1)
    finally:
        connection.close()
    if response.status == UNAUTHORIZED:
        raise KeyWanted
    if response.status != 200 or len(data) > MOST_BYTES:
        return []
    answer = parse_json(data.decode(), base_url)
    if engine == "openai":
        return [str(item["id"]) for item in answer["data"]]
    return [str(name) for name in answer["models"]]
