"""A decoder of our own for llama-shaped nets: the same sums as transformers', in fewer steps.

One plain function over tensors: queries, keys and values in one product, gate and up in another,
keys and values kept in space that is reserved ahead, rotary tables computed once. What has been
read is a number here, so going back costs nothing. Knows nothing of files, text or sampling.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor

from glmcli.engines.local.net.fused.attention import attend, attend_each
from glmcli.engines.local.net.fused.small.plain import Small, Turning, norm
from glmcli.engines.local.net.reader import FEW_ROWS, block_for

Linear = Callable[[Tensor], Tensor]
"""(tokens, in) to (tokens, out)."""

Places = slice | Tensor
"""Where ids are in the text: from here to there, or (tokens,) on the device."""

FIRST_TOKENS = 256
"""Tokens for which space is reserved at first; doubled when it is full."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """The shape of a net."""

    width: int
    heads: int
    groups: int
    """Heads of keys and values; `heads` is a multiple of it."""
    head_size: int
    eps: float
    """Of the RMS norms."""
    window: int
    """Tokens that space is reserved for at most."""
    frequencies: Tensor
    """(head_size / 2,) radians that each pair of numbers turns by for every token, float32."""


@dataclass(frozen=True, slots=True)
class Layer:
    """The weights of one layer. Norms that a family lacks are None."""

    norm: Tensor
    qkv: Linear
    out: Linear
    mlp_norm: Tensor
    gate_up: Linear
    down: Linear
    head_norms: tuple[Tensor, Tensor] | None = None
    """Of queries and of keys, (head_size,) each."""
    after_attention: Tensor | None = None
    after_mlp: Tensor | None = None


@dataclass(frozen=True, slots=True)
class NetWeights:
    """A whole net, on one device."""

    embedding: Tensor
    """(vocabulary, width)."""
    layers: Sequence[Layer]
    norm: Tensor
    """Its dtype is that of all sums."""
    head: Linear
    small: Small = field(default_factory=Small)
    """What is done between the products."""
    small_lacks: str = ""
    """Why that is not by kernels of a GPU."""


class Looks(Protocol):
    """Keys and values of one layer, of one text or of several."""

    def look(
        self, queries: Tensor, keys: Tensor, values: Tensor, at: Places, mask: Tensor | None
    ) -> Tensor:
        """Add keys and values, (tokens, groups, head_size), and find what the queries see in all.

        (tokens, heads, head_size) to (tokens, heads * head_size).
        """
        ...


class LayerCache:
    """Keys and values of one layer, (groups, tokens, head_size), with space for more."""

    def __init__(self, plan: Sizes, like: Tensor) -> None:
        self.keys = like.new_empty(plan.groups, 0, plan.head_size)
        self.values = torch.empty_like(self.keys)

    def write(self, keys: Tensor, values: Tensor, at: Places) -> tuple[Tensor, Tensor]:
        """Add (tokens, groups, head_size) at their places. Returns all up to there, by group.

        With places on the device nobody knows here how far that is: all that is reserved.
        """
        if isinstance(at, Tensor):
            self.keys.index_copy_(1, at, keys.transpose(0, 1))
            self.values.index_copy_(1, at, values.transpose(0, 1))
            return self.keys, self.values
        count = at.stop - at.start
        self.keys.narrow(1, at.start, count).copy_(keys.transpose(0, 1))
        self.values.narrow(1, at.start, count).copy_(values.transpose(0, 1))
        return self.keys.narrow(1, 0, at.stop), self.values.narrow(1, 0, at.stop)

    def look(
        self, queries: Tensor, keys: Tensor, values: Tensor, at: Places, mask: Tensor | None
    ) -> Tensor:
        """See `Looks`. Several queries without a mask come one after the other, unless at first."""
        keys, values = self.write(keys, values, at)
        if mask is None and isinstance(at, slice) and at.start > 0:
            return attend_each(queries, keys, values)
        return attend(queries, keys, values, mask)

    def reserve(self, used: int, tokens: int) -> None:
        """Reserve space for `tokens`, keeping the first `used`."""
        self.keys = grow(self.keys, used, tokens)
        self.values = grow(self.values, used, tokens)


def grow(states: Tensor, used: int, tokens: int) -> Tensor:
    """A copy of the first `used` of `states`, with space for `tokens`."""
    # Zeros: a place that is masked counts nothing only if there is a number in it.
    copy = states.new_zeros(states.shape[0], tokens, states.shape[2])
    copy[:, :used] = states[:, :used]
    return copy


class FusedNet:
    """A NetReader (engines/local/net/decode.py) over the weights of one net."""

    whole_beyond, can_rewind = math.inf, True

    def __init__(self, plan: Sizes, weights: NetWeights, *, static: bool | None = None) -> None:
        """`static`: single ids go through tensors that never move; None: on a GPU."""
        self.plan = plan
        self.weights = weights
        self.tokens = 0
        """How many have been read; set it lower to go back."""
        self.reserved = 0
        self._caches = [LayerCache(plan, weights.norm) for _ in weights.layers]
        self._cos = self._sin = weights.norm.new_empty(0)
        self.device = weights.norm.device
        self.is_rounded = weights.norm.dtype is not torch.float32
        self.block = block_for(self.device)
        self._single: Single | None = None
        self._is_static = self.device.type == "cuda" if static is None else static

    @torch.inference_mode()
    def read(self, ids: Sequence[int], last: int = 1) -> Tensor:
        """Read further `ids`. Returns the scores after each of the `last` of them.

        float32, (last, vocabulary).
        """
        count = len(ids)
        self.reserve(self.tokens + count)
        if count == 1 and self._is_static:
            self._single = self._single or Single(self)
            scores = self._single(ids[0], self.tokens)
        else:
            at = slice(self.tokens, self.tokens + count)
            scores = self.run(torch.tensor(ids, device=self.device), at, self._mask(count), last)
        self.tokens += count
        return scores

    def run(self, ids: Tensor, at: Places, mask: Tensor | None, last: int = 1) -> Tensor:
        """The whole net over ids (tokens,) at their places: scores (last, vocabulary), float32."""
        turn = self._cos[at][:, None], self._sin[at][:, None]
        return scores_after(self.plan, self.weights, self._caches, ids, turn, at, mask, last)

    def written(self, layer: int) -> tuple[Tensor, Tensor]:
        """The keys and values of a layer that were read, (groups, tokens, head_size)."""
        cache = self._caches[layer]
        return cache.keys[:, : self.tokens], cache.values[:, : self.tokens]

    def rewind(self, tokens: int) -> bool:
        """Forget all but the first `tokens`; what comes next overwrites them."""
        self.tokens = tokens
        return True

    def reserve(self, tokens: int) -> None:
        """Reserve space for `tokens`: twice as much as there was, but no more than the window."""
        if tokens <= self.reserved:
            return
        reserved = max(tokens, min(max(FIRST_TOKENS, 2 * self.reserved), self.plan.window))
        for cache in self._caches:
            cache.reserve(self.tokens, reserved)
        self._cos, self._sin = rotary(self.plan.frequencies, reserved, self.weights.norm)
        self.reserved, self._single = reserved, None

    @torch.inference_mode()
    def fork(self, tokens: int, room: int) -> FusedNet:
        """Another over the same weights that has read the first `tokens`: they are copied.

        With space for `room` tokens.
        """
        new = FusedNet(self.plan, self.weights, static=self._is_static)
        new.tokens, new.reserved = tokens, self.space_for(room)
        for mine, theirs in zip(new._caches, self._caches, strict=True):
            mine.keys = grow(theirs.keys, tokens, new.reserved)
            mine.values = grow(theirs.values, tokens, new.reserved)
        new._cos, new._sin = self._cos, self._sin
        if new.reserved > len(self._cos):
            new._cos, new._sin = rotary(self.plan.frequencies, new.reserved, self.weights.norm)
        return new

    def bytes_for(self, tokens: int) -> int:
        """What a fork with room for `tokens` reserves for keys and values."""
        sizes = self.plan.groups * self.plan.head_size * self.weights.norm.itemsize
        return 2 * len(self._caches) * sizes * self.space_for(tokens)

    def space_for(self, tokens: int) -> int:
        """The space that there is once so many were read in small blocks."""
        space = FIRST_TOKENS
        while space < tokens:
            space *= 2
        return max(tokens, min(space, self.plan.window))

    def forget(self) -> None:
        """Forget everything and give the memory back."""
        self.tokens = self.reserved = 0
        self._single = None
        self._caches = [LayerCache(self.plan, self.weights.norm) for _ in self._caches]

    @property
    def memory_bytes(self) -> int:
        """Bytes reserved for keys and values."""
        return sum(cache.keys.nbytes + cache.values.nbytes for cache in self._caches)

    def _mask(self, count: int) -> Tensor | None:
        """Which tokens each of `count` new ones may look at; None where that is plain.

        A few on a processor look one after the other, as if each had come alone: the same bits.
        On a GPU by its own type, which keeps it to kernels that need no plan for every length.
        Elsewhere as booleans, of the same bits: the type brings torch._dynamo along, 1.5 s of it.
        """
        if count == 1 or self.tokens == 0 or (count <= FEW_ROWS and self.device.type == "cpu"):
            return None
        if self.device.type == "cuda":
            from torch.nn.attention.bias import causal_lower_right

            return causal_lower_right(count, self.tokens + count)
        seen = torch.ones(count, self.tokens + count, dtype=torch.bool, device=self.device)
        return seen.tril(self.tokens)


class Single:
    """One id at a time, over tensors that stay where they are: a GPU replays it as a graph.

    Starting hundreds of kernels one by one would take longer than they do. Elsewhere the same step
    runs as it is. Made again when more space is reserved.
    """

    def __init__(self, net: FusedNet) -> None:
        self._net = net
        self._token = torch.zeros(1, dtype=torch.long, device=net.device)
        self._at = torch.full_like(self._token, net.tokens)
        self._places = torch.arange(net.reserved, device=net.device)
        self._scores: Tensor
        self._graph: torch.cuda.CUDAGraph | None = None
        if net.device.type == "cuda":
            self._capture()

    def __call__(self, token: int, at: int) -> Tensor:
        """The scores after `token` at place `at`, (1, vocabulary)."""
        self._token.fill_(token)
        self._at.fill_(at)
        if self._graph is None:
            return self._step()
        self._graph.replay()
        return self._scores.clone()

    def _step(self) -> Tensor:
        unseen = torch.where(self._places <= self._at, 0.0, -torch.inf)
        return self._net.run(self._token, self._at, unseen)

    def _capture(self) -> None:
        """Run it a few times, so that libraries are ready; what that writes is written over."""
        stream: Any = torch.cuda.Stream(self._net.device)  # type: ignore[no-untyped-call]
        stream.wait_stream(torch.cuda.current_stream(self._net.device))
        with torch.cuda.stream(stream):
            for _ in range(3):
                self._step()
        torch.cuda.current_stream(self._net.device).wait_stream(stream)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph, stream=stream):
            self._scores = self._step()


def scores_after(
    plan: Sizes,
    weights: NetWeights,
    caches: Sequence[Looks],
    ids: Tensor,
    turn: Turning,
    at: Places,
    mask: Tensor | None,
    last: int,
) -> Tensor:
    """All layers over ids (tokens,): scores after the `last` of them, (last, vocabulary), float32.

    `caches` are of each layer; `turn` is of the places `at` which the ids are in their texts,
    (tokens, 1, head_size).
    """
    x, y = weights.embedding[ids].to(weights.norm), None
    for layer, cache in zip(weights.layers, caches, strict=True):
        x, y = step(plan, layer, weights.small, cache, x, y, turn, at, mask)
    return head_scores(plan, weights, x[-last:], y if y is None else y[-last:]).float()


def head_scores(plan: Sizes, weights: NetWeights, x: Tensor, y: Tensor | None) -> Tensor:
    """The scores of x + y, (tokens, width), in the dtype of the head."""
    return weights.head(weights.small.norm_after(x, y, weights.norm, plan.eps)[1])


def step(
    plan: Sizes,
    layer: Layer,
    small: Small,
    cache: Looks,
    x: Tensor,
    y: Tensor | None,
    turn: Turning,
    at: Places,
    mask: Tensor | None,
) -> tuple[Tensor, Tensor]:
    """One layer over x + y, each (tokens, width), whose places in the text are `at`.

    Returns such a pair again: the sum waits for the norm that follows it.
    """
    queries, count, eps = plan.heads, plan.heads + plan.groups, plan.eps
    x, normed = small.norm_after(x, y, layer.norm, eps)
    parts = layer.qkv(normed).view(-1, count + plan.groups, plan.head_size)
    turned = small.turned(parts[:, :count], turn, layer.head_norms, queries, eps)
    seen = cache.look(turned[:, :queries], turned[:, queries:], parts[:, count:], at, mask)
    y = layer.out(seen)
    if layer.after_attention is not None:
        y = norm(y, layer.after_attention, eps)
    x, normed = small.norm_after(x, y, layer.mlp_norm, eps)
    y = layer.down(small.gated(layer.gate_up(normed)))
    if layer.after_mlp is not None:
        y = norm(y, layer.after_mlp, eps)
    return x, y


def rotary(frequencies: Tensor, tokens: int, like: Tensor) -> tuple[Tensor, Tensor]:
    """Cosines and signed sines, (tokens, head_size), for `rotate`, of the dtype of `like`."""
    angles = torch.outer(torch.arange(tokens, dtype=torch.float32), frequencies)
    cos, sin = angles.cos(), angles.sin()
    return torch.cat((cos, cos), -1).to(like), torch.cat((-sin, sin), -1).to(like)
