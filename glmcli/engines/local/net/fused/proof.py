"""The proof of the fused decoder: it and transformers' own forward must agree on the same ids.

What so few ids do not show is taken from transformers: what config.json means, how positions turn.

Knows nothing of text, nor of where the verdict is kept.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from glmcli.config.models import ModelOptions
from glmcli.engines.local.net.fused.decoder import FusedNet
from glmcli.engines.local.net.fused.plan import CONFIG_FIELDS, Dimensions, NotCovered
from glmcli.engines.local.net.load import letting_go, load_net
from glmcli.engines.local.net.placement import Placement
from glmcli.engines.local.net.plain.recipes import recipe_of
from glmcli.engines.local.net.reader import NetReader, free_memory, is_out_of_memory, translate
from glmcli.errors import OutOfMemory, first_line
from glmcli.language import tr
from glmcli.models.checkpoint import Checkpoint
from glmcli.models.libraries import quiet
from glmcli.types import Report

PROOF_REVISION = 2
"""Of what is proven: a verdict over less has to be found again."""
PROMPT_TOKENS, SINGLE_TOKENS = 40, 8
"""Ids of the proof: so many read at once, then so many one by one."""
_BOUNDS = {torch.float32: 1e-3}
_USUAL_BOUND = 0.08
"""How far scores may be apart, relative to their spread: rounding differs, above all in halves."""


def config_of_transformers(checkpoint: Checkpoint) -> dict[str, Any]:
    """What transformers makes of a config.json, with its family's defaults. Raises ModelError."""
    with quiet():
        config = recipe_of(checkpoint).config
    return {name: getattr(config, name, None) for name in CONFIG_FIELDS}


def if_current(verdict: dict[str, Any]) -> dict[str, Any]:
    """A verdict that was kept; empty if it says less than one of today."""
    is_whole = verdict.get("revision") == PROOF_REVISION and isinstance(verdict.get("config"), dict)
    return verdict if is_whole else {}


def reference_scores(
    net: Dimensions,
    checkpoint: Checkpoint,
    options: ModelOptions,
    placement: Placement,
    ids: list[int],
    report: Report,
) -> Tensor:
    """What transformers' own forward says to the proof's ids. The net is let go of.

    Raises NotCovered if its positions turn otherwise than the plan has it, or if it fails.
    """
    from glmcli.engines.local.net.plain.reader import PlainReader

    number_format = str(placement.dtype).removeprefix("torch.")
    plain = load_net(checkpoint, replace(options, quantize="none", dtype=number_format), report)
    check_turns(net, plain)
    if placement.sums is not placement.dtype:
        sum_in(plain, placement.sums)
    try:
        with quiet(), letting_go(plain, checkpoint.weights):
            scores = PlainReader(plain).read(ids, len(ids)).cpu()
    except Exception as exc:  # each family fails in its own way, and will say so without a proof
        if is_out_of_memory(exc):
            raise translate(exc) from exc
        raise NotCovered(tr("config.json is not as expected: {why!r}", why=exc)) from exc
    del plain
    free_memory()
    return scores


def check_turns(net: Dimensions, plain: nn.Module) -> None:
    """Raise NotCovered unless pairs turn as in transformers' net: slow ones need a long text."""
    planned = torch.tensor(net.frequencies)
    found = [turns for name, turns in plain.named_buffers() if name.endswith(".inv_freq")]
    if not found or any(
        turns.shape != planned.shape or not torch.allclose(turns.float().cpu(), planned, atol=0)
        for turns in found
    ):
        raise NotCovered(tr("its positions turn in another way"))


def judge(
    scores: Tensor,
    wanted: Tensor,
    checkpoint: Checkpoint,
    config: dict[str, Any],
    placement: Placement,
) -> dict[str, Any]:
    """The verdict over a fused decoder's scores, with the config that it was planned by."""
    apart = distance(scores, wanted)
    same = apart <= _BOUNDS.get(placement.sums, _USUAL_BOUND)
    return {
        "revision": PROOF_REVISION,
        "model": checkpoint.name,
        "config": config,
        "apart": apart,
        "dtype": str(placement.dtype),
        "same": same,
    }


def sum_in(net: Any, dtype: torch.dtype) -> None:
    """Let a net of transformers sum in another dtype than that of its weights.

    They are converted as they are used, a part at a time, so that they are never there twice.
    """
    from glmcli.engines.local.net.plain.halves import wide_product

    def product(module: nn.Linear, x: Tensor) -> Tensor:
        y = wide_product(x, module.weight)
        return y if module.bias is None else y + module.bias.to(dtype)

    for module in net.modules():
        if isinstance(module, nn.Linear):
            module.forward = partial(product, module)  # type: ignore[method-assign]
        elif isinstance(module, nn.Embedding):
            module.register_forward_hook(lambda _, __, rows: rows.to(dtype))
        else:
            for parameter in module.parameters(recurse=False):
                parameter.data = parameter.data.to(dtype)


def try_fused(fused: FusedNet, ids: list[int]) -> Tensor:
    """The fused decoder's scores of the proof's ids. Raises NotCovered, OutOfMemory."""
    try:
        return probe_scores(fused, ids)
    except Exception as exc:  # each device and each version of torch fails in its own way
        failure = translate(exc)
        if isinstance(failure, OutOfMemory):
            raise failure from exc
        raise NotCovered(tr("the fused decoder failed: {why}", why=first_line(exc))) from exc


def probe_scores(reader: NetReader, ids: list[int]) -> Tensor:
    """Scores after each of the proof's ids, (ids, vocabulary), on the processor."""
    scores = [reader.read(ids[:PROMPT_TOKENS], PROMPT_TOKENS)]
    scores += [reader.read([token]) for token in ids[PROMPT_TOKENS:]]
    return torch.cat(scores).cpu()


def probe_ids(vocabulary: int) -> list[int]:
    """The proof's ids, in no order."""
    count = PROMPT_TOKENS + SINGLE_TOKENS
    return [(37 * index * index + 11 * index) % min(199, vocabulary) for index in range(count)]


def distance(scores: Tensor, wanted: Tensor) -> float:
    """How far scores are apart, relative to the spread of the wanted ones."""
    spread = wanted - wanted.mean(-1, keepdim=True)
    difference = scores - wanted
    difference = difference - difference.mean(-1, keepdim=True)
    apart = float(difference.norm() / spread.norm())
    return apart if apart == apart else float("inf")  # NaN is not agreement
