import json
import shlex
import threading
import time
from contextlib import suppress

import pytest

from glmcli.cli.serve import running
from glmcli.cli.serve.checks import unread_address
from glmcli.config import Settings
from glmcli.engines.echo import EchoEngine
from glmcli.errors import EngineError
from tests.support.serving import served, soon


@pytest.mark.parametrize("is_private", [True, False])
def test_lines_to_copy_are_quoted_for_a_shell(is_private) -> None:
    address = "/tmp/a b" if is_private else "http://[::1]:8000"
    rows = running.set_up("echo", address, Settings(), is_private=is_private)
    words = [word for row in rows[1:-1] for word in shlex.split(row)]
    assert address in words
    assert all(f"'{address}" in row for row in rows[1:-1])


@pytest.mark.parametrize(
    ("source", "key", "said"),
    [
        ("environment", "secret", "$GLM_SERVE_KEY"),
        ("config.toml", "secret", "KEY"),
        ("", "", "any"),
    ],
)
def test_a_key_is_named_by_a_variable_only_where_the_shell_has_it(source, key, said) -> None:
    settings = Settings(serve_key=key, sources={"serve_key": source})
    rows = running.set_up("echo", "http://127.0.0.1:8000", settings, is_private=False)
    assert rows[2].endswith(f"OPENAI_API_KEY={said}")
    assert rows[1].strip().startswith(f"GLM_API_KEY={said} " if key else "glm chat")
    assert ("KEY is serve_key of config.toml" in rows) == (said == "KEY")


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ({"OLLAMA_HOST": "0.0.0.0:8123"}, "OLLAMA_HOST is not read, --host 0.0.0.0 --port 8123 is"),
        ({"OLLAMA_HOST": "http://lab.test"}, "OLLAMA_HOST is not read, --host lab.test is"),
        ({"OLLAMA_HOST": "[::]:1"}, "OLLAMA_HOST is not read, --host :: --port 1 is"),
        ({"OLLAMA_HOST": ":8123"}, "OLLAMA_HOST is not read, --port 8123 is"),
        ({"OLLAMA_HOST": "127.0.0.1:8123"}, "OLLAMA_HOST is not read, --port 8123 is"),
        ({"OLLAMA_HOST": "::1"}, ""),
        ({"LLAMA_ARG_PORT": "8123"}, "LLAMA_ARG_PORT is not read, --port 8123 is"),
        ({"LLAMA_ARG_HOST": "a.test"}, "LLAMA_ARG_HOST is not read, --host a.test is"),
        ({"OLLAMA_HOST": "", "HOST": "a.test", "PORT": "1"}, ""),
    ],
)
def test_where_another_program_would_listen_is_said_not_to_be_read(environ, said) -> None:
    needs = "; --host needs GLM_SERVE_KEY" if "--host" in said else ""
    assert unread_address(Settings(), environ) == said + needs
    assert unread_address(Settings(serve_key="secret"), environ) == said


def test_who_reads_slowly_has_the_whole_reply_at_the_end(monkeypatch, capsys) -> None:
    text = f"{'x' * 2000} " * 3000
    large = EchoEngine(context_tokens=9_000_000)
    with served(lambda report: large) as server, server.raw() as client:
        body = json.dumps({"messages": [{"role": "user", "content": text}]}).encode()
        head = "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nConnection: close"
        client.sendall(f"{head}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
        assert soon(lambda: server.holder.unanswered and not server.holder.busy)
        ending = threading.Thread(target=running.drain, args=(server.doors, server.holder, []))
        ending.start()
        ending.join(0.3)
        assert ending.is_alive()
        answer = b"".join(iter(lambda: client.recv(1 << 20), b""))
        assert json.loads(answer.partition(b"\r\n\r\n")[2])["usage"]["completion_tokens"]
        ending.join(5)
        assert not ending.is_alive()


def test_who_has_its_whole_reply_is_in_the_log_at_the_end_and_not_waited_for_aloud(capsys) -> None:
    with served(log=lambda line: time.sleep(0.3)) as server:
        assert server.chat("hello").status == 200
        running.drain(server.doors, server.holder, [15])
        assert [line.split()[:3] for line in server.lines] == [
            ["POST", "/v1/chat/completions", "200"]
        ]
    assert capsys.readouterr().err == ""


def test_replies_that_take_too_long_at_the_end_are_cut_and_told(monkeypatch, capsys) -> None:
    monkeypatch.setattr(running, "DRAIN_S", 0.2)
    with served(lambda report: EchoEngine(delay_s=0.2)) as server:

        def ask() -> None:
            with suppress(OSError):
                server.chat("word " * 20)

        client = threading.Thread(target=ask)
        client.start()
        assert soon(lambda: server.holder.busy == 1)
        with pytest.raises(EngineError, match="1 reply was cut off") as caught:
            running.drain(server.doors, server.holder, [])
        assert caught.value.exit_code == 6
        assert "glm stop has ended it" in capsys.readouterr().err
        client.join(20)
