"""The net that a config describes, without weights: built first, to see what it would take.

What config.json leaves out becomes the default of its family, of billions of numbers for many, and
each family has fields of its own for sizes. So the net is asked, not the fields.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from glmcli.engines.local.building import build_limits
from glmcli.errors import GlmError, ModelError
from glmcli.language import tr
from glmcli.models.bits import is_packed
from glmcli.models.checkpoint import Checkpoint

MOST_FOR_EACH = 2
"""How many of a net's numbers there may be for each in the files: a tied head is not in them."""
SPARE_NUMBERS = 100_000_000
"""Beyond that: masks and tables of positions, which a net computes for itself."""
PACKED = 8
"""Numbers in a byte of packed weights, at most."""


def empty_net(net_class: Any, config: Any, checkpoint: Checkpoint) -> Any:
    """A net without weights; None if its family has none that is so.

    Raises ModelError for one that is far larger than the files, or takes too much to build.
    """
    from accelerate import init_empty_weights  # late: it takes long to import

    net = None
    for context in (torch.device("meta"), init_empty_weights()):
        try:
            with build_limits(), context:
                net = net_class(copy.deepcopy(config))
        except GlmError:
            raise
        except Exception:  # each family fails in its own way: loading will say so
            continue
        break
    if net is not None:
        check_numbers(sum(one.numel() for one in all_tensors(net)), checkpoint)
    return net


def all_tensors(net: nn.Module) -> Iterator[torch.Tensor]:
    """All that a net holds, parameters or not, each once."""
    seen = set()
    for module in net.modules():
        own = vars(module)
        for held in (own["_parameters"].values(), own["_buffers"].values(), own.values()):
            for one in held:
                if isinstance(one, torch.Tensor) and id(one) not in seen:
                    seen.add(id(one))
                    yield one


def check_numbers(described: int, checkpoint: Checkpoint) -> None:
    """Raise ModelError for far more numbers than the files can hold."""
    held = numbers_held(checkpoint)
    if described > MOST_FOR_EACH * held + SPARE_NUMBERS:
        raise ModelError(
            tr(
                "config.json describes a model of {described:,} numbers,"
                " but the files hold {held:,}",
                described=described,
                held=held,
            ),
            tr("config.json belongs to another model, or the weights are not whole"),
        )


def numbers_held(checkpoint: Checkpoint) -> int:
    """How many numbers the files hold, at most where they do not say."""
    if is_packed(checkpoint.config):
        return PACKED * checkpoint.size_bytes
    if not checkpoint.tensors:
        return checkpoint.size_bytes // 2
    return sum(tensor.numbers for tensor in checkpoint.tensors.values())
