"""Chooses the next id from a net's scores.

The order of the steps and what each of them does is that of transformers' `generate`. Knows
nothing of nets, text or messages.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from glmcli.errors import EngineError
from glmcli.language import tr
from glmcli.types import GenerationParams

COLDEST = 1e-5
"""A temperature below this is greedy: scores divided by it would overflow."""


class Sampler:
    """Chooses the next id. `params` that are None take the value of the model's own defaults.

    `defaults` has the names of transformers' GenerationConfig.
    """

    def __init__(self, params: GenerationParams, defaults: Any, prompt: Sequence[int]) -> None:
        self._temperature = first(params.temperature, defaults.temperature, 1.0)
        is_on = params.temperature is not None or bool(defaults.do_sample)
        self._is_greedy = not is_on or self._temperature < COLDEST
        self._top_k = first(params.top_k, defaults.top_k, 0)
        self._top_p = first(params.top_p, defaults.top_p, 1.0)
        self._min_p = defaults.min_p or 0.0
        self._seed = params.seed
        self._random: torch.Generator | None = None
        self._penalty = first(params.repetition_penalty, defaults.repetition_penalty, 1.0)
        self._seen = torch.tensor(prompt) if self._penalty != 1.0 else None

    @torch.inference_mode()
    def pick(self, scores: Tensor) -> int:
        """The next id of scores (vocabulary,). Raises EngineError if they are not numbers.

        Scores and id are fetched together: on a GPU each fetch waits for the device.
        """
        best, token = scores.max(-1)
        if self._seen is not None:
            self._seen = self._seen.to(scores.device)
            scores = penalise(scores, self._seen, self._penalty)
            token = scores.argmax(-1)
        if not self._is_greedy:
            token = self._draw(self._warped(scores))
        highest, chosen = torch.stack([best, token.float()]).tolist()
        if not math.isfinite(highest):
            raise EngineError(
                tr("the model's scores for the next token are not numbers"),
                tr("try --dtype bfloat16 or float32: some models overflow in float16"),
            )
        if self._seen is not None:
            self._seen = torch.cat([self._seen, token.reshape(1)])
        return int(chosen)

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


def first(*values: Any) -> Any:
    """The first value that is not None."""
    return next(value for value in values if value is not None)
