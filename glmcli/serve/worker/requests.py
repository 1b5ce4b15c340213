"""What a client of a FastChat worker asks for, as settings of ours.

FastChat reads most values as Python does and breaks at others; here all of them are told as an
error. Source: FastChat 0.2.36, serve/inference.py (generate_stream).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from glmcli.serve.openai.fields import Fields, texts_in
from glmcli.serve.refusal import Refusal
from glmcli.types import GenerationParams

GREEDY = 1e-5
"""A temperature below this is none."""
NO_MASS = 1e-8
"""So is a top_p below this."""
USUAL_TOKENS = 256
LARGEST_COUNT = 2**31
_KNOWN = {
    *("model", "prompt", "temperature", "top_p", "top_k", "repetition_penalty", "max_new_tokens"),
    *("stop", "stop_token_ids", "echo"),
}


@dataclass(frozen=True, slots=True)
class AskedText:
    """A prompt that a client has written, and how it is to be answered."""

    prompt: str
    params: GenerationParams
    echo: bool
    """Whether the text that is sent begins with the prompt."""
    ignored: tuple[str, ...] = ()
    """Fields that change nothing here."""


def asked_prompt(body: Fields, controls: Mapping[int, str]) -> AskedText:
    """A request of /worker_generate_stream. Raises Refusal.

    `controls` are the model's control tokens: of `stop_token_ids` only those end a reply. Others
    are ids of another model's vocabulary, which many templates of FastChat's hold.
    """
    temperature, top_p = number_or(body, "temperature", 1.0), number_or(body, "top_p", 1.0)
    is_greedy = temperature < GREEDY or top_p < NO_MASS
    stop_ids = stop_ids_in(body)
    names = [controls[token] for token in stop_ids if token in controls]
    ignored = sorted(name[:40] for name, value in body.items() if name not in _KNOWN and value)
    foreign = [f"stop_token_ids {token}" for token in stop_ids if token not in controls]
    return AskedText(
        prompt_in(body),
        GenerationParams(
            max_tokens=int(
                number_or(body, "max_new_tokens", USUAL_TOKENS, low=1, high=LARGEST_COUNT)
            ),
            temperature=0.0 if is_greedy else temperature,
            top_p=1.0 if is_greedy else min(top_p, 1.0),
            top_k=max(0, int(number_or(body, "top_k", -1, high=LARGEST_COUNT))),
            repetition_penalty=max(1.0, number_or(body, "repetition_penalty", 1.0)),
            stop=(*texts_in(body, "stop"), *names),
        ),
        echo=bool(body.get("echo", True)),
        ignored=(*ignored, *foreign[:4]),
    )


def prompt_in(body: Fields) -> str:
    """The prompt. Raises Refusal."""
    prompt = body.get("prompt")
    if not isinstance(prompt, str) or not prompt:
        raise Refusal(400, "prompt is a text that is not empty", param="prompt")
    return prompt


def number_or(
    body: Fields, name: str, usual: float, *, low: float = -math.inf, high: float = math.inf
) -> float:
    """A number, or a text that is one; `usual` where none was sent. Raises Refusal."""
    value = body.get(name)
    try:
        number = usual if value is None else float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number) or not low <= number <= high:
        limits = f" from {low:g}" * math.isfinite(low) + f" up to {high:g}" * math.isfinite(high)
        raise Refusal(400, f"{name} is a number{limits}", param=name)
    return number


def stop_ids_in(body: Fields) -> list[int]:
    """The ids that end a reply. Raises Refusal."""
    ids = body.get("stop_token_ids") or []
    if not isinstance(ids, list) or not all(type(each) is int for each in ids):
        raise Refusal(400, "stop_token_ids is a list of whole numbers", param="stop_token_ids")
    return ids
