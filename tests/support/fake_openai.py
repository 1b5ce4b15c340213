"""An OpenAI-compatible server that answers as real ones were recorded to."""

from __future__ import annotations

import json
import threading

import httpx

from glmcli.config import Settings
from glmcli.engines.remote.openai.engine import open_engine
from glmcli.types import GenerationParams, Message
from tests.support.transcripts import FakeServer, joined, replayed

CHAT = "/v1/chat/completions"
HELLO = (Message("user", "What is the capital of France?"),)
NEVER = threading.Event()
PLAIN = GenerationParams()


def ignore(progress) -> None:
    pass


def opened(answers: FakeServer, name: str = "", url: str = "http://server.test/v1", **settings):
    return open_engine(name, Settings(base_url=url, **settings), ignore, transport=answers)


def serving(models: str = "vllm_models", chat="vllm_chat_stream_usage", **more) -> FakeServer:
    return FakeServer(v1_models=models, v1_chat_completions=chat, **more)


def reply(engine, params: GenerationParams = PLAIN, messages=HELLO):
    return joined(engine.stream(messages, params, NEVER))


def in_turn(*names: str):
    left = list(names)
    return lambda request: replayed(left.pop(0))


def events(*messages: object):
    """An answer that streams just these messages."""
    data = b"".join(b"data: " + json.dumps(each).encode() + b"\n\n" for each in messages)
    return lambda request: httpx.Response(200, content=data)


def delta(text: str = "", **fields: object) -> dict[str, object]:
    """The message that adds a text, or what else a delta has."""
    return {"choices": [{"delta": {"content": text} | fields}]}
