"""Which proxy is used for which server, and what is said of one that cannot be."""

from __future__ import annotations

import os
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import pytest

from glmcli.config.proxies import is_exempt, proxy_for, readable_proxies
from glmcli.errors import ConfigError

HTTP, HTTPS = "http://api.test/v1", "https://api.test/v1"


@pytest.mark.parametrize(
    ("url", "environ", "found"),
    [
        (HTTP, {}, None),
        (HTTP, {"http_proxy": "http://p:1"}, ("http_proxy", "http://p:1")),
        (HTTP, {"HTTP_PROXY": "http://p:1"}, ("HTTP_PROXY", "http://p:1")),
        (HTTP, {"https_proxy": "http://p:1"}, None),
        (HTTPS, {"HTTPS_PROXY": "http://p:1"}, ("HTTPS_PROXY", "http://p:1")),
        (HTTPS, {"https_proxy": "", "HTTPS_PROXY": "a:1"}, ("HTTPS_PROXY", "http://a:1")),
        (HTTPS, {"https_proxy": "a:1", "HTTPS_PROXY": "b:1"}, ("https_proxy", "http://a:1")),
        (HTTPS, {"all_proxy": "a:1", "http_proxy": "b:1"}, ("all_proxy", "http://a:1")),
        (HTTP, {"ALL_PROXY": "socks5://a:1", "http_proxy": "b:1"}, ("http_proxy", "http://b:1")),
        (HTTP, {"ALL_PROXY": "socks5://a:1"}, ("ALL_PROXY", "socks5://a:1")),
        (HTTP, {"ALL_PROXY": "socks5h://a:1"}, ("ALL_PROXY", "socks5h://a:1")),
        (HTTP, {"ALL_PROXY": "socks://a:1/"}, ("ALL_PROXY", "socks5h://a:1/")),
        (HTTP, {"ALL_PROXY": "SOCKS5://a:1"}, ("ALL_PROXY", "socks5://a:1")),
        (HTTP, {"ALL_PROXY": "https://[::1]:3"}, ("ALL_PROXY", "https://[::1]:3")),
        (HTTP, {"ALL_PROXY": "a:1", "no_proxy": "api.test"}, None),
        (HTTP, {"ALL_PROXY": "ftp://a", "NO_PROXY": "*"}, None),
    ],
)
def test_the_nearest_variable_names_the_proxy(url, environ, found):
    proxy = proxy_for(url, environ)
    assert (proxy and (proxy.variable, proxy.url)) == found


@pytest.mark.parametrize(
    ("url", "listed", "exempt"),
    [
        ("http://api.test", "api.test", True),
        ("http://API.test.", "x, api.test", True),
        ("http://api.test", "other.test api.test", True),
        ("http://api.test", ".test", True),
        ("http://api.test", "*.test", True),
        ("http://api.test", "pi.test", False),
        ("http://api.test:8000", "api.test:8000", True),
        ("http://api.test:8000", "api.test:80", False),
        ("http://api.test", "api.test:80", True),
        ("https://api.test", "https://api.test", True),
        ("http://api.test", "*", True),
        ("http://api.test", ",, ,", False),
        ("http://10.1.2.3", "10.0.0.0/8", True),
        ("http://11.1.2.3", "10.0.0.0/8", False),
        ("http://10.1.2.3", "10.1.2.3", True),
        ("http://10.1.2.3", "10.1.2.3:80", True),
        ("http://[fe80::5]", "[fe80::5]", True),
        ("http://[fe80::5]", "fe80::5", True),
        ("http://[fe80::5]:99", "[fe80::5]:99", True),
        ("http://[fe80::5]:99", "[fe80::5]:98", False),
        ("http://[fe80::5]", "fe80::/10", True),
        ("http://[fe80::5]", "10.0.0.0/8,[::1]", False),
        ("http://api.test", "[::1], 10.0.0.0/8, [, ], :80", False),
    ],
)
def test_no_proxy_is_read_in_every_form(url, listed, exempt):
    assert (proxy_for(url, {"all_proxy": "p:1", "no_proxy": listed}) is None) == exempt


def test_a_long_list_is_no_trouble():
    assert not is_exempt("a.test", 80, "x" * 100_000 + ",[" * 50_000)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("socks4://p:1", "names a proxy of a kind that cannot be used: socks4"),
        ("ftp://p:1", "names a proxy of a kind that cannot be used: ftp"),
        ("://", "is not the address of a proxy"),
        ("://p:1", "is not the address of a proxy"),
        ("http://", "is not the address of a proxy"),
        ("http://p:99999", "is not the address of a proxy"),
        ("http://p:x", "is not the address of a proxy"),
        ("http://[::1", "is not the address of a proxy"),
        ("http://me:secret@", "is not the address of a proxy"),
        ("http://me:secret@p:1\x1b[31m", "is not the address of a proxy"),
        ("me:secret@p o", "is not the address of a proxy"),
    ],
)
def test_a_proxy_that_cannot_be_is_named_by_its_variable_and_shows_no_password(value, said):
    with pytest.raises(ConfigError) as caught:
        proxy_for(HTTP, {"ALL_PROXY": value})
    assert caught.value.message.startswith(f"ALL_PROXY {said}")
    assert "ALL_PROXY" in caught.value.hint
    assert "secret" not in caught.value.message + caught.value.hint


def test_what_is_shown_of_a_proxy_has_no_password():
    proxy = proxy_for(HTTP, {"ALL_PROXY": "socks5://me:secret@p:1"})
    assert (proxy.address, proxy.password, proxy.is_socks) == ("socks5://p:1", "secret", True)
    assert "secret" not in repr(proxy)


def test_other_libraries_read_the_same_in_plain_words_for_a_while(monkeypatch):
    for name in ("http_proxy", "https_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("ALL_PROXY", "socks://p:1/")
    monkeypatch.delenv("all_proxy", raising=False)
    monkeypatch.setenv("NO_PROXY", "[::1],.a.test, 10.0.0.0/8 *")
    with readable_proxies("http://server.test"):
        assert os.environ["ALL_PROXY"] == "socks5h://p:1/"
        assert os.environ["NO_PROXY"] == "::1,a.test,10.0.0.0/8,*"
        assert "http_proxy" not in os.environ
    assert os.environ["ALL_PROXY"] == "socks://p:1/"
    assert os.environ["NO_PROXY"].startswith("[::1]")


@pytest.mark.parametrize("url", ["http://127.0.0.1:9", "http://[::1]:9/x", "http://localhost"])
@pytest.mark.parametrize("listed", ["", "a.test"])
def test_this_machine_has_no_proxy_for_anybody(url, listed, monkeypatch):
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("HTTP_PROXY", "http://p:1")
    if listed:
        monkeypatch.setenv("NO_PROXY", listed)
    assert proxy_for(url) is None
    before = dict(os.environ)
    with readable_proxies(url):
        assert getproxies()["http"] == "http://p:1"
        assert proxy_bypass(urlsplit(url).hostname)
        assert bool(listed) == bool(proxy_bypass("a.test"))
    assert dict(os.environ) == before
