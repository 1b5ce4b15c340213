"""The hub's cache and fetching, against a small hub on loopback."""

from __future__ import annotations

import errno
import hashlib
import json
import socket
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import close_session, constants

from glmcli.config.models import Cache, ModelOptions
from glmcli.errors import ConfigError, ModelError
from glmcli.models import hub
from glmcli.models.checkpoint import find_checkpoint
from tests.support.folders import Reports, write_config, write_zeros
from tests.support.loopback import closed_port
from tests.support.relay import Relay

SHA = "0123456789abcdef0123456789abcdef01234567"


class SmallHub(ThreadingHTTPServer):
    """Has one model, org/tiny, of one revision; org/gated cannot be read."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, bytes] = {}
        self.requests: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    @property
    def fetched(self) -> set[str]:
        """Names of files whose content was asked for."""
        gets = (request for request in self.requests if request.startswith("GET /org/"))
        return {request.rpartition("/")[2] for request in gets}


class Handler(BaseHTTPRequestHandler):
    server: SmallHub

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        self.server.requests.append(f"{self.command} {path}")
        parts = path.strip("/").split("/")
        if parts[:3] == ["api", "models", "org"] and parts[3] == "gated":
            self.answer(403, b"{}", {"X-Error-Code": "GatedRepo"})
        elif parts[:4] != ["api", "models", "org", "tiny"] and parts[:2] != ["org", "tiny"]:
            self.answer(404, b"{}", {"X-Error-Code": "RepoNotFound"})
        elif parts[4:] == ["revision", "main"]:
            names = [{"rfilename": name} for name in self.server.files]
            self.answer_json({"id": "org/tiny", "sha": SHA, "siblings": names})
        elif parts[4:5] == ["revision"]:
            self.answer(404, b"{}", {"X-Error-Code": "RevisionNotFound"})
        elif parts[4:5] == ["tree"]:
            self.answer_json(
                [
                    {"type": "file", "path": name, "size": len(data), "oid": etag(data)}
                    for name, data in self.server.files.items()
                ]
            )
        else:
            data = self.server.files[path.partition(f"/resolve/{SHA}/")[2]]
            self.answer(200, data, {"ETag": f'"{etag(data)}"', "X-Repo-Commit": SHA})

    def do_HEAD(self) -> None:
        self.do_GET()

    def answer_json(self, value: object) -> None:
        self.answer(200, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def answer(self, code: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(code)
        for name, value in (headers | {"Content-Length": str(len(body))}).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)


def etag(data: bytes) -> str:
    return hashlib.sha1(data).hexdigest()


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Read from the environment when it was imported, so set here."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SmallHub]:
    with SmallHub() as server:
        monkeypatch.setattr(constants, "ENDPOINT", server.url)
        template = server.url + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        folder = write_config(tmp_path / "model")
        write_zeros(folder / "model.safetensors", "a")
        for name in ("config.json", "model.safetensors"):
            server.files[name] = (folder / name).read_bytes()
        server.files["tokenizer.json"] = b"{}"
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def options(tmp_path: Path) -> ModelOptions:
    return ModelOptions(cache=Cache(tmp_path / "cache"))


def refused(name: str) -> ModelError:
    with pytest.raises(ModelError) as caught:
        hub.fetch(name, Reports())
    error = caught.value
    assert "\n" not in error.message and "\n" not in error.hint and error.hint
    return error


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("org/name", ("org/name", "main")),
        ("org/name@v1.0", ("org/name", "v1.0")),
        ("org/na-me.x_y@refs/pr/3", ("org/na-me.x_y", "refs/pr/3")),
    ],
)
def test_a_hub_id_has_a_revision(name: str, parts: tuple[str, str]):
    assert hub.split_id(name) == parts


@pytest.mark.parametrize("name", ["org", "a/b/c", "org/name@", "org /name", "org/名"])
def test_other_words_are_no_hub_ids(name: str):
    with pytest.raises(ModelError):
        hub.split_id(name)


def test_only_what_is_needed_is_fetched(server: SmallHub):
    unneeded = ("pytorch_model.bin", "modeling_x.py", "onnx/model.onnx", "original/params.json")
    for name in (*unneeded, "consolidated.safetensors", "tokenizer.json"):
        server.files[name] = b"{}"
    folder = hub.fetch("org/tiny", Reports())
    fetched = {path.name for path in folder.rglob("*")}
    assert fetched == {"config.json", "model.safetensors", "tokenizer.json"}
    assert server.fetched == fetched


def test_bin_files_are_fetched_where_there_is_nothing_better(server: SmallHub):
    del server.files["model.safetensors"]
    server.files["pytorch_model.bin"] = b"x" * 10
    folder = hub.fetch("org/tiny", Reports())
    names = {path.name for path in folder.iterdir()}
    assert names == {"config.json", "pytorch_model.bin", "tokenizer.json"}


def test_python_is_fetched_only_with_trust(server: SmallHub):
    server.files["modeling_x.py"] = b"pass"
    folder = hub.fetch("org/tiny", Reports(), with_code=True)
    assert (folder / "modeling_x.py").exists()


def test_what_was_fetched_is_used_again_without_asking(server: SmallHub, options: ModelOptions):
    found = find_checkpoint("org/tiny", options, Reports())
    assert found.name == "tiny"
    asked = len(server.requests)
    assert find_checkpoint("org/tiny", options, Reports()) == found
    assert len(server.requests) == asked
    find_checkpoint("org/tiny", options, Reports(), refresh=True)
    assert len(server.requests) > asked


def test_half_a_model_in_the_cache_is_completed(server: SmallHub, options: ModelOptions):
    folder = hub.fetch("org/tiny", Reports())
    (folder / "model.safetensors").unlink()
    assert find_checkpoint("org/tiny", options, Reports()).size_bytes > 0


def test_weights_without_a_tokenizer_are_completed_too(server: SmallHub, options: ModelOptions):
    folder = hub.fetch("org/tiny", Reports())
    (folder / "tokenizer.json").unlink()
    found = find_checkpoint("org/tiny", options, Reports())
    assert (found.folder / "tokenizer.json").exists()


def test_offline_a_missing_tokenizer_is_said_with_the_way_to_it(
    server: SmallHub, options: ModelOptions
):
    folder = hub.fetch("org/tiny", Reports())
    (folder / "tokenizer.json").unlink()
    with pytest.raises(ModelError, match="without its tokenizer") as caught:
        find_checkpoint("org/tiny", replace(options, offline=True), Reports())
    assert "glm models pull org/tiny" in caught.value.hint


@pytest.mark.parametrize("kind", ["socks", "socks5", "http"])
def test_the_hub_is_reached_through_a_proxy(
    kind: str, server: SmallHub, monkeypatch: pytest.MonkeyPatch
):
    with Relay(server.url) as relay:
        behind_proxy(monkeypatch, f"{kind}://{relay.address}")
        assert hub.fetch("org/tiny", Reports()).is_dir()
        assert relay.asked_for


def test_a_proxy_in_the_way_of_the_hub_is_named(server: SmallHub, monkeypatch: pytest.MonkeyPatch):
    behind_proxy(monkeypatch, f"http://me:secret@127.0.0.1:{closed_port()}")
    error = refused("org/tiny")
    assert "check the proxy of ALL_PROXY (http://127.0.0.1:" in error.hint
    assert "secret" not in error.message + error.hint
    behind_proxy(monkeypatch, "socks4://p:1")
    with pytest.raises(ConfigError, match="ALL_PROXY names a proxy of a kind"):
        hub.fetch("org/tiny", Reports())
    behind_proxy(monkeypatch, "http://p:1")
    monkeypatch.setenv("https_proxy", "nonsense://")  # the hub's client reads all of them
    with pytest.raises(ConfigError, match="https_proxy names a proxy of a kind"):
        hub.fetch("org/tiny", Reports())


def behind_proxy(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    """Let the hub have another name that only a proxy leads to."""
    close_session()  # it keeps its client, with the proxies that were
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("ALL_PROXY", url)
    monkeypatch.setenv("NO_PROXY", "[::1]")
    monkeypatch.setattr(constants, "ENDPOINT", "http://hub.test")
    template = "http://hub.test/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
def test_a_hub_on_this_machine_is_reached_through_no_proxy(
    variable: str, server: SmallHub, monkeypatch: pytest.MonkeyPatch
):
    endpoint, template = constants.ENDPOINT, constants.HUGGINGFACE_CO_URL_TEMPLATE
    with Relay(server.url) as relay:
        behind_proxy(monkeypatch, f"http://{relay.address}")
        monkeypatch.setenv(variable, f"http://{relay.address}")
        monkeypatch.delenv("NO_PROXY")
        monkeypatch.setattr(constants, "ENDPOINT", endpoint)
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        assert hub.fetch("org/tiny", Reports()).is_dir()
        assert not relay.asked_for


@pytest.mark.parametrize("answer", [b"{}", b"[]", b"null", b'"x"', b"<html>", b""])
def test_an_odd_answer_of_a_hub_is_told_in_a_readable_line(
    answer: bytes, server: SmallHub, monkeypatch: pytest.MonkeyPatch
):
    def odd(handler: Handler, value: object) -> None:
        handler.answer(200, answer, {"Content-Type": "application/json"})

    monkeypatch.setattr(Handler, "answer_json", odd)
    error = refused("org/tiny")
    assert error.message.startswith("the hub's answer about org/tiny cannot be read: ")
    assert "HF_ENDPOINT" in error.hint
    assert "attribute" not in error.message and "Expecting value" not in error.message


def test_the_bars_of_the_client_are_read_and_not_drawn():
    seen = hub.Seen()
    bar = hub.bar_class(seen)(unit="B", total=0)
    bar.total = 200
    bar.update(120)
    bar.refresh()
    assert (seen.done, seen.total) == (120, 200)
    bar.close()
    hub.bar_class(seen)(unit="it", total=9).close()
    assert (seen.done, seen.total) == (120, 200)


def test_nothing_is_written_to_the_terminal(server: SmallHub, capfd: pytest.CaptureFixture[str]):
    hub.fetch("org/tiny", Reports())
    assert capfd.readouterr() == ("", "")


def test_a_model_that_the_hub_does_not_have(server: SmallHub):
    assert "has no model org/other" in refused("org/other").message


def test_a_revision_that_the_model_does_not_have(server: SmallHub):
    assert "org/tiny has no revision v9" in refused("org/tiny@v9").message


def test_a_gated_model_says_how_to_get_it(server: SmallHub):
    assert "hf auth login" in refused("org/gated").hint


def test_a_hub_that_cannot_be_reached(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    assert "could not be fetched" in refused("org/tiny").message


def test_a_hub_that_never_answers_is_given_up(monkeypatch: pytest.MonkeyPatch):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{silent.getsockname()[1]}")
        monkeypatch.setattr(hub, "TIMEOUT_S", 0.1)
        assert "could not be fetched" in refused("org/tiny").message


def test_a_cache_that_cannot_be_written_is_no_matter_of_the_network():
    with pytest.raises(ModelError) as caught, hub.hub_errors("org/name"):
        raise PermissionError(errno.EACCES, "Permission denied", "/cache/hub")
    assert caught.value.message == "/cache/hub cannot be written: Permission denied"
    assert caught.value.hint == "set HF_HOME to a folder that can be written"


def test_a_name_that_the_hub_would_not_allow(server: SmallHub):
    assert "not a name on the hub" in refused("x--y/..z").message


def test_the_cache_is_listed_and_emptied(server: SmallHub, own_cache: Path):
    assert hub.cached_models() == []
    folder = hub.fetch("org/tiny", Reports())
    (model,) = hub.cached_models()
    assert (model.name, model.folder.resolve(), model.commit) == ("org/tiny", folder.resolve(), SHA)
    assert hub.cached_folder("org/tiny") == folder
    assert hub.remove_revision(model) > 0
    assert hub.cached_folder("org/tiny") is None
