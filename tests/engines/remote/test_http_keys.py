"""Keys: which server gets which one, and that none of them is ever seen elsewhere."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from threading import Event

import httpx
import pytest

from glmcli.config import Settings, load_settings
from glmcli.config.servers import ServerOptions, hosted_at, server_options, with_scheme
from glmcli.engines.remote.address import key_for, parse_address, with_openais_own
from glmcli.engines.remote.fastchat.engine import list_models as list_fastchat
from glmcli.engines.remote.fastchat.engine import open_engine as open_fastchat
from glmcli.engines.remote.faults import Refused
from glmcli.engines.remote.http import open_server
from glmcli.engines.remote.openai.engine import list_models, open_engine
from glmcli.errors import ConfigError, EngineError
from glmcli.types import GenerationParams, Message
from tests.support.fake_openai import HELLO, NEVER, PLAIN, serving
from tests.support.loopback import Connection, Loopback, closed_port
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


@pytest.mark.parametrize(
    ("given", "url", "sent"),
    [
        ("http://lab.test/v1", "http://lab.test", "Bearer sk-any"),
        ("http://lab.test:80", "http://lab.test/v1", "Bearer sk-any"),
        ("http://lab.test/v1", "http://lab.test:9000", None),
        ("https://lab.test", "http://lab.test", None),
        ("HTTP://LAB.test", "http://lab.test", "Bearer sk-any"),
        ("", "http://lab.test", "Bearer sk-any"),
        ("http://lab.test", "http://other.test", None),
        ("http://lab.test", "http://lab.test.other.test", None),
        ("not an address", "http://lab.test", None),
        ("http://lab.test", "http://api.test", "Bearer sk-host"),
    ],
)
def test_a_key_that_was_given_with_an_address_goes_to_no_other_server(given, url, sent):
    got, fault = refused_by(url, {}, api_key="sk-any", key_url=given)
    assert got == sent
    if sent is None:
        known = "?" if given == "not an address" else given.removesuffix("/v1")
        assert fault.hint == (
            f"GLM_API_KEY was given for {known} and is not sent to {url}; "
            "set it together with the address, or [keys] in config.toml"
        )


@pytest.mark.parametrize("opened", [open_engine, open_fastchat])
def test_that_a_key_is_not_sent_is_said_once_and_before_the_first_reply(opened):
    answers = FakeServer(
        v1_models="vllm_models",
        v1_chat_completions="vllm_chat_stream",
        list_models=httpx.Response(200, json={"models": ["m"]}),
        get_worker_address=httpx.Response(200, json={"address": "http://other.test"}),
        model_details=httpx.Response(200, json={"context_length": 100}),
        worker_get_conv_template="fs_worker_get_conv_template",
        count_token=httpx.Response(200, json={"count": 3}),
        worker_generate_stream="fs_stream_emoji",
    )
    settings = Settings(base_url="http://other.test", api_key="k-any", key_url="http://lab.test")
    engine = opened("", settings, lambda progress: None, transport=answers)
    messages = [Message("user", "hi")]
    first, second = (
        [chunk.notice for chunk in engine.stream(messages, GenerationParams(), Event())]
        for _ in range(2)
    )
    assert first[0].startswith(
        "GLM_API_KEY was given for http://lab.test and is not sent to http://other.test;"
    )
    assert not any([*first[1:], *second])
    assert not any("Authorization" in request.headers for request in answers.requests)


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


LAB = "http://lab.test"


@pytest.mark.parametrize(
    ("toml", "environ", "is_sent"),
    [
        ({"base_url": LAB, "api_key": "sk-secret"}, {"GLM_BASE_URL": ""}, False),
        ({"base_url": LAB, "api_key": "sk-secret"}, {}, False),
        ({}, {"GLM_BASE_URL": LAB, "GLM_API_KEY": "sk-secret"}, False),
        ({"base_url": LAB}, {"GLM_BASE_URL": "", "GLM_API_KEY": "sk-secret"}, True),
        ({"api_key": "sk-secret"}, {}, True),
        ({}, {"GLM_API_KEY": "sk-secret"}, True),
    ],
)
def test_an_address_that_is_named_later_gets_no_key_of_another(tmp_path, toml, environ, is_sent):
    """It is typed if the environment names one already, or none; else the environment names it."""
    (tmp_path / "config.toml").touch(mode=0o600)
    lines = (f'{name} = "{value}"\n' for name, value in toml.items())
    (tmp_path / "config.toml").write_text("".join(lines))
    with Loopback(echo_all) as loopback:
        typed = ("--base-url", loopback.url) if "GLM_BASE_URL" in environ else ()
        run = glm(
            tmp_path,
            "ask",
            "-m",
            "openai:m",
            *typed,
            "hello",
            **{"GLM_BASE_URL": loopback.url} | environ,
        )
        asked = [request for item in loopback.connections for request in item.requests]
    assert run.returncode == 6
    assert asked
    assert all((b"sk-secret" in request) is is_sent for request in asked)
    assert (
        "was given for http://lab.test and is not sent to http://127.0.0.1" in run.stderr
    ) is not is_sent


OPENAI_URL = "http://lab.test/v1"


@pytest.mark.parametrize(
    ("options", "sent", "said"),
    [
        ({}, "Bearer sk-openai", "OPENAI_BASE_URL, OPENAI_API_KEY of the environment: asking"),
        ({"base_url": OPENAI_URL}, "Bearer sk-openai", "OPENAI_API_KEY of the environment"),
        ({"base_url": "http://other.test"}, None, ""),
        ({"base_url": "http://lab.test:81"}, None, ""),
        ({"base_url": "http://api.openai.com"}, None, ""),
        ({"base_url": "https://api.openai.com/v1"}, "Bearer sk-openai", "OPENAI_API_KEY"),
        ({"base_url": OPENAI_URL, "api_key": "sk-own"}, "Bearer sk-own", ""),
        ({"base_url": OPENAI_URL, "sources": {"base_url": ".env"}}, None, ""),
        ({"keys": {"lab.test": "sk-host"}}, "Bearer sk-host", "OPENAI_BASE_URL"),
    ],
)
def test_openais_own_variables_count_where_nothing_else_is_set(options, sent, said):
    given = ServerOptions(openai_url=OPENAI_URL, openai_key="sk-openai", **options)
    own, line = with_openais_own(given)
    key = key_for(own, parse_address(own.base_url))
    assert (key.text or None) == (sent and sent.removeprefix("Bearer "))
    assert line.startswith(said) if said else line == ""


def test_openais_address_beside_a_key_of_ours_is_said_not_to_count():
    own, line = with_openais_own(ServerOptions(openai_url=OPENAI_URL, api_key="sk-own"))
    assert (own.base_url, own.api_key) == ("", "sk-own")
    assert line.startswith("OPENAI_BASE_URL is not used, since GLM_API_KEY is set; --base-url")
    sources = {"api_key": "config.toml"}
    given = ServerOptions(openai_url=OPENAI_URL, api_key="sk-own", sources=sources)
    assert "since api_key (config.toml) is set" in with_openais_own(given)[1]


def test_openais_key_alone_chooses_no_server():
    own, line = with_openais_own(ServerOptions(openai_key="sk-openai"))
    assert (own.base_url, own.api_key, line) == ("", "", "")


@pytest.mark.parametrize(
    ("name", "is_meant"),
    [
        ("OPENAI_API_BASE", True),
        ("OPENAI_HOST", True),
        ("OPENAI_BASE", True),
        ("OPENAI_API_BASE_URL", True),
        ("OPENAI_ENDPOINT", True),
        ("OPENAI_URL", True),
        ("OPENAI_API_KEY", False),
        ("OPENAI_ORG_ID", False),
    ],
)
def test_another_name_for_openais_address_is_said_not_to_be_read(name, is_meant):
    settings = load_settings({}, environ={name: "http://lab.test"})
    own, line = with_openais_own(server_options(settings))
    assert line == (f"{name} is not read, OPENAI_BASE_URL is" if is_meant else "")
    assert own.base_url == ""
    both = load_settings({"base_url": "http://a.test"}, environ={name: "http://lab.test"})
    assert with_openais_own(server_options(both))[1] == ""


def test_a_model_of_openai_without_an_address_is_told_it(glm):
    url = "https://api.openai.com/v1"
    assert hosted_at("gpt-4o") == url
    settings, refusing = Settings(), httpx.MockTransport(refuse)
    with pytest.raises(EngineError) as caught:
        open_engine("gpt-4o", settings, lambda progress: None, transport=refusing)
    assert caught.value.hint.endswith(f"give its address with --base-url {url}")
    assert caught.value.in_chat.endswith(f"/model openai: {url}")


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("api.openai.com", "https://api.openai.com"),
        ("api.openai.com/v1", "https://api.openai.com/v1"),
        ("lab.example.edu:9000", "https://lab.example.edu:9000"),
        ("8.8.8.8", "https://8.8.8.8"),
        ("lab.example.edu:8000", "http://lab.example.edu:8000"),
        ("localhost:9000", "http://localhost:9000"),
        ("127.0.0.1", "http://127.0.0.1"),
        ("192.168.1.4:9000/v1", "http://192.168.1.4:9000/v1"),
        ("[::1]:8000", "http://[::1]:8000"),
        ("nas.local", "http://nas.local"),
        ("gpubox", "http://gpubox"),
        ("gpubox:443", "https://gpubox:443"),
        ("https//api.openai.com", "https://api.openai.com"),
        ("htp://lab.test", "http://lab.test"),
        ("http:localhost:8000", "http://localhost:8000"),
        ("ftp://lab.test", ""),
        ("no address", ""),
    ],
)
def test_an_address_without_a_scheme_is_asked_in_plain_text_only_nearby(typed, meant):
    assert with_scheme(typed) == meant


def test_a_refused_key_of_openais_is_named_by_its_variable():
    own, _ = with_openais_own(ServerOptions(openai_url=OPENAI_URL, openai_key="sk-openai"))
    assert key_for(own, parse_address(OPENAI_URL)).hint == "set OPENAI_API_KEY to another key"
    assert "sk-openai" in own.all_keys


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"openai_url": "nonsense"}, "OPENAI_BASE_URL (environment): 'nonsense' is not"),
        ({"openai_url": "http://u:p@h"}, "OPENAI_BASE_URL (environment): the address of the"),
        ({"openai_url": "http://[bad"}, "OPENAI_BASE_URL (environment): the address of the"),
        ({"base_url": "no", "sources": {"base_url": "config.toml"}}, "GLM_BASE_URL (config.toml):"),
        ({"base_url": "no", "sources": {"base_url": "option"}}, "'no' is not the address"),
    ],
)
def test_a_wrong_address_is_named_by_where_it_was_set(options, said):
    with pytest.raises(ConfigError) as error:
        open_engine("m", Settings(**options), lambda progress: None, transport=serving())
    assert error.value.message.startswith(said)


@pytest.mark.parametrize(
    ("options", "hint"),
    [
        ({"openai_url": OPENAI_URL, "openai_key": "a b"}, "check OPENAI_API_KEY (environment)"),
        (
            {"base_url": OPENAI_URL, "api_key": "a b", "sources": {"api_key": "config.toml"}},
            "check GLM_API_KEY (config.toml)",
        ),
        (
            {"base_url": OPENAI_URL, "keys": {"lab.test": "a b"}},
            "check keys.lab.test (config.toml)",
        ),
    ],
)
def test_a_wrong_key_is_named_by_where_it_was_set(options, hint):
    with pytest.raises(ConfigError) as error:
        open_engine("m", Settings(**options), lambda progress: None, transport=serving())
    assert error.value.hint == hint and "a b" not in error.value.message


def test_a_server_of_openais_variable_that_is_not_there_is_named_by_it(glm):
    done = glm("ask", "-m", "openai:m", "hi", OPENAI_BASE_URL=f"http://127.0.0.1:{closed_port()}")
    assert "give its address with OPENAI_BASE_URL" in done.err_lines[-1]


def refuse(request: httpx.Request) -> httpx.Response:
    raise httpx.ConnectError("refused")


@pytest.mark.parametrize("open_one", [open_engine, open_fastchat, list_models, list_fastchat])
def test_what_was_to_be_told_before_a_reply_is_told_where_there_will_be_none(open_one):
    settings = Settings(base_url="http://lab.test", key_url="http://other.test", api_key="sk-any")
    given = ("m", settings, lambda progress: None) if "open" in open_one.__name__ else (settings,)
    with pytest.raises(EngineError) as caught:
        open_one(*given, transport=httpx.MockTransport(refuse))
    assert caught.value.hint.count("is not sent to http://lab.test") == 1
    assert caught.value.hint.count("start the server") == 1


def test_that_openais_address_does_not_count_is_told_where_the_server_is_not_there():
    settings = Settings(openai_url=OPENAI_URL, api_key="sk-own")
    with pytest.raises(EngineError) as caught:
        open_engine("m", settings, lambda progress: None, transport=httpx.MockTransport(refuse))
    assert caught.value.hint.startswith("OPENAI_BASE_URL is not used, since GLM_API_KEY is set")


def test_what_is_taken_from_openais_variables_is_told_before_the_reply():
    settings = Settings(openai_url=OPENAI_URL, openai_key="sk-openai")
    engine = open_engine("", settings, lambda progress: None, transport=serving())
    notices = [chunk.notice for chunk in engine.stream(HELLO, PLAIN, NEVER) if chunk.notice]
    line = "OPENAI_BASE_URL, OPENAI_API_KEY of the environment: asking http://lab.test"
    assert notices[0] == line
