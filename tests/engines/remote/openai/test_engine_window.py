"""Prompts that cannot fit the window of a server: they are refused here, before they are sent."""

from __future__ import annotations

import json

import httpx
import pytest

from glmcli.errors import ContextFull
from glmcli.types import Message
from tests.support.fake_openai import delta, events, opened, reply, serving

LONG = (Message("user", "The river is long and calm. " * 700),)
ENDING = {"choices": [{"delta": {}, "finish_reason": "stop"}]}


def listing(**fields):
    return httpx.Response(200, json={"data": [{"id": "m", **fields}]})


def counting_chats(asked):
    def chat(request):
        asked.append(json.loads(request.content))
        return events(delta("read"), ENDING)(request)

    return chat


@pytest.mark.parametrize(
    ("listed", "settings"),
    [({}, {"window": 600}), ({"max_model_len": 700}, {}), ({"owned_by": "vllm"}, {"window": 600})],
)
def test_a_text_far_beyond_the_window_is_not_sent(listed, settings):
    asked: list = []
    engine = opened(serving(listing(**listed), chat=counting_chats(asked)), **settings)
    with pytest.raises(ContextFull, match=r"needs 2,450 tokens at least, but .* holds [67]00"):
        reply(engine, messages=LONG)
    assert asked == []


def test_a_server_that_counts_is_asked_how_long_the_prompt_is():
    asked: list = []
    sized = httpx.Response(200, json={"count": 650})
    models = listing(owned_by="vllm", max_model_len=4096)
    server = serving(models, chat=counting_chats(asked), tokenize=sized)
    text = (Message("user", "a b c d " * 200),)
    with pytest.raises(ContextFull, match="needs 650 tokens, but the model's window holds 600"):
        reply(opened(server, window=600), messages=text)
    assert asked == []
    reply(opened(server, window=700), messages=text)
    assert len(asked) == 1


def test_a_prompt_that_surely_fits_is_not_counted():
    server = serving(listing(owned_by="vllm", max_model_len=600), tokenize="vllm_tokenize_chat")
    engine = opened(server)
    reply(engine, messages=(Message("user", "The river is long. " * 60),))
    assert "/tokenize" not in engine.details


@pytest.mark.parametrize(
    "text",
    ["The river is long and calm. " * 90, " " * 100_000, "-" * 100_000, "\n" * 100_000 + "a"],
    ids=["prose", "blanks", "dashes", "lines"],
)
def test_what_might_fit_is_sent(text):
    asked: list = []
    engine = opened(serving(listing(), chat=counting_chats(asked)), window=600)
    reply(engine, messages=(Message("user", text),))
    assert asked[0]["messages"][0]["content"] == text


def test_any_text_is_sent_where_no_window_is_known():
    asked: list = []
    reply(opened(serving(listing(), chat=counting_chats(asked))), messages=LONG)
    assert len(asked) == 1
