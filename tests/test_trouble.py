from __future__ import annotations

import string

import httpx
import pytest

from glmcli.engines.remote.http import Server
from glmcli.errors import EngineError
from glmcli.messages import LINES, said
from tests.support.loopback import closed_port


@pytest.fixture(autouse=True)
def english(monkeypatch):
    for name in ("LANGUAGE", "LC_ALL", "LC_MESSAGES", "LANG"):
        monkeypatch.delenv(name, raising=False)


def fields(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


@pytest.mark.parametrize("name", LINES)
def test_both_languages_tell_the_same_facts(name):
    line = LINES[name]
    assert fields(line.en) == fields(line.zh)
    assert line.zh != line.en
    for word in ("--base-url", "--timeout", "/retry", "GLM_API_KEY", "NO_PROXY", "SSL_CERT_FILE"):
        assert (word in line.en) == (word in line.zh)


def test_what_the_server_says_comes_once_and_last(monkeypatch):
    values = {"host": "lab", "status": 500, "detail": "{out} of memory"}
    assert said("refused", **values) == "lab refused (500): {out} of memory"
    monkeypatch.setenv("LC_ALL", "zh_CN.UTF-8")
    line = said("refused", **values)
    assert line == "lab 拒绝了请求（500）（lab refused (500)）: {out} of memory"


def test_a_server_that_is_not_there_is_told_in_chinese_where_the_locale_is(monkeypatch):
    monkeypatch.setenv("LC_ALL", "zh_CN.UTF-8")
    server = Server(f"http://127.0.0.1:{closed_port()}")
    with pytest.raises(EngineError, match="没有服务在监听") as caught:
        server.ask("GET", "/x")
    assert "nothing listens" in caught.value.message
    assert "请启动服务器" in caught.value.hint
    busy = httpx.MockTransport(lambda request: httpx.Response(503, headers={"Retry-After": "7"}))
    with pytest.raises(EngineError) as caught:
        Server("http://lab.test", transport=busy).ask("GET", "/x")
    assert "7 秒后 /retry" in caught.value.hint
