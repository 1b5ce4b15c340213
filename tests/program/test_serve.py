"""`glm serve` as a program: where it listens, who it answers, and how it ends."""

from __future__ import annotations

import http.client
import json
import re
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.loopback import closed_port
from tests.support.serving import soon
from tests.support.shell import clean_env, command
from tests.support.term import Term

PATIENCE_S = 60
CONTROLLER = ("--controller", "http://127.0.0.1:9")


@dataclass
class Running:
    """A server, and what it has said on stdout."""

    process: subprocess.Popen[str]
    screen: str

    @property
    def port(self) -> int:
        found = re.search(r"http://\S+:(\d+)$", self.screen, re.MULTILINE)
        assert found, self.screen
        return int(found[1])

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)
        connection.request(method, path, body and json.dumps(body), headers)
        answer = connection.getresponse()
        status, data = answer.status, json.loads(answer.read())
        connection.close()
        return status, data

    def say(self, text: str) -> str:
        body = {"messages": [{"role": "user", "content": text}]}
        return self.ask("POST", "/v1/chat/completions", body)[1]["choices"][0]["message"]["content"]

    def end(self, signum: int) -> tuple[int, str]:
        """The exit code and all of stderr after a signal."""
        self.process.send_signal(signum)
        _, err = self.process.communicate(timeout=PATIENCE_S)
        return self.process.returncode, err


@contextmanager
def serving(folder: Path, *arguments: str, **env: str) -> Iterator[Running]:
    """A server that says that it answers."""
    process = subprocess.Popen(
        command("serve", *arguments),
        cwd=folder,
        env=clean_env(**{"GLM_HOME": str(folder / "home"), **env}),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        screen = ""
        assert process.stdout
        while "Ctrl-C" not in screen and (line := process.stdout.readline()):
            screen += line
        yield Running(process, screen)
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_it_answers_where_it_says_and_ends_by_a_signal(tmp_path: Path, signum: int) -> None:
    with serving(tmp_path, "echo:", "--port", "0") as server:
        assert f"glm chat -m openai: --base-url http://127.0.0.1:{server.port}" in server.screen
        assert server.say("one two") == "one two"
        code, err = server.end(signum)
        assert code == 0
        assert re.fullmatch(r"\d\d:\d\d:\d\d POST /v1/chat/completions 200 .* 2 tokens\n", err)


def test_our_own_client_is_set_up_by_the_line_that_it_shows(tmp_path: Path, glm: Any) -> None:
    with serving(tmp_path, "echo:", "--port", "0", "-q") as server:
        line = next(line for line in server.screen.splitlines() if "glm chat" in line)
        arguments = line.split()[2:]
        assert glm("ask", "hello there", "--no-save", *arguments).out == "hello there\n"
        assert server.end(signal.SIGTERM) == (0, "")


def test_an_address_of_another_program_is_told_where_none_is_chosen(tmp_path: Path) -> None:
    elsewhere = {"OLLAMA_HOST": "0.0.0.0:8123"}
    for option in (("--port", "0"), ("--socket", "here")):
        with serving(tmp_path, "echo:", *option, **elsewhere) as server:
            assert "OLLAMA_HOST" not in server.end(signal.SIGTERM)[1]


def test_the_key_is_not_in_the_log_wherever_a_client_puts_it(tmp_path: Path) -> None:
    key, encoded = "servekey-QQ-1234567890", "servekey%2DQQ%2D1234567890"
    right = {"Authorization": f"Bearer {key}"}
    with serving(tmp_path, "echo:", "--port", "0", GLM_SERVE_KEY=key) as server:
        for path in (f"/{key}/v1/models", f"/v1/models/{key}", f"/{encoded}", f"/health?k={key}"):
            server.ask("GET", path)
            server.ask("GET", path, **right)
        server.ask(key, "/")
        body = {"messages": [{"role": "user", "content": "hi"}], key: 1, "other": 1}
        assert server.ask("POST", "/v1/chat/completions", body, **right)[0] == 200
        _, err = server.end(signal.SIGTERM)
        assert err.count("\n") == 10
        assert "ignored: other, [key]" in err
        assert "QQ" not in err


def test_a_key_is_needed_where_others_could_ask(tmp_path: Path, glm: Any) -> None:
    done = glm("serve", "echo:", "--host", "0.0.0.0", "--port", "0")
    assert (done.code, done.out) == (2, "")
    assert "GLM_SERVE_KEY" in done.err
    everywhere = ("echo:", "--host", "0.0.0.0", "--port", "0")
    with serving(tmp_path, *everywhere, GLM_SERVE_KEY="secret") as server:
        assert "secret" not in server.screen
        assert server.ask("GET", "/health")[0] == 401
        key = {"Authorization": "Bearer secret"}
        assert server.ask("GET", "/health", **key, Host="elsewhere")[0] == 200
        assert "secret" not in server.end(signal.SIGTERM)[1]


@pytest.mark.parametrize("key", [" ", "\t", "密钥", "two words", "a\x7f"])
def test_a_key_that_no_client_can_send_is_refused(glm: Any, key: str) -> None:
    done = glm("serve", "echo:", "--port", "0", GLM_SERVE_KEY=key)
    assert (done.code, done.out, len(done.err_lines)) == (2, "", 2)
    assert "GLM_SERVE_KEY" in done.err_lines[0]
    assert key.strip() not in done.err or not key.strip()


def test_blanks_around_a_key_are_not_part_of_it(tmp_path: Path) -> None:
    with serving(tmp_path, "echo:", "--port", "0", GLM_SERVE_KEY="tok \r") as server:
        assert server.ask("GET", "/health", Authorization="Bearer tok")[0] == 200


def test_where_a_file_says_the_host_the_hint_helps(glm: Any) -> None:
    done = glm("serve", "echo:", "--port", "0", GLM_HOST="0.0.0.0")
    assert (done.code, done.err_lines[1].startswith("hint: GLM_HOST says so")) == (2, True)


def test_it_goes_on_when_nobody_reads_what_it_says(tmp_path: Path) -> None:
    with serving(tmp_path, "echo:", "--port", "0") as server:
        assert server.process.stderr
        server.process.stderr.close()
        server.process.stderr = None
        assert [server.say(text) for text in ("one", "two", "three")] == ["one", "two", "three"]
        assert server.end(signal.SIGTERM)[0] == 0


def test_no_folder_says_where_it_listens_or_what_the_key_is(tmp_path: Path) -> None:
    theirs = "GLM_CONTROLLER=http://127.0.0.1:9\nGLM_ALLOW=0.0.0.0/0\n"
    (tmp_path / ".env").write_text(f"GLM_HOST=0.0.0.0\nGLM_SERVE_KEY=theirs\n{theirs}")
    with serving(tmp_path, "echo:", "--port", "0") as server:
        assert "http://127.0.0.1:" in server.screen
        assert server.ask("GET", "/health", Authorization="Bearer x")[0] == 200
        assert server.ask("POST", "/worker_get_status")[0] == 404
        assert "ignored: GLM_HOST, GLM_SERVE_KEY of .env" in server.end(signal.SIGTERM)[1]


def test_a_socket_is_answered_at_and_gone_at_the_end(tmp_path: Path, glm: Any) -> None:
    path = tmp_path / "s"
    with serving(tmp_path, "echo:", "--socket", "s") as server:
        assert f"curl --unix-socket {path} " in server.screen
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))
            client.sendall(b"GET /v1/models HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            assert client.makefile("rb").read().startswith(b"HTTP/1.1 200")
        again = glm("serve", "echo:", "--socket", "s")
        assert (again.code, again.err_lines[0]) == (2, f"glm: another program answers at {path}")
        assert server.end(signal.SIGTERM)[0] == 0
    assert not path.exists()


@pytest.mark.parametrize(("mode", "is_told"), [(0o777, True), (0o775, True), (0o1777, False)])
def test_a_folder_in_which_others_may_write_is_said(
    tmp_path: Path, mode: int, is_told: bool
) -> None:
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(mode)
    with serving(tmp_path, "echo:", "--socket", "open/s") as server:
        told = server.end(signal.SIGTERM)[1]
    assert ("others may write in" in told) == is_told


def test_what_cannot_be_served_is_said_in_one_line(tmp_path: Path, glm: Any) -> None:
    (tmp_path / "file").write_text("mine")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        for arguments, code, said in [
            (("echo:", "--port", str(port)), 2, f"port {port} is in use"),
            (("echo:", "--socket", "file"), 2, "is there already"),
            (("echo:", "--socket", "s", "--port", "1"), 2, "two addresses"),
            (("echo:", "-m", "smollm2"), 2, "two models"),
            (("openai:x",), 2, "has a server already"),
            (("echo:", "--socket", "s", "--host", "127.0.0.1"), 2, "two addresses"),
            (("echo:", "--host", "http://127.0.0.1"), 2, "is not a host to listen at"),
            (("echo:", "--host", "127.0.0.1:99"), 2, "is not a host to listen at"),
            (("echo:", "--host", "[::1]"), 2, "is not a host to listen at"),
            (("echo:", "--host", "127.1"), 2, "is not a host to listen at"),
            (("echo:x=1", "--port", "0"), 3, "no option"),
            (("no-such-model", "--port", "0"), 3, "no model called"),
            (("echo:", "--port", "0", *CONTROLLER), 3, "no chat template to compare"),
            (("echo:", *CONTROLLER, "--allow", "x"), 2, "--allow takes an address"),
            (("echo:", *CONTROLLER, "--socket", "s"), 2, "a controller reaches no socket"),
            (("echo:", "--controller", "nonsense"), 2, "not the address of a server"),
            (("echo:", "--controller", "http://192.0.2.1:21001"), 2, "cannot reach 127.0.0.1"),
            (("echo:", "--allow", "10.0.0.1"), 2, "--allow is for a worker"),
        ]:
            done = glm("serve", *arguments)
            assert (done.code, done.out) == (code, "")
            assert said in done.err_lines[0]
            assert done.err_lines[1].startswith("hint: ")
    assert (tmp_path / "file").read_text() == "mine"


def test_the_first_ctrl_c_lets_it_answer_and_the_second_does_not(tmp_path: Path) -> None:
    for times, ending in ((1, 0), (2, -signal.SIGINT)):
        with serving(tmp_path, "echo:delay=0.15", "--port", "0", "-q") as server:
            got: list[str] = []

            def asking(server: Running = server, got: list[str] = got) -> None:
                try:
                    got.append(server.say("a b c d e f g h"))
                except OSError:
                    got.append("broken off")

            client = threading.Thread(target=asking)
            client.start()
            assert soon(lambda server=server: server.ask("GET", "/health")[1]["busy"] == 1)
            server.process.send_signal(signal.SIGINT)
            assert server.process.stderr
            assert "ends after 1 more reply" in server.process.stderr.readline()
            if times == 2:
                server.process.send_signal(signal.SIGINT)
            assert server.process.wait(PATIENCE_S) == ending
            cut = "1 reply was cut off\n" if times == 2 else ""
            assert server.process.stderr.read() == cut
            client.join(PATIENCE_S)
            assert got == ["a b c d e f g h" if times == 1 else "broken off"]


def test_ctrl_c_while_the_model_loads_ends_it(tmp_path: Path) -> None:
    port = closed_port()
    process = subprocess.Popen(
        command("serve", "echo:load=30", "--port", str(port)),
        cwd=tmp_path,
        env=clean_env(GLM_HOME=str(tmp_path / "home")),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )

    def is_there() -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        with closing(connection), suppress(OSError):
            connection.request("GET", "/health")
            return json.loads(connection.getresponse().read())["status"] == "loading"
        return False

    assert soon(is_there)
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=10)
    assert (process.returncode, out) == (-signal.SIGINT, "")  # it never answered


@pytest.mark.pty
def test_ctrl_c_leaves_the_prompt_of_a_shell_a_row_of_its_own(tmp_path: Path) -> None:
    with Term("serve", "echo:", "--port", "0", home=tmp_path) as term:
        term.see("Ctrl-C ends it").type("\x03")
        assert term.ended() == 0
        assert term.raw.endswith("^C\r\n")


def test_calls_of_glm_find_what_is_served_and_glm_stop_ends_it(
    tmp_path: Path, glm: Any, own_runtime: Path
) -> None:
    runtime = own_runtime  # the path of a socket must be short
    env = {"XDG_RUNTIME_DIR": str(runtime)}
    with serving(tmp_path, "echo:", "--port", "0", "-q", **env) as server:
        listed = json.loads(glm("ps", "--json", **env).out)
        assert [each["pid"] for each in listed] == [server.process.pid]
        done = glm("ask", "-m", "echo:", "hello there", "--keep", "1m", "--no-save", **env)
        assert done.out == "hello there\n"
        assert len(json.loads(glm("ps", "--json", **env).out)) == 1
        (path,) = runtime.rglob("*.sock")
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))
            client.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            assert client.makefile("rb").read().startswith(b"HTTP/1.1 200")
        assert glm("stop", "--all", **env).code == 0
        _, err = server.process.communicate(timeout=PATIENCE_S)
        assert (server.process.returncode, err) == (0, "glm stop has ended it\n")
    assert not list(runtime.rglob("*.sock"))


def test_a_second_server_says_so_is_listed_and_is_ended_too(tmp_path: Path, glm: Any) -> None:
    runtime = tmp_path / "run"
    runtime.mkdir(mode=0o700)
    env = {"XDG_RUNTIME_DIR": str(runtime)}
    here = ("echo:", "--port", "0")
    with serving(tmp_path, *here, **env) as first, serving(tmp_path, *here, **env) as second:
        numbers = [each.process.pid for each in (first, second)]
        listed = json.loads(glm("ps", "--json", **env).out)
        assert sorted(each["pid"] for each in listed) == sorted(numbers)
        refused = glm("stop", "echo:", **env)
        assert refused.code == 2
        assert all(str(number) in refused.err for number in numbers)
        unnamed = glm("stop", **env)
        assert (unnamed.code, unnamed.err_lines[0]) == (2, "glm: 2 models are kept: echo, echo")
        offered = re.fullmatch(r"hint: glm stop (\d+) ends one .*", unnamed.err_lines[1])
        assert offered and int(offered[1]) in numbers
        assert glm("ask", "-m", "echo:", "hi", "--keep", "1m", **env).out == "hi\n"
        assert glm("stop", str(numbers[1]), **env).code == 0
        _, err = second.process.communicate(timeout=PATIENCE_S)
        assert f"process {numbers[0]} serves this model already, at {first.url}" in err
        assert glm("stop", "echo", **env).code == 0
        _, err = first.process.communicate(timeout=PATIENCE_S)
        assert re.match(r"\d\d:\d\d:\d\d glm reply .* s · 1 \+ 1 tokens\n", err)


def test_a_kept_model_speaks_http_too(tmp_path: Path, glm: Any, own_runtime: Path) -> None:
    runtime = own_runtime  # the path of a socket must be short
    env = {"XDG_RUNTIME_DIR": str(runtime)}
    try:
        assert glm("ask", "-m", "echo:", "hi", "--keep", "1m", "--no-save", **env).out == "hi\n"
        (path,) = runtime.rglob("*.sock")
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))
            client.sendall(b"GET /v1/models HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            assert client.makefile("rb").read().startswith(b"HTTP/1.1 200")
    finally:
        glm("stop", "--all", **env)
