"""Where a request goes: addresses, keys, proxies."""

from __future__ import annotations

from contextlib import closing

import httpx
import pytest

from glmcli.config.proxies import is_loopback
from glmcli.config.servers import ServerOptions
from glmcli.engines.remote.address import parse_address
from glmcli.engines.remote.faults import Refused, Unreachable
from glmcli.engines.remote.http import Server, open_server
from glmcli.errors import ConfigError
from tests.support.loopback import Loopback, closed_port
from tests.support.reading import answering, fault_of, read
from tests.support.transcripts import FakeServer


def test_a_redirect_is_not_followed_and_takes_no_key_along():
    moved = httpx.Response(307, headers={"Location": "http://elsewhere.test/x"})
    answers = FakeServer(x=moved)
    fault = fault_of("http://server.test", key="sesame", transport=answers)
    assert "moved to http://elsewhere.test/x" in fault.message
    assert [request.url.host for request in answers.requests] == ["server.test"]


@pytest.mark.parametrize("port", [0, 65536, 99999])
def test_a_port_that_is_none_is_said_to_be_that(port):
    with pytest.raises(ConfigError, match=f"there is no port {port}"):
        parse_address(f"http://127.0.0.1:{port}/v1")
    assert parse_address("http://127.0.0.1:65535").port == 65535


@pytest.mark.parametrize(
    "where",
    [
        "data:text/plain,x",
        "mailto:a@b",
        "http:foo:bar",
        "http://xn--0.com/",
        f"http://xn--{'a' * 150}/",
        "http://[::1/",
        "http://u:p@x/",
        "http://x:999999999/",
        "//evil/x",
    ],
)
def test_a_redirect_to_what_is_no_address_is_told_like_any_other(where):
    answers = FakeServer(x=httpx.Response(302, headers={"Location": where}))
    assert fault_of("http://server.test", transport=answers).message == (
        f"server.test moved to {where}"
    )


def test_an_answer_that_leads_nowhere_has_not_moved():
    for status in (300, 304):
        answers = FakeServer(x=httpx.Response(status))
        fault = fault_of("http://server.test", transport=answers)
        assert fault.message == f"server.test refused ({status})"


def test_the_key_is_sent_as_a_header_and_shown_nowhere():
    echo = httpx.Response(401, text="bad key: sesame, the key sesame is bad")
    answers = FakeServer(x=echo)
    fault = fault_of("http://server.test", key="sesame", transport=answers)
    assert answers.requests[0].headers["Authorization"] == "Bearer sesame"
    assert "sesame" not in str(answers.requests[0].url)
    assert "sesame" not in repr((fault.message, fault.hint, fault.detail, fault.args))


@pytest.mark.parametrize(
    ("url_from", "key_from", "is_sent"),
    [
        ("option", "environment", True),
        ("environment", "environment", True),
        ("config.toml", "config.toml", True),
        (".env", ".env", True),
        (".env", "environment", False),
        (".env", "config.toml", False),
    ],
)
def test_an_address_from_a_strange_folder_gets_no_key_from_elsewhere(url_from, key_from, is_sent):
    answers = FakeServer(x=httpx.Response(401))
    options = ServerOptions(api_key="sesame", sources={"base_url": url_from, "api_key": key_from})
    server = open_server(options, "http://server.test", transport=answers)
    with pytest.raises(Refused) as caught:
        read(server)
    assert ("Authorization" in answers.requests[0].headers) is is_sent
    assert ("--base-url" in caught.value.hint) is not is_sent


@pytest.mark.parametrize(
    "url",
    [
        "",
        "server.test:80",
        "localhost:8000",
        "ftp://server.test",
        "http://",
        "http://[::1",
        "http:foo:bar",
        "http://xn--0.com",
        f"http://xn--{'a' * 300}",
        "http://a..b/",
        f"http://{'a' * 64}.test/",
        "http://.",
    ],
)
def test_what_is_no_address_is_refused(url):
    with pytest.raises(ConfigError) as caught:
        Server(url)
    assert "http://" in caught.value.hint


def test_an_address_with_a_password_is_refused_and_not_shown():
    with pytest.raises(ConfigError) as caught:
        Server("http://me:sesame@server.test")
    assert "sesame" not in caught.value.message + caught.value.hint


@pytest.mark.parametrize("key", ["a b", "a\nb", "ключ", "a\x00"])
def test_a_key_that_cannot_be_sent_is_refused_and_not_shown(key):
    with pytest.raises(ConfigError) as caught:
        Server("http://server.test", key=key)
    assert key not in caught.value.message + caught.value.hint


@pytest.mark.parametrize("query", ["api-version=2024-02-01", "a=1&code=s%2Fesame-open&b", ""])
def test_a_query_of_the_address_goes_with_every_request(query):
    answers = FakeServer(api_x=httpx.Response(200, json={}))
    mark = "?" if query else ""
    with closing(Server(f"http://server.test/api/{mark}{query}#x", transport=answers)) as server:
        assert server.url == "http://server.test/api"
        server.ask("GET", "/x")
        server.ask("POST", "/x", {})
    assert [str(request.url) for request in answers.requests] == [
        f"http://server.test/api/x{mark}{query}"
    ] * 2


def test_a_secret_in_the_query_is_never_shown():
    said = httpx.Response(400, json={"error": "no s/esame-open for 2024-02-01"})
    url = "http://server.test?api-version=2024-02-01&code=s%2Fesame-open"
    fault = fault_of(url, transport=FakeServer(x=said))
    assert fault.message == "server.test refused (400): no [key] for 2024-02-01"
    with pytest.raises(ConfigError) as caught:
        Server("ftp://server.test?code=s%2Fesame-open")
    assert "esame" not in caught.value.message + caught.value.hint


def test_proxies_are_honoured_but_never_for_this_machine(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{closed_port()}")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    with Loopback(answering(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")) as loopback:
        with closing(Server(loopback.url)) as server:
            assert read(server) == b"ok"
        assert len(loopback.connections) == 1
    assert isinstance(fault_of("http://server.test"), Unreachable)


@pytest.mark.parametrize(
    ("host", "is_here"),
    [
        ("localhost", True),
        ("127.0.0.1", True),
        ("127.1.2.3", True),
        ("::1", True),
        ("192.168.1.2", False),
        ("localhost.evil.test", False),
        ("server.test", False),
    ],
)
def test_this_machine_is_known_by_its_names(host, is_here):
    assert is_loopback(host) is is_here
