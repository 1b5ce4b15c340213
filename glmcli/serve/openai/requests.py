"""What a client of OpenAI's interface asks for, as messages and settings of ours, checked.

Fields that change nothing here are told to the log; those that would change what a client reads
are refused rather than left out. Source: https://platform.openai.com/docs/api-reference/chat
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from glmcli.serve.openai.fields import (
    Fields,
    field_of,
    flag_in,
    number_in,
    shown,
    texts_in,
    whole_in,
)
from glmcli.serve.openai.messages import check_ending, messages_of, text_prompt
from glmcli.serve.refusal import Refusal
from glmcli.types import GenerationParams, Message

T = TypeVar("T")

COMPLETION_TOKENS = 16
"""The limit of a reply to a plain text where none is set; so OpenAI has it."""
RANDOM = -1
"""A seed that is none, as many programs send it."""
_PENALTIES = ("repetition_penalty", "repeat_penalty")
_KNOWN = {
    "model",
    "stream",
    "stream_options",
    "max_tokens",
    "temperature",
    "top_p",
    "top_k",
    *_PENALTIES,
    "stop",
    "seed",
    "n",
}
_THINKING = ("enable_thinking", "thinking")
"""What families of models have called the switch, of a template or beside the messages."""
_OF_CHATS = _KNOWN | {"messages", "max_completion_tokens", "chat_template_kwargs"}
_OF_CHATS |= {"continue_final_message", "add_generation_prompt", *_THINKING}
_OF_TEXTS = _KNOWN | {"prompt"}


@dataclass(frozen=True, slots=True)
class AskedReply:
    """A request for a reply."""

    messages: tuple[Message, ...]
    params: GenerationParams
    streams: bool = False
    counts: bool = False
    """Whether a stream ends with the counts."""
    ignored: tuple[str, ...] = ()
    """Fields that change nothing."""


def asked_chat(body: Fields) -> AskedReply:
    """A request of /v1/chat/completions. Raises Refusal."""
    refuse_beside(body, "messages", "prompt")
    refuse_others(body)
    think, others = thinking_of(body)
    params = asked_params(body, ("max_completion_tokens", "max_tokens"), think)
    messages = messages_of(body)
    check_ending(body, messages[-1])
    return asked(body, messages, params, _OF_CHATS, others)


def asked_text(body: Fields) -> AskedReply:
    """A request of /v1/completions: the prompt is the text itself. Raises Refusal."""
    refuse_beside(body, "prompt", "messages")
    refuse_others(body)
    params = asked_params(body, ("max_tokens",), None, most=COMPLETION_TOKENS)
    return asked(body, (text_prompt(body),), params, _OF_TEXTS, ())


def asked_size(body: Fields) -> AskedReply:
    """A request of /tokenize: one for a reply to messages, or to a text. Raises Refusal."""
    return asked_text(body) if body.get("messages") is None else asked_chat(body)


def asked(
    body: Fields,
    messages: tuple[Message, ...],
    params: GenerationParams,
    known: set[str],
    others: Sequence[str],
) -> AskedReply:
    """The request, with what of it is not `known`."""
    options = field_of(body, "stream_options", dict, "an object") or {}
    counts = flag_in(options, "include_usage", within="stream_options")
    idle = known | _REFUSED.keys()
    unknown = [name for name, value in body.items() if name not in idle and value is not None]
    return AskedReply(
        messages,
        params,
        streams=bool(flag_in(body, "stream")),
        counts=bool(counts),
        ignored=(*sorted(name[:40] for name in unknown), *others),
    )


def refuse_beside(body: Fields, used: str, other: str) -> None:
    """Raise Refusal for another text to answer beside the one that is used."""
    if body.get(other) is not None:
        raise Refusal(400, f"{used} is answered here: leave {other} out", param=other)


def refuse_others(body: Fields) -> None:
    """Raise Refusal for what would change the answer's form and is not done here."""
    if whole_in(body, "n") not in (None, 1):
        raise Refusal(400, "n is 1 here: ask again for another reply", param="n")
    for name, harmless in _REFUSED.items():
        value = body.get(name)
        if value is not None and not harmless(value):
            raise Refusal(400, f"{name} is not done here: leave it out", param=name)
    tools = field_of(body, "tools", list, "a list")
    if tools and body.get("tool_choice") != "none":
        line = 'tools are not called here: leave them out, or send tool_choice "none"'
        raise Refusal(400, line, param="tools")


def _is_plain_text(value: Any) -> bool:
    return isinstance(value, dict) and value.get("type") == "text"


def _one_of(*harmless: Any) -> Callable[[Any], bool]:
    """Whether a value is one of these, of the same type: 0 is not false."""
    return lambda value: any(type(value) is type(each) and value == each for each in harmless)


_OFF, _NONE, _EMPTY = _one_of(False), _one_of(), _one_of([], {})
_ZERO, _ONE = _one_of(0, 0.0), _one_of(1, 1.0)
_REFUSED: dict[str, Callable[[Any], bool]] = {
    "response_format": _is_plain_text,
    "functions": _one_of([]),
    "function_call": _one_of("none", "auto"),
    "tool_choice": _one_of("none", "auto"),
    "frequency_penalty": _ZERO,
    "presence_penalty": _ZERO,
    "logprobs": _OFF,
    "top_logprobs": _one_of(0),
    "prompt_logprobs": _NONE,
    "logit_bias": _EMPTY,
    "echo": _OFF,
    "suffix": _one_of(""),
    "best_of": _ONE,
    "audio": _NONE,
    "modalities": _one_of([], ["text"]),
    # Of vLLM, SGLang and llama.cpp.
    "min_p": _ZERO,
    "typical_p": _ONE,
    "tfs_z": _ONE,
    "mirostat": _ZERO,
    "dynatemp_range": _ZERO,
    "xtc_probability": _ZERO,
    "dry_multiplier": _ZERO,
    "no_repeat_ngram_size": _ZERO,
    "length_penalty": _ONE,
    "guided_json": _NONE,
    "guided_regex": _NONE,
    "guided_choice": _one_of([]),
    "guided_grammar": _NONE,
    "structured_outputs": _EMPTY,
    "json_schema": _EMPTY,
    "regex": _NONE,
    "ebnf": _NONE,
    "grammar": _one_of(""),
    "min_tokens": _ZERO,
    "stop_token_ids": _one_of([]),
    "ignore_eos": _OFF,
    "include_stop_str_in_output": _OFF,
    "no_stop_trim": _OFF,
    "skip_special_tokens": _one_of(True),
    "bad_words": _one_of([]),
    "allowed_token_ids": _one_of([]),
    "use_beam_search": _OFF,
    "truncate_prompt_tokens": _NONE,
    "chat_template": _NONE,
    "documents": _one_of([]),
    "return_token_ids": _OFF,
}
"""Fields that change what a client reads -> whether a value that is not null asks for nothing."""


def asked_params(
    body: Fields, limits: Sequence[str], think: bool | None, *, most: int | None = None
) -> GenerationParams:
    """The settings that were sent; `limits` are names of the longest reply. Raises Refusal."""
    top_p = number_in(body, "top_p", low=0, high=1)
    temperature = number_in(body, "temperature", low=0)
    seed = whole_in(body, "seed", low=RANDOM)
    top_k = whole_in(body, "top_k", low=-1)
    return GenerationParams(
        max_tokens=first_of([whole_in(body, name, low=1) for name in limits], most),
        temperature=0.0 if top_p == 0 else temperature,  # of no share the likeliest is left
        top_p=top_p or None,
        top_k=top_k and max(0, top_k),
        repetition_penalty=first_of([penalty_in(body, name) for name in _PENALTIES]),
        stop=texts_in(body, "stop"),
        seed=None if seed == RANDOM else seed,
        think=think,
    )


def first_of(values: Sequence[T | None], usual: T | None = None) -> T | None:
    """The first that was sent."""
    return next((each for each in values if each is not None), usual)


def penalty_in(body: Fields, name: str) -> float | None:
    """A factor for what was said before. Raises Refusal."""
    penalty = number_in(body, name)
    if penalty is not None and penalty <= 0:
        raise Refusal(400, f"{name} is above 0, not {shown(penalty)}", param=name)
    return penalty


def thinking_of(body: Fields) -> tuple[bool | None, list[str]]:
    """Whether a reasoning model reasons, and what else a template is told. Raises Refusal."""
    options = field_of(body, "chat_template_kwargs", dict, "an object") or {}
    others = [f"chat_template_kwargs.{name[:40]}" for name in options if name not in _THINKING]
    places = [(options, "chat_template_kwargs"), (body, "")]
    flags = [flag_in(each, name, within=at) for each, at in places for name in _THINKING]
    return first_of(flags), others
