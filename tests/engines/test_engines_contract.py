"""The contract of `Engine`, held to every engine that ships; a new one is one more opener here."""

from __future__ import annotations

import re
from contextlib import closing
from dataclasses import replace
from threading import Event

import pytest

from glmcli.config import load_settings
from glmcli.engines import FOLLOWED_BY, Warms, check_followed, open_engine
from glmcli.engines.echo import EchoEngine
from glmcli.engines.local.engine import LocalEngine
from glmcli.engines.local.net.plain.reader import model_of
from glmcli.engines.thread import EngineThread
from glmcli.errors import ConfigError, ContextFull
from glmcli.types import GenerationParams, Message
from tests.support import fake_fastchat, fake_openai, llama, tiny_chat
from tests.support.kept import KeptForTest

HELLO = (Message("user", "What is the capital of France?"),)
CHAT = (*HELLO, Message("assistant", "Paris."), Message("user", "And of Spain?"))
PARAMS = GenerationParams(max_tokens=24, temperature=0.0)


def echo():
    return EchoEngine(context_tokens=64)


def threaded():
    return EngineThread("echo", lambda report: EchoEngine(context_tokens=64))


def local():
    return LocalEngine("tiny", model_of(tiny_chat.NET), tiny_chat.TEMPLATE, context_tokens=1024)


def gguf():
    return llama.opened()


def openai():
    return fake_openai.opened(fake_openai.serving())


def fastchat():
    return fake_fastchat.opened(fake_fastchat.cluster())


def kept():
    return KeptForTest(window=64)


ENGINES = [echo, threaded, local, gguf, openai, fastchat, kept]


@pytest.fixture(params=ENGINES, ids=lambda opener: opener.__name__)
def engine(request):
    with closing(request.param()) as opened:
        yield opened


def chunks_of(engine, messages=HELLO, cancel=None):
    return list(engine.stream(messages, PARAMS, cancel or Event()))


def text_of(chunks):
    return "".join(chunk.text for chunk in chunks)


def test_the_deltas_join_to_the_same_reply_every_time(engine):
    first, second = text_of(chunks_of(engine)), text_of(chunks_of(engine))
    assert first
    assert first == second


def test_only_the_last_chunk_says_how_it_ended_and_what_it_cost(engine):
    chunks = chunks_of(engine)
    assert [bool(chunk.finish_reason) for chunk in chunks] == [False] * (len(chunks) - 1) + [True]
    assert not any(chunk.usage for chunk in chunks[:-1])
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens


def test_a_stop_string_ends_a_reply_and_is_not_shown(engine):
    whole = text_of(chunks_of(engine))
    stop = whole[len(whole) // 2 :][:3]
    chunks = list(engine.stream(HELLO, replace(PARAMS, stop=(stop,)), Event()))
    assert text_of(chunks) == whole[: whole.find(stop)]
    assert chunks[-1].finish_reason == "stop"


def test_a_chunk_with_progress_carries_nothing_else(engine):
    for chunk in chunks_of(engine):
        if chunk.progress is not None:
            assert not (chunk.text or chunk.thinking or chunk.tokens or chunk.finish_reason)


def test_another_conversation_in_between_changes_nothing(engine):
    first = text_of(chunks_of(engine))
    chunks_of(engine, CHAT)
    assert text_of(chunks_of(engine)) == first


def test_getting_ready_for_a_prompt_changes_no_reply(engine):
    first = text_of(chunks_of(engine, CHAT))
    off = Event()
    off.set()
    draft = Message("user", "And of ")
    for messages in ((), CHAT[:2], CHAT, (*CHAT[:2], draft), (draft,)):
        for cancel in (Event(), off):
            if isinstance(engine, Warms):
                engine.warm(messages, PARAMS, cancel)
    assert text_of(chunks_of(engine, CHAT)) == first


def test_a_count_that_is_called_off_is_exact_or_unknown_and_the_next_is_as_good(engine):
    chunks_of(engine)
    size = engine.count(CHAT)
    cancel = Event()
    cancel.set()
    assert engine.count(CHAT, cancel) in (None, size)
    assert engine.count(CHAT) == size


def test_what_runs_is_said_in_words(engine):
    assert engine.name
    assert isinstance(engine.device, str)
    assert isinstance(engine.details, str)


def test_the_messages_are_left_as_they_were(engine):
    messages = list(CHAT)
    chunks_of(engine, messages)
    assert messages == list(CHAT)


def test_cancelled_beforehand_it_ends_at_once(engine):
    cancel = Event()
    cancel.set()
    chunks = chunks_of(engine, cancel=cancel)
    assert chunks[-1].finish_reason == "cancelled"
    assert text_of(chunks) == ""


def test_after_a_cancelled_reply_the_next_is_as_good_as_the_first(engine):
    first = text_of(chunks_of(engine))
    cancel = Event()
    seen = []
    for chunk in engine.stream(HELLO, PARAMS, cancel):
        seen.append(chunk)
        if chunk.text:
            cancel.set()
    assert seen[-1].finish_reason in ("cancelled", "stop", "length")
    assert first.startswith(text_of(seen))
    assert text_of(chunks_of(engine)) == first


def test_closing_the_stream_leaves_the_engine_usable(engine):
    first = text_of(chunks_of(engine))
    with closing(engine.stream(HELLO, PARAMS, Event())) as stream:
        next(chunk for chunk in stream if chunk.text)
    assert text_of(chunks_of(engine)) == first


@pytest.mark.parametrize(
    "opener", [echo, threaded, local, gguf], ids=lambda opener: opener.__name__
)
def test_a_prompt_that_does_not_fit_is_refused_with_both_numbers(opener):
    with closing(opener()) as engine, pytest.raises(ContextFull) as caught:
        chunks_of(engine, [Message("user", "word " * 5000)])
    assert caught.value.needed > caught.value.limit == engine.context_tokens


@pytest.mark.parametrize("opener", [echo, local, gguf], ids=lambda opener: opener.__name__)
def test_the_count_is_the_size_that_the_reply_reports(opener):
    with closing(opener()) as engine:
        assert engine.count(CHAT) == chunks_of(engine, CHAT)[-1].usage.prompt_tokens


def load(tmp_path, model, environ=(), **typed):
    """The settings of a command with these options."""
    environ = {"GLM_HOME": str(tmp_path), **dict(environ)}
    return load_settings({"model": model, **typed}, environ=environ, folder=tmp_path)


NOT_FOLLOWED = [
    ("echo:", "adapter", "./x", "--adapter is for models that are loaded here, not for echo:"),
    ("openai:m", "device", "cpu", "--device is for models that are loaded here, not for openai:"),
    ("fastchat:", "fused", False, "--no-fused is for models that are loaded here"),
    ("gguf:x", "quantize", "int8", "--quantize is for models that torch computes, not for GGUF"),
    ("./x.gguf", "dtype", "float32", "--dtype is for models that torch computes, not for GGUF"),
    ("./x", "base_url", "http://a.test", "--base-url is for openai: and fastchat:, not for ./x"),
    ("echo:", "timeout", 5, "--timeout is for openai: and fastchat:, not for echo:"),
    (
        "openai:m",
        "template",
        "vicuna",
        "--template is for fastchat: and models that are loaded here, not",
    ),
]


@pytest.mark.parametrize(("model", "name", "value", "said"), NOT_FOLLOWED)
def test_an_option_that_an_engine_cannot_follow_is_refused_where_it_was_typed(
    model, name, value, said, tmp_path
):
    with pytest.raises(ConfigError, match=re.escape(said)) as caught:
        check_followed(load(tmp_path, model, **{name: value}))
    assert "leave it out" in caught.value.hint
    own = {f"GLM_{name.upper()}": "off" if value is False else str(value)}
    check_followed(load(tmp_path, model, own))


@pytest.mark.parametrize(
    ("model", "option"), [("openai:m", {"keep": "0"}), ("./x.gguf", {"quantize": "none"})]
)
def test_an_option_that_asks_for_nothing_is_taken_with_every_engine(model, option, tmp_path):
    check_followed(load(tmp_path, model, **option))


@pytest.mark.parametrize("name", FOLLOWED_BY)
def test_an_option_is_followed_by_the_engines_that_say_so(name, tmp_path):
    for engine in FOLLOWED_BY[name]:
        model = "./x" if engine == "local" else f"{engine}:m"
        settings = load(tmp_path, model)
        check_followed(replace(settings, sources={**settings.sources, name: "option"}))


def test_every_engine_follows_a_window_that_was_set(tmp_path):
    with closing(open_engine(load(tmp_path, "echo:", window=9), lambda progress: None)) as engine:
        assert engine.context_tokens == 9
