"""What is served, read by our own client of servers: what the one can do, the other one uses."""

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing

import pytest

from glmcli.config import Settings
from glmcli.engines.echo import EchoEngine
from glmcli.engines.remote.openai.engine import OpenAIEngine, open_engine
from glmcli.errors import ContextFull, EngineError, ModelError
from glmcli.types import GenerationParams, Message
from tests.support.serving import Served, served, soon

HELLO = [Message("user", "one two three")]


Client = Callable[..., OpenAIEngine]


@pytest.fixture
def server() -> Iterator[Served]:
    with served(lambda report: EchoEngine(context_tokens=100)) as running:
        assert soon(lambda: running.holder.engine.is_open)
        yield running


@pytest.fixture
def client() -> Iterator[Client]:
    """Opens clients of a server, which are closed at the end."""
    with ExitStack() as opened:

        def connect(server: Served, name: str = "", **settings: str) -> OpenAIEngine:
            known = Settings(base_url=server.url, **settings)
            return opened.enter_context(closing(open_engine(name, known, lambda progress: None)))

        yield connect


def read(engine: OpenAIEngine, messages=HELLO, **params):
    chunks = list(engine.stream(messages, GenerationParams(**params), threading.Event()))
    return "".join(chunk.text for chunk in chunks), chunks


def test_it_is_known_for_what_it_is(server: Served, client: Client) -> None:
    engine = client(server)
    assert (engine.name, engine.context_tokens) == ("echo", 100)
    assert engine.device == f"glm at 127.0.0.1:{server.port}"
    with pytest.raises(ModelError, match="no model 'other'"):
        client(server, "other")


def test_a_reply_and_all_its_counts_arrive(server: Served, client: Client) -> None:
    text, chunks = read(client(server), max_tokens=2)
    assert text == "one two "
    assert chunks[-1].finish_reason == "length"
    usage = chunks[-1].usage
    assert (usage.prompt_tokens, usage.cached_tokens, usage.completion_tokens) == (3, 0, 2)


def test_prompts_are_counted_there(server: Served, client: Client) -> None:
    assert client(server).count(HELLO) == 3


def test_a_reply_goes_on_there(server: Served, client: Client) -> None:
    assert read(client(server), [*HELLO, Message("assistant", "one")])[0] == " two three"


def test_no_setting_is_left_out(server: Served, client: Client) -> None:
    settings = {"temperature": 0.1, "top_p": 0.9, "top_k": 3, "repetition_penalty": 1.1}
    text, chunks = read(client(server), seed=1, stop=("three",), think=False, **settings)
    assert text == "one two "
    assert not [chunk.notice for chunk in chunks if chunk.notice]
    assert soon(lambda: any("chat/completions" in line for line in server.lines))
    assert not [line for line in server.lines if "ignored" in line]


def test_a_prompt_that_does_not_fit_is_that_here_too(server: Served, client: Client) -> None:
    with pytest.raises(ContextFull) as full:
        read(client(server), [Message("user", "a " * 120)])
    assert (full.value.needed, full.value.limit) == (120, 100)


def test_a_cancelled_reply_ends_there_too(client: Client) -> None:
    with served(lambda report: EchoEngine(delay_s=0.05)) as server:
        engine, cancel = client(server), threading.Event()
        for chunk in engine.stream(HELLO * 30, GenerationParams(), cancel):
            if chunk.text:
                cancel.set()
        assert soon(lambda: server.holder.busy == 0)


def test_a_key_that_is_wrong_is_refused_in_one_line(client: Client) -> None:
    with served(key="right") as server:
        with pytest.raises(EngineError, match="key"):
            client(server, api_key="wrong", key_url=server.url)
        engine = client(server, api_key="right", key_url=server.url)
        assert read(engine)[0] == "one two three"
