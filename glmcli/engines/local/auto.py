"""The net of a checkpoint in as many bits as its memory holds, if that is left to us.

Knows nothing of how a net is loaded.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from glmcli.config.models import AUTO, ModelOptions
from glmcli.engines.local.net.open import open_model
from glmcli.engines.local.net.placement import find_memory
from glmcli.errors import GlmError, OutOfMemory
from glmcli.models.checkpoint import Checkpoint
from glmcli.models.choice import Choice, open_first, ways_to_load
from glmcli.types import Report

if TYPE_CHECKING:
    from glmcli.engines.local.net.reader import LoadedNet


def open_as_asked(
    checkpoint: Checkpoint, options: ModelOptions, report: Report
) -> tuple[LoadedNet, list[str]]:
    """The net, and what to say of the bits that were chosen for it.

    Raises ModelError, ConfigError, OutOfMemory.
    """
    if options.quantize != AUTO:
        return open_model(checkpoint, options, report), []
    from glmcli.engines.local.net.fused.fbgemm import has_halves
    from glmcli.engines.local.net.plain.bins import bin_tensors
    from glmcli.engines.local.net.reader import free_memory, is_out_of_memory

    def opened(way: Choice) -> LoadedNet:
        free_memory()  # of the try before
        try:
            return open_model(checkpoint, replace(options, quantize=way.quantize), report)
        except GlmError:
            raise
        except Exception as exc:
            if is_out_of_memory(exc):
                raise OutOfMemory(way.needed_bytes, way.free_bytes) from exc
            raise

    tensors = checkpoint.tensors or bin_tensors(checkpoint)
    memory = find_memory(options, has_halves=has_halves())
    ways = ways_to_load(tensors, checkpoint.config, options, memory, checkpoint.packing)
    return open_first(ways, opened)
