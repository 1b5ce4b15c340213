"""A model as a worker of a FastChat cluster, on a port of this machine, and who may ask it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from glmcli.engines import Engine
from glmcli.engines.thread import EngineThread
from glmcli.errors import GlmError
from glmcli.serve.doors import Doors, listen_at
from glmcli.serve.holder import Holder
from glmcli.serve.http import Site
from glmcli.serve.openai.routes import OpenAIRoutes
from glmcli.serve.worker.advertised import Proven
from glmcli.serve.worker.guests import Guests
from glmcli.serve.worker.routes import WorkerRoutes
from tests.support.serving import PATIENCE_S, Served


@contextmanager
def working(
    open_it: Callable[..., Engine],
    *,
    guest: str = "127.0.0.1",
    key: str = "",
    name: str = "tiny",
    most_waiting: int = 64,
) -> Iterator[Served]:
    """A worker of what `open_it` opens; the controller is at the address of `guest`."""
    proven = Proven(open_it)
    engine = EngineThread(name, proven, shared=True)
    holder = Holder(engine, name, most_waiting=most_waiting)
    guests = Guests(guest)
    guests.look_up()
    (listener,) = listen_at("127.0.0.1", 0)
    lines: list[str] = []
    site = Site(
        OpenAIRoutes(holder, name).all(),
        key=key,
        log=lines.append,
        owed=holder.answered_client,
        guest_routes=WorkerRoutes(holder, proven, name).all(),
        is_guest=guests.is_guest,
    )
    doors = Doors([listener], site)
    doors.open()
    try:
        with suppress(GlmError):  # who asks is told
            engine.wait(PATIENCE_S, holder.stopping)
        yield Served(holder, listener.getsockname()[1], doors, lines)
    finally:
        doors.close()
        engine.close()


def records(data: bytes) -> list[dict[str, Any]]:
    """The messages of a stream, each of which ends with a NUL."""
    *messages, rest = data.split(b"\0")
    assert rest == b""
    return [json.loads(message) for message in messages]
