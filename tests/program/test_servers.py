"""The program as a person uses it with a server: on a terminal and in a pipe, on bad days too."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.support.fastchat_cluster import RealCluster
from tests.support.loopback import OK, Connection, Loopback, closed_port
from tests.support.term import Term


def event(delta: dict, reason: str | None = None, **more) -> bytes:
    fields = {"choices": [{"delta": delta, "finish_reason": reason}], **more}
    return b"data: " + json.dumps(fields).encode() + b"\n\n"


def answer(connection: Connection, status: str, kind: str, body: str) -> None:
    head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body.encode())}"
    connection.send(f"{head}\r\n\r\n{body}".encode())


class Server:
    """A server whose next replies are told beforehand; then it says the question again."""

    def __init__(self, *behaviours: str, models: tuple[str, ...] = ("alpha",)) -> None:
        self._behaviours = list(behaviours)
        self._models = models
        self.asked_for: list[str] = []
        self.questions: list[str] = []

    def __call__(self, connection: Connection) -> None:
        head, _, body = connection.requests[-1].partition(b"\r\n\r\n")
        if b"/chat/completions" not in head:
            models = [
                {"id": name, "owned_by": "vllm", "max_model_len": 99} for name in self._models
            ]
            answer(connection, "200 OK", "application/json", json.dumps({"data": models}))
            return
        fields = json.loads(body)
        self.asked_for.append(fields["model"])
        self.questions.append(fields["messages"][-1]["content"])
        getattr(self, self._behaviours.pop(0) if self._behaviours else "say")(connection)

    def say(self, connection: Connection) -> None:
        connection.send(OK)
        for word in self.questions[-1].split():
            connection.chunk(event({"content": f"{word} "}))
        usage = {"prompt_tokens": 7, "completion_tokens": 3}
        connection.chunk(event({}, "stop", usage=usage))
        connection.chunk(b"")

    def freeze(self, connection: Connection) -> None:
        connection.send(OK)
        connection.freeze()

    def freeze_midway(self, connection: Connection) -> None:
        connection.send(OK)
        connection.chunk(event({"content": "half a"}))
        connection.freeze()

    def die_midway(self, connection: Connection) -> None:
        connection.send(OK)
        connection.chunk(event({"content": "half a reply"}))
        raise OSError("killed")

    def web_page(self, connection: Connection) -> None:
        answer(connection, "200 OK", "text/html", "<html>Sign in</html>")

    def unauthorized(self, connection: Connection) -> None:
        answer(connection, "401 Unauthorized", "application/json", '{"error": "Unauthorized"}')

    def too_many(self, connection: Connection) -> None:
        text = '{"error": {"message": "slow down"}}'
        answer(connection, "429 Too Many Requests\r\nRetry-After: 7", "application/json", text)

    def strict(self, connection: Connection) -> None:
        detail = '{"detail": "Unexpected fields in the request: {\'top_k\'}"}'
        answer(connection, "422 Unprocessable Entity", "application/json", detail)

    def hostile(self, connection: Connection) -> None:
        answer(connection, "500 Oops", "text/plain", "a\x1b[2J \u202eb")

    def empty(self, connection: Connection) -> None:
        connection.send(OK)
        connection.chunk(event({}, "stop"))
        connection.chunk(b"")

    def blank(self, connection: Connection) -> None:
        connection.send(OK)
        connection.chunk(event({"content": " \n"}, "stop"))
        connection.chunk(b"")

    def image(self, connection: Connection) -> None:
        connection.send(OK)
        connection.chunk(event({"images": [{"type": "image_url"}]}, "stop"))
        connection.chunk(b"")

    def refusal(self, connection: Connection) -> None:
        connection.send(OK)
        connection.chunk(event({"content": "Well. "}))
        connection.chunk(event({"refusal": "I can't."}, "stop"))
        connection.chunk(b"")

    def nothing(self, connection: Connection) -> None:
        connection.send(OK)
        connection.chunk(event({"content": ""}, "length"))
        connection.chunk(b"")

    def thought(self, connection: Connection) -> None:
        connection.send(OK)
        connection.chunk(event({"reasoning_content": "hm"}, "length"))
        connection.chunk(b"")

    def cut(self, connection: Connection) -> None:
        connection.send(OK)
        connection.chunk(event({"content": "half a"}, "length"))
        connection.chunk(b"")

    def broken(self, connection: Connection) -> None:
        answer(connection, "500 Internal Server Error", "text/plain", "Internal Server Error")


@pytest.fixture
def chat(open_term) -> Iterator:
    """Start a chat with a server that behaves as told."""
    opened = []

    def start(*behaviours: str, models=("alpha",), model="openai:alpha", options=()):
        server = Server(*behaviours, models=models)
        loopback = Loopback(server).__enter__()
        where = ("-m", model, "--base-url", loopback.url)
        opened.append(loopback)
        return open_term("chat", *where, *options, cols=120), server

    yield start
    for item in reversed(opened):
        item.__exit__(None, None, None)


@pytest.mark.pty
@pytest.mark.parametrize("typed", ["2", "beta"])
def test_of_several_models_one_is_picked_from_a_list(chat, typed):
    term, server = chat(models=("alpha", "beta"), model="openai:")
    term.see("1  alpha").see("2  beta").see("number or name:").type("7\r")
    term.see("there is no 7 in the list").type(f"{typed}\r")
    term.at_prompt().type("hello you\r").see("hello you")
    term.type("/model\r").see("openai:beta · vLLM at 127.0.0.1")
    assert server.asked_for == ["beta"]


WITHOUT_A_WORD = "the model ended its reply without a word"
SAID = [
    # (behaviour, exit code, stdout, stderr, what stderr has only where /commands run)
    ("empty", 1, "", WITHOUT_A_WORD, "/retry asks again"),
    ("blank", 1, "", WITHOUT_A_WORD, "/retry asks again"),
    (
        "nothing",
        1,
        "",
        "before the first word\nhint: set --max-tokens to more",
        "/retry max_tokens=N",
    ),
    (
        "thought",
        1,
        "",
        "while it was thinking\nhint: set --max-tokens to more",
        "/retry max_tokens=N",
    ),
    ("image", 1, "", "the model answered with an image, not with text", ""),
    ("refusal", 1, "Well.", "the model declined: I can't.", ""),
    ("broken", 6, "", "ask again; the server's own log may say why", "/retry asks again; "),
    ("die_midway", 6, "half a reply", "ask again; the server's own log", "/retry asks again; "),
    ("too_many", 6, "", "the server is busy or still loading; ask again in 7 s", ""),
    ("cut", 0, "half a", "cut at the token limit", "/continue goes on"),
]


@pytest.mark.parametrize(("behaviour", "code", "out", "said", "in_chat"), SAID)
@pytest.mark.parametrize("how", ["ask", "chat", "commands"])
def test_a_pipe_hears_of_a_reply_that_is_none_and_of_commands_only_where_they_run(
    glm, how, behaviour, code, out, said, in_chat
):
    with Loopback(Server(behaviour)) as loopback:
        where = ("-m", "openai:alpha", "--base-url", loopback.url)
        if how == "ask":
            done = glm("ask", *where, "hi")
        else:
            options = ("--commands",) if how == "commands" else ()
            done = glm("chat", *where, *options, stdin="hi\n")
    assert (done.code, done.out.strip()) == (code, out)
    assert done.out.strip() or behaviour == "blank" or done.out == ""
    if how == "commands" and in_chat:
        assert in_chat in done.err
    else:
        assert said in done.err
        assert " /" not in done.err.replace("://", "")


@pytest.mark.pty
def test_controls_of_a_server_are_no_names_and_are_shown_as_symbols_in_errors(chat):
    term, server = chat("hostile", models=("alpha", "b\x1b[2J\u202e"), model="openai:")
    term.at_prompt().type("hello\r").see("refused (500): a␛[2J <U+202E>b")
    term.type("/model\r").see("openai:alpha ")
    assert server.asked_for == ["alpha"]
    assert "\x1b[2J" not in term.raw


@pytest.mark.pty
def test_the_stats_say_how_the_server_was_recognised(chat):
    term, _ = chat(options=("--stats",))
    term.at_prompt().type("hello you\r")
    term.see("3 tokens").see("vLLM at 127.0.0.1").see("asked /v1/models")


@pytest.mark.pty
def test_ctrl_c_ends_the_wait_for_a_frozen_server_and_retry_works(chat):
    term, server = chat("freeze")
    term.at_prompt().type("are you there\r").see("s; the server may be busy")
    term.type("\x03").see("stopped before the first word")
    term.type("/retry\r").see("window 10 of 99")
    assert server.questions == ["are you there"] * 2


@pytest.mark.pty
@pytest.mark.parametrize(
    ("behaviour", "said", "hint"),
    [
        ("freeze", "did not answer within 2 s", "--timeout waits longer"),
        ("freeze_midway", "sent nothing for 1 s", "--timeout waits longer"),
        ("die_midway", "stopped before the reply was complete", "/retry asks again"),
        ("web_page", "sent a web page, not an answer", "check --base-url"),
        ("unauthorized", "refused (401): Unauthorized", "set GLM_API_KEY to its key"),
        ("too_many", "refused (429): slow down", "ask again in 7 s"),
        ("broken", "refused (500): Internal Server Error", "/retry asks again"),
    ],
)
def test_trouble_is_one_line_and_one_hint_and_retry_works(chat, behaviour, said, hint):
    term, server = chat(behaviour, options=("--timeout", "2"))
    term.at_prompt().type("first question\r").see(said).see(hint)
    assert "Traceback" not in term.raw
    term.type("/retry\r")
    term.see("window 10 of 99")
    term.type("and another\r").until(
        lambda term: term.text().count("window 10 of 99") == 2, "the second reply"
    )
    assert server.questions == ["first question", "first question", "and another"]


@pytest.mark.pty
def test_a_chat_moves_to_a_second_server_and_goes_on(chat, tmp_path):
    term, first = chat()
    second = Server()
    with Loopback(second) as other:
        term.at_prompt().type("to the first\r").see("window 10 of 99")
        term.type(f"/model openai: {other.url}\r").see("now openai:alpha")
        term.type("to the second\r").until(
            lambda term: term.text().count("window 10 of 99") == 2, "the second reply"
        )
        assert (first.questions, second.questions) == (["to the first"], ["to the second"])


@pytest.mark.pty
def test_a_worker_of_a_real_cluster_dies_and_another_one_goes_on(tmp_path):
    pytest.importorskip("fastchat", reason="the real FastChat is not installed")
    slow = " ".join(["pause"] * 60)
    with RealCluster(tmp_path) as cluster:
        cluster.start("one")
        where = ("-m", "fastchat:", "--base-url", cluster.url)
        with Term("chat", "--stats", *where, home=tmp_path, cols=120) as term:
            term.at_prompt().type("to be or not\r").see("FastChat worker at")
            term.see("/get_worker_address, /model_details")
            term.type(f"first {slow}\r").see("\nfirst pause").type("\x03")
            term.see("what arrived is kept").at_prompt()
            term.type(f"and then {slow} the end\r").see("\nand then pause")
            cluster.workers["one"].kill()
            term.see("stopped before the reply was complete").see("/retry asks again")
            cluster.start("one")
            term.type("/retry\r")
            term.until(lambda term: term.text().count("the end") == 2, "the whole reply")
            term.see(f"FastChat worker at {cluster.addresses['one'].removeprefix('http://')}")
            term.type("one fault\r").see("CUDA out of memory").see("/retry asks again")
            term.type("/model\r").see("fastchat:one")


def test_in_a_pipe_the_list_comes_with_the_refusal(glm):
    with Loopback(Server(models=("alpha", "beta"))) as loopback:
        done = glm("ask", "-m", "openai:", "--base-url", loopback.url, "hello")
    assert done.code == 3
    assert done.out == ""
    assert "alpha, beta" in done.err_lines[-1]


def test_the_only_model_is_taken_and_the_history_knows_its_name(glm):
    with Loopback(Server()) as loopback:
        done = glm("ask", "--stats", "-m", "openai:", "--base-url", loopback.url, "hello you")
    assert done.out == "hello you \n"
    assert "vLLM at 127.0.0.1" in done.err
    assert "asked /v1/models" in done.err
    assert "openai:alpha" in glm("history", "list", "--all").out.split("\t")


def test_a_setting_that_a_server_refuses_is_left_out_and_said(glm):
    with Loopback(Server("strict")) as loopback:
        options = ("--top-k", "5", "-m", "openai:alpha", "--base-url", loopback.url)
        done = glm("ask", *options, "hello you")
    assert (done.code, done.out) == (0, "hello you \n")
    assert done.err.endswith("refused a setting: asked again without top_k\n")


def test_a_server_that_is_not_there_is_one_line_and_one_hint(glm):
    url = f"http://127.0.0.1:{closed_port()}"
    for model in ("openai:", "openai:m", "fastchat:", "fastchat:m"):
        done = glm("ask", "-m", model, "--base-url", url, "hello")
        assert done.code == 6
        assert len(done.err_lines) == 2
        assert "nothing listens" in done.err
        assert "--base-url" in done.err_lines[1]


def test_in_a_chat_the_hint_for_a_server_that_is_not_there_is_a_command(glm):
    url = f"http://127.0.0.1:{closed_port()}"
    for model in ("openai:m", "fastchat:m"):
        server = ("-m", model, "--base-url", url)
        done = glm("chat", *server, "--commands", stdin="hello\n/model echo:\nagain\n")
        assert "/model smollm2" in done.err and "--base-url" not in done.err
        assert done.out.endswith("again\n")
