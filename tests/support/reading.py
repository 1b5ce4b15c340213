"""Read what a server sends, or fails to send."""

from __future__ import annotations

import threading
from contextlib import closing

import pytest

from glmcli.engines.remote.http import Server
from glmcli.errors import EngineError
from tests.support.loopback import OK, Connection

NEVER = threading.Event()


def answering(data: bytes):
    return lambda connection: connection.send(data)


def frozen(connection: Connection) -> None:
    connection.freeze()


def frozen_after_headers(connection: Connection) -> None:
    connection.send(OK)
    connection.chunk(b"data: 1\n\n")
    connection.freeze()


def read(server: Server, cancel: threading.Event = NEVER) -> bytes:
    exchange = server.send("POST", "/x", {"a": 1})
    with closing(exchange):
        return b"".join(exchange.pieces(cancel))


def fault_of(url: str, **options) -> EngineError:
    with closing(Server(url, **options)) as server, pytest.raises(EngineError) as caught:
        read(server)
    for line in (caught.value.message, caught.value.hint):
        assert line
        assert "\n" not in line
    return caught.value
