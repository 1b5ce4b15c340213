"""What a client of OpenAI's interface asks for, as messages and settings of ours, checked.

Fields that change nothing here are told to the log; those that would change what a client reads
are refused rather than left out. Source: https://platform.openai.com/docs/api-reference/chat
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from glmcli.conversation.messages import message_of
from glmcli.errors import UsageError
from glmcli.serve.refusal import Refusal
from glmcli.types import GenerationParams, Message

Fields = Mapping[str, Any]

MOST_STOPS = 64
LARGEST_SEED = 2**63 - 1
COMPLETION_TOKENS = 16
"""The limit of a reply to a plain text where none is set; so OpenAI has it."""
RANDOM = -1
"""A seed that is none, as many programs send it."""
_OF_MESSAGES = ("role", "content", "tool_calls", "refusal", "reasoning_content", "reasoning")
_KNOWN = {
    "model",
    "stream",
    "stream_options",
    "max_tokens",
    "temperature",
    "top_p",
    "top_k",
    "repetition_penalty",
    "repeat_penalty",
    "stop",
    "seed",
    "n",
}
_OF_CHATS = _KNOWN | {"messages", "max_completion_tokens", "chat_template_kwargs"}
_OF_CHATS |= {"continue_final_message", "add_generation_prompt"}
_OF_TEXTS = _KNOWN | {"prompt"}
_THINKING = ("enable_thinking", "thinking")
"""What families of models have called the switch, among the arguments of a template."""


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
    refuse_others(body)
    think, others = thinking_of(body)
    params = asked_params(body, ("max_completion_tokens", "max_tokens"), think)
    return asked(body, messages_of(body), params, _OF_CHATS, others)


def asked_text(body: Fields) -> AskedReply:
    """A request of /v1/completions: the prompt is the text itself. Raises Refusal."""
    refuse_others(body)
    params = asked_params(body, ("max_tokens",), None, most=COMPLETION_TOKENS)
    return asked(body, (text_prompt(body),), params, _OF_TEXTS, ())


def asked_size(body: Fields) -> tuple[Message, ...]:
    """A request of /tokenize: messages, or a plain text as `prompt`. Raises Refusal."""
    return messages_of(body) if "messages" in body else (text_prompt(body),)


def asked(
    body: Fields,
    messages: tuple[Message, ...],
    params: GenerationParams,
    known: set[str],
    others: Sequence[str],
) -> AskedReply:
    """The request, with what of it is not `known`."""
    options = field_of(body, "stream_options", dict, "an object") or {}
    counts = field_of(options, "include_usage", bool, "true or false", within="stream_options")
    unknown = [name for name, value in body.items() if name not in known and value is not None]
    return AskedReply(
        messages,
        params,
        streams=bool(field_of(body, "stream", bool, "true or false")),
        counts=bool(counts),
        ignored=(*sorted(name[:40] for name in unknown), *others),
    )


def messages_of(body: Fields) -> tuple[Message, ...]:
    """The conversation that was sent. Raises Refusal."""
    items = body.get("messages")
    if not isinstance(items, list) or not items:
        raise Refusal(400, "messages is a list with at least one message", param="messages")
    found = []
    for at, item in enumerate(items):
        param = f"messages[{at}]"
        if not isinstance(item, dict):
            raise Refusal(400, f"{param} is not an object", param=param)
        known = {name: item[name] for name in _OF_MESSAGES if name in item}
        if item.get("role") in ("tool", "function"):  # of others it is who speaks
            known["name"] = item.get("name")
        try:
            found.append(message_of(known, at + 1))
        except UsageError as exc:
            raise Refusal(400, f"{exc.message}; {exc.hint}", param=param) from exc
    return tuple(found)


def text_prompt(body: Fields) -> Message:
    """A plain text, or a list of one. Raises Refusal."""
    prompt = body.get("prompt")
    if isinstance(prompt, list) and len(prompt) == 1:
        prompt = prompt[0]
    if not isinstance(prompt, str) or not prompt:
        line = "prompt is a text, or a list of one text; ids of tokens are not taken"
        raise Refusal(400, line, param="prompt")
    return Message("raw", prompt)


def refuse_others(body: Fields) -> None:
    """Raise Refusal for what would change the answer's form and is not done here."""
    if field_of(body, "n", int, "a whole number") not in (None, 1):
        raise Refusal(400, "n is 1 here: ask again for another reply", param="n")
    for name, harmless in _REFUSED.items():
        if not harmless(body.get(name)):
            raise Refusal(400, f"{name} is not done here: leave it out", param=name)
    if body.get("tools") and body.get("tool_choice") != "none":
        line = 'tools are not called here: leave them out, or send tool_choice "none"'
        raise Refusal(400, line, param="tools")


def _is_plain_text(value: Any) -> bool:
    return value is None or (isinstance(value, dict) and value.get("type") == "text")


_REFUSED: dict[str, Callable[[Any], bool]] = {
    "response_format": _is_plain_text,
    "functions": lambda value: not value,
    "logprobs": lambda value: value is None or value is False,
    "top_logprobs": lambda value: not value,
    "logit_bias": lambda value: not value,
    "echo": lambda value: not value,
    "suffix": lambda value: not value,
    "best_of": lambda value: value in (None, 1),
    "audio": lambda value: value is None,
    "modalities": lambda value: value in (None, [], ["text"]),
}
"""Fields that change what a client reads -> whether a value asks for nothing of that kind."""


def asked_params(
    body: Fields, limits: Sequence[str], think: bool | None, *, most: int | None = None
) -> GenerationParams:
    """The settings that were sent; `limits` are names of the longest reply. Raises Refusal."""
    lengths = (number_in(body, name, low=1) for name in limits)
    penalties = [number_in(body, name) for name in ("repetition_penalty", "repeat_penalty")]
    penalty = next((each for each in penalties if each is not None), None)
    if penalty is not None and penalty <= 0:
        raise Refusal(400, "repetition_penalty is above 0", param="repetition_penalty")
    top_p = number_in(body, "top_p", low=0, high=1)
    seed = whole_in(number_in(body, "seed", low=RANDOM, high=LARGEST_SEED), "seed")
    top_k = whole_in(number_in(body, "top_k", low=-1), "top_k")
    length = next((each for each in lengths if each is not None), most)
    return GenerationParams(
        max_tokens=whole_in(length, limits[-1]),
        temperature=number_in(body, "temperature", low=0),
        top_p=None if top_p == 0 else top_p,
        top_k=top_k and max(0, top_k),
        repetition_penalty=penalty,
        stop=stops_of(body),
        seed=None if seed == RANDOM else seed,
        think=think,
    )


def stops_of(body: Fields) -> tuple[str, ...]:
    """The texts that end the reply; empty ones end nothing. Raises Refusal."""
    stop = body.get("stop")
    stops = [stop] if isinstance(stop, str) else stop or []
    if not isinstance(stops, list) or not all(isinstance(each, str) for each in stops):
        raise Refusal(400, "stop is a text or a list of texts", param="stop")
    if len(stops) > MOST_STOPS:
        raise Refusal(400, f"stop takes {MOST_STOPS} texts at most", param="stop")
    return tuple(filter(None, stops))


def thinking_of(body: Fields) -> tuple[bool | None, list[str]]:
    """Whether a reasoning model reasons, and what else a template is told. Raises Refusal."""
    options = field_of(body, "chat_template_kwargs", dict, "an object") or {}
    others = [f"chat_template_kwargs.{name[:40]}" for name in options if name not in _THINKING]
    for name in _THINKING:
        think = field_of(options, name, bool, "true or false", within="chat_template_kwargs")
        if think is not None:
            return think, others
    return None, others


def number_in(
    body: Fields, name: str, *, low: float | None = None, high: float | None = None
) -> float | None:
    """A number that was sent, None if none was. Raises Refusal."""
    value = body.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 1e300:
        raise Refusal(400, f"{name} is a number, not {shown(value)}", param=name)
    if (low is not None and value < low) or (high is not None and value > high):
        reach = f"from {low} to {high}" if high is not None else f"at least {low}"
        raise Refusal(400, f"{name} is {reach}, not {shown(value)}", param=name)
    return value


def whole_in(value: float | None, name: str) -> int | None:
    """A number without a fraction. Raises Refusal."""
    if value is None or int(value) == value:
        return None if value is None else int(value)
    raise Refusal(400, f"{name} is a whole number, not {shown(value)}", param=name)


def field_of(body: Fields, name: str, kind: type, words: str, *, within: str = "") -> Any:
    """A field of a type, None if it was not sent. Raises Refusal."""
    value = body.get(name)
    if value is None or type(value) is kind:
        return value
    param = f"{within}.{name}" if within else name
    raise Refusal(400, f"{param} is {words}, not {shown(value)}", param=param)


def shown(value: Any) -> str:
    """The beginning of what was sent."""
    return repr(value)[:60]
