"""From a checkpoint to the fused decoder, if it was proven for this checkpoint on this machine.

Knows nothing of text, nor of how the proof is come by: see verdict.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from glmcli.config.models import ModelOptions
from glmcli.engines.local.net.fused.linears import Linears, few_linears
from glmcli.engines.local.net.fused.plan import dimensions_of
from glmcli.engines.local.net.fused.verdict import check_runs, place_fused, proof_key, prove_fused
from glmcli.engines.local.net.fused.weights import load_fused
from glmcli.engines.local.net.placement import pick_device
from glmcli.engines.local.net.reader import LoadedNet, weights_told
from glmcli.language import tr
from glmcli.models.checkpoint import Checkpoint
from glmcli.models.choice import own_bits
from glmcli.models.defaults import read_defaults
from glmcli.types import Report


def open_fused(checkpoint: Checkpoint, options: ModelOptions, report: Report) -> LoadedNet:
    """The fused decoder of a checkpoint. Raises NotCovered, ModelError, OutOfMemory."""
    if own := own_bits(checkpoint.packing, options, pick_device(options.device)):
        options = replace(options, quantize=own)
    tensors, placement = place_fused(checkpoint, options)
    cache = options.cache
    key = proof_key(checkpoint, placement)
    verdict, fused, linears = prove_fused(checkpoint, options, tensors, placement, report)
    net = dimensions_of(checkpoint, verdict["config"], tensors)
    number_format = str(placement.dtype).removeprefix("torch.")
    if options.quantize != "none":
        fused, number_format = None, options.quantize
        folder = cache.quantized(f"{key}-{number_format}")
        linears = few_linears(
            number_format, placement.device, placement.sums, folder, keep=cache.may_write
        )
    defaults, stop_ids = read_defaults(checkpoint)
    if fused is None:
        fused = load_fused(net, checkpoint, placement, linears, report)
        if options.quantize != "none" and placement.device != "cpu":
            check_runs(fused, net)
    lacks = {**linears.lacks, tr("small steps"): fused.weights.small_lacks}
    runner = runner_of(verdict["apart"], linears, lacks)
    return LoadedNet(
        fused,
        defaults,
        stop_ids,
        device=f"{placement.device} {number_format}",
        runner=weights_told(runner, checkpoint, number_format),
        weight_bytes=linears.weight_bytes,
    )


def runner_of(apart: float, linears: Linears, lacks: Mapping[str, str]) -> str:
    """How the fused decoder runs, for `--stats`; `lacks` is why a kernel is not used, if so."""
    runner = tr("fused decoder, within {apart:.1g} of transformers' scores", apart=apart)
    for name, why in lacks.items():
        if why:
            runner = tr("{runner}, no kernel for {bits} ({why})", runner=runner, bits=name, why=why)
    if linears.sums is linears.dtype:
        return runner
    return tr("{runner}, sums in float32", runner=runner)
