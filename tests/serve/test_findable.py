import socket
import threading

import pytest

from glmcli.config import Settings
from glmcli.engines.echo import EchoEngine
from glmcli.engines.kept.finding import make_leave
from glmcli.engines.kept.place import all_places
from glmcli.engines.thread import EngineThread
from glmcli.serve.findable import findable
from glmcli.serve.holder import Holder
from tests.support.kept import status_at


@pytest.fixture
def holder(own_runtime):
    engine = EngineThread("echo:", lambda report: EchoEngine(), shared=True)
    yield Holder(engine, "echo")
    engine.close()


def test_what_is_served_is_found_and_does_not_leave_for_another_model(holder):
    with findable(holder, Settings(model="echo:"), lambda line: None):
        (place,) = all_places()
        assert status_at(place)["model"] == "echo"
        assert make_leave([place], lambda progress: None) == ["echo"]
        assert place.socket.exists()
        assert not holder.stopping.is_set()
    assert all_places() == []


def test_http_is_spoken_there_and_told_to_the_log(holder):
    said = []
    logged = threading.Event()

    def log(line):
        said.append(line)
        logged.set()

    with findable(holder, Settings(model="echo:"), log):
        (place,) = all_places()
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(place.socket))
            client.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            with client.makefile("rb") as answer:
                assert answer.read().startswith(b"HTTP/1.1 503")  # it is not loaded
        assert logged.wait(10)
        assert said[0].startswith("GET /health 503")


def test_a_second_one_is_served_though_the_first_is_found(holder):
    settings = Settings(model="echo:")
    with findable(holder, settings, lambda line: None):
        other = Holder(holder.engine, "other")
        with findable(other, settings, lambda line: None):
            (place,) = all_places()
            assert status_at(place)["model"] == "echo"
        assert not holder.stopping.is_set()
