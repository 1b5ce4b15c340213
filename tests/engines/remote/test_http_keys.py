"""Keys: which server gets which one, and that none of them is ever seen elsewhere."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from glmcli.config import Settings
from glmcli.config.servers import ServerOptions
from glmcli.engines.remote.faults import Refused
from glmcli.engines.remote.http import open_server
from glmcli.engines.remote.openai.engine import open_engine
from tests.support.loopback import Connection, Loopback
from tests.support.transcripts import FakeServer

KEYS = {"api.test": "sk-host", "lab.test:8000": "sk-port", "[::1]:8000": "sk-six"}
UNAUTHORIZED = httpx.Response(401, json={"error": "bad key sk-host, sk-any, sk-port"})


def refused_by(url: str, sources: dict[str, str], **settings) -> tuple[str | None, Refused]:
    """(the Authorization header that a server got, what is said when it refuses)."""
    answers = FakeServer(v1=UNAUTHORIZED, x=UNAUTHORIZED)
    chosen = ServerOptions(sources=sources, **{"keys": KEYS, **settings})
    server = open_server(chosen, url, transport=answers)
    with pytest.raises(Refused) as caught:
        server.ask("GET", "/x")
    return answers.requests[0].headers.get("Authorization"), caught.value


@pytest.mark.parametrize(
    ("url", "sent"),
    [
        ("https://api.test/", "Bearer sk-host"),
        ("http://API.test:1234", "Bearer sk-host"),
        ("http://lab.test:8000", "Bearer sk-port"),
        ("http://[::1]:8000", "Bearer sk-six"),
        ("http://lab.test:8001", "Bearer sk-any"),
        ("http://lab.test", "Bearer sk-any"),
        ("http://api.test.evil.test", "Bearer sk-any"),
        ("http://notapi.test", "Bearer sk-any"),
    ],
)
def test_a_host_gets_its_own_key_before_the_one_for_all(url, sent):
    assert refused_by(url, {"base_url": "option"}, api_key="sk-any")[0] == sent


@pytest.mark.parametrize(
    ("url", "key"),
    [("https://api.test", "api.test:443"), ("http://api.test", "api.test:80")],
)
def test_the_usual_port_may_be_named_or_not(url, key):
    assert refused_by(url, {}, keys={key: "sk-port"})[0] == "Bearer sk-port"


def test_a_host_without_a_key_gets_none_of_another():
    assert refused_by("http://other.test", {})[0] is None


@pytest.mark.parametrize(
    ("url", "hint"),
    [
        ("http://api.test", "correct the key of api.test under [keys] in config.toml"),
        ("http://other.test", "set GLM_API_KEY to another key"),
    ],
)
def test_a_key_that_is_refused_is_named_by_its_place_and_not_shown(url, hint):
    fault = refused_by(url, {}, api_key="sk-any")[1]
    assert fault.hint == hint
    used = "sk-host" if "api" in url else "sk-any"
    assert used not in repr((fault.message, fault.detail, fault.args))


@pytest.mark.parametrize("source", ["environment", "config.toml"])
def test_an_address_from_a_strange_folder_gets_no_key_of_its_host(source):
    sources = {"base_url": ".env", "keys": "config.toml", "api_key": source}
    sent, fault = refused_by("http://api.test", sources, api_key="sk-any")
    assert sent is None
    assert "--base-url" in fault.hint


def test_a_redirect_takes_the_key_of_a_host_nowhere():
    moved = httpx.Response(302, headers={"Location": "http://elsewhere.test/x"})
    answers = FakeServer(x=moved)
    server = open_server(ServerOptions(keys=KEYS), "http://api.test", transport=answers)
    with pytest.raises(Refused, match=r"moved to http://elsewhere\.test/x"):
        server.ask("GET", "/x")
    assert [request.url.host for request in answers.requests] == ["api.test"]


def test_a_worker_gets_no_key_from_a_controller():
    """Where a worker is, the controller says: nobody chose to trust that address."""
    from glmcli.engines.remote.fastchat.cluster import Cluster

    options = ServerOptions(base_url="http://controller.test", keys=KEYS)
    answers = FakeServer(
        get_worker_address=httpx.Response(200, json={"address": "http://api.test"}),
        model_details=httpx.Response(200, json={}),
        worker_get_conv_template="fs_worker_get_conv_template",
    )
    Cluster(options, transport=answers).meet_next("m")
    assert {request.url.host for request in answers.requests} == {"controller.test", "api.test"}
    assert not any("Authorization" in request.headers for request in answers.requests)


@pytest.mark.parametrize(
    "worker", ["http://lab.test", "http://lab.test:443", "https://lab.test:8443"]
)
def test_a_worker_gets_the_key_of_its_controller_only_at_the_same_address(worker):
    from glmcli.engines.remote.fastchat.cluster import Cluster

    options = ServerOptions(base_url="https://lab.test", keys={"lab.test": "sk-host"})
    answers = FakeServer(
        get_worker_address=httpx.Response(200, json={"address": worker}),
        model_details=httpx.Response(200, json={}),
        worker_get_conv_template="fs_worker_get_conv_template",
    )
    Cluster(options, transport=answers).meet_next("m")
    asked = {(str(item.url), "Authorization" in item.headers) for item in answers.requests}
    assert asked == {
        ("https://lab.test/get_worker_address", True),
        (f"{worker}/model_details", False),
        (f"{worker}/worker_get_conv_template", False),
    }


def test_one_engine_opens_with_the_key_of_its_host():
    answers = FakeServer(v1_models="vllm_models")
    settings = Settings(base_url="http://api.test/v1", keys=KEYS)
    open_engine("", settings, lambda progress: None, transport=answers)
    assert answers.requests[0].headers["Authorization"] == "Bearer sk-host"
    assert "sk-host" not in str(answers.requests[0].url)


def glm(home: Path, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run the program in a folder of its own."""
    code = "import sys; from glmcli.cli import main; main()"
    names = ("PATH", "HOME", "PYTHONPATH", "VIRTUAL_ENV")
    base = {name: os.environ[name] for name in names if name in os.environ}
    env = base | {"GLM_HOME": str(home), "LC_ALL": "C.UTF-8", "GLM_DEBUG": "1"} | environ
    argv = [sys.executable, "-c", code, *arguments]
    return subprocess.run(argv, env=env, cwd=home, capture_output=True, text=True, timeout=60)


def echo_all(connection: Connection) -> None:
    """Refuse every request, and say again all that it held."""
    said = connection.requests[-1].replace(b"\r", b"").replace(b"\n", b" | ")
    head = b"HTTP/1.1 401 Unauthorized\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n"
    connection.send(head % len(said) + said)


@pytest.mark.parametrize("from_file", [True, False])
def test_a_key_is_in_no_output_and_no_file_of_the_program(tmp_path, from_file):
    with Loopback(echo_all) as loopback:
        host = loopback.url.removeprefix("http://")
        toml = f'[keys]\n"{host}" = "sk-secret"\n'
        environ = {} if from_file else {"GLM_API_KEY": "sk-secret"}
        if from_file:
            (tmp_path / "config.toml").touch(mode=0o600)
            (tmp_path / "config.toml").write_text(toml)
        runs = [
            glm(tmp_path, *arguments, **environ)
            for arguments in (
                ("ask", "-m", "openai:m", "--base-url", loopback.url, "hello"),
                ("models", "list", "--base-url", loopback.url),
                ("config", "show"),
                ("config", "show", "--json"),
                ("history", "list"),
            )
        ]
        sent = [request for item in loopback.connections for request in item.requests]
    assert [run.returncode for run in runs] == [6, 6, 0, 0, 0]
    assert all(b"Bearer sk-secret" in request for request in sent)
    assert "refused (401)" in runs[0].stderr
    assert "********" in runs[2].stdout
    assert not any("sk-secret" in run.stdout + run.stderr for run in runs)
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    holding = [path.name for path in written if b"sk-secret" in path.read_bytes()]
    assert len(written) > len(holding)
    assert holding == (["config.toml"] if from_file else [])
