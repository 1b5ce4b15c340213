"""The `openai` package reads the same servers: a second opinion that shares no code with ours."""

from __future__ import annotations

import http
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

import pytest

from glmcli.config import Settings
from glmcli.engines.remote.faults import Refused
from glmcli.engines.remote.openai.engine import list_models, open_engine
from glmcli.errors import GlmError
from glmcli.types import GenerationParams, Message
from tests.support.clients import HELLO, NEVER, openai, package, read_by_package, read_by_us
from tests.support.loopback import Connection, Loopback
from tests.support.transcripts import TRANSCRIPTS, Transcript

CHATS = [item for item in TRANSCRIPTS.values() if item.path == "/v1/chat/completions"]
STREAMS = [item for item in CHATS if item.status == 200 and item.body.startswith((b"data", b":"))]
REFUSALS = [item for item in CHATS if item.status != 200]
LISTS = [item for item in TRANSCRIPTS.values() if item.path == "/v1/models"]
UNNOTICED = "fsoai_fault_stream_oom"
"""An error of FastChat's, which the package takes for a chunk without a choice."""

ONLY_DONE = ("synthetic_stream_crlf", "synthetic_stream_keepalive_comment")
"""Streams that end by `[DONE]` without a reason, which the package tells from no other end."""


def answering(answers: dict[str, Transcript]) -> Callable[[Connection], None]:
    """A script for a loopback server: each path's captured answer, 404 for all else."""

    def script(connection: Connection) -> None:
        path = connection.requests[-1].split(b" ")[1].decode()
        old = answers.get(path)
        if old is None:
            connection.send(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
            return
        head = f"HTTP/1.1 {old.status} {http.HTTPStatus(old.status).phrase}\r\n"
        kind = old.headers.get("content-type", "text/event-stream")
        head += f"Content-Type: {kind}\r\nTransfer-Encoding: chunked\r\n\r\n"
        connection.send(head.encode())
        for at in range(0, len(old.body), 1000):
            connection.chunk(old.body[at : at + 1000])
        if not old.complete:
            raise OSError("the connection breaks here")
        connection.chunk(b"")

    return script


@contextmanager
def serving(*transcripts: Transcript) -> Iterator[str]:
    with Loopback(answering({item.path: item for item in transcripts})) as loopback:
        yield f"{loopback.url}/v1"


@pytest.mark.parametrize("stream", STREAMS, ids=lambda item: item.name)
def test_both_clients_read_the_same_reply(stream: Transcript):
    with serving(stream) as url:
        ours, theirs = read_by_us(url), read_by_package(url)
    assert (ours.text, ours.thinking) == (theirs.text, theirs.thinking)
    if stream.name == UNNOTICED:
        assert (ours.end, theirs.end) == ("error", "cut off")
    elif stream.name in ONLY_DONE:
        assert (ours.end, theirs.end) == ("stop", "cut off")
    else:
        assert ours.end == theirs.end
    if theirs.counts and ours.end in ("stop", "length"):
        assert ours.counts == theirs.counts


def test_the_captured_replies_hold_all_that_is_compared():
    with_counts = [item for item in STREAMS if b'"usage":{"' in item.body.replace(b" ", b"")]
    with_reasoning = [item for item in STREAMS if b'"reasoning":"' in item.body]
    assert len(STREAMS) > 30
    assert len(with_counts) > 3
    assert len(with_reasoning) > 2
    assert UNNOTICED in {item.name for item in STREAMS}


@pytest.mark.parametrize("refusal", REFUSALS, ids=lambda item: item.name)
def test_both_clients_are_refused_with_the_same_status(refusal: Transcript):
    with serving(refusal) as url:
        with package(url) as client, pytest.raises(openai.APIStatusError) as theirs:
            messages = [{"role": "user", "content": HELLO}]
            client.chat.completions.create(model="smollm2", messages=messages, stream=True)
        engine = open_engine("smollm2", Settings(base_url=url), lambda progress: None)
        with closing(engine), pytest.raises(GlmError) as ours:
            list(engine.stream((Message("user", HELLO),), GenerationParams(), NEVER))
    refused = ours.value if isinstance(ours.value, Refused) else ours.value.__cause__
    assert isinstance(refused, Refused)
    assert refused.status == theirs.value.status_code == refusal.status


@pytest.mark.parametrize("models", LISTS, ids=lambda item: item.name)
def test_both_clients_see_the_same_models(models: Transcript):
    with serving(models) as url, package(url) as client:
        if models.status != 200:
            with pytest.raises(openai.APIStatusError):
                client.models.list()
            with pytest.raises(Refused):
                list_models(Settings(base_url=url))
            return
        theirs = sorted(model.id for model in client.models.list())
        assert [name for name, _ in list_models(Settings(base_url=url))] == theirs
