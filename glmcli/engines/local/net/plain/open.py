"""From a checkpoint to transformers' own net, read in the way that was proven for it.

The first time that a checkpoint is used the proof is made, and kept where that is allowed. Knows
nothing of text, nor of how the proof goes: see proof.py.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

import torch

from glmcli.config.models import ModelOptions
from glmcli.engines.local.net.load import beyond_float16, letting_go, load_net
from glmcli.engines.local.net.plain.halves import half_linears, wide_bytes
from glmcli.engines.local.net.plain.loading import load_halves, place_halves
from glmcli.engines.local.net.plain.proof import UnequalError, check_same, find_reading
from glmcli.engines.local.net.plain.reader import PlainReader, Reading, ReadingWay, model_of
from glmcli.engines.local.net.reader import (
    LoadedNet,
    free_memory,
    is_out_of_memory,
    translate,
    weights_told,
)
from glmcli.engines.local.proofs import fingerprint, read_verdict, write_verdict
from glmcli.errors import GlmError, ModelError, first_line
from glmcli.language import tr
from glmcli.machine import MappedFiles, trim_memory
from glmcli.models.checkpoint import Checkpoint
from glmcli.types import Progress, Report

NOTABLE_BYTES = 1_000_000
"""Less of float32 than that beside 16-bit weights is not worth a word."""
REVISION = 4
"""Of the ways of reading: where they change, each net has to be asked again."""


def open_plain(
    checkpoint: Checkpoint, options: ModelOptions, runner: str, report: Report
) -> LoadedNet:
    """Any net that transformers can run. Raises ModelError, ConfigError, OutOfMemory."""
    if placement := place_halves(checkpoint, options):
        with suppress(ModelError):  # as float32 it may run
            net = load_halves(checkpoint, placement, options, report)
            return ready(net, checkpoint, options, runner, report)
        net = None  # first: there may be no room for both
        free_memory()
    net = load_in_any_bits(checkpoint, options, report)
    return ready(net, checkpoint, options, runner, report)


def ready(
    net: Any, checkpoint: Checkpoint, options: ModelOptions, runner: str, report: Report
) -> LoadedNet:
    """A net that was loaded, proven and arranged. Raises ModelError, OutOfMemory."""
    reading = proven_reading(net, checkpoint, options, report)
    arrange(net, checkpoint, report)
    how = ", ".join(words for words in (runner, reading.words, sums_of(net)) if words)
    number_format = str(getattr(net, "kept_dtype", net.dtype)).removeprefix("torch.")
    return model_of(net, weights_told(how, checkpoint, number_format), reading, checkpoint)


def sums_of(net: Any) -> str:
    """What a user would want to know of a net that keeps 16-bit weights; empty for others."""
    if not hasattr(net, "kept_dtype"):
        return ""
    with suppress(Exception):  # a family may need a longer text
        PlainReader(net, Reading(ReadingWay.ANEW)).read([0])  # layers become float32 that must
    wide = wide_bytes(net)
    if wide < NOTABLE_BYTES:
        return tr("sums in float32")
    return tr("sums in float32, {size} MB of the weights too", size=wide // 1_000_000)


def proven_reading(
    net: Any, checkpoint: Checkpoint, options: ModelOptions, report: Report
) -> Reading:
    """The way of reading that was found right for this checkpoint, now or before.

    Raises ModelError, ConfigError, OutOfMemory.
    """
    cache = options.cache
    kind = f"{options.attn}-{options.quantize}-way{REVISION}"
    key = fingerprint(checkpoint, device=net.device.type, dtype=formats_of(net))
    path = cache.proof(f"{key}-{kind}")
    verdict = {} if options.verify else read_verdict(path)
    try:
        return Reading(ReadingWay(verdict["way"]), verdict["border"], ReadingWay(verdict["beyond"]))
    except (KeyError, ValueError):
        report(Progress("loading", note=tr("checking")))
    try:
        with letting_go(net, checkpoint.weights):
            reading = find_reading(net)
            if hasattr(net, "kept_dtype"):
                check_same(net, lambda: arrange(net, checkpoint, report))
    except Exception as exc:  # each family fails in its own way
        raise failure(exc, net, checkpoint) from exc
    found = {"way": reading.way, "border": reading.border, "beyond": reading.beyond}
    same = reading.way is ReadingWay.PARTS
    write_verdict(path, {"model": checkpoint.name, "same": same, **found}, keep=cache.may_write)
    return reading


def failure(exc: Exception, net: Any, checkpoint: Checkpoint) -> GlmError:
    """The error for a net that no way of reading was found for."""
    name, family = checkpoint.name, checkpoint.family
    if is_out_of_memory(exc):
        return translate(exc)
    if isinstance(exc, FloatingPointError) and net.dtype is torch.float16:
        return beyond_float16(checkpoint)
    if isinstance(exc, UnequalError):
        message = tr(
            "{name}: in no way can this {family} model be read as transformers' generate does",
            name=name,
            family=family,
        )
    else:
        message = tr(
            "{name}: transformers cannot run this {family} model: {why}",
            name=name,
            family=family,
            why=first_line(exc),
        )
    return ModelError(message, tr("choose another model, or try another release of transformers"))


def load_in_any_bits(checkpoint: Checkpoint, options: ModelOptions, report: Report) -> Any:
    """The net as transformers has it, in the bits that are asked for.

    Raises ModelError, ConfigError, OutOfMemory.
    """
    if options.quantize != "none":
        from glmcli.engines.local.net.bitsandbytes import load_in_fewer_bits

        return load_in_fewer_bits(checkpoint, options, report)
    return load_net(checkpoint, options, report)


def formats_of(net: Any) -> str:
    """The dtype of the weights, and of sums if that is another."""
    return " ".join(dict.fromkeys(map(str, (getattr(net, "kept_dtype", net.dtype), net.dtype))))


def arrange(net: Any, checkpoint: Checkpoint, report: Report) -> None:
    """Put the weights into the order this processor is fastest with, where there is one."""
    from glmcli.engines.local.net.packed import find_linears, pack

    steps: list[tuple[int, Callable[[], None]]] = [
        (place.size_bytes, partial(pack, place)) for place in find_linears(net)
    ]
    steps += [(layer.numbers().nbytes, layer.pack) for layer in half_linears(net)]
    total = sum(size for size, _ in steps)
    done, pages = 0, MappedFiles(checkpoint.weights)
    pages.drop()  # loading has read all of them
    for size, step in steps:
        step()
        pages.tidy()
        done += size
        report(Progress("loading", done, total, "bytes", note=tr("arranging")))
    pages.drop()
    trim_memory()
