"""What is served, read by a client that is not ours: the `openai` package."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from glmcli.engines.echo import EchoEngine
from tests.support.clients import openai, package
from tests.support.serving import Served, served, soon

HELLO = [{"role": "user", "content": "one two three"}]


@pytest.fixture
def server() -> Iterator[Served]:
    with served() as running:
        yield running


def test_it_lists_and_finds_the_model(server: Served) -> None:
    with package(f"{server.url}/v1") as client:
        assert [model.id for model in client.models.list()] == ["echo"]
        assert client.models.retrieve("echo").owned_by == "glm"


def test_it_reads_a_whole_reply(server: Served) -> None:
    with package(f"{server.url}/v1") as client:
        reply = client.chat.completions.create(model="echo", messages=HELLO, max_tokens=2)
        assert reply.choices[0].message.content == "one two "
        assert reply.choices[0].finish_reason == "length"
        assert reply.usage.prompt_tokens_details.cached_tokens == 0


def test_it_reads_a_stream_and_its_counts(server: Served) -> None:
    with package(f"{server.url}/v1") as client:
        chunks = list(
            client.chat.completions.create(
                model="echo", messages=HELLO, stream=True, stream_options={"include_usage": True}
            )
        )
        said = [chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices]
        assert "".join(said) == "one two three"
        assert chunks[-1].usage.completion_tokens == 3


def test_it_completes_a_text(server: Served) -> None:
    with package(f"{server.url}/v1") as client:
        reply = client.completions.create(model="echo", prompt="one two")
        assert reply.choices[0].text == "one two"


def test_it_knows_our_refusals(server: Served) -> None:
    with package(f"{server.url}/v1") as client:
        create = client.chat.completions.create
        with pytest.raises(openai.BadRequestError) as wrong:
            create(model="echo", messages=HELLO, temperature="hot")
        assert (wrong.value.param, wrong.value.type) == ("temperature", "invalid_request_error")
        with pytest.raises(openai.NotFoundError):
            create(model="other", messages=HELLO)
        long = [{"role": "user", "content": "a " * 9000}]
        with pytest.raises(openai.BadRequestError) as full:
            create(model="echo", messages=long)
        assert full.value.code == "context_length_exceeded"


def test_it_knows_a_full_queue() -> None:
    with (
        served(lambda report: EchoEngine(delay_s=0.1), most_waiting=1) as server,
        package(f"{server.url}/v1") as client,
        ThreadPoolExecutor(2) as others,
    ):
        create = client.chat.completions.create
        asked = [others.submit(create, model="echo", messages=HELLO) for _ in range(2)]
        assert soon(lambda: server.holder.busy == 2)
        with pytest.raises(openai.RateLimitError) as full:
            create(model="echo", messages=HELLO)
        assert int(full.value.response.headers["retry-after"]) >= 1
        assert all(each.result().choices for each in asked)


def test_it_knows_that_a_key_is_missing() -> None:
    with served(key="right") as server, package(f"{server.url}/v1") as client:
        with pytest.raises(openai.AuthenticationError):
            client.models.list()
        assert client.with_options(api_key="right").models.list().data
