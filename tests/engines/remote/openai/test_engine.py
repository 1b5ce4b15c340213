"""What an OpenAI-compatible server is asked, and what comes of its answers."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from contextlib import closing

import httpx
import pytest

from glmcli.config import Settings
from glmcli.engines.remote.faults import Refused
from glmcli.engines.remote.http import COUNT_S
from glmcli.engines.remote.openai.engine import open_engine
from glmcli.errors import ConnectionLost, ContextFull, EngineError, ModelError, UsageError
from glmcli.types import GenerationParams, Message
from tests.support.fake_openai import (
    CHAT,
    HELLO,
    NEVER,
    PLAIN,
    delta,
    events,
    ignore,
    in_turn,
    opened,
    reply,
    serving,
)
from tests.support.loopback import OK, Connection, Loopback
from tests.support.transcripts import joined, replayed


def test_only_what_every_server_takes_is_sent_and_never_null():
    answers = serving()
    reply(opened(answers))
    assert answers.body(CHAT) == {
        "model": "smollm2",
        "messages": [{"role": "user", "content": "What is the capital of France?"}],
        "stream": True,
        "stream_options": {"include_usage": True},
    }


def test_every_setting_of_the_user_is_sent():
    answers = serving()
    params = GenerationParams(
        max_tokens=5,
        temperature=0.0,
        top_p=0.9,
        top_k=0,
        repetition_penalty=1.1,
        stop=("END",),
        seed=0,
        think=False,
    )
    reply(opened(answers), params)
    sent = answers.body(CHAT)
    assert sent["max_tokens"] == 5
    assert sent["temperature"] == 0.0
    assert sent["top_p"] == 0.9
    assert sent["top_k"] == 0
    assert sent["repetition_penalty"] == 1.1
    assert sent["stop"] == ["END"]
    assert sent["seed"] == 0
    assert sent["chat_template_kwargs"] == {"enable_thinking": False}


@pytest.mark.parametrize(
    ("words", "count", "is_cut"),
    [
        (3000, 2048, True),
        (2048, 2048, False),
        (2000, 2600, False),
        (3000, 12, False),
        (9, 0, False),
    ],
)
def test_a_prompt_of_more_words_than_the_server_counted_tokens_was_cut_and_that_is_said_once(
    words, count, is_cut
):
    end = {"choices": [{"delta": {"content": "a"}, "finish_reason": "stop"}]}
    end |= {"usage": {"prompt_tokens": count, "completion_tokens": 1}}
    engine = opened(serving(chat=events(end)))
    prompt = (Message("user", "word " * words),)
    for turn in range(2):
        chunks = list(engine.stream(prompt, PLAIN, NEVER))
        notices = [chunk.notice for chunk in chunks if chunk.notice]
        assert len(notices) == (is_cut and not turn)
        assert all("2,048 tokens in a prompt of 3,000 words" in notice for notice in notices)
        assert chunks[-1].finish_reason == "stop"


def test_llama_cpp_has_its_own_word_for_the_penalty():
    answers = serving("llama_models", "llama_chat_stream")
    reply(opened(answers), GenerationParams(repetition_penalty=1.1))
    assert answers.body(CHAT)["repeat_penalty"] == 1.1


def test_reasoning_is_never_sent_back_and_tools_are_text():
    answers = serving()
    messages = (
        Message("system", "Be brief.", tools='[{"name": "weather"}]'),
        Message("user", "a"),
        Message("assistant", "b", thinking="secret"),
        Message("tool", "22 degrees", name="weather"),
    )
    reply(opened(answers), messages=messages)
    assert answers.body(CHAT)["messages"] == [
        {"role": "system", "content": 'Be brief.\n\n[{"name": "weather"}]'},
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": "b"},
        {"role": "user", "content": "22 degrees"},
    ]


def test_a_reply_comes_with_its_counts():
    text, thinking, last = reply(opened(serving()))
    assert text.startswith("L'Étoile, la Marseillaise")
    assert thinking == ""
    assert last.finish_reason == "length"
    usage = last.usage
    assert (usage.prompt_tokens, usage.cached_tokens, usage.completion_tokens) == (37, None, 32)


def test_what_a_server_refuses_is_left_out_said_and_not_sent_again():
    chat = in_turn("tf_chat_sampling_extra", "tf_chat_stream", "tf_chat_stream")
    answers = serving("tf_models", chat)
    engine = opened(answers, "models/x")
    params = GenerationParams(top_k=5, temperature=0.5)
    chunks = list(engine.stream(HELLO, params, NEVER))
    assert joined(chunks)[0] == "The capital of France is Paris."
    assert chunks[1].notice == "server.test refused a setting: asked again without top_k"
    assert answers.body(CHAT, 0)["top_k"] == 5
    assert answers.body(CHAT, 1) == {
        "model": "models/x",
        "messages": [{"role": "user", "content": HELLO[0].text}],
        "stream": True,
        "temperature": 0.5,
    }
    reply(engine, params)
    assert "top_k" not in answers.body(CHAT, 2)
    assert len(answers.asked(CHAT)) == 3


def test_a_request_that_stays_wrong_is_tried_twice_and_no_more():
    answers = serving(chat="vllm_err_bad_temperature")
    with pytest.raises(Refused, match="temperature must be non-negative"):
        reply(opened(answers))
    assert len(answers.asked(CHAT)) == 2


def test_the_new_name_of_max_tokens_is_learned_from_the_refusal():
    def chat(request: httpx.Request) -> httpx.Response:
        sent = json.loads(request.content)
        if "max_tokens" in sent:
            message = "Use 'max_completion_tokens'."
        elif "top_k" in sent:
            message = "Unrecognized request argument supplied: top_k"
        else:
            return replayed("vllm_chat_stream_usage")
        return httpx.Response(400, json={"error": {"message": message}})

    answers = serving(chat=chat)
    engine = opened(answers)
    limited = GenerationParams(max_tokens=9)
    assert reply(engine, limited)[2].usage.prompt_tokens == 37
    assert answers.body(CHAT)["max_completion_tokens"] == 9
    assert answers.body(CHAT)["stream_options"] == {"include_usage": True}
    reply(engine, limited)
    assert len(answers.asked(CHAT)) == 3
    reply(opened(answers), GenerationParams(max_tokens=9, top_k=5))
    assert len(answers.asked(CHAT)) == 6


@pytest.mark.parametrize(
    ("transcript", "needed", "limit"),
    [
        ("vllm_err_context_overflow_stream", 2049, 2048),
        ("llama_err_context_overflow_stream", 1555, 1024),
        ("fsoai_err_context_overflow_stream", 8746, 8192),
    ],
)
def test_a_prompt_that_does_not_fit_is_told_in_numbers_at_once(transcript, needed, limit):
    answers = serving(chat=transcript)
    with pytest.raises(ContextFull) as caught:
        reply(opened(answers))
    assert (caught.value.needed, caught.value.limit) == (needed, limit)
    assert len(answers.asked(CHAT)) == 1


@pytest.mark.parametrize(
    ("event", "needed", "limit"),
    [
        (
            {
                "error": "Trying to keep the first 5000 tokens when context the overflows. However,"
                " the model is loaded with context length of only 4096 tokens"
            },
            5000,
            4096,
        ),
        (
            {
                "error": {
                    "code": 400,
                    "message": "?",
                    "type": "exceed_context_size_error",
                    "n_prompt_tokens": 1407,
                    "n_ctx": 256,
                }
            },
            1407,
            256,
        ),
        ({"error": {"code": "context_length_exceeded", "message": "too long"}}, None, 2048),
    ],
)
def test_a_full_window_in_an_event_of_a_stream_is_told_like_a_refusal(event, needed, limit):
    with pytest.raises(ContextFull) as caught:
        reply(opened(serving(chat=events(event))))
    assert (caught.value.needed, caught.value.limit) == (needed, limit)


PASSED_ON = "{'a': This model's maximum context length is 8192 tokens"
FULL_BEHIND = {"message": "Provider returned error", "code": 400, "metadata": {"raw": PASSED_ON}}


@pytest.mark.parametrize(
    "chat",
    [
        lambda request: httpx.Response(400, json={"error": FULL_BEHIND}),
        events({"error": FULL_BEHIND, "choices": [{"delta": {}, "finish_reason": "error"}]}),
        events({"choices": [{"error": FULL_BEHIND, "delta": {}, "finish_reason": "error"}]}),
        events({"error": {"message": "litellm.ContextWindowExceededError: no", "code": "400"}}),
        events({"error": "Cannot truncate prompt with n_keep (9000) >= n_ctx (8192)"}),
    ],
)
def test_a_full_window_behind_a_gateway_is_told_as_one(chat):
    answers = serving(chat=chat)
    with pytest.raises(ContextFull):
        reply(opened(answers))
    assert len(answers.asked(CHAT)) == 1


def test_a_window_that_fills_up_in_a_reply_ends_it_for_length():
    answers = serving(chat=events(delta("one two"), {"error": "Context size has been exceeded."}))
    text, _, last = reply(opened(answers))
    assert (text, last.finish_reason) == ("one two", "length")


def test_a_reply_of_no_token_that_ends_for_length_is_a_full_window():
    end = {"choices": [{"delta": {}, "finish_reason": "length"}]}
    assert reply(opened(serving(chat=events(end))))[2].finish_reason == "length"
    used = {"usage": {"prompt_tokens": 12, "completion_tokens": 0}}
    with pytest.raises(ContextFull, match="--max-tokens 2,040 more") as caught:
        reply(opened(serving(chat=events(end | used))), GenerationParams(max_tokens=2040))
    assert "2,036 at most" in caught.value.hint


def test_too_many_new_tokens_are_not_told_as_a_long_prompt():
    said = (
        "This model's maximum context length is 4096 tokens. However, you requested 5012 tokens"
        " (12 in the messages, 5000 in the completion)."
    )
    answers = serving(chat=lambda request: httpx.Response(400, json={"error": {"message": said}}))
    with pytest.raises(UsageError, match="--max-tokens 5,000") as caught:
        reply(opened(answers), GenerationParams(max_tokens=5000))
    assert "4,084 at most" in caught.value.hint
    assert len(answers.asked(CHAT)) == 1


@pytest.mark.parametrize(
    ("transcript", "error", "said"),
    [
        ("vllm_err_unknown_model_stream", ModelError, "`nope` does not exist"),
        ("fsoai_err_unknown_model_stream", Refused, "Only smollm2-alias&&smollm2 allowed"),
        ("tf_err_unknown_model_stream", Refused, "Server is pinned to"),
        ("vllm_auth_missing", Refused, "Unauthorized"),
        ("fsoai_auth_wrong", Refused, "invalid_api_key"),
        ("llama_auth_wrong", Refused, "Invalid API Key"),
        ("llama_loading", Refused, "Loading model"),
        ("fsoai_worker_dead", Refused, "Internal Server Error"),
        ("vllm_after_engine_death_0", Refused, "EngineCore encountered an issue"),
        ("vllm_err_404_path", Refused, "Not Found"),
        ("vllm_err_max_tokens_too_big", UsageError, "--max-tokens 3,048 is more"),
        ("fsoai_err_temperature_type", Refused, "validation error"),
        ("tf_err_temperature_type", Refused, "Internal Server Error"),
        ("vllm_engine_killed_midstream", EngineError, "EngineCore encountered an issue"),
        ("fsoai_fault_stream_oom", EngineError, "CUDA out of memory"),
        ("fsoai_worker_killed_midstream", ConnectionLost, "before the reply was complete"),
        ("llama_killed_midstream", ConnectionLost, "before the reply was complete"),
        ("synthetic_stream_clean_eof_no_finish", ConnectionLost, "before the reply was complete"),
    ],
)
def test_every_refusal_of_a_real_server_is_one_line_and_a_hint(transcript, error, said):
    with pytest.raises(error) as caught:
        reply(opened(serving(chat=transcript)))
    assert said in caught.value.message
    assert caught.value.advice()
    assert "\n" not in caught.value.message + caught.value.advice()


SYSTEM = (Message("system", "Be brief."), *HELLO)


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (400, "System role not supported"),
        (500, "Jinja Exception: System role not supported"),
        (400, "Conversation roles must alternate user/assistant/user/assistant/..."),
        (400, "Only user and assistant roles are supported!"),
        (422, "Template error: unexpected role: 'system'"),
        (
            400,
            "Unsupported value: 'messages[0].role' does not support 'system' with this model.",
        ),
        (
            400,
            "Unsupported value: 'messages[0].role' does not support 'developer' with this model.",
        ),
        (400, "Invalid value: 'system'. Supported values are: 'user' and 'assistant'."),
        (422, "Input should be 'user' or 'assistant'"),
        (422, "Input should be 'user', 'assistant' or 'tool'"),
        (400, "messages[0]: role must be one of 'user', 'assistant'"),
        (400, "The 'system' role is not supported by this model"),
        (400, "role `system` is not supported"),
        (400, "Developer instruction is not enabled for models/gemma-3-4b-it"),
        (400, "This model does not support system messages."),
        (200, "System role not supported"),
    ],
)
def test_a_refused_system_prompt_goes_into_the_first_question_and_is_said_once(status, said):
    def answer(request):
        messages = json.loads(request.content)["messages"]
        if messages[0]["role"] != "system":
            return replayed("vllm_chat_stream_usage")
        if status == 200:
            return events({"error": {"message": said}})(request)
        return httpx.Response(status, json={"error": {"message": said}})

    answers = serving(chat=answer)
    engine = opened(answers)
    notices = []
    for _ in range(2):
        chunks = list(engine.stream(SYSTEM, PLAIN, NEVER))
        notices += [chunk.notice for chunk in chunks if chunk.notice]
        assert "".join(chunk.text for chunk in chunks)
    assert len(notices) == 1
    assert "takes no system prompt" in notices[0]
    content = answers.body(CHAT)["messages"][0]["content"]
    assert content == f"Be brief.\n\n{HELLO[0].text}"
    assert len(answers.asked(CHAT)) == 3


def test_a_system_prompt_that_is_not_there_is_not_at_fault():
    answers = serving(chat=lambda request: httpx.Response(500, text="System role not supported"))
    with pytest.raises(Refused):
        reply(opened(answers))
    assert len(answers.asked(CHAT)) == 1


def test_an_empty_system_prompt_is_sent_as_an_empty_one():
    answers = serving()
    reply(opened(answers), messages=(Message("system", ""), *HELLO))
    assert answers.body(CHAT)["messages"][0] == {"role": "system", "content": ""}


def test_a_tool_that_is_asked_for_beside_a_text_is_said():
    call = {"index": 0, "function": {"name": "clock", "arguments": "{}"}}
    end = {"choices": [{"delta": {}, "finish_reason": "tool_calls"}]}
    answers = serving(chat=events(delta("Let me see."), delta(tool_calls=[call]), end))
    chunks = list(opened(answers).stream(HELLO, PLAIN, NEVER))
    assert [chunk.notice for chunk in chunks if chunk.notice] == [
        "the model also asked for the tool clock({})"
    ]
    assert chunks[-1].finish_reason == "stop"


def test_nothing_is_asked_again_once_a_reply_has_begun():
    answers = serving(chat="fsoai_fault_stream_oom")
    with pytest.raises(EngineError):
        reply(opened(answers))
    assert len(answers.asked(CHAT)) == 1


def test_vllm_counts_a_conversation_exactly():
    answers = serving(tokenize="vllm_tokenize_chat")
    assert opened(answers).count(HELLO) == 31
    assert answers.body("/tokenize")["messages"] == [{"role": "user", "content": HELLO[0].text}]


@pytest.mark.parametrize(
    ("models", "path"), [("vllm_models", "/tokenize"), ("llama_models", "/apply-template")]
)
def test_a_prompt_is_counted_with_the_switch_for_thinking_that_is_sent_with_it(models, path):
    answers = serving(
        models, apply_template="llama_apply_template", tokenize="llama_tokenize_content"
    )
    opened(answers).count(HELLO, think=False)
    assert answers.body(path)["chat_template_kwargs"] == {"enable_thinking": False}


def test_what_a_server_refused_is_not_counted_either():
    chat = in_turn("tf_chat_sampling_extra", "tf_chat_stream")
    answers = serving(chat=chat, tokenize="vllm_tokenize_chat")
    engine, params = opened(answers), GenerationParams(think=False)
    assert list(engine.stream(HELLO, params, NEVER))
    engine.count(HELLO, think=False)
    assert "chat_template_kwargs" not in answers.body("/tokenize")


def test_llama_cpp_counts_a_conversation_exactly():
    answers = serving(
        "llama_models", apply_template="llama_apply_template", tokenize="llama_tokenize_content"
    )
    assert opened(answers).count(HELLO) == 8
    assert answers.body("/tokenize")["content"].startswith("<|im_start|>system")


@pytest.mark.parametrize("models", ["vllm_models", "llama_models", "fsoai_models", "tf_models"])
def test_a_server_that_cannot_count_is_no_error(models):
    assert opened(serving(models), "smollm2").count(HELLO) is None


@pytest.mark.parametrize(
    ("models", "path"),
    [("vllm_models", "tokenize"), ("llama_models", "tokenize"), ("llama_models", "apply_template")],
)
def test_a_server_that_takes_long_to_count_is_not_waited_for_after_ctrl_c(models, path):
    cancel, release = threading.Event(), threading.Event()

    def frozen(request):
        cancel.set()
        release.wait(10)
        return httpx.Response(500)

    answers = serving(models, apply_template="llama_apply_template")
    answers.answers[path] = frozen
    engine = opened(answers)
    started = time.monotonic()
    assert engine.count(HELLO, cancel) is None
    assert time.monotonic() - started < COUNT_S / 2
    assert reply(engine)[0]
    release.set()


def test_a_reply_can_be_gone_on_with_where_the_server_can():
    messages = (*HELLO, Message("assistant", "It is"))
    answers = serving()
    reply(opened(answers), messages=messages)
    assert answers.body(CHAT)["continue_final_message"] is True
    assert answers.body(CHAT)["add_generation_prompt"] is False
    with pytest.raises(EngineError, match="cannot go on"):
        reply(opened(serving("tf_models"), "m"), messages=messages)


def test_ctrl_c_keeps_what_arrived_and_the_next_turn_is_as_good_as_the_first():
    body = replayed("vllm_chat_stream_usage").read()
    half = body[: len(body) // 2]
    scripts = ["half", "whole"]

    def script(connection: Connection) -> None:
        if connection.requests[-1].startswith(b"GET"):
            connection.send(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
            return
        connection.send(OK)
        if scripts.pop(0) == "half":
            connection.chunk(half)
            connection.freeze()
        else:
            connection.chunk(body)
            connection.chunk(b"")

    cancel = threading.Event()
    with Loopback(script) as loopback:
        engine = open_engine("m", Settings(base_url=loopback.url), ignore)
        with closing(engine):
            stream = engine.stream(HELLO, PLAIN, cancel)
            chunks = [next(stream) for _ in range(5)]
            cancel.set()
            started = time.monotonic()
            chunks += list(stream)
            assert time.monotonic() - started < 0.5
            text, _, last = joined(chunks)
            assert last.finish_reason == "cancelled"
            whole = reply(engine)[0]
            assert text
            assert whole.startswith(text)
        assert loopback.connections[0].gone.wait(1)


@pytest.mark.parametrize(
    "module",
    ["glmcli.engines.thread", "glmcli.config", "glmcli.cli.served", "glmcli.chat.commands"],
)
def test_nobody_pays_for_http_who_does_not_use_it(module):
    code = (
        f"import sys, {module}; print([m for m in ('httpx', 'ssl', 'torch') if m in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "[]\n"
