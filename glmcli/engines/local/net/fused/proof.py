"""From a checkpoint to the fused decoder, if it was proven for this checkpoint on this machine.

The proof: transformers' own forward and the fused one read the same ids, the first time that a
checkpoint is used, and their scores must agree. The verdict is kept. Knows nothing of text.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from glmcli.config import Settings
from glmcli.engines.local.net.fused.decoder import FusedNet
from glmcli.engines.local.net.fused.int8 import Shelf
from glmcli.engines.local.net.fused.linears import Linears
from glmcli.engines.local.net.fused.plan import Dimensions, NotCovered, dimensions_of
from glmcli.engines.local.net.fused.weights import load_weights
from glmcli.engines.local.net.load import bin_tensors, load_errors, load_net
from glmcli.engines.local.net.placement import Placement, place_weights
from glmcli.engines.local.net.reader import Model, Reader, free_memory, translated
from glmcli.engines.local.proofs import fingerprint, read_verdict, write_verdict
from glmcli.errors import OutOfMemory, first_line
from glmcli.machine import drop_pages
from glmcli.models.checkpoint import Checkpoint
from glmcli.models.defaults import read_defaults
from glmcli.models.libraries import quiet
from glmcli.types import Progress, Report

PROMPT_TOKENS, SINGLE_TOKENS = 40, 8
"""Ids of the proof: so many read at once, then so many one by one."""
BOUNDS = {torch.float32: 1e-3}
USUAL_BOUND = 0.08
"""How far scores may be apart, relative to their spread: rounding differs, above all in halves."""
DROP_BYTES = 16 << 20


def open_fused(checkpoint: Checkpoint, settings: Settings, report: Report) -> Model:
    """The fused decoder of a checkpoint. Raises NotCovered, ModelError, OutOfMemory."""
    net, placement = covered(checkpoint, settings)
    key = fingerprint(checkpoint, device=placement.device, dtype=str(placement.dtype))
    path = settings.cache / "proofs" / f"{key}.json"
    verdict = {} if settings.verify else read_verdict(path)
    linears = Linears(placement.device, placement.dtype)
    fused = None
    if not verdict:
        if not settings.history:
            raise NotCovered("not proven yet, and nothing may be written down")
        report(Progress("loading", note="checking"))
        ids = probe_ids(net.vocabulary)
        wanted = reference_scores(checkpoint, settings, ids, report)
        fused = load(net, checkpoint, placement, linears, report)
        verdict = compared(tried(fused, ids), wanted, checkpoint, placement)
        fused.forget()
        write_verdict(path, verdict)
    if not verdict["same"]:
        raise NotCovered(f"the fused decoder's scores differ by {verdict['apart']:.2g}")
    number_format = str(placement.dtype).removeprefix("torch.")
    if settings.quantize != "none":
        fused, number_format = None, settings.quantize
        shelf = Shelf(settings.cache / "quantized" / f"{key}-{number_format}", settings.history)
        # Guesses are checked several at once, and must be what single steps would say.
        linears = Linears(placement.device, torch.float32, shelf)
    defaults, stop_ids = read_defaults(checkpoint)
    return Model(
        fused or load(net, checkpoint, placement, linears, report),
        defaults,
        stop_ids,
        device=f"{placement.device} {number_format}",
        path=f"fused decoder, within {verdict['apart']:.1g} of transformers' scores",
        weight_bytes=linears.weight_bytes,
    )


def covered(checkpoint: Checkpoint, settings: Settings) -> tuple[Dimensions, Placement]:
    """The sizes of a net that can be fused, and where it goes. Raises NotCovered, OutOfMemory."""
    if not settings.fused:
        raise NotCovered("switched off")
    if settings.attn != "auto":
        raise NotCovered(f"--attn {settings.attn} is transformers' own")
    tensors = checkpoint.tensors or bin_tensors(checkpoint)
    net = dimensions_of(checkpoint, tensors)
    if "eos_token_id" not in checkpoint.config and checkpoint.family != "chatglm":
        raise NotCovered("config.json does not say eos_token_id")
    placement = place_weights(tensors, checkpoint.config, settings)
    if settings.quantize != "none" and placement.device != "cpu":
        raise NotCovered(f"--quantize {settings.quantize} is a library's on {placement.device}")
    if not isinstance(placement.device_map, dict):
        raise NotCovered("the weights go to several devices")
    return net, placement


def load(
    net: Dimensions,
    checkpoint: Checkpoint,
    placement: Placement,
    linears: Linears,
    report: Report,
) -> FusedNet:
    """Read the weights. What was copied of the files counts no longer as memory."""
    undropped = 0

    def tick(share: float) -> None:
        nonlocal undropped
        if linears.weight_bytes - undropped > DROP_BYTES:
            drop_pages(checkpoint.weights)
            undropped = linears.weight_bytes
        total = placement.needed_bytes
        report(Progress("loading", round(share * total), total, "bytes", note="weights"))

    with load_errors(checkpoint, placement), linears:
        loaded = load_weights(
            net, checkpoint.weights, placement.device, linears.dtype, linears.make, tick
        )
    drop_pages(checkpoint.weights)
    return loaded


def reference_scores(
    checkpoint: Checkpoint, settings: Settings, ids: list[int], report: Report
) -> Tensor:
    """What transformers' own forward says to the proof's ids. The net is let go of."""
    from glmcli.engines.local.net.plain import NetReader

    net = load_net(checkpoint, replace(settings, quantize="none"), report)
    with quiet():
        scores = probe_scores(NetReader(net), ids)
    del net
    free_memory()
    return scores


def compared(
    scores: Tensor, wanted: Tensor, checkpoint: Checkpoint, placement: Placement
) -> dict[str, Any]:
    """The verdict over a fused decoder's scores."""
    apart = distance(scores, wanted)
    same = apart <= BOUNDS.get(placement.dtype, USUAL_BOUND)
    return {"model": checkpoint.name, "apart": apart, "dtype": str(placement.dtype), "same": same}


def tried(fused: FusedNet, ids: list[int]) -> Tensor:
    """The fused decoder's scores of the proof's ids. Raises NotCovered, OutOfMemory."""
    try:
        return probe_scores(fused, ids)
    except Exception as exc:  # each device and each version of torch fails in its own way
        failure = translated(exc)
        if isinstance(failure, OutOfMemory):
            raise failure from exc
        raise NotCovered(f"the fused decoder failed: {first_line(exc)}") from exc


def probe_scores(reader: Reader, ids: list[int]) -> Tensor:
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
    return apart if apart == apart else float("inf")  # NaN is no agreement
