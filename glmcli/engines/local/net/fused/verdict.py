"""Whether the fused decoder may read a checkpoint on this machine, and where its weights go then.

The first time that a checkpoint is used the proof is made, and kept where that is allowed. Knows
nothing of text, nor of how the proof goes: see proof.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch

from glmcli.config.models import IN_FULL, ModelOptions
from glmcli.engines.local.net.fused.bits.kernels import CAPABILITY
from glmcli.engines.local.net.fused.decoder import FusedNet
from glmcli.engines.local.net.fused.fbgemm import has_halves
from glmcli.engines.local.net.fused.linears import Linears
from glmcli.engines.local.net.fused.plan import (
    Dimensions,
    NotCovered,
    Tensors,
    check_family,
    dimensions_of,
)
from glmcli.engines.local.net.fused.proof import (
    config_of_transformers,
    if_current,
    judge,
    probe_ids,
    reference_scores,
    try_fused,
)
from glmcli.engines.local.net.fused.weights import load_fused
from glmcli.engines.local.net.placement import Placement, pick_device, place_weights
from glmcli.engines.local.net.plain.bins import bin_tensors
from glmcli.engines.local.proofs import fingerprint, read_verdict, write_verdict
from glmcli.errors import OutOfMemory
from glmcli.language import tr
from glmcli.models.checkpoint import Checkpoint
from glmcli.types import Progress, Report


def place_fused(checkpoint: Checkpoint, options: ModelOptions) -> tuple[Tensors, Placement]:
    """The tensors of a net that may be fused, and where they go. Raises NotCovered, OutOfMemory."""
    if not options.fused:
        raise NotCovered(tr("switched off"))
    if options.attn != "auto":
        raise NotCovered(tr("--attn {attn} is transformers' own", attn=options.attn))
    check_family(checkpoint)
    tensors = checkpoint.tensors or bin_tensors(checkpoint)
    if options.quantize == "int4" and options.dtype == "auto" and has_cuda_bfloat16(options):
        options = replace(options, dtype="bfloat16")  # in which its products are
    placement = place_weights(tensors, checkpoint.config, options, has_halves=has_halves())
    if not isinstance(placement.device_map, dict):
        raise NotCovered(tr("the weights go to several devices"))
    return tensors, placement


def has_cuda_bfloat16(options: ModelOptions) -> bool:
    """Whether the net goes to a GPU that computes in bfloat16."""
    device = pick_device(options.device)
    return device.startswith("cuda") and torch.cuda.get_device_capability(device) >= CAPABILITY


def prove_fused(
    checkpoint: Checkpoint,
    options: ModelOptions,
    tensors: Tensors,
    placement: Placement,
    report: Report,
) -> tuple[dict[str, Any], FusedNet | None, Linears]:
    """The verdict over the weights in full, and the net if it was loaded for that.

    Raises NotCovered, ModelError, OutOfMemory.
    """
    cache, key = options.cache, proof_key(checkpoint, placement)
    verdict = {} if options.verify else if_current(read_verdict(cache.proof(key)))
    fused = None
    linears = Linears(placement.device, placement.dtype, placement.sums)
    if not verdict and not has_room_in_full(checkpoint, options, tensors, placement):
        return prove_on_processor(checkpoint, options, report)
    if not verdict:
        config = config_of_transformers(checkpoint)
        net = dimensions_of(checkpoint, config, tensors)
        report(Progress("loading", note=tr("checking")))
        ids = probe_ids(net.vocabulary)
        with needing_room_once(options):
            wanted = reference_scores(net, checkpoint, options, placement, ids, report)
        fused = load_fused(net, checkpoint, placement, linears, report)
        verdict = judge(try_fused(fused, ids), wanted, checkpoint, config, placement)
        fused.forget()
        write_verdict(cache.proof(key), verdict, keep=cache.may_write)
    if not verdict["same"]:
        apart = verdict["apart"]
        raise NotCovered(tr("the fused decoder's scores differ by {apart:.2g}", apart=apart))
    return verdict, fused, linears


@contextmanager
def needing_room_once(options: ModelOptions) -> Iterator[None]:
    """Say of what does not fit in full that only the first start in fewer bits needs that."""
    try:
        yield
    except OutOfMemory as exc:
        if options.quantize == IN_FULL:
            raise
        what = tr(
            "the first start in {bits}, which checks it against the model in full,",
            bits=options.quantize,
        )
        told = OutOfMemory(exc.needed, exc.free, what=what)
        told.hint = tr("close other programs for this one start, or take a GGUF file: -m gguf:NAME")
        raise told from exc


def has_room_in_full(
    checkpoint: Checkpoint, options: ModelOptions, tensors: Tensors, placement: Placement
) -> bool:
    """Whether a GPU that is to have weights in few bits could hold them in full for a moment."""
    if options.quantize == "none" or placement.device == "cpu":
        return True
    in_full = replace(options, quantize="none", dtype=str(placement.dtype).removeprefix("torch."))
    try:
        return isinstance(place_weights(tensors, checkpoint.config, in_full).device_map, dict)
    except OutOfMemory:
        return False


def prove_on_processor(
    checkpoint: Checkpoint, options: ModelOptions, report: Report
) -> tuple[dict[str, Any], FusedNet | None, Linears]:
    """As `prove_fused`, for a GPU that cannot hold the weights in full. Raises as it does."""
    here = replace(options, device="cpu", dtype="auto", quantize="none")
    try:
        return prove_fused(checkpoint, here, *place_fused(checkpoint, here), report)
    except OutOfMemory as exc:
        raise NotCovered(tr("there is no memory to check it with its weights in full")) from exc


def proof_key(checkpoint: Checkpoint, placement: Placement) -> str:
    """What the verdict over a checkpoint, and its weights in few bits, are kept under."""
    return fingerprint(checkpoint, device=placement.device, dtype=dtypes_of(placement))


def dtypes_of(placement: Placement) -> str:
    """The dtype of the weights, and of sums if that is another."""
    return " ".join(dict.fromkeys(map(str, (placement.dtype, placement.sums))))


def check_runs(fused: FusedNet, net: Dimensions) -> None:
    """Raise NotCovered unless a net in few bits runs on its GPU: only in full was it proven."""
    scores = try_fused(fused, probe_ids(net.vocabulary))
    if not torch.isfinite(scores).all():
        raise NotCovered(tr("the fused decoder failed: {why}", why="NaN"))
    fused.forget()
