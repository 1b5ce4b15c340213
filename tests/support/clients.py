"""A server's reply as two clients read it: the `openai` package, and this program."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass

import pytest

from glmcli.config import Settings
from glmcli.engines.remote.openai.engine import open_engine
from glmcli.errors import GlmError
from glmcli.types import Chunk, GenerationParams, Message

openai = pytest.importorskip("openai", reason="the test extra installs the openai package")

HELLO = "What is the capital of France?"
NEVER = threading.Event()


@dataclass(frozen=True, slots=True)
class Reading:
    """What a client makes of a reply."""

    text: str
    thinking: str
    end: str
    """The reason that the server gave; "cut off" if it gave none; "error" if it sent one."""
    counts: tuple[int | None, int | None] | None


@contextmanager
def package(url: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=url, api_key="none", max_retries=0, timeout=20) as client:
        yield client


def read_by_package(url: str, model: str = "smollm2", **params) -> Reading:
    text, thinking, end, counts = "", "", "cut off", None
    asked = {"model": model, "messages": [{"role": "user", "content": HELLO}], **params}
    with package(url) as client:
        try:
            for chunk in client.chat.completions.create(stream=True, **asked):
                if chunk.usage:
                    counts = (chunk.usage.prompt_tokens, chunk.usage.completion_tokens)
                for choice in chunk.choices or ():
                    more = choice.delta.model_extra or {}
                    text += choice.delta.content or ""
                    thinking += more.get("reasoning") or more.get("reasoning_content") or ""
                    end = choice.finish_reason or end
        except openai.APIConnectionError:
            end = "cut off"
        except openai.APIError:
            end = "error"
    return Reading(text, thinking, end, counts)


def read_by_us(url: str, model: str = "smollm2", **params) -> Reading:
    chunks: list[Chunk] = []
    end = "cut off"
    with closing(open_engine(model, Settings(base_url=url), lambda progress: None)) as engine:
        try:
            messages = (Message("user", HELLO),)
            for chunk in engine.stream(messages, GenerationParams(**params), NEVER):
                chunks.append(chunk)
            end = chunks[-1].finish_reason or "no end"
        except GlmError as exc:
            end = "cut off" if "before the reply was complete" in exc.message else "error"
    text = "".join(chunk.text for chunk in chunks)
    usage = chunks[-1].usage if chunks else None
    counts = (usage.prompt_tokens, usage.completion_tokens) if usage else None
    return Reading(text, "".join(chunk.thinking for chunk in chunks), end, counts)
