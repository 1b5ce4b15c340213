"""From a checkpoint to transformers' own net, read in the way that was proven for it.

The first time that a checkpoint is used the proof is made, and kept where that is allowed. Knows
nothing of text, nor of how the proof goes: see proof.py.
"""

from __future__ import annotations

from typing import Any

from glmcli.config.models import ModelOptions
from glmcli.engines.local.net.load import load_net
from glmcli.engines.local.net.plain.proof import UnequalError, find_reading
from glmcli.engines.local.net.plain.reader import Reading, ReadingWay, model_of
from glmcli.engines.local.net.reader import LoadedNet, is_out_of_memory, translate
from glmcli.engines.local.proofs import fingerprint, read_verdict, write_verdict
from glmcli.errors import ModelError, first_line
from glmcli.language import tr
from glmcli.machine import MappedFiles
from glmcli.models.checkpoint import Checkpoint
from glmcli.types import Progress, Report

REVISION = 2
"""Of the ways of reading: where they change, each net has to be asked again."""


def open_plain(
    checkpoint: Checkpoint, options: ModelOptions, runner: str, report: Report
) -> LoadedNet:
    """Any net that transformers can run. Raises ModelError, ConfigError, OutOfMemory."""
    net = load_in_any_bits(checkpoint, options, report)
    reading = proven_reading(net, checkpoint, options, report)
    arrange(net, checkpoint, report)
    how = reading.words
    return model_of(net, f"{runner}, {how}" if how else runner, reading)


def proven_reading(
    net: Any, checkpoint: Checkpoint, options: ModelOptions, report: Report
) -> Reading:
    """The way of reading that was found right for this checkpoint, now or before.

    Raises ModelError, OutOfMemory.
    """
    cache = options.cache
    kind = f"{options.attn}-{options.quantize}-way{REVISION}"
    key = fingerprint(checkpoint, device=net.device.type, dtype=str(net.dtype))
    path = cache.proof(f"{key}-{kind}")
    verdict = {} if options.verify else read_verdict(path)
    try:
        return Reading(ReadingWay(verdict["way"]), verdict["border"], ReadingWay(verdict["beyond"]))
    except (KeyError, ValueError):
        report(Progress("loading", note=tr("checking")))
    try:
        reading = find_reading(net)
    except UnequalError as exc:
        raise ModelError(
            tr(
                "{name}: in no way can this {family} model be read as transformers' generate does",
                name=checkpoint.name,
                family=checkpoint.family,
            ),
            tr("choose another model, or try another release of transformers"),
        ) from exc
    except Exception as exc:  # each family fails in its own way
        if is_out_of_memory(exc):
            raise translate(exc) from exc
        raise ModelError(
            tr(
                "{name}: transformers cannot run this {family} model: {why}",
                name=checkpoint.name,
                family=checkpoint.family,
                why=first_line(exc),
            ),
            tr("choose another model, or try another release of transformers"),
        ) from exc
    found = {"way": reading.way, "border": reading.border, "beyond": reading.beyond}
    same = reading.way is ReadingWay.PARTS
    write_verdict(path, {"model": checkpoint.name, "same": same, **found}, keep=cache.may_write)
    return reading


def load_in_any_bits(checkpoint: Checkpoint, options: ModelOptions, report: Report) -> Any:
    """The net as transformers has it, in the bits that are asked for.

    Raises ModelError, ConfigError, OutOfMemory.
    """
    if options.quantize != "none":
        from glmcli.engines.local.net.bitsandbytes import load_in_fewer_bits

        return load_in_fewer_bits(checkpoint, options, report)
    return load_net(checkpoint, options, report)


def arrange(net: Any, checkpoint: Checkpoint, report: Report) -> None:
    """Put the weights into the order this processor is fastest with, where there is one."""
    from glmcli.engines.local.net.packed import find_linears, pack

    places = find_linears(net)
    if not places:
        return
    total = sum(place.size_bytes for place in places)
    done, pages = 0, MappedFiles(checkpoint.weights)
    pages.drop()  # loading has read all of them
    for place in places:
        pack(place)
        pages.tidy()
        done += place.size_bytes
        report(Progress("loading", done, total, "bytes", note=tr("arranging")))
    pages.drop()
