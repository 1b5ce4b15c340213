"""Reasoning on a real pseudo-terminal: folded, shown, hidden; from a server that sends it apart."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.support.loopback import OK, Connection, Loopback
from tests.support.term import Term

pytestmark = pytest.mark.pty


def reason(connection: Connection) -> None:
    """Answer every question with some reasoning and a word."""
    if b"/chat/completions" not in connection.requests[-1]:
        body = '{"data": [{"id": "alpha", "max_model_len": 99}]}'
        head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}"
        connection.send(f"{head}\r\nContent-Type: application/json\r\n\r\n{body}".encode())
        return
    connection.send(OK)
    for delta in ({"reasoning_content": "because of \x1b[2Jthis"}, {"content": "So."}):
        event = {"choices": [{"delta": delta, "finish_reason": None}]}
        connection.chunk(f"data: {json.dumps(event)}\n\n".encode())
    event = {"choices": [{"delta": {}, "finish_reason": "stop"}]}
    connection.chunk(f"data: {json.dumps(event)}\n\ndata: [DONE]\n\n".encode())
    connection.chunk(b"")


@pytest.fixture
def ask(open_term) -> Iterator:
    """A chat with that server, in which one question was answered."""
    with Loopback(reason) as server:
        where = ("-m", "openai:alpha", "--base-url", server.url)

        def start(*options: str) -> Term:
            term = open_term("chat", *where, *options)
            return term.at_prompt().type("why\r").see("So.").at_prompt()

        yield start


def test_reasoning_is_folded_and_ctrl_o_shows_it(ask):
    term = ask()
    assert "thought for" in term.text()
    assert "because" not in term.text()
    term.type("\x0f").see("because of ␛[2Jthis").at_prompt()
    assert "\x1b[2J" not in term.raw


def test_reasoning_is_shown_when_that_is_wanted(ask):
    term = ask("--thinking", "show")
    assert "because of ␛[2Jthis" in term.text()
    term.type("/thinking hide\r").see("thinking is hide").at_prompt()
    term.type("again\r").until(lambda t: t.text().count("So.") == 2, "the reply").at_prompt()
    assert term.text().count("thought for") == 1


def test_think_is_a_setting_of_the_session(ask):
    term = ask("--thinking", "hide").type("/think off\r").see("think is off").at_prompt()
    term.type("/think\r").until(lambda t: t.text().count("think is off") == 2, "it").at_prompt()
    assert "thought for" not in term.text()
