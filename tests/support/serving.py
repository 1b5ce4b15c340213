"""A model served on a port of this machine, as `glm serve` does, and a client without opinions."""

from __future__ import annotations

import http.client
import json
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from glmcli.engines import Engine
from glmcli.engines.echo import EchoEngine
from glmcli.engines.thread import EngineThread
from glmcli.serve.doors import Doors, listen_at
from glmcli.serve.holder import Holder
from glmcli.serve.http import Site
from glmcli.serve.openai.routes import OpenAIRoutes

PATIENCE_S = 20.0


@dataclass
class Served:
    """A server while it runs."""

    holder: Holder
    port: int
    doors: Doors
    lines: list[str] = field(default_factory=list)
    """Its log."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        """One request on a connection of its own; `_` in a header's name is `-`."""
        sent = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection = self.connect()
        try:
            connection.request(method, path, sent, named)
            return Answer.of(connection.getresponse())
        finally:
            connection.close()

    def chat(self, text: str, **fields: Any) -> Answer:
        """One question."""
        messages = [{"role": "user", "content": text}]
        return self.ask("POST", "/v1/chat/completions", {"messages": messages, **fields})

    def raw(self) -> socket.socket:
        """A connection on which nothing was said."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE_S)


@dataclass(frozen=True)
class Answer:
    status: int
    headers: http.client.HTTPMessage
    data: bytes

    @classmethod
    def of(cls, response: http.client.HTTPResponse) -> Answer:
        return cls(response.status, response.headers, response.read())

    @property
    def json(self) -> Any:
        return json.loads(self.data)

    @property
    def error(self) -> dict[str, Any]:
        return self.json["error"]

    @property
    def events(self) -> list[Any]:
        """The JSON of server-sent events; [DONE] is itself."""
        lines = self.data.decode().split("\n\n")
        found = [line.removeprefix("data: ") for line in lines if line.startswith("data: ")]
        return [each if each == "[DONE]" else json.loads(each) for each in found]


@contextmanager
def served(
    open_it: Callable[..., Engine] | None = None,
    *,
    key: str = "",
    is_private: bool = False,
    most_waiting: int = 64,
    starts: bool = True,
    shared: bool = False,
    log: Callable[[str], None] = lambda line: None,
) -> Iterator[Served]:
    """A server of `echo:`, or of what `open_it` opens; `log` gets each line before it is kept."""
    engine = EngineThread("echo:", open_it or (lambda report: EchoEngine()), shared=shared)
    holder = Holder(engine, "echo:", most_waiting=most_waiting)
    lines: list[str] = []
    routes = OpenAIRoutes(holder, "echo").all()
    (listener,) = listen_at("127.0.0.1", 0)

    def write(line: str) -> None:
        log(line)
        lines.append(line)

    site = Site(routes, key=key, is_private=is_private, log=write, owed=holder.answered_client)
    doors = Doors([listener], site)
    port = listener.getsockname()[1]
    if starts:
        engine.start()
    doors.open()
    try:
        yield Served(holder, port, doors, lines)
    finally:
        doors.close()
        engine.close()


def soon(is_so: Callable[[], bool], within_s: float = PATIENCE_S) -> bool:
    """Whether something becomes so in time."""
    until = time.monotonic() + within_s
    while not is_so() and time.monotonic() < until:
        time.sleep(0.005)
    return is_so()
