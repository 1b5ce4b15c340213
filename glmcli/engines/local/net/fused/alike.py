"""Whether a few ids may be read at once and each has the bits that it has alone.

It depends on what multiplies here: on the processor, on how weights are kept, on torch.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from glmcli.engines.local.net.fused.decoder import FusedNet, LayerCache, head_scores, rotary, step
from glmcli.engines.local.net.reader import FEW_ROWS, NetReader


@torch.inference_mode()
def reads_alike(reader: NetReader) -> bool:
    """Whether a net does so: tried with a layer and the head, on numbers that are made up.

    All layers multiply in the same way. False on a GPU, and of nets that transformers runs.
    """
    if not isinstance(reader, FusedNet) or reader.device.type != "cpu":
        return False
    x = torch.randn(FEW_ROWS, reader.plan.width, generator=torch.Generator().manual_seed(0))
    x = x.to(reader.weights.norm)
    return torch.equal(made_scores(reader, torch.split(x, 1)), made_scores(reader, [x[:1], x[1:]]))


def made_scores(net: FusedNet, parts: Sequence[Tensor]) -> Tensor:
    """What the first layer and the head make of (tokens, width) that is read in parts."""
    plan, weights = net.plan, net.weights
    cos, sin = rotary(plan.frequencies, FEW_ROWS, weights.norm)
    cache = LayerCache(plan, weights.norm)
    cache.reserve(0, FEW_ROWS)
    found, seen = [], 0
    for part in parts:
        at = slice(seen, seen + len(part))
        turn = cos[at][:, None], sin[at][:, None]
        x, y = step(plan, weights.layers[0], weights.small, cache, part, None, turn, at, None)
        found.append(head_scores(plan, weights, x, y))
        seen += len(part)
    return torch.cat(found)
