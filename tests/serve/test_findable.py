import fcntl
import os
import shutil
import socket
import subprocess
import threading
import time
from contextlib import ExitStack, closing
from dataclasses import replace

import pytest

from glmcli.config import BUILT_IN_MODEL, Settings
from glmcli.engines.echo import EchoEngine
from glmcli.engines.kept.finding import Finder, lines_about, make_leave
from glmcli.engines.kept.place import (
    KeptPlace,
    all_places,
    folder_to_use,
    kept_key,
    read_about,
    write_about,
)
from glmcli.engines.kept.tending import kept_models
from glmcli.engines.thread import EngineThread
from glmcli.serve.findable import as_known, findable, locked
from glmcli.serve.holder import Holder
from tests.support.kept import status_at, wait_until


@pytest.fixture
def holder(own_runtime):
    engine = EngineThread("echo:", lambda report: EchoEngine(), shared=True)
    yield Holder(engine, "echo")
    engine.close()


def test_what_is_served_is_found_and_does_not_leave_for_another_model(holder):
    with findable(holder, Settings(model="echo:"), ignore, ignore):
        (place,) = all_places()
        assert status_at(place)["model"] == "echo"
        others = make_leave([place], lambda progress: None)
        assert lines_about(others, "") == ["echo is served and stays beside this model"]
        with holder.attached():
            assert make_leave([place], lambda progress: None).stay == ["echo"]
        assert place.socket.exists()
        assert not holder.stopping.is_set()
    assert all_places() == []


def test_a_second_ctrl_c_waits_for_nobody_and_leaves_no_socket(holder, monkeypatch):
    monkeypatch.setattr("glmcli.serve.findable.END_S", 20.0)
    with holder.answered():
        since = time.monotonic()
        with (
            pytest.raises(KeyboardInterrupt),
            findable(holder, Settings(model="echo:"), ignore, ignore),
        ):
            raise KeyboardInterrupt
        assert time.monotonic() - since < 10
        assert all_places() == []


def test_http_is_spoken_there_and_told_to_the_log(holder):
    said = []
    logged = threading.Event()

    def log(line):
        said.append(line)
        logged.set()

    with findable(holder, Settings(model="echo:"), log, ignore):
        (place,) = all_places()
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(place.socket))
            client.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            with client.makefile("rb") as answer:
                assert answer.read().startswith(b"HTTP/1.1 503")  # it is not loaded
        assert logged.wait(10)
        assert said[0].startswith("GET /health 503")


def test_a_second_copy_is_told_found_beside_the_first_and_ended_like_it(holder):
    settings, told = Settings(model="echo:"), []
    holder.address = "http://there:8000"
    other = Holder(holder.engine, "other")
    with findable(holder, settings, ignore, ignore):
        dead = KeptPlace(folder_to_use(), all_places()[0].key).beside(closed_process())
        with socket.socket(socket.AF_UNIX) as left:
            left.bind(str(dead.socket))
        with findable(other, settings, ignore, told.append):
            names = [status["model"] for _, status in kept_models()]
            assert sorted(names) == ["echo", "other"]
            assert not dead.socket.exists()
            assert make_leave(all_places(), lambda progress: None).served != []
            assert len(all_places()) == 2
        assert not holder.stopping.is_set()
        assert [status["model"] for _, status in kept_models()] == ["echo"]
    assert not [*folder_to_use().glob("*.json")]
    (line,) = told
    assert f"process {os.getpid()}" in line
    assert "http://there:8000" in line


def test_calls_find_the_copy_that_is_left(holder):
    settings = Settings(model="echo:")
    other = Holder(holder.engine, "other")
    with ExitStack() as stack, ExitStack() as first:
        first.enter_context(findable(holder, settings, ignore, ignore))
        stack.enter_context(findable(other, settings, ignore, ignore))
        holder.engine.start()
        first.close()
        engine = Finder(settings, ignore).found(all_places())
        with closing(engine):
            assert "kept by process" in engine.details


def test_where_nothing_can_listen_the_place_is_left_to_others(holder):
    told, settings = [], Settings(model="echo:")
    place = KeptPlace(folder_to_use(), kept_key(settings, None))
    place.socket.mkdir()
    with findable(holder, settings, ignore, told.append):
        assert "will not find this model" in told[0]
        with place.lock.open() as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_whoever_removes_its_socket_is_told_and_it_is_found_again(holder):
    told = []
    with findable(holder, Settings(model="echo:"), ignore, told.append):
        (place,) = all_places()
        for gone in (place.socket.unlink, lambda: shutil.rmtree(place.folder)):
            told.clear()
            gone()
            assert wait_until(lambda: told), "nothing is said"
            assert [status["model"] for _, status in kept_models()] == ["echo"]
            assert [each.key for each in all_places()] == [place.key]
            assert told == ["the socket where glm ask finds this model was gone: it is back"]
        with place.lock.open() as lock, pytest.raises(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    assert all_places() == []
    assert not holder.is_needed


def test_at_its_end_it_takes_nothing_from_whoever_is_in_its_place(holder, monkeypatch):
    monkeypatch.setattr("glmcli.serve.life.LOOK_S", 1.0)
    with findable(holder, Settings(model="echo:"), ignore, ignore):
        (place,) = all_places()
        shutil.rmtree(place.folder)
        folder_to_use()
        with ExitStack() as stack:
            assert locked(place, stack) is not None
            write_about(place, "the next", 1)
            assert wait_until(lambda: [each for each in all_places() if each.pid])
            assert read_about(place)["model"] == "the next"
    assert read_about(place)["model"] == "the next"


def test_by_what_bits_it_is_found_is_known_when_it_is_loaded_if_they_are_chosen_then(tmp_path):
    settings = Settings(model=str(tmp_path), quantize="auto")
    assert as_known(settings, "") is None
    assert as_known(settings, "cpu int8") == replace(settings, quantize="int8")
    assert as_known(settings, "cpu bfloat16") == replace(settings, quantize="none")
    for others in (replace(settings, quantize="int8"), Settings(model="echo:")):
        assert as_known(others, "") == others


def test_a_process_that_runs_torch_finds_what_others_do(monkeypatch, own_runtime):
    settings = Settings(model="echo:")
    before = kept_key(settings, None)
    for name in ("TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR", "CUDA_MODULE_LOADING"):
        monkeypatch.setenv(name, "set by torch")
    assert kept_key(settings, None) == before
    monkeypatch.setenv("OMP_NUM_THREADS", "17")
    assert kept_key(settings, None) != before


def test_what_is_not_here_yet_is_known_when_it_is_loaded(tmp_path):
    settings = Settings(model=BUILT_IN_MODEL, cache=tmp_path)
    assert as_known(settings, "") is None
    assert as_known(replace(settings, model="gguf:" + BUILT_IN_MODEL), "") is None
    assert as_known(settings, "cpu bfloat16") == settings
    (tmp_path / "models" / BUILT_IN_MODEL).mkdir(parents=True)
    assert as_known(settings, "") == settings


def closed_process():
    """The number of a process that has ended."""
    with subprocess.Popen(["true"]) as process:
        process.wait()
    return process.pid


def ignore(said):
    pass
