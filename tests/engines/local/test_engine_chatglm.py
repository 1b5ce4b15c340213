"""A ChatGLM as an engine: messages in, chunks out."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Sequence
from functools import cache
from itertools import pairwise
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from glmcli.config import Settings
from glmcli.engines import Engine, open_engine
from glmcli.types import Chunk, GenerationParams, Message
from tests.support.chatglm_data import OTHERS, as_messages, copy_of, expected, find
from tests.support.vocabularies import byte_pairs, tiktoken_file

TALKERS = ("talker-tiny-32k-safetensors", "talker-6b-safetensors-sharded")
GREEDY = GenerationParams(temperature=0)
CHANGED = ("spaces", "你的训练数据截止到什么时候？")
"""Queries whose replies are shown without their outer blanks, or with the date filled in."""


@cache
def engine_of(name: str) -> Engine:
    folder = str(find("checkpoints", name))
    cache = Path(tempfile.mkdtemp())
    settings = Settings(model=folder, device="cpu", dtype="float32", cache=cache)
    return open_engine(settings, lambda progress: None)


def ask(
    engine: Engine, messages: Sequence[Message], params: GenerationParams = GREEDY
) -> list[Chunk]:
    """The chunks of a whole reply, those that only tell of progress left out."""
    chunks = engine.stream(messages, params, Event())
    return [chunk for chunk in chunks if chunk.progress is None]


def text_of(chunks: Sequence[Chunk]) -> str:
    return "".join(chunk.text for chunk in chunks)


@pytest.mark.parametrize("name", TALKERS)
def test_recorded_chats_stream_token_by_token(name: str) -> None:
    for case in expected(name)["chat"]:
        *steps, last = ask(engine_of(name), as_messages(case))
        assert [chunk.tokens for chunk in steps] == [1] * (len(case["new_ids"]) - 1)
        assert {chunk.finish_reason for chunk in steps} == {None}
        assert last.finish_reason == "stop"
        assert last.usage is not None
        assert last.usage.prompt_tokens == case["prompt_len"]
        assert last.usage.completion_tokens == len(case["new_ids"]) - 1
        if isinstance(case["response"], str):
            assert text_of([*steps, last]) == case["response"]


@pytest.mark.parametrize("name", TALKERS)
def test_recorded_tool_calls_are_shown_as_calls(name: str) -> None:
    shown = {
        case["query"]: text_of(ask(engine_of(name), as_messages(case)))
        for case in expected(name)["chat"]
        if isinstance(case["response"], dict)
    }
    assert shown == {
        "What's the weather in Beijing today?": (
            "Okay, let's look up the weather in Beijing today.\n\n"
            '```python\nget_current_weather(location="beijing", unit="celsius")\n```'
        ),
        "画一个爱心": "interpreter\n```python\nimport math\nprint('♥', math.pi)\n```",
    }


@pytest.mark.parametrize("name", TALKERS)
def test_the_next_turn_reads_only_what_is_new(name: str) -> None:
    """The reply goes back as the very ids that the model wrote."""
    engine = engine_of(name)
    for case in expected(name)["chat"]:
        if case["query"] in CHANGED:
            continue
        messages = as_messages(case)
        reply = Message("assistant", text_of(ask(engine, messages)))
        last = ask(engine, [*messages, reply, Message("user", "and?")])[-1]
        assert last.usage is not None
        assert last.usage.cached_tokens == case["prompt_len"] + len(case["new_ids"]) - 1


def test_a_reply_that_ends_by_length_loses_no_token() -> None:
    name = TALKERS[0]
    for case in expected(name)["chat"][:3]:
        limit = len(case["new_ids"]) - 3
        *steps, last = ask(
            engine_of(name), as_messages(case), GenerationParams(temperature=0, max_tokens=limit)
        )
        assert len(steps) == limit
        assert last.finish_reason == "length"
        assert case["response"].startswith(text_of([*steps, last]))


@pytest.mark.parametrize("name", OTHERS)
def test_other_generations_answer_too(name: str, tmp_path: Path) -> None:
    """With a tokenizer that was made for the test: these come as weights alone."""
    folder = copy_of(name, tmp_path)
    if name.startswith("glm4"):
        (folder / "tokenizer.model").write_bytes(tiktoken_file(byte_pairs("hello", size=258)))
    else:
        source = find("checkpoints", "tiny-6b-safetensors", "tokenizer.model")
        shutil.copyfile(source, folder / "tokenizer.model")
    settings = Settings(model=str(folder), device="cpu", dtype="float32", cache=tmp_path / "cache")
    engine = open_engine(settings, lambda progress: None)
    messages = [Message("system", "be kind"), Message("user", "hello")]
    chunks = ask(engine, messages, GenerationParams(temperature=0, max_tokens=12))
    usage = chunks[-1].usage
    assert usage is not None
    assert usage.completion_tokens == sum(chunk.tokens for chunk in chunks) > 0
    assert usage.prompt_tokens == engine.count(messages)
    more = [*messages, Message("assistant", text_of(chunks)), Message("user", "and?")]
    assert ask(engine, more, GenerationParams(max_tokens=3, seed=1))[-1].finish_reason


def test_the_window_is_the_one_of_the_config() -> None:
    assert engine_of(TALKERS[0]).context_tokens == 32768


def test_the_program_prints_a_record_for_each_token(glm: Any) -> None:
    """What shows nothing yet included; the last one says how the reply ended."""
    name = TALKERS[0]
    case = expected(name)["chat"][0]
    options = ("--temperature", "0", "--device", "cpu", "--dtype", "float32", "--no-save")
    done = glm("ask", "-m", str(find("checkpoints", name)), *options, "-f", "records", "你好")
    assert done.code == 0, done.err
    records = [json.loads(line) for line in done.out.splitlines()]
    count = len(case["new_ids"]) - 1
    assert [item["usage"]["completion_tokens"] for item in records] == list(range(1, count + 1))
    assert {item["usage"]["prompt_tokens"] for item in records} == {case["prompt_len"]}
    assert [item["finish_reason"] for item in records] == [None] * (count - 1) + ["stop"]
    assert records[-1]["text"] == case["response"]
    texts = [item["text"] for item in records]
    assert all(later.startswith(text) for text, later in pairwise(texts))


def test_a_refusal_is_a_line_and_a_hint_in_the_user_s_language(glm: Any, tmp_path: Path) -> None:
    folder = copy_of("tiny-6b-safetensors", tmp_path, quantization_bit=4)
    ask = ("ask", "-m", str(folder), "hi")
    english, chinese = glm(*ask), glm(*ask, LC_ALL="zh_CN.UTF-8")
    for done, words in ((english, "was quantised to 4 bits"), (chinese, "自带 4 位量化")):
        assert (done.code, done.out, len(done.err_lines)) == (3, "", 2)
        assert words in done.err_lines[0]
        assert "fp16" in done.err_lines[1]
    assert english.err.isascii()
