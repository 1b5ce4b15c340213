"""What the first start finds on this machine, and how it says so."""

from __future__ import annotations

import json
import threading
import time
from dataclasses import replace
from urllib.parse import urlsplit

import pytest

from glmcli.cli.first.found import Finds, Offer, served_here, usable
from glmcli.cli.first.screen import DIGITS, digit_of, offered, screen, taken
from glmcli.config import Settings
from glmcli.config.models import Cache, ModelOptions
from glmcli.errors import ModelError
from glmcli.machine import Gpu
from tests.support.folders import write_llama
from tests.support.loopback import Connection, Loopback, closed_port
from tests.support.tiny import byte_level

NOTHING = Finds(
    gpus=(),
    no_gpu="",
    torch="2.9.0",
    free_bytes=8_000_000_000,
    models=(),
    no_models=None,
    to_fetch_bytes=0,
    served=(),
)
HERE = tuple(Offer(f"org/m{n}", size_bytes=10**9 * n) for n in range(1, 13))
SERVED = tuple(Offer(f"openai:s{n}", "http://127.0.0.1:8000") for n in range(12))


def shown(**found: object) -> str:
    finds = replace(NOTHING, **found)
    return "\n".join(screen(finds, offered(finds)))


def listing(*names: str):
    """A script that answers as a server that lists these models."""
    body = json.dumps({"data": [{"id": name} for name in names]}).encode()

    def answer(connection: Connection) -> None:
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)

    return answer


def port_of(server: Loopback) -> int:
    return urlsplit(server.url).port or 0


def test_models_of_servers_on_this_machine_are_found_without_a_key(monkeypatch):
    monkeypatch.setenv("GLM_API_KEY", "sk-secret")
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{closed_port()}")
    with Loopback(listing("qwen", "x" * 300)) as server:
        ports = {port_of(server): "openai", closed_port(): "openai"}
        assert served_here(ports).offers == [Offer("openai:qwen", server.url)]
        [request] = server.connections[0].requests
    assert request.startswith(b"GET /v1/models ") and b"sk-secret" not in request


@pytest.mark.parametrize("name", ["a\nb\r\nc", "a\u202eb", "a\x1b[2J", " "])
def test_a_model_whose_name_cannot_be_seen_is_not_offered(glm, name):
    with Loopback(listing(name, "qwen")) as server:
        assert [offer.model for offer in served_here({port_of(server): "openai"}).offers] == [
            "openai:qwen"
        ]
        done = glm("models", "list", "--base-url", server.url)
    assert done.out.split("\t")[0] == "openai:qwen" and done.out.count("\n") == 1
    assert done.err_lines == ["1 model was left out: its name has control characters, or is empty"]


def test_a_controller_is_asked_as_one():
    body = b'{"models": ["vicuna"]}'

    def answer(connection: Connection) -> None:
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)

    with Loopback(answer) as server:
        found = served_here({port_of(server): "fastchat"})
        assert found.offers == [Offer("fastchat:vicuna", server.url)]
        assert server.connections[0].requests[0].startswith(b"POST /list_models ")


def test_servers_that_say_nothing_are_waited_for_together_and_shortly():
    with Loopback(Connection.freeze) as one, Loopback(Connection.freeze) as other:
        began = time.monotonic()
        found = served_here({port_of(one): "openai", port_of(other): "fastchat"}, within_s=0.2)
        assert found == ([], [])
        assert time.monotonic() - began < 0.35


WITHOUT_END = {
    "100": (b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 200),
    "headers": (b"HTTP/1.1 200 OK\r\n", b"a: b\r\n" * 10),
    "trailers": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n",
        b"a: b\r\n" * 500,
    ),
    "chunk extensions": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"1;" + b"x" * 60_000 + b"\r\n{\r\n",
    ),
    "blanks": (b"HTTP/1.1 200 OK\r\n\r\n", b" " * 1000),
}


@pytest.mark.parametrize("what", WITHOUT_END)
def test_of_an_answer_without_end_nothing_is_read_once_the_time_is_up(what):
    stopped = threading.Event()

    def answer(connection: Connection) -> None:
        start, rest = WITHOUT_END[what]
        try:
            connection.send(start)
            while True:
                connection.send(rest)
        except OSError:
            stopped.set()

    with Loopback(answer) as server:
        assert served_here({port_of(server): "openai"}, within_s=0.2) == ([], [])
        assert stopped.wait(1)


def test_a_server_that_wants_a_key_is_there():
    def answer(connection: Connection) -> None:
        connection.send(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n")

    with Loopback(answer) as server:
        ports = {port_of(server): "openai", closed_port(): "openai"}
        assert served_here(ports) == ([], [port_of(server)])
    text = shown(locked=(8000,))
    assert "Servers that want a key: at port 8000 (GLM_API_KEY" in text and "none at" not in text
    text = shown(locked=(8000, 1234), served=SERVED[:1])
    assert "at ports 1234, 8000 (GLM_API_KEY" in text and "machine: 1 answers" in text


def test_models_of_the_cache_are_offered_if_they_would_open(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    models = tmp_path / "models"
    for name in ("whole", "meant", "weightless", "wordless"):
        byte_level().save(str(write_llama(models / name) / "tokenizer.json"))
    (models / "weightless" / "model.safetensors").unlink()
    (models / "wordless" / "tokenizer.json").unlink()
    (tmp_path / "meant").mkdir()
    monkeypatch.chdir(tmp_path)
    found = usable(ModelOptions(cache=Cache(tmp_path)))
    assert [offer.model for offer in found] == ["whole"]
    assert found[0].size_bytes


def test_what_there_is_not_is_said_and_how_to_go_on():
    text = shown(to_fetch_bytes=93_000_000)
    assert "none was found; models run on the processor" in text
    assert "8.0 GB free" in text and "none at ports 1234, 8000," in text
    assert "smollm2, built in, small, for demonstration (93 MB are fetched first)" in text
    assert "-m ORG/NAME" in text and "Enter" not in text


def test_gpus_are_named_with_their_memory():
    assert "GPU: A 24.0 GB, Apple GPU" in shown(gpus=(Gpu("A", 24 * 10**9), Gpu("Apple GPU")))
    assert "torch 2.9.0+cpu is for the processor" in shown(gpus=(Gpu("A"),), torch="2.9.0+cpu")
    assert "its driver says nothing (broken)" in shown(no_gpu="broken")


def test_each_model_has_a_digit_and_enter_is_the_demonstration():
    text = shown(models=HERE[:2], served=SERVED[:1])
    assert "  1  org/m1     1.0 GB\n  2  org/m2     2.0 GB\n" in text
    assert "\n  3  openai:s0  http://127.0.0.1:8000\n  Enter  smollm2, built in" in text
    assert "More:" not in text


@pytest.mark.parametrize(
    ("here", "there", "expected"),
    [(12, 0, (9, 0)), (0, 12, (0, 9)), (12, 12, (5, 4)), (12, 2, (7, 2))],
)
def test_there_are_no_more_offers_than_digits(here, there, expected):
    finds = replace(NOTHING, models=HERE[:here], served=SERVED[:there])
    offers = offered(finds)
    by_server = [bool(offer.base_url) for offer in offers]
    assert len(offers) == DIGITS and by_server == sorted(by_server)
    assert (by_server.count(False), by_server.count(True)) == expected
    assert any("More: glm models list" in line for line in screen(finds, offers))


@pytest.mark.parametrize(("here", "servers"), [(0, 3), (12, 3), (12, 7)])
def test_each_server_has_a_digit_however_many_models_another_has(here, servers):
    chatty = tuple(Offer(f"openai:c{n}", "http://127.0.0.1:1") for n in range(50))
    others = tuple(Offer("openai:o", f"http://127.0.0.1:{n + 2}") for n in range(servers - 1))
    offers = offered(replace(NOTHING, models=HERE[:here], served=chatty + others))
    urls = [offer.base_url for offer in offers if offer.base_url]
    assert len(offers) == DIGITS and len(set(urls)) == servers
    assert urls == sorted(urls)


def test_a_long_name_takes_one_row():
    offer = Offer("openai:" + "long" * 50, "http://127.0.0.1:8000")
    finds = replace(NOTHING, served=(offer,))
    [row] = [line for line in screen(finds, offered(finds), 60) if "long" in line]
    assert len(row) <= 60 and row.endswith("…  http://127.0.0.1:8000")


def test_without_libraries_no_model_here_is_promised():
    why = ModelError("it needs torch", "install it")
    assert "it needs torch" in shown(no_models=why) and "install it" in shown(no_models=why)
    text = shown(no_models=why, served=SERVED[:1])
    assert "Enter  none of them" in text and "demonstration" not in text


def test_names_from_a_server_do_not_steer_the_terminal():
    assert "\x1b" not in shown(served=(Offer("openai:\x1b[2J\nx", "http://127.0.0.1:1"),))


def test_a_digit_of_the_list_or_nothing_answers():
    assert [digit_of(line, 3) for line in ("", " 1 ", "3", "\uff13")] == [0, 1, 3, 3]
    assert [digit_of(line, 3) for line in ("0", "4", "x", "1 2", "01")] == [None] * 5


def test_a_server_that_was_found_is_not_sent_the_users_key():
    settings = Settings(api_key="sk-secret", key_url="https://elsewhere")
    new = taken(settings, SERVED[0])
    assert (new.model, new.base_url, new.api_key) == ("openai:s0", "http://127.0.0.1:8000", "")
    assert {"model", "base_url"} <= new.sources.keys()
    assert taken(settings, HERE[0]).api_key == "sk-secret"
