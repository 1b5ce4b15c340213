"""`--long map` with servers: with a window that is named or listed, counted or not, or unknown."""

from __future__ import annotations

import json

import pytest

from tests.support.loopback import OK, Loopback

TEXT = "The river is long and calm. " * 700


class Listing:
    """A server that lists a model as told, and answers whatever it is asked."""

    def __init__(self, **fields) -> None:
        self.questions: list[str] = []
        self._models = json.dumps({"data": [{"id": "m", **fields}]}).encode()

    def __call__(self, connection) -> None:
        head, _, body = connection.requests[-1].partition(b"\r\n\r\n")
        if b"/chat/completions" not in head:
            size = len(self._models)
            kind = b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n" % size
            connection.send(b"HTTP/1.1 200 OK\r\n" + kind + self._models)
            return
        self.questions.append(json.loads(body)["messages"][-1]["content"])
        connection.send(OK)
        for delta, reason in (({"content": "noted"}, None), ({}, "stop")):
            message = {"choices": [{"delta": delta, "finish_reason": reason}]}
            connection.chunk(b"data: " + json.dumps(message).encode() + b"\n\n")
        connection.chunk(b"")


@pytest.fixture
def asked(glm):
    """Ask a server of its own with these options: what was printed, and the questions it got."""

    def ask(*options, text=TEXT, **fields):
        server = Listing(**fields)
        with Loopback(server) as loopback:
            where = ("-m", "openai:m", "--base-url", loopback.url)
            return glm("ask", "-q", *where, *options, stdin=text), server.questions

    return ask


@pytest.mark.parametrize(
    ("options", "fields"), [(("--window", "600"), {}), ((), {"max_model_len": 700})]
)
def test_a_text_beyond_a_window_that_is_named_or_listed_goes_in_parts(asked, options, fields):
    done, questions = asked(*options, "--long", "map", "sum", **fields)
    assert (done.out, done.code) == ("noted\n", 0)
    assert "longer than the window: made from " in done.err
    assert "the model does not count tokens: the text was cut by an estimate" in done.err
    parts = [each.split("of the text:\n\n")[1] for each in questions if "Part " in each]
    assert "".join(parts) == TEXT
    assert max(map(len, questions)) < 700 * 3


def test_a_text_far_beyond_it_is_refused_and_kept_from_the_server(asked):
    done, questions = asked("--window", "600", "sum")
    assert (done.out, done.code, questions) == ("", 4, [])
    said = "the prompt needs 2,450 tokens at least, but the window holds 600"
    assert done.err_lines[0] == f"glm: {said}"
    assert "--long map answers a text from stdin or -a FILE" in done.err_lines[1]
    assert done.err_lines[1].endswith("or set --window to more")


def test_a_text_that_may_not_fit_goes_in_parts_only_where_that_was_asked_for(asked):
    text = "The river is long and calm. " * 70
    done, questions = asked("--window", "600", "sum", text=text)
    assert (len(questions), done.err) == (1, "")
    done, questions = asked("--window", "600", "--long", "map", "sum", text=text)
    assert len(questions) > 2
    done, questions = asked("--window", "6000", "--long", "map", "sum", text=text)
    assert (len(questions), done.err) == (1, "")


def test_without_a_window_a_long_text_goes_in_one_piece_and_that_is_said(asked):
    done, questions = asked("--long", "map", "sum")
    assert (done.out, len(questions)) == ("noted\n", 1)
    assert done.err_lines == [
        "the model's window is not known: the text was sent in one piece; --window says how much"
        " fits"
    ]
    assert asked("--long", "map", "sum", text="short")[0].err == ""


def test_a_server_that_is_not_there_is_asked_for_once(glm):
    nowhere = ("-m", "openai:m", "--base-url", "http://127.0.0.1:9")
    done = glm("ask", "-q", *nowhere, "--long", "map", "x", stdin="y")
    assert done.code == 6
    assert len(done.err_lines) == 2
