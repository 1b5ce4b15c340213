"""Loads a net of transformers so that 16-bit weights stay so where sums are in float32.

Knows nothing of how its layers compute: see halves.py.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from glmcli.config.models import ModelOptions
from glmcli.engines.local.net.fused.fbgemm import has_halves
from glmcli.engines.local.net.load import load_placed
from glmcli.engines.local.net.placement import Placement, place_weights
from glmcli.engines.local.net.plain.bins import bin_tensors
from glmcli.engines.local.net.plain.halves import halved, size_of, widen
from glmcli.engines.local.net.plain.recipes import recipe_for
from glmcli.errors import OutOfMemory
from glmcli.models.bits import is_packed
from glmcli.models.checkpoint import Checkpoint
from glmcli.models.libraries import quiet
from glmcli.types import Progress, Report


def place_halves(checkpoint: Checkpoint, options: ModelOptions) -> Placement | None:
    """Where the weights go if they stay 16-bit with float32 sums; None if they do not.

    Layers are exchanged for others then, so nobody else may have a hand in the weights.
    Raises ConfigError, OutOfMemory.
    """
    is_changed = checkpoint.remote_code or checkpoint.adapter or is_packed(checkpoint.config)
    if options.quantize != "none" or is_changed or not has_halves():
        return None
    tensors = checkpoint.tensors or bin_tensors(checkpoint)
    placement = place_weights(tensors, checkpoint.config, options, has_halves=True)
    return None if placement.sums is placement.dtype else placement


def load_halves(
    checkpoint: Checkpoint, placement: Placement, options: ModelOptions, report: Report
) -> Any:
    """The net, its 16-bit weights not packed yet. Raises ModelError, OutOfMemory."""
    report(Progress("loading", unit="bytes", note=checkpoint.name))
    with quiet():
        recipe = recipe_for(checkpoint)
        recipe = replace(recipe, net_class=halved(recipe.net_class, placement.dtype))
        if recipe.empty is not None:
            needed = size_of(recipe.empty, placement.dtype)
            placement = replace(placement, needed_bytes=needed)
        if placement.free_bytes is not None and placement.needed_bytes > placement.free_bytes:
            raise OutOfMemory(placement.needed_bytes, placement.free_bytes)
        net = load_placed(checkpoint, recipe, placement, options.attn, report)
    widen(net)
    return net
