"""A server behind a proxy is reached, or the proxy is named as what is in the way."""

from __future__ import annotations

import socket
import threading
from contextlib import closing

import pytest

from glmcli.config import Settings
from glmcli.engines.remote.discover import list_models
from glmcli.engines.remote.http import Server
from glmcli.errors import ConfigError, EngineError
from tests.support.loopback import CERTIFICATE, OK, Connection, Loopback, closed_port
from tests.support.reading import fault_of, read
from tests.support.relay import Relay

PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch):
    for name in PROXIES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def says_hello(connection: Connection) -> None:
    connection.send(OK)
    connection.chunk(b"hello")
    connection.chunk(b"")


@pytest.mark.parametrize("kind", ["socks5://", "socks5h://", "socks://", "http://", ""])
@pytest.mark.parametrize("variable", ["ALL_PROXY", "all_proxy", "http_proxy"])
def test_a_server_is_reached_through_a_proxy_of_every_kind(kind, variable, monkeypatch):
    with Loopback(says_hello) as loopback, Relay(loopback.url) as relay:
        monkeypatch.setenv(variable, f"{kind}{relay.address}")
        with closing(Server("http://server.test")) as server:
            assert read(server) == b"hello"
        assert "server.test" in relay.asked_for[0]


@pytest.mark.parametrize("kind", ["socks5", "http"])
def test_a_proxy_gets_its_password_and_a_server_with_tls_its_certificate(kind, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATE))
    with (
        Loopback(says_hello, tls=True) as loopback,
        Relay(loopback.url, wants="me:secret1234") as relay,
    ):
        monkeypatch.setenv("HTTPS_PROXY", f"{kind}://me:secret1234@{relay.address}")
        with (
            closing(Server("https://127.0.0.1.nip.test")) as server,
            pytest.raises(EngineError) as no,
        ):
            read(server)
        assert "certificate" in no.value.message  # it is for another name: TLS was spoken
        assert relay.asked_for
        assert "secret1234" not in str(no.value.args) + no.value.message + no.value.hint


@pytest.mark.parametrize("kind", ["socks5", "http"])
def test_a_proxy_that_wants_a_password_is_told_how(kind, monkeypatch):
    with Loopback(says_hello) as loopback, Relay(loopback.url, wants="me:secret") as relay:
        monkeypatch.setenv("ALL_PROXY", f"{kind}://{relay.address}")
        fault = fault_of("http://server.test")
    assert fault.hint == f"write {kind}://NAME:PASSWORD@HOST:PORT in ALL_PROXY"


@pytest.mark.parametrize("url", ["http://server.test", "https://server.test"])
@pytest.mark.parametrize("kind", ["socks5", "socks", "http", "https"])
def test_a_dead_proxy_is_named_and_not_the_server(url, kind, monkeypatch):
    monkeypatch.setenv("ALL_PROXY", f"{kind}://me:secret1234@127.0.0.1:{closed_port()}")
    fault = fault_of(url)
    assert "the proxy of ALL_PROXY" in fault.message
    assert "cannot be reached" in fault.message
    assert "list server.test in NO_PROXY" in fault.hint
    assert "secret1234" not in fault.message


@pytest.mark.parametrize(
    "answer",
    [b"", b"HTTP/1.1 400 Bad\r\n\r\n", b"\5", b"\4\0", b"\5\0\5\0", b"\5\xff", b"\0" * 9],
)
def test_what_does_not_speak_socks_is_said_to_be_the_proxy(answer, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as odd:

        def answer_once() -> None:
            client, _ = odd.accept()
            with client:
                client.recv(100)
                client.sendall(answer)
                client.shutdown(socket.SHUT_WR)
                client.recv(100)  # closed with something unread, it would be a broken connection

        threading.Thread(target=answer_once).start()
        monkeypatch.setenv("ALL_PROXY", f"socks5://127.0.0.1:{odd.getsockname()[1]}")
        fault = fault_of("http://server.test")
    assert "the proxy of ALL_PROXY" in fault.message


@pytest.mark.parametrize("listed", ["server.test", "*", "[::1],server.test"])
def test_no_proxy_leads_past_a_proxy(listed, monkeypatch):
    monkeypatch.setenv("ALL_PROXY", f"http://127.0.0.1:{closed_port()}")
    monkeypatch.setenv("no_proxy", listed)
    assert "proxy" not in fault_of("http://server.test:1").message


def test_this_machine_needs_no_proxy(monkeypatch):
    monkeypatch.setenv("ALL_PROXY", "nonsense://")
    with Loopback(says_hello) as loopback, closing(Server(loopback.url)) as server:
        assert read(server) == b"hello"


@pytest.mark.parametrize("kind", ["openai", "fastchat", ""])
def test_a_proxy_that_cannot_be_is_one_line_wherever_a_server_is_asked(kind, monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", "socks4://me:secret@proxy.test:1")
    with pytest.raises(ConfigError, match="HTTPS_PROXY names a proxy of a kind") as caught:
        list_models(Settings(base_url="https://server.test"), kind=kind)
    assert "secret" not in caught.value.message


@pytest.mark.parametrize("host", ["a..b", "xn--0.com", f"{'a' * 64}.test"])
def test_a_proxy_whose_name_cannot_be_one_is_named_by_its_variable(host, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", f"http://{host}:1")
    with pytest.raises(ConfigError, match="the proxy that HTTP_PROXY names cannot be used"):
        Server("http://server.test")


@pytest.mark.parametrize("content", [None, b"no certificate"])
def test_certificates_that_cannot_be_read_are_named(content, tmp_path, monkeypatch):
    path = tmp_path / "own.pem"
    if content:
        path.write_bytes(content)
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    with pytest.raises(ConfigError, match="SSL_CERT_FILE"):
        Server("https://server.test")
