"""How servers say that a prompt does not fit the window, or that the reply was to be too long.

No two servers say it alike: some by a code, some by numbers of their own, most in a sentence. The
table below has one line for each sentence. KoboldCpp, and Ollama by default, cut the prompt and say
nothing; transformers does not look. Knows nothing of connections.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from glmcli.engines.remote.refusals.kinds import (
    NUMBER,
    is_code_of_overflow,
    is_other,
    overflow_by_kind,
    plain_numbers,
)
from glmcli.engines.remote.refusals.reasons import inner_reasons, opened, parts_of
from glmcli.errors import ContextFull, GlmError, ReplyTooLong
from glmcli.language import tr

CODES = frozenset(
    (
        "context_length_exceeded",  # OpenAI and many after it
        "exceed_context_size_error",  # llama.cpp
        "model_context_window_exceeded",  # Z.ai
        "context_window_exceeded",
        "context_exceeded",  # DwarfStar
        "1261",  # Zhipu
        "40303",  # FastChat
    )
)
"""What stands as `code` or `type` in an error."""

_SENTENCES = (
    # OpenAI, vLLM until 0.8, FastChat, llama-cpp-python, DeepSeek, OpenRouter
    r"context length is <window> tokens.{0,20} requested (?:about )?<total> tokens "
    r"\(<prompt> .*?<output> (?:of \w+ )?(?:in|for) the (?:completion|output)",
    # vLLM
    r"passed <prompt> input tokens and requested <output> output tokens.*"
    r"context length is only <window> tokens",
    r"context length is <window> tokens.*requested <output> output tokens and your prompt contains "
    r"(?:at least )?<prompt> ",
    r"is too large: <output>\. This model's maximum context length is <window> tokens and your "
    r"request has <prompt> ",
    r"context length is <window> tokens.*"
    r"(?:messages resulted in|request has|prompt contains) (?:at least )?<prompt> (?:input )?token",
    r"context length is <window> tokens.*requested (?:about )?<total> tokens",
    r"prompt is too long: <prompt>, model maximum context length: <window>",  # Fireworks
    r"prompt \(length <prompt>\) is longer than the maximum model length of <window>",
    r"Input prompt \(<prompt> tokens\) is too long and exceeds (?:the )?\w+ of <window>",
    # SGLang, Together
    r"context length of <window> tokens\. You requested a total of <total> tokens: "
    r"<prompt> tokens from the input messages and <output> tokens",
    r"input \(<prompt> tokens\) is longer than the model's context length \(<window> tokens",
    r"input length \(?<prompt>(?: tokens)?\)? exceeds the maximum allowed (?:input )?length "
    r"(?:of )?\(?<window>",
    # TGI
    r"`inputs` tokens \+ `max_new_tokens` must be <= <window>\. Given: <prompt> .*?<output> ",
    r"`inputs` must have less than <window> tokens\. Given: <prompt>",
    # llama.cpp, llama-cpp-python
    r"request \(<prompt> tokens\) exceeds the available context size \(<window> tokens",
    r"exceeds the available context size|context shift is disabled",
    r"Requested tokens (?:\(<total>\) )?exceed context window of <window>",
    # LM Studio
    r"keep the first <prompt> tokens when context.*context length of only <window>",
    r"n_keep: <prompt> ?>= n_ctx: <window>",
    r"tokens to keep from the initial prompt is greater than the context length",
    r"Reached context length of <window> tokens",
    r"Context size has been exceeded",
    # Ollama
    r"exceeded max context length by <over> tokens",
    r"input length exceeds (?:the |maximum )?context length",
    # LMDeploy, TensorRT-LLM
    r"sequence length \(<prompt> \+ <output>\) exceeds `?session_len`? \(<window>\)",
    r"prompt length \(<prompt>\) exceeds maximum (?:input|sequence) length \(<window>\)",
    r"prompt length \(<prompt>(?:\.0)?\), query .{0,30} exceed max_num_tokens \(<window>\)",
    r"max_seq_len`? \(<window>\) - `?splited_prompt_len`? \(<prompt>\)",
    # TabbyAPI
    r"(?:request|prompt|context) length <prompt>(?: \+ <output>)? is greater than max_seq_len "
    r"<window>",
    # Mistral, xAI, Google, Moonshot, Alibaba, Zhipu, MiniMax, Groq, Bedrock, Cohere and others
    r"prompt contains <prompt> tokens.*too large for model with <window> maximum context length",
    r"maximum prompt length is <window> but the request contains <prompt> tokens",
    r"input token count (?:\(?<prompt>\)? )?exceeds the maximum number of tokens allowed "
    r"\(?<window>",
    r"input token count is <prompt> but model only supports up to <window>",
    r"Max input tokens: <window>, request input token count: <prompt>",
    r"Max input length is <window> tokens, but you supplied <prompt>",
    r"prompt_tokens \(<prompt>\) must be less than max_seq_len \(<window>\)",
    r"tokens in the prompt cannot exceed <window>(?: - received <prompt>)?",
    r"size limit exceeded by <over> tokens.*limit for this model is <window> tokens",
    r"Current length is <prompt> while limit is <window>",
    r"exceeded model token limit: <window> \(requested: <prompt>\)",
    r"Range of input length should be \[1, <window>\]",
    r"exceed the configured limit of <window> tokens\. Your messages resulted in <prompt> tokens",
    r"token count of <prompt> exceeds the limit of <window>",
    r"Prompt has <prompt> tokens, but the configured context size is <window> tokens",
    r"exceed context limit: <prompt> \+ <output> > <window>",
    r"context length exceeded: <prompt> > <window>",
    r"(?:prompt|input)(?: token length| context)?(?: is)? too long"
    r": <prompt> tokens > <window>",
    r"prompt exceeds max length|超长|最大上下文",
    r"context window exceeds limit|context length exceeded|reduce the length of the messages",
    r"maximum context length (?:is|of) <window>",
    r"prompt[^0-9]{0,30}<prompt> \+ max\w*[ _](?:new[ _])?tokens`? <output> exceeds[^0-9]{0,40}"
    r"<window>",
    # no window at all: only the reply was to be too long
    r"max_\w*tokens`? ?[:=]? ?\(?<output>\)? "
    r"(?:>|exceeds|cannot be greater than) [^0-9]{0,60}<most>",
    r"is too large: <output>\. This model supports at most <most> completion tokens",
    r"max[ _]\w*tokens.{0,99}?(?:less than or equal to|at most|<=|\[1,) ?`?<most>"
    r"(?:\. Given: <output>)?",
    r"maximum tokens you requested exceeds the model limit of <most>",
)
"""The first one that is found counts. <window> holds so many; the prompt has <prompt>, the reply
was to have <output>, both together <total>, and <over> are too many; <most> is the longest reply.
"""
WORDINGS = tuple(
    re.compile(re.sub("<(window|prompt|output|total|over|most)>", NUMBER, each), re.IGNORECASE)
    for each in _SENTENCES
)


@dataclass(frozen=True, slots=True)
class Overflow:
    """The numbers of a refusal, as far as the server says them."""

    window: int | None = None
    prompt: int | None = None
    output: int | None = None
    """How long the reply was to be at most."""
    over: int | None = None
    """How much the prompt has too many."""
    most: int | None = None
    """How long a reply can be, where that alone is too long."""


def read_overflow(answer: Any, detail: str, asked: int | None = None) -> Overflow | None:
    """What an error says of the window, None if it is about something else.

    `answer` is its JSON, `detail` its sentence, `asked` the `max_tokens` that were sent.
    """
    answer = opened(answer)
    parts = list(parts_of(answer))
    fields = next((part for part in parts if "n_prompt_tokens" in part and "n_ctx" in part), {})
    window, prompt = _count(fields.get("n_ctx")), _count(fields.get("n_prompt_tokens"))
    if window and prompt:
        return Overflow(window, prompt)
    checks = (f"{_last(part['loc'])}: {part.get('msg')}" for part in parts if part.get("loc"))
    sentences = [plain_numbers(each) for each in (detail, *checks, *inner_reasons(answer))]
    for sentence in sentences:
        for wording in WORDINGS:
            if found := wording.search(sentence):
                return _numbers(found, asked)
    codes = {str(part.get(name)) for part in parts for name in ("code", "type")}
    if codes & CODES:
        return Overflow()
    if any(map(is_other, sentences)):
        return None
    kinds = (overflow_by_kind(sentence) for sentence in sentences)
    if said := next((numbers for numbers in kinds if numbers is not None), None):
        return Overflow(*said)
    return Overflow() if any(map(is_code_of_overflow, codes)) else None


def fault_of(found: Overflow, asked: int | None, window: int | None) -> GlmError:
    """The error for it: of the prompt, of the `max_tokens` that were asked for, or of both.

    `window` is the model's as far as it was known before.
    """
    limit, prompt = found.window or window, found.prompt
    output = (found.output or asked) if asked or found.most else None
    most = found.most or limit
    if output is not None and most is not None and (found.most or output >= most):
        room = max(1, most if found.most else most - (prompt or 1))
        line = tr("--max-tokens {n:,} is more than the model can answer", n=output)
        hint = tr("set --max-tokens to {n:,} at most, or leave it out", n=room)
        error = ReplyTooLong(line, hint)
        error.most = most
        return error
    if limit is None:
        return ContextFull(prompt, None, output)
    if found.over:
        return ContextFull(limit + found.over, limit)
    if prompt is None or (output is not None and prompt < limit):
        return ContextFull(prompt, limit, output)
    needed = prompt if prompt >= limit else prompt + (found.output or 0)
    return ContextFull(needed if needed >= limit else None, limit)


def _last(place: Any) -> Any:
    """The field at the end of where a check of the request (pydantic's) found a fault."""
    return place[-1] if isinstance(place, list) else place


def _numbers(found: re.Match[str], asked: int | None) -> Overflow:
    said = {name: int(digits) for name, digits in found.groupdict().items() if digits}
    said = {name: number for name, number in said.items() if number or name == "output"}
    total, output = said.pop("total", None), said.pop("output", asked)
    if total is not None and "prompt" not in said:
        said["prompt"] = max(1, total - (output or 0))
    return Overflow(output=output, **said)


def _count(value: object) -> int | None:
    return value if type(value) is int and 0 < value < 10**15 else None
