import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest

from glmcli.engines.echo import EchoEngine
from glmcli.engines.kept.engine import KeptEngine
from glmcli.engines.kept.finding import make_leave
from glmcli.engines.kept.link import Gone
from glmcli.engines.kept.place import KeptPlace, folder_to_use
from glmcli.engines.kept.starting import link_to_socket
from glmcli.engines.kept.wire import request_of
from glmcli.errors import EngineError
from glmcli.types import Chunk, GenerationParams, Message
from tests.support.kept import held, is_gone, wait_until


@pytest.fixture
def place(own_runtime) -> KeptPlace:
    return KeptPlace(folder_to_use(), "a" * 16)


def opened(place):
    link = link_to_socket(place)
    assert link is not None
    engine = KeptEngine(link, lambda: opened(place))
    try:
        engine.open(lambda progress: None)
    except BaseException:
        engine.close()
        raise
    return engine


def reply(engine, text="hi"):
    chunks = list(engine.stream([Message("user", text)], GenerationParams(), threading.Event()))
    return "".join(chunk.text for chunk in chunks)


def test_it_ends_some_time_after_its_last_use(place):
    with held(place, keep_s=0.3) as (_, thread, said):
        engine = opened(place)
        assert reply(engine) == "hi"
        thread.join(0.8)
        assert thread.is_alive(), "somebody may go on to ask"
        engine.close()
        thread.join(3)
        assert not thread.is_alive()
    assert not place.socket.exists()
    assert said == ["ends: idle"]


def looks_in_vain(place):
    link = link_to_socket(place)
    if link is not None:
        with suppress(Gone):  # it may end at any moment
            link.send({"ask": "status"})
            link.receive(5.0)
        link.close()
    return link is None


def test_looking_at_it_does_not_keep_it(place):
    with held(place, keep_s=0.3) as (_, thread, _):
        assert wait_until(lambda: looks_in_vain(place), 3)
        thread.join(3)
        assert not thread.is_alive()


def test_who_came_while_it_was_idle_is_answered_whenever_that_was(place):
    """Again and again at the moment of its end: by it, since it stays, or by nobody at all."""
    for delay in range(12):
        with held(place, keep_s=0.2) as (_, thread, _):
            thread.join(0.2 + delay * 0.02)
            link = link_to_socket(place)
            if link is None:
                continue
            engine = KeptEngine(link, lambda: pytest.fail("it was not answered"))
            try:
                engine.open(lambda progress: None)
                assert reply(engine) == "hi"
            finally:
                engine.close()


def test_it_stays_where_somebody_slipped_in(place):
    with held(place, keep_s=0.4) as (_, thread, said):
        late = link_to_socket(place)
        assert late is not None
        engine = KeptEngine(late, lambda: pytest.fail("it left"))
        assert wait_until(lambda: not place.socket.exists(), 3)
        engine.open(lambda progress: None)
        assert wait_until(lambda: said == ["stays: somebody came"], 3)
        assert place.socket.exists()
        assert reply(engine) == "hi"
        assert thread.is_alive()
        other = opened(place)
        assert reply(other) == "hi"
        for each in (engine, other):
            each.close()


def test_without_its_socket_nobody_finds_it_so_it_ends(place):
    with held(place) as (_, thread, said):
        place.socket.unlink()
        thread.join(3)
        assert not thread.is_alive()
    assert said == ["ends: its socket is gone"]


def test_another_socket_in_its_place_is_left_alone(place):
    with held(place) as (_, thread, _):
        place.socket.unlink()
        place.socket.write_text("another's")
        thread.join(3)
    assert place.socket.read_text() == "another's"


def test_told_to_stop_it_answers_to_the_end_and_lets_nobody_in(place):
    with held(place, delay_s=0.02) as (holder, thread, _):
        engine = opened(place)
        stream = engine.stream(
            [Message("user", "word " * 30)], GenerationParams(), threading.Event()
        )
        first = next(chunk for chunk in stream if chunk.text)
        holder.stop()
        assert wait_until(lambda: is_gone(place), 2)
        rest = "".join(chunk.text for chunk in stream)
        assert first.text + rest == "word " * 30
        thread.join(3)
        assert not thread.is_alive()
        engine.close()


def test_told_to_stop_while_it_loads_it_says_so_to_all_who_wait(place):
    loaded = threading.Event()
    with held(place, loaded=loaded) as (holder, thread, _), ThreadPoolExecutor(3) as pool:
        opening = [pool.submit(opened, place) for _ in range(2)]
        link = link_to_socket(place)
        asking = KeptEngine(link, lambda: pytest.fail("it was asked elsewhere"))
        asked = pool.submit(reply, asking)
        assert wait_until(lambda: (holder.busy, holder.status()["clients"]) == (1, 2))
        holder.stop()
        for each in (*opening, asked):
            with pytest.raises(EngineError, match="was told to stop"):
                each.result(3)
        asking.close()
        thread.join(3)
        assert not thread.is_alive()
        loaded.set()


def test_who_reads_slowly_has_the_whole_reply_at_the_end(place):
    with held(place, window=100_000) as (holder, thread, _):
        link = link_to_socket(place)
        text = "word " * 8000
        link.send({"ask": "stream", **request_of([Message("user", text)], GenerationParams())})
        assert wait_until(lambda: holder.unanswered and not holder.busy)
        holder.stop()
        thread.join(0.5)
        assert thread.is_alive()
        came = ""
        while not (data := link.receive(5)).get("end"):
            came += data.get("chunk", {}).get("text", "")
        assert came == text
        thread.join(3)
        assert not thread.is_alive()
        link.close()


def test_an_idle_one_leaves_for_another_model(place, monkeypatch):
    monkeypatch.setattr("glmcli.engines.kept.finding.LEAVE_S", 0.3)
    with held(place) as (_, thread, said):
        told = []
        others = make_leave([place], told.append)
        assert (others.stay, others.left) == ([place.key], []), "this process does not end"
        thread.join(3)
        assert not thread.is_alive()
    assert said == ["ends: in the way"]


def test_one_that_is_needed_stays(place):
    with held(place):
        engine = opened(place)
        assert make_leave([place], lambda progress: None).stay == ["echo:"]
        assert reply(engine) == "hi"
        engine.close()


def test_one_that_was_killed_is_not_waited_for(place):
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(place.socket))
    listener.close()
    assert make_leave([place], lambda progress: None).stay == []


def test_what_is_no_line_and_no_http_is_let_go(place):
    with held(place):
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(5)
        connection.connect(str(place.socket))
        connection.sendall(b"\0\0\0")
        with pytest.raises((ConnectionResetError, Gone)):
            if not connection.recv(1):
                raise Gone
        connection.close()


class DeafEngine(EchoEngine):
    """One that hears no cancel, and never ends, as inside a kernel that hangs."""

    def stream(self, messages, params, cancel):
        yield Chunk("hm")
        released.wait()


released = threading.Event()


def test_an_engine_that_does_not_stop_is_no_reason_to_stay(place, monkeypatch):
    monkeypatch.setattr("glmcli.serve.life.DEAF_S", 0.3)
    with held(place, engine=DeafEngine()) as (_, thread, said):
        engine, cancel = opened(place), threading.Event()
        stream = engine.stream([Message("user", "hi")], GenerationParams(), cancel)
        assert next(stream).text == "hm"
        cancel.set()
        assert list(stream)[-1].finish_reason == "cancelled"
        engine.close()
        thread.join(3)
        assert not thread.is_alive()
        released.set()
    assert said == ["ends: the engine does not stop"]


def test_memory_goes_back_once_each_time_that_nobody_needs_it(place, monkeypatch):
    given = []
    monkeypatch.setattr("glmcli.serve.life.GIVE_BACK_S", 0.1)
    monkeypatch.setattr("glmcli.serve.life.trim_heap", lambda: given.append(1))
    with held(place):
        for n in (1, 2):
            engine = opened(place)
            assert reply(engine) == "hi"
            threading.Event().wait(0.5)
            assert len(given) == n - 1
            engine.close()
            assert wait_until(lambda n=n: len(given) == n, 5)
            threading.Event().wait(0.5)
            assert len(given) == n
