"""What a checkpoint asks for beyond the usual, done by transformers' own code.

`generate` itself lays out the steps, so their order is its own. Knows nothing of nets.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor
from transformers import GenerationConfig, GenerationMixin, LogitsProcessorList

from glmcli.errors import first_line
from glmcli.language import tr
from glmcli.models.files.fields import refused
from glmcli.models.files.small import bad_download


class Steps:
    """generate's steps from the scores of a net to those that an id is chosen from."""

    def __init__(
        self, stated: Mapping[str, Any], prompt: Sequence[int], stop_ids: Collection[int]
    ) -> None:
        """`stated` has the names of GenerationConfig, `do_sample` and `max_length` among them."""
        self._stated = stated
        self._prompt = list(prompt)
        self._stop_ids = sorted(stop_ids)
        self._list: LogitsProcessorList | None = None

    def __call__(self, ids: Tensor, scores: Tensor) -> Tensor:
        """The changed scores (vocabulary,) after `ids` (tokens,), the prompt and the reply."""
        if self._list is None:
            self._list = self._laid_out(scores.device)
        changed: Tensor = self._list(ids[None], scores[None].clone())[0]
        return changed

    def _laid_out(self, device: torch.device) -> LogitsProcessorList:
        config = GenerationConfig()
        for name, value in self._stated.items():
            setattr(config, name, value)
        config._eos_token_tensor = torch.tensor(self._stop_ids, device=device, dtype=torch.long)
        generate = GenerationMixin()
        generate.config = SimpleNamespace(is_encoder_decoder=False)
        return generate._get_logits_processor(
            config,
            input_ids_seq_length=len(self._prompt),
            encoder_input_ids=torch.tensor([self._prompt], device=device, dtype=torch.long),
            device=device,
        )


def try_steps(stated: Mapping[str, Any], vocabulary: int, stop_ids: Collection[int]) -> None:
    """Raise ModelError for values that the steps do not take: they come from a file."""
    where = "generation_config.json"
    for name, value in stated.items():  # each by itself, so that it can be named
        if why := failure_of_steps({name: value}, vocabulary, stop_ids):
            raise refused(where, name, value, why)
    if why := failure_of_steps(stated, vocabulary, stop_ids):
        raise bad_download(tr("generation_config.json cannot be followed: {why}", why=why))


def failure_of_steps(stated: Mapping[str, Any], vocabulary: int, stop_ids: Collection[int]) -> str:
    """Why these steps cannot be taken; "" if they can."""
    try:
        with torch.inference_mode():
            steps = Steps({**stated, "do_sample": True, "max_length": 2}, [0], stop_ids)
            scores = steps(torch.zeros(1, dtype=torch.long), torch.zeros(vocabulary))
    except Exception as exc:  # each step checks in its own way, some not at all
        return first_line(exc)
    return "" if scores.isfinite().any() else tr("no token is left to choose")
