"""`--timeout` is the time for all that comes before a reply, not for each part of it."""

from __future__ import annotations

import threading
import time
from contextlib import closing

import httpx
import pytest

from glmcli.cli.served import with_model
from glmcli.config import Settings
from glmcli.engines import open_engine
from glmcli.engines.remote.http import Patience, Server
from glmcli.engines.thread import EngineThread
from glmcli.errors import ConnectionLost, EngineError
from glmcli.types import GenerationParams, Message
from tests.support.loopback import Connection, Loopback
from tests.support.reading import NEVER, frozen

LIST = b'{"data": [{"id": "x"}]}'
QUESTION = [Message("user", "hi")]


def slow_list(connection: Connection) -> None:
    if b"/models" in connection.requests[-1]:
        time.sleep(0.7)
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(LIST) + LIST)
    else:
        connection.freeze()


def test_the_list_and_the_reply_share_the_time():
    with Loopback(slow_list) as server:
        settings = Settings(model="openai:x", base_url=server.url, timeout=1.0)
        started = time.monotonic()
        with closing(open_engine(settings, lambda progress: None)) as engine:
            with pytest.raises(ConnectionLost, match="did not answer within 1 s"):
                list(engine.stream(QUESTION, GenerationParams(), NEVER))
            assert time.monotonic() - started < 1.6
            with pytest.raises(ConnectionLost, match="sent nothing for 1 s"):  # it has all again
                list(engine.stream(QUESTION, GenerationParams(), NEVER))


def test_a_question_that_no_reply_waits_for_spends_none_of_it():
    patience = Patience(5.0)
    with Loopback(frozen) as loopback, closing(Server(loopback.url, patience=patience)) as server:
        with pytest.raises(ConnectionLost):
            server.ask("GET", "/x", limit_s=0.2, spend=False)
        assert patience.left_s == 5.0
        with pytest.raises(ConnectionLost):
            server.ask("GET", "/x", limit_s=0.2)
        assert patience.left_s < 4.9


def test_a_request_that_fails_late_does_not_cut_off_the_next_one():
    class Late(Server):
        """Its thread hears only after a while that the connection was cut off."""

        def fetch(self, request):
            try:
                return super().fetch(request)
            except httpx.TransportError:
                time.sleep(0.1)
                raise

    with Loopback(frozen) as loopback, closing(Late(loopback.url)) as server:
        for _ in range(2):
            started = time.monotonic()
            with pytest.raises(ConnectionLost, match="sent nothing"):
                server.ask("GET", "/x", limit_s=0.3)
            assert time.monotonic() - started > 0.3


def test_a_one_shot_ends_when_the_list_does_not_come_and_a_chat_goes_on():
    with Loopback(frozen) as server:
        settings = Settings(model="openai:", base_url=server.url, timeout=0.3)
        assert with_model(settings) == settings
        with pytest.raises(EngineError, match="sent nothing"):
            with_model(settings, once=True)


def test_what_the_list_took_is_taken_off_the_time_of_a_one_shot():
    with Loopback(slow_list) as server:
        settings = Settings(model="openai:", base_url=server.url, timeout=5.0)
        named = with_model(settings, once=True)
    assert named.model == "openai:x"
    assert named.timeout < 4.5


def test_a_question_to_an_engine_that_does_not_open_is_tried_once():
    tries = []

    def open_it(report):
        tries.append(1)
        raise EngineError("closed", "open it")

    engine = EngineThread("x", open_it)
    with pytest.raises(EngineError, match="closed"):
        list(engine.stream(QUESTION, GenerationParams(), threading.Event()))
    assert tries == [1]
