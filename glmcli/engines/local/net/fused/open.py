"""From a checkpoint to the fused decoder, if it was proven for this checkpoint on this machine.

The first time that a checkpoint is used the proof is made, and kept where that is allowed. Knows
nothing of text, nor of how the proof goes: see proof.py.
"""

from __future__ import annotations

import torch

from glmcli.config.models import ModelOptions
from glmcli.engines.local.net.fused.fbgemm import has_halves
from glmcli.engines.local.net.fused.int8 import Shelf
from glmcli.engines.local.net.fused.linears import Linears
from glmcli.engines.local.net.fused.plan import NotCovered, Tensors, check_family, dimensions_of
from glmcli.engines.local.net.fused.proof import (
    config_of_transformers,
    if_current,
    judge,
    probe_ids,
    reference_scores,
    try_fused,
)
from glmcli.engines.local.net.fused.weights import load_fused
from glmcli.engines.local.net.placement import Placement, place_weights
from glmcli.engines.local.net.plain.bins import bin_tensors
from glmcli.engines.local.net.reader import LoadedNet
from glmcli.engines.local.proofs import fingerprint, read_verdict, write_verdict
from glmcli.language import tr
from glmcli.models.checkpoint import Checkpoint
from glmcli.models.defaults import read_defaults
from glmcli.types import Progress, Report


def open_fused(checkpoint: Checkpoint, options: ModelOptions, report: Report) -> LoadedNet:
    """The fused decoder of a checkpoint. Raises NotCovered, ModelError, OutOfMemory."""
    tensors, placement = place_fused(checkpoint, options)
    cache = options.cache
    key = fingerprint(checkpoint, device=placement.device, dtype=dtypes_of(placement))
    verdict = {} if options.verify else if_current(read_verdict(cache.proof(key)))
    config = verdict.get("config") or config_of_transformers(checkpoint)
    net = dimensions_of(checkpoint, config, tensors)
    linears = Linears(placement.device, placement.dtype, placement.sums)
    fused = None
    if not verdict:
        report(Progress("loading", note=tr("checking")))
        ids = probe_ids(net.vocabulary)
        wanted = reference_scores(net, checkpoint, options, placement, ids, report)
        fused = load_fused(net, checkpoint, placement, linears, report)
        verdict = judge(try_fused(fused, ids), wanted, checkpoint, config, placement)
        fused.forget()
        write_verdict(cache.proof(key), verdict, keep=cache.may_write)
    apart = verdict["apart"]
    if not verdict["same"]:
        raise NotCovered(tr("the fused decoder's scores differ by {apart:.2g}", apart=apart))
    number_format = str(placement.dtype).removeprefix("torch.")
    if options.quantize != "none":
        fused, number_format = None, options.quantize
        shelf = Shelf(cache.quantized(f"{key}-{number_format}"), cache.may_write)
        # Guesses are checked several at once, and must be what single steps would say.
        linears = Linears(placement.device, torch.float32, shelf=shelf)
    runner = runner_of(apart, linears)
    if checkpoint.is_rounded(number_format):
        runner = tr("{runner}, weights rounded from float16", runner=runner)
    defaults, stop_ids = read_defaults(checkpoint)
    return LoadedNet(
        fused or load_fused(net, checkpoint, placement, linears, report),
        defaults,
        stop_ids,
        device=f"{placement.device} {number_format}",
        runner=runner,
        weight_bytes=linears.weight_bytes,
    )


def dtypes_of(placement: Placement) -> str:
    """The dtype of the weights, and of sums if that is another."""
    return " ".join(dict.fromkeys(map(str, (placement.dtype, placement.sums))))


def runner_of(apart: float, linears: Linears) -> str:
    """How the fused decoder runs, for `--stats`."""
    runner = tr("fused decoder, within {apart:.1g} of transformers' scores", apart=apart)
    if linears.sums is linears.dtype:
        return runner
    return tr("{runner}, sums in float32", runner=runner)


def place_fused(checkpoint: Checkpoint, options: ModelOptions) -> tuple[Tensors, Placement]:
    """The tensors of a net that may be fused, and where they go. Raises NotCovered, OutOfMemory."""
    if not options.fused:
        raise NotCovered(tr("switched off"))
    if options.attn != "auto":
        raise NotCovered(tr("--attn {attn} is transformers' own", attn=options.attn))
    check_family(checkpoint)
    tensors = checkpoint.tensors or bin_tensors(checkpoint)
    placement = place_weights(tensors, checkpoint.config, options, has_halves=has_halves())
    if options.quantize != "none" and placement.device != "cpu":
        bits, device = options.quantize, placement.device
        raise NotCovered(
            tr("--quantize {bits} needs a library on {device}", bits=bits, device=device)
        )
    if not isinstance(placement.device_map, dict):
        raise NotCovered(tr("the weights go to several devices"))
    return tensors, placement
