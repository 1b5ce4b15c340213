"""A worker tells its controller that it is there, however often that forgets, or goes away."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from glmcli.errors import ConfigError
from glmcli.serve.worker.registration import Registration
from tests.support.loopback import Connection, Loopback, closed_port
from tests.support.serving import soon

ADDRESS = "http://127.0.0.1:21002"
STATUS = {"model_names": ["tiny"], "speed": 1, "queue_length": 3}


class Controller:
    """What a controller of FastChat answers, as its script is told, and what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict]] = []
        self.knows = True

    def __call__(self, connection: Connection) -> None:
        head, _, body = connection.requests[-1].partition(b"\r\n\r\n")
        path = head.split(b" ")[1].decode()
        self.asked.append((path, json.loads(body)))
        answer = b'{"exist":true}' if self.knows else b'{"exist":false}'
        answer = answer if path == "/receive_heart_beat" else b"null"
        self.knows = True
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
        connection.send(head % len(answer) + answer)

    def paths(self) -> list[str]:
        return [path for path, _ in self.asked]


@contextmanager
def registering(url: str, **options) -> Iterator[list[str]]:
    """A worker that registers there; what it tells."""
    told: list[str] = []
    stop = threading.Event()
    clocks = {"beat_s": 0.02, "again_s": 0.02, **options}
    made = Registration(url, ADDRESS, lambda: STATUS, tell=told.append, **clocks)
    thread = threading.Thread(target=made.run, args=(stop,))
    thread.start()
    try:
        yield told
    finally:
        stop.set()
        thread.join(20)
        assert not thread.is_alive()


def test_it_registers_once_and_beats_from_then_on():
    controller = Controller()
    with Loopback(controller) as server, registering(server.url) as told:
        assert soon(lambda: len(controller.asked) > 5)
    (path, body), beat = controller.asked[:2]
    assert path == "/register_worker"
    assert body == {
        "worker_name": ADDRESS,
        "check_heart_beat": True,
        "worker_status": STATUS,
        "multimodal": False,
    }
    assert beat == ("/receive_heart_beat", {"worker_name": ADDRESS, "queue_length": 3})
    assert controller.paths().count("/register_worker") == 1
    assert told == [f"registered as {ADDRESS}"]


def test_one_that_is_forgotten_registers_again_and_says_nothing():
    controller = Controller()
    with Loopback(controller) as server, registering(server.url) as told:
        assert soon(lambda: len(controller.asked) > 2)
        controller.knows = False
        assert soon(lambda: controller.paths().count("/register_worker") == 2)
        assert soon(lambda: controller.paths()[-1] == "/receive_heart_beat")
    assert len(told) == 1


def test_a_controller_that_is_gone_is_told_once_and_that_it_is_back_once():
    controller = Controller()
    port = closed_port()
    with registering(f"http://127.0.0.1:{port}") as told:
        assert soon(lambda: bool(told))
        threading.Event().wait(0.3)  # ten more tries
        assert len(told) == 1
    assert told[0].startswith("the controller does not answer (nothing listens at 127.0.0.1")

    goes = threading.Event()

    def script(connection: Connection) -> None:
        if goes.is_set():
            connection.reset()
        controller(connection)

    with Loopback(script) as server, registering(server.url) as told:
        assert soon(lambda: len(told) == 1)
        goes.set()
        assert soon(lambda: len(told) == 2)
        before = controller.paths().count("/register_worker")
        goes.clear()
        assert soon(lambda: len(told) == 3)
        assert soon(lambda: controller.paths().count("/register_worker") == before + 1)
    assert told[1].startswith("the controller does not answer")
    assert told[2] == "the controller answers again: the worker is registered"


def test_a_server_that_is_no_controller_is_told():
    def script(connection: Connection) -> None:
        connection.send(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")

    with Loopback(script) as server, registering(server.url) as told:
        assert soon(lambda: bool(told))
    assert "the controller does not answer (" in told[0]


def test_it_looks_up_the_controller_before_it_registers():
    met: list[int] = []
    with (
        Loopback(Controller()) as server,
        registering(server.url, meet=lambda: met.append(1)) as told,
    ):
        assert soon(lambda: bool(told))
    assert met == [1]


@pytest.mark.parametrize("url", ["", "ftp://x", "http://me:secret@127.0.0.1:21001"])
def test_an_address_that_is_none_is_refused(url):
    with pytest.raises(ConfigError):
        Registration(url, ADDRESS, lambda: STATUS, tell=print)
