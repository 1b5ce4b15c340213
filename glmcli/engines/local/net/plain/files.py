"""The tensors in a checkpoint's files, by the names that a net has for them: packed ones unpacked.

Each is read when it is asked for. Knows nothing of nets.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from safetensors import safe_open
from torch import Tensor

from glmcli.engines.local.net.fused.bits.rounding import Kept
from glmcli.engines.local.net.fused.bits.unpack import Take, Unpacker
from glmcli.engines.local.net.plain.bins import read_bin
from glmcli.models.checkpoint import Checkpoint

KeptOf = Callable[[str, int], Kept | None]
"""A matrix as the files have it, in so many bits; None if they have it otherwise."""


class WeightSource(NamedTuple):
    """Where weights are taken from."""

    take: Take
    present: frozenset[str]
    """All names."""
    few: KeptOf = lambda name, bits: None


@contextmanager
def open_files(checkpoint: Checkpoint, dtype: torch.dtype) -> Iterator[WeightSource]:
    """The tensors of a checkpoint's files. `dtype` is that of weights that were packed."""
    owners: dict[str, Take] = {}
    for path in checkpoint.weights:
        if path.suffix == ".safetensors":
            opened: Any = safe_open(path, framework="pt")
            owners |= dict.fromkeys(opened.keys(), opened.get_tensor)
        else:
            state = read_bin(path)
            owners |= dict.fromkeys(state, state.__getitem__)
    source = WeightSource(lambda name: owners[name](name), frozenset(owners))
    if checkpoint.stored:
        source = renamed(source, checkpoint.stored)
    if checkpoint.packing is not None:
        unpacker = Unpacker(checkpoint.packing, source.take, source.present, dtype)
        source = WeightSource(unpacker.take, unpacker.present, unpacker.few)
    yield source


def renamed(source: WeightSource, stored: Mapping[str, str]) -> WeightSource:
    """The same tensors by other names: those that are `stored`, and no more."""
    return WeightSource(lambda name: source.take(stored[name]), frozenset(stored))


def whole_state(checkpoint: Checkpoint, dtype: torch.dtype) -> dict[str, Tensor]:
    """All weights of a packed checkpoint, as transformers takes them. Raises ModelError."""
    with open_files(checkpoint, dtype) as source:
        return {name: source.take(name) for name in sorted(source.present)}
