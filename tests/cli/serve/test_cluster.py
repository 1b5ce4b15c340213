"""What `glm serve --controller` is told, and whom it answers."""

from __future__ import annotations

from pathlib import Path

import pytest

from glmcli.cli.serve.cluster import ClusterMember, cluster_place
from glmcli.config import Settings
from glmcli.engines.echo import EchoEngine
from glmcli.engines.thread import EngineThread
from glmcli.errors import ConfigError, UsageError
from glmcli.serve.holder import Holder
from glmcli.serve.http import Site

NEAR, FAR = "http://127.0.0.1:21001", "http://192.0.2.1:21001"
ROWS = ["tiny answers at http://127.0.0.1:21002", "  glm chat", "Ctrl-C ends it"]


def place(controller=NEAR, address=None, allowed=(), host="127.0.0.1", path=None):
    return cluster_place(controller, address, allowed, host, path=path)


def test_without_a_controller_there_is_no_cluster():
    assert place(None) is None
    for options in ({"address": "http://127.0.0.1:1"}, {"allowed": ["10.0.0.1"]}):
        with pytest.raises(UsageError, match="is for a worker of a controller"):
            place(None, **options)


def test_what_was_typed_is_kept():
    found = place(FAR, "http://10.0.0.5:21002/", ["10.0.0.0/24"])
    assert (found.host, found.port, found.address) == ("192.0.2.1", 21001, "http://10.0.0.5:21002")
    assert [str(block) for block in found.allowed] == ["10.0.0.0/24"]
    far = place("https://controller.example", "https://worker.example")
    assert (far.port, far.address) == (443, "https://worker.example")


@pytest.mark.parametrize("url", ["", "controller", "ftp://x", "http://me:pw@127.0.0.1:21001"])
def test_an_address_that_is_none_is_refused(url):
    with pytest.raises(ConfigError):
        place(url)
    with pytest.raises(ConfigError):
        place(NEAR, url)


def test_a_controller_that_cannot_reach_the_worker_is_refused():
    with pytest.raises(UsageError, match="the controller at") as caught:
        place(FAR)
    assert "--worker-address" in caught.value.hint
    assert place(FAR, host="0.0.0.0") is not None
    with pytest.raises(UsageError, match="reaches no socket"):
        place(path=Path("socket"))


@pytest.mark.parametrize(
    ("host", "key", "has_openai"),
    [
        ("127.0.0.1", "", False),
        ("127.0.0.1", "secret", True),
        ("0.0.0.0", "", False),
        ("0.0.0.0", "secret", True),
    ],
)
def test_nobody_else_is_answered_without_a_key(host, key, has_openai):
    settings = Settings(host=host, serve_key=key)
    member = ClusterMember(place(host=host, allowed=["10.0.0.7"]), settings, "tiny")
    proven = member.proven(lambda report: EchoEngine())
    site = Site({("GET", "/health"): lambda exchange: None}, key=key)
    joined = member.joined(site, Holder(EngineThread("tiny", proven), "tiny"))
    assert bool(joined.routes) == has_openai
    assert ("POST", "/worker_generate_stream") in joined.guest_routes
    assert joined.is_guest("127.0.0.1")
    assert joined.is_guest("10.0.0.7")
    assert not joined.is_guest("10.0.0.8")
    told = member.set_up(ROWS)
    assert "as a worker it answers 127.0.0.1, 10.0.0.7 without a key, and nobody else" in told
    assert any("GLM_SERVE_KEY" in row for row in told) == (not has_openai)
    assert told[-1] == "Ctrl-C ends it"
