"""Chooses the next id from a net's scores.

The order of the steps and what each of them does is that of transformers' `generate`. Knows
nothing of nets, text or messages.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from typing import Any

import torch
from torch import Tensor

from glmcli.errors import EngineError
from glmcli.language import tr
from glmcli.models.checkpoint import Checkpoint
from glmcli.models.defaults import Defaults, first_set, read_defaults
from glmcli.models.meaning import text_part, vocabulary_of
from glmcli.types import GenerationParams

COLDEST = 1e-5
"""A temperature below this is greedy: scores divided by it would overflow."""

UNSTATED_VOCABULARY = 1_000_000
"""Ids that are let through where config.json leaves the size of the vocabulary to its family."""


class Sampler:
    """Chooses the next id. `params` that are None take the value of the model's own `defaults`.

    `stop_ids` end a reply, and `max_length` tokens end it at the latest, prompt included.
    """

    def __init__(
        self,
        params: GenerationParams,
        defaults: Defaults,
        prompt: Sequence[int],
        *,
        stop_ids: Collection[int] = (),
        max_length: int | None = None,
    ) -> None:
        self._temperature = first_set(params.temperature, defaults.temperature, 1.0)
        is_on = params.temperature is not None or bool(defaults.do_sample)
        self._is_greedy = not is_on or self._temperature < COLDEST
        filled: Any = defaults.filled(params)
        self._top_k, self._top_p = filled.top_k, filled.top_p
        self._min_p = defaults.min_p or 0.0
        self._seed = params.seed
        self._random: torch.Generator | None = None
        self._penalty = filled.repetition_penalty
        self._mends = bool(defaults.steps.get("remove_invalid_values"))
        self._steps = None
        if defaults.steps:
            from glmcli.engines.local.net.sampling.steps import Steps

            stated = {**defaults.steps, **self._usual(), "max_length": max_length}
            self._steps = Steps(stated, prompt, stop_ids)
        keeps = self._penalty != 1.0 or self._steps is not None
        self._seen = torch.tensor(prompt) if keeps else None

    @torch.inference_mode()
    def pick(self, scores: Tensor) -> int:
        """The next id of scores (vocabulary,). Raises EngineError if they are not numbers.

        Scores and id are fetched together: on a GPU each fetch waits for the device.
        """
        best, token = scores.max(-1)
        if self._seen is not None:
            self._seen = self._seen.to(scores.device)
            scores = self._with_past(scores, self._seen)
            after, token = scores.max(-1)
            best = after if self._mends else best
        if not self._is_greedy:
            token = self._draw(scores if self._steps else self._warped(scores))
        highest, chosen = torch.stack([best, token.float()]).tolist()
        if not math.isfinite(highest):
            raise EngineError(
                tr("the model's scores for the next token are not numbers"),
                tr("try --dtype bfloat16 or float32: some models overflow in float16"),
            )
        if self._seen is not None:
            self._seen = torch.cat([self._seen, token.reshape(1)])
        return int(chosen)

    def _usual(self) -> dict[str, Any]:
        """What is done without transformers where nothing else is asked for."""
        return {
            "do_sample": not self._is_greedy,
            "temperature": self._temperature,
            "top_k": self._top_k,
            "top_p": self._top_p,
            "min_p": self._min_p or None,
            "repetition_penalty": self._penalty,
        }

    def _with_past(self, scores: Tensor, seen: Tensor) -> Tensor:
        """The scores in the light of the ids before; with all other steps, if there are any."""
        return self._steps(seen, scores) if self._steps else penalise(scores, seen, self._penalty)

    def _warped(self, scores: Tensor) -> Tensor:
        if self._temperature != 1.0:
            scores = scores / self._temperature
        if self._top_k:
            scores = keep_top_k(scores, self._top_k)
        if self._top_p < 1.0:
            scores = keep_top_p(scores, self._top_p)
        if self._min_p:
            scores = keep_min_p(scores, self._min_p)
        return scores

    def _draw(self, scores: Tensor) -> Tensor:
        if self._random is None:
            self._random = torch.Generator(scores.device)
            if self._seed is None:
                self._random.seed()
            else:
                self._random.manual_seed(self._seed)
        # NaN here would end the whole process on a GPU; `pick` reports it a moment later.
        shares = scores.softmax(-1).nan_to_num(nan=1.0)
        return torch.multinomial(shares, 1, generator=self._random)[0]


def penalise(scores: Tensor, seen: Tensor, penalty: float) -> Tensor:
    """Scores with those of ids that came before made smaller. Source: Keskar et al., 2019."""
    old = scores[seen]
    return scores.scatter(0, seen, torch.where(old < 0, old * penalty, old / penalty))


def keep_top_k(scores: Tensor, count: int) -> Tensor:
    """Only the `count` highest scores, and those equal to the last of them."""
    lowest = scores.topk(min(count, scores.shape[-1])).values[-1]
    return scores.masked_fill(scores < lowest, -math.inf)


def keep_top_p(scores: Tensor, share: float) -> Tensor:
    """The fewest of the highest scores that have `share` of the probability; one at least."""
    ascending, order = scores.sort()
    dropped = ascending.softmax(-1).cumsum(-1) <= 1 - share
    dropped[-1] = False
    return scores.masked_fill(dropped.scatter(0, order, dropped), -math.inf)


def keep_min_p(scores: Tensor, share: float) -> Tensor:
    """Only scores with at least `share` of the highest one's probability."""
    shares = scores.softmax(-1)
    return scores.masked_fill(shares < share * shares.max(), -math.inf)


def check_steps(checkpoint: Checkpoint) -> None:
    """Raise ModelError for a generation_config.json that cannot be followed."""
    defaults, ends = read_defaults(checkpoint)
    if defaults.steps:
        from glmcli.engines.local.net.sampling.steps import try_steps

        vocabulary = vocabulary_of(text_part(checkpoint.config)) or UNSTATED_VOCABULARY
        try_steps(defaults.steps, vocabulary, ends)
