"""Sentences about a full window that nobody listed, and those about limits of other kinds."""

from __future__ import annotations

import json
import time

import pytest

from glmcli.engines.remote.refusals.overflow import Overflow, read_overflow

FULL = [
    # (what is said, the window, the prompt)
    ("Cannot truncate prompt with n_keep (5000) >= n_ctx (4096)", 4096, 5000),
    ("Number of prompt tokens: 5000 exceeds model max length: 4096", 4096, 5000),
    (
        "Prompt sequence length is greater than 4096, perhaps consider using `truncate_sequence`?",
        4096,
        None,
    ),
    ("Request body too large for gpt-4o model. Max size: 8000 tokens.", 8000, None),
    ("litellm.ContextWindowExceededError: model=foo. context_window_fallbacks=None", None, None),
    ("ContextWindowExceededError: AnthropicException - it does not go in", None, None),
    ("The engine prompt length 5001 exceeds the max_model_len 4096.", 4096, 5001),
    ("Text prompt length 90000 characters exceeds the maximum of 4096 tokens", 4096, None),
    ("Request prompt has 5,000 tokens in total, larger than the model capacity 4,096.", 4096, 5000),
    ("The prompt size exceeds the context window size and cannot be processed.", None, None),
    ("The input prompt length (5000) exceeds session_len (4096)", 4096, 5000),
    ("input_length+max_new_tokens > session_len", None, None),
    ("Requested 5000 tokens which exceeds the maximum context length of 4096", 4096, None),
    ("The input token count exceeds the model's maximum: 4096", 4096, None),
    ("Prompt tokens (5000) exceed the model's max model len 4096", 4096, 5000),
    ("the prompt length (5000) exceeds the context length (4096)", 4096, 5000),
    ("Prompt is too long for context, 5000 > 4096", None, None),
    ("the conversation does not fit the context window", None, None),
    ("too many tokens in the prompt", None, None),
    ("输入长度超过模型最大长度限制", None, None),
    ("请求的token数超过了模型上下文长度限制", None, None),
]
OTHERS = [
    "Rate limit reached for gpt-4 on tokens per min (TPM): Limit 10000, Used 9000, Requested 2000.",
    "Request too large for model `x` on tokens per minute (TPM): Limit 6000, Requested 7211, please"
    " reduce your message size and try again.",
    "This request would exceed your organization's rate limit of 40,000 input tokens per minute",
    "Prompt tokens limit exceeded: 5000 > 4096. To increase, upgrade: you need more credits",
    "This request requires more credits, or fewer max_tokens. You requested up to 65536 tokens,"
    " but can only afford 4096",
    "You exceeded your current quota. Context: limit of 100 requests",
    "Your API key has exceeded the context limit plan",
    "Server overloaded: maximum context length is fine, queue too long",
    "image input is too long to decode",
    "context deadline exceeded",
    "stop: maximum 4 sequences; input should have at most 4 items",
    "Input should be a valid list; input_value='x' more than 20 items",
    "number of messages exceeds 100",
    "message name longer than 64 characters",
    "Request Entity Too Large",
    "Request exceeds the maximum size of 10485760 bytes",
    "The request exceeded the time limit of 60 seconds",
    "String too long. Expected a string with maximum length 64",
    "max_tokens must be at least 1",
    "每分钟请求的token数超过限制",
]
PROMPT_AND_REPLY = [
    "prompt length 5000 + max new tokens 100 exceeds max_seq_len 4096",
    "Bad request: prompt token count 5000 + max_tokens 100 exceeds limit of 4096",
]


@pytest.mark.parametrize(("said", "window", "prompt"), FULL)
def test_a_full_window_is_known_by_its_kind(said, window, prompt):
    assert read_overflow(None, said) == Overflow(window, prompt)


@pytest.mark.parametrize("said", PROMPT_AND_REPLY)
def test_the_reply_that_was_asked_for_is_told_from_the_prompt(said):
    assert read_overflow(None, said, 100) == Overflow(4096, 5000, 100)


@pytest.mark.parametrize("said", OTHERS)
def test_a_limit_of_another_kind_is_not_taken_for_it(said):
    assert read_overflow({"error": {"message": said, "code": "rate_limit_exceeded"}}, said) is None


@pytest.mark.parametrize(
    "code",
    [
        "tokens_limit_reached",
        "ContextWindowExceededError",
        "context_length_exceeded_error",
        "prompt_too_long",
        "input_too_large",
    ],
)
@pytest.mark.parametrize("name", ["code", "type"])
def test_a_code_says_it_by_its_words(code, name):
    assert read_overflow({"error": {name: code, "message": "?"}}, "?") == Overflow()


@pytest.mark.parametrize("code", ["rate_limit_exceeded", "insufficient_quota", "tokens", "400"])
def test_other_codes_do_not(code):
    assert read_overflow({"error": {"code": code, "message": "?"}}, "?") is None


@pytest.mark.parametrize(
    "field",
    [
        {"metadata": {"raw": FULL[0][0]}},
        {"metadata": {"raw": json.dumps({"error": {"message": FULL[0][0]}})}},
        {"innererror": {"message": FULL[0][0]}},
        {"message": json.dumps({"message": "?", "details": FULL[0][0]})},
    ],
)
def test_what_a_gateway_passes_on_is_read_too(field):
    answer = {"error": {"message": "Provider returned error", "code": 400, **field}}
    assert read_overflow(answer, "Provider returned error") == Overflow(4096, 5000)


def test_no_sentence_takes_long():
    started = time.monotonic()
    for word in ("prompt ", "context length ", "exceeds ", "input 100 tokens ", "超过"):
        read_overflow({"error": {"metadata": {"raw": word * 3000}}}, word * 70)
    assert time.monotonic() - started < 5
