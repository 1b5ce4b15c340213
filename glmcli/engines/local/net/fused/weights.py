"""The weights of a fused decoder: read from a checkpoint's files, joined, and put into order.

Knows nothing of text or sampling. Each tensor is read once, and not kept once it is copied.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace

import torch
from torch import Tensor

from glmcli.engines.local.net.fused.bits.rounding import Kept
from glmcli.engines.local.net.fused.decoder import FusedNet, Layer, Linear, NetWeights, Sizes
from glmcli.engines.local.net.fused.linears import HEAD_PLACE, Linears
from glmcli.engines.local.net.fused.plan import Dimensions, names_of
from glmcli.engines.local.net.fused.small.plain import small_for
from glmcli.engines.local.net.load import load_errors, load_placed
from glmcli.engines.local.net.placement import Placement
from glmcli.engines.local.net.plain.files import WeightSource, open_files
from glmcli.engines.local.net.plain.recipes import recipe_for
from glmcli.language import tr
from glmcli.machine import MappedFiles, trim_memory
from glmcli.models.checkpoint import Checkpoint
from glmcli.models.libraries import quiet
from glmcli.types import Progress, Report


@contextmanager
def open_merged(
    checkpoint: Checkpoint, net: Dimensions, placement: Placement, report: Report
) -> Iterator[WeightSource]:
    """The tensors of a checkpoint with its adapter in them. Raises ModelError, OutOfMemory.

    In main memory; each is let go of as it is taken, but for the embedding, which is taken twice.
    """
    here = replace(placement, device="cpu", device_map={"": "cpu"})
    with quiet():
        state = load_placed(checkpoint, recipe_for(checkpoint), here, "auto", report).state_dict()
    twice = f"{names_of(net.family).embedding}.weight"
    yield WeightSource(
        lambda name: state[name] if name == twice else state.pop(name), frozenset(state)
    )


def load_weights(
    net: Dimensions,
    source: AbstractContextManager[WeightSource],
    device: str,
    linears: Linears,
    tick: Callable[[float], None],
) -> FusedNet:
    """Read a net onto a device. `tick` is told the share after each layer."""
    with source as opened:
        reader = WeightsReader(net, opened, torch.device(device), linears)
        # The largest first: of no other has memory been taken yet while it is there twice.
        head = reader.head()
        layers = []
        for index in range(net.layers):
            tick(index / net.layers)
            layers.append(reader.layer(index))
        tick(1)
        return FusedNet(reader.plan(), reader.whole(layers, head))


def load_fused(
    net: Dimensions,
    checkpoint: Checkpoint,
    placement: Placement,
    linears: Linears,
    report: Report,
) -> FusedNet:
    """Read a net to its place. Raises ModelError, OutOfMemory."""
    pages = MappedFiles(checkpoint.weights)

    def tick(share: float) -> None:
        trim_memory()  # what was converted has left holes
        if share < 1:
            pages.tidy()
        else:  # the embedding comes now, which is large
            pages.drop()
        total = placement.needed_bytes
        report(Progress("loading", round(share * total), total, "bytes", note=tr("weights")))

    source = (
        open_files(checkpoint, linears.dtype)
        if checkpoint.adapter is None
        else open_merged(checkpoint, net, placement, report)
    )
    with load_errors(checkpoint, placement), linears:
        loaded = load_weights(net, source, placement.device, linears, tick)
    pages.drop()
    return loaded


class WeightsReader:
    """Reads the tensors of one checkpoint in the order and shape that the step wants."""

    def __init__(
        self,
        net: Dimensions,
        source: WeightSource,
        device: torch.device,
        linears: Linears,
    ) -> None:
        self._net = net
        self._names = names_of(net.family)
        self._take, self._present, self._few = source
        self._device = device
        self._linears = linears
        self._order = pair_order(net)

    def plan(self) -> Sizes:
        """The shape of the net."""
        net = self._net
        frequencies = torch.zeros(net.head_size // 2)
        frequencies[: len(net.frequencies)] = torch.tensor(net.frequencies)
        return Sizes(
            net.width, net.heads, net.groups, net.head_size, net.eps, net.window, frequencies
        )

    def layer(self, index: int) -> Layer:
        """One layer."""
        names, prefix = self._names, self._names.layer.format(index)

        def linear(place: str, parts: Sequence[str], rows: Tensor | None = None) -> Linear:
            return self._linear(f"{index}.{place}", [prefix + part for part in parts], rows)

        def norm(name: str) -> Tensor | None:
            return self._small(f"{prefix}{name}.weight") if name else None

        head_norms = norm(names.query_norm), norm(names.key_norm)
        queries, keys = (each if each is None else each[self._order] for each in head_norms)
        return Layer(
            norm=self._small(f"{prefix}input_layernorm.weight"),
            qkv=linear("qkv", names.qkv, self._qkv_rows()),
            out=linear("out", [names.out]),
            mlp_norm=self._small(f"{prefix}{names.mlp_norm}.weight"),
            gate_up=linear("gate_up", names.gate_up),
            down=linear("down", [names.down]),
            head_norms=None if queries is None or keys is None else (queries, keys),
            after_attention=norm(names.after_attention),
            after_mlp=norm(names.after_mlp),
        )

    def head(self) -> Linear:
        """What makes scores of the last states."""
        names = self._names
        # An adapter may have made two of what is one in the files.
        is_own = f"{names.head}.weight" in self._present
        return self._linear(HEAD_PLACE, [names.head if is_own else names.embedding])

    def whole(self, layers: Sequence[Layer], head: Linear) -> NetWeights:
        """The net: its layers and the rest."""
        names, dtype = self._names, self._linears.dtype
        # Only a row for each token is looked up in it: one of fewer bytes stays as it is.
        table = self._take(f"{names.embedding}.weight")
        is_small = table.dtype.itemsize < dtype.itemsize
        embedding = table.to(self._device, table.dtype if is_small else dtype)
        norm = self._small(f"{names.norm}.weight")
        small, why = small_for(self._device, norm.dtype)
        return NetWeights(embedding, layers, norm, head, small, why)

    def _tensor(self, name: str) -> Tensor:
        return self._take(name).to(self._device, self._linears.dtype)

    def _small(self, name: str) -> Tensor:
        """A norm: no product, so it is in the dtype of sums."""
        return self._tensor(name).to(self._linears.sums)

    def _linear(self, place: str, names: Sequence[str], rows: Tensor | None = None) -> Linear:
        """A layer of weights that lie one below the other, in the order of `rows`."""

        def joined(kind: str) -> Tensor:
            return lie_below([self._tensor(f"{name}.{kind}") for name in names], rows)

        def kept(bits: int) -> Kept | None:
            parts = [self._few(name, bits) for name in names]
            found = [part for part in parts if part is not None]
            if len(found) < len(parts) or len({part["scale"].shape[1:] for part in found}) > 1:
                return None
            return {kind: lie_below([part[kind] for part in found], rows) for kind in found[0]}

        bias = joined("bias") if f"{names[0]}.bias" in self._present else None
        bias = bias if bias is None else bias.to(self._linears.sums)
        return self._linears.make(place, lambda: joined("weight"), bias, kept)

    def _qkv_rows(self) -> Tensor | None:
        """The rows of queries, keys and values with the numbers of each head in pair order."""
        net = self._net
        plain = torch.arange(net.head_size)
        if torch.equal(self._order, plain):
            return None
        turned = net.heads + net.groups
        order = [self._order + head * net.head_size for head in range(turned)]
        order += [plain + (turned + head) * net.head_size for head in range(net.groups)]
        return torch.cat(order)


def lie_below(parts: Sequence[Tensor], rows: Tensor | None) -> Tensor:
    """Parts one below the other, in the order of `rows`."""
    whole = torch.cat(list(parts)) if len(parts) > 1 else parts[0]
    return whole if rows is None else whole[rows]


def pair_order(net: Dimensions) -> Tensor:
    """For each place in a head, the number that goes there: pairs end up half a head apart.

    Numbers that do not turn fill the rest. Queries and keys in the same order have the same
    products.
    """
    size, half = net.rotary_size, net.rotary_size // 2
    numbers = torch.arange(net.head_size)
    if net.interleaved:
        first, second = numbers[0:size:2], numbers[1:size:2]
    else:
        first, second = numbers[:half], numbers[half:size]
    rest = numbers[size:]
    middle = len(rest) // 2
    return torch.cat((first, rest[:middle], second, rest[middle:]))
