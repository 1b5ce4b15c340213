"""The server that a conversation goes on with: the one where it was."""

from __future__ import annotations

import json

import pytest

from tests.support.loopback import Connection, Loopback

LIST = {"object": "list", "data": [{"id": "m", "object": "model", "owned_by": "x"}]}
EVENTS = (
    b'data: {"choices": [{"index": 0, "delta": {"content": "Yes."}}]}\n\n'
    b'data: {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}\n\ndata: [DONE]\n\n'
)


def answer(connection: Connection) -> None:
    is_list = connection.requests[-1].startswith(b"GET")
    body = json.dumps(LIST).encode() if is_list else EVENTS
    kind = "application/json" if is_list else "text/event-stream"
    head = f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
    connection.send(head.encode() + body)


def said_to(server: Loopback) -> bytes:
    return b"".join(request for each in server.connections for request in each.requests)


@pytest.mark.parametrize("how", ["typed", "environment", "in the chat"])
def test_a_conversation_goes_on_at_the_server_where_it_was(glm, how):
    with Loopback(answer) as ours, Loopback(answer) as other:
        if how == "typed":
            begun = glm("ask", "-m", "openai:m", "--base-url", f"{ours.url}/v1", "secret one")
        elif how == "environment":
            begun = glm("ask", "-m", "openai:m", "secret one", GLM_BASE_URL=ours.url)
        else:
            typed = f"/model openai:m {ours.url}\nsecret one\n"
            begun = glm("chat", "-m", "echo:", "--commands", stdin=typed)
        assert begun.code == 0 and "Yes." in begun.out
        command = ("chat",) if how == "in the chat" else ("ask",)
        on = ("and", "two") if command == ("ask",) else ()
        again = glm(*command, "-c", *on, stdin="and two\n" if not on else "")
        assert again.code == 0 and "Yes." in again.out
        assert said_to(ours).count(b"secret one") == 2
        elsewhere = glm(*command, "-c", *on, stdin="on\n" if not on else "", GLM_BASE_URL=other.url)
        assert elsewhere.code == 0
        assert f"it goes on at {ours.url}" in elsewhere.err
        assert b"secret" not in said_to(other)
        moved = glm(*command, "-c", "--base-url", other.url, *on, stdin="on\n" if not on else "")
        assert moved.code == 0
        assert b"secret one" in said_to(other)
        (listed,) = json.loads(glm("history", "list", "--json").out)
        assert listed["model"] == f"openai:m {other.url}"
        assert "127.0.0.1" not in glm("history", "list", "--all").out
        for form in ("json", "markdown", "jsonl"):
            assert "127.0.0.1" not in glm("history", "export", "-f", form, listed["id"]).out


def test_the_server_stays_where_the_environment_names_the_same_model(glm):
    with Loopback(answer) as ours, Loopback(answer) as other:
        assert glm("ask", "-m", "openai:m", "--base-url", ours.url, "secret one").code == 0
        set_to = {"GLM_MODEL": "openai:m", "GLM_BASE_URL": other.url}
        assert glm("ask", "-c", "two", **set_to).code == 0
        assert b"secret" not in said_to(other)
        again = glm("ask", "-c", "three", **{**set_to, "GLM_MODEL": "openai:n"})
        assert again.code == 0 and "was with openai:m" in again.err
        assert b"secret one" in said_to(other)


def test_the_address_is_no_part_of_a_model_that_is_set_for_good(glm, tmp_path):
    assert glm("config", "set", "model", "openai:m", GLM_BASE_URL="http://127.0.0.1:9").code == 0
    assert "127.0.0.1" not in (tmp_path / "home" / "config.toml").read_text()


def test_an_address_that_may_hold_a_secret_is_not_stored(glm):
    with Loopback(answer) as server:
        url = f"{server.url}/v1?key=hunter22"
        assert glm("ask", "-m", "openai:m", "--base-url", url, "hi").code == 0
        assert json.loads(glm("history", "list", "--json").out)[0]["model"] == "openai:m"


def test_one_whose_address_config_toml_has_follows_that(glm):
    with Loopback(answer) as ours, Loopback(answer) as other:
        for server in (ours, other):
            assert glm("config", "set", "base_url", server.url).code == 0
            assert glm("ask", "-m", "openai:m", "hi").code == 0
        assert glm("ask", "-c", "on").code == 0
        assert b'"on"' in said_to(other) and b'"on"' not in said_to(ours)
