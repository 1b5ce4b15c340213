import os
import socket
import stat
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from glmcli.errors import UsageError
from glmcli.serve import doors
from glmcli.serve.doors import Doors, listen_at, listening_at
from glmcli.serve.http import Site
from tests.support.serving import served, soon


def close_all(listeners: list[socket.socket]) -> None:
    for each in listeners:
        each.close()


def test_a_port_in_use_is_said_with_one_that_may_not_be() -> None:
    listeners = listen_at("127.0.0.1", 0)
    port = listeners[0].getsockname()[1]
    with pytest.raises(UsageError, match=str(port)) as refused:
        listen_at("127.0.0.1", port)
    assert f"--port {port + 1}" in refused.value.hint
    close_all(listeners)


def test_a_name_is_listened_at_by_all_its_addresses() -> None:
    listeners = listen_at("localhost", 0)
    assert listeners
    assert len({each.getsockname()[1] for each in listeners}) == 1
    close_all(listeners)


@pytest.mark.parametrize("host", ["192.0.2.1", "no such host", "x" * 300])
def test_a_host_that_is_not_this_machine_is_refused(host: str) -> None:
    with pytest.raises(UsageError) as refused:
        listen_at(host, 0)
    assert "--host" in refused.value.hint


def test_a_socket_is_its_users_own_and_gone_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "s"
    before = os.umask(0o022)
    os.umask(before)
    with listening_at(path):
        assert stat.S_ISSOCK(path.stat().st_mode)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert os.umask(before) == before
    assert not path.exists()


def test_a_socket_that_another_one_replaced_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with listening_at(path):
        path.unlink()
        path.write_text("other")
    assert path.read_text() == "other"


def test_the_socket_of_a_program_that_died_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(os.fspath(path))
    with listening_at(path), socket.socket(socket.AF_UNIX) as client:
        client.connect(os.fspath(path))


def test_one_that_answers_is_not(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with listening_at(path) as listener:
        with pytest.raises(UsageError, match="another program answers"), listening_at(path):
            pass
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(os.fspath(path))
            listener.accept()[0].close()


def test_files_in_its_place_stay(tmp_path: Path) -> None:
    file, link = tmp_path / "file", tmp_path / "link"
    file.write_text("mine")
    link.symlink_to(tmp_path / "nowhere")
    for path, kind in ((file, "a file"), (link, "a symbolic link"), (tmp_path, "a folder")):
        with pytest.raises(UsageError, match=f"is there already: {kind}"), listening_at(path):
            pass
    assert file.read_text() == "mine"
    assert link.is_symlink()


@pytest.mark.parametrize("name", ["no/such/folder/s", "x" * 101])
def test_a_path_that_cannot_be_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError) as refused, listening_at(tmp_path / name):
        pass
    assert refused.value.hint


def test_of_many_that_start_at_once_at_a_dead_socket_one_listens(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(os.fspath(path))
    begun, done, got = threading.Event(), threading.Event(), []

    def start() -> None:
        begun.wait(10)
        try:
            with listening_at(path):
                got.append("listens")
                done.wait(10)
        except UsageError:
            got.append("refused")

    threads = [threading.Thread(target=start) for _ in range(8)]
    for thread in threads:
        thread.start()
    begun.set()
    assert soon(lambda: len(got) == 8)
    done.set()
    for thread in threads:
        thread.join(10)
    assert got.count("listens") == 1


@contextmanager
def crowd(port: int, size: int) -> Iterator[list[socket.socket]]:
    connections = [socket.create_connection(("127.0.0.1", port), timeout=10) for _ in range(size)]
    try:
        yield connections
    finally:
        close_all(connections)


def test_connections_beyond_the_limit_are_told_and_others_go_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(doors, "MOST_CONNECTIONS", 4)
    with served() as server:
        with crowd(server.port, 4), server.raw() as fifth:
            assert fifth.recv(65536).startswith(b"HTTP/1.1 503")
        assert soon(lambda: server.ask("GET", "/v1/models").status == 200)


def test_connections_for_which_there_is_no_thread_are_told_and_keep_no_room(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refused(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(doors, "MOST_CONNECTIONS", 2)
    with served() as server:
        assert server.ask("GET", "/v1/models").status == 200
        with monkeypatch.context() as without:
            without.setattr(threading.Thread, "start", refused)
            for _ in range(4):
                with server.raw() as connection:
                    assert connection.recv(65536).startswith(b"HTTP/1.1 503")
        assert soon(lambda: server.ask("GET", "/v1/models").status == 200)


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="no socket here has both families")
def test_all_addresses_of_ipv6_are_those_of_ipv4_too() -> None:
    listeners = listen_at("::", 0)
    port = listeners[0].getsockname()[1]
    for host in ("127.0.0.1", "::1"):
        socket.create_connection((host, port), timeout=10).close()
    close_all(listeners)


def test_closed_doors_let_nobody_in_and_leave_no_thread() -> None:
    before = threading.active_count()
    (listener,) = listen_at("127.0.0.1", 0)
    port = listener.getsockname()[1]
    opened = Doors([listener], Site({}))
    opened.open()
    with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert client.recv(65536).startswith(b"HTTP/1.1 404")
    opened.close()
    time.sleep(0.05)
    with pytest.raises(OSError):
        socket.create_connection(("127.0.0.1", port), timeout=1)
    assert soon(lambda: threading.active_count() <= before)
