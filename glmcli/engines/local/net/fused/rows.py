"""Several texts that one net goes on with at once: keys and values of each, and a step for all.

A step reads one id of each text. Linears, norms and the head run over all of them together, which
costs little more than for one, and each text looks at its own keys. Texts with space for as many
tokens lie in a pool and are padded to the longest there. Knows nothing of text or sampling.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from glmcli.engines.local.net.fused.attention import attend_by_products, attention
from glmcli.engines.local.net.fused.decoder import (
    FusedNet,
    Places,
    rotary,
    scores_after,
)
from glmcli.engines.local.net.placement import free_device_bytes
from glmcli.engines.local.net.reader import NetReader, free_memory, is_out_of_memory

MOST_ROWS, GPU_MOST_ROWS = 32, 64
"""On a processor a step of 32 gives the most tokens a second; a GPU was not tried."""
POOL_TOKENS, GPU_POOL_TOKENS = 2048, 16_384
"""The space of a pool: for so many texts as it holds, one at least. Small pools waste little; in
long ones the keys take longer than the calls, of which a GPU wants few."""
FREE_SHARE = 0.5
"""Of the memory that is free at the beginning, for keys and values."""


@dataclass(eq=False, slots=True)
class NetRow:
    """A text among those that a net goes on with at once."""

    tokens: int
    """How many ids of it were read."""


class Pool:
    """Keys and values of texts that have the same space: `rows`, which lie one after the other."""

    def __init__(self, net: FusedNet, room: int, places: int) -> None:
        """With `room` tokens for each text, and `places` texts at most."""
        plan, weights = net.plan, net.weights
        self.room, self.places = room, places
        self.rows: list[NetRow] = []
        # Zeros: a place that is masked counts nothing only if there is a number in it.
        self.states = weights.norm.new_zeros(
            len(weights.layers), 2, places, plan.groups, room, plan.head_size
        )
        """(layers, keys and values, places, groups, tokens, head_size)."""

    def remove(self, row: NetRow) -> None:
        """Let go of a row; the last one takes its place."""
        at, last = self.rows.index(row), len(self.rows) - 1
        if at != last:
            self.states[:, :, at] = self.states[:, :, last]
            self.rows[at] = self.rows[last]
        self.states[:, :, last] = 0
        self.rows.pop()


class PoolView:
    """What one step needs to know of a pool: where its rows end, and what each may look at."""

    def __init__(self, pool: Pool, like: Tensor, by_products: bool) -> None:
        self._by_products = by_products
        tokens = [row.tokens for row in pool.rows]
        self._states = pool.states[:, :, : len(tokens), :, : max(tokens) + 1]
        """Up to the longest text, with a place for the new id."""
        self.at = torch.tensor(tokens, device=like.device)
        self._rows = torch.arange(len(tokens), device=like.device)
        places = torch.arange(max(tokens) + 1, device=like.device)
        self._unseen = torch.where(places <= self.at[:, None], 0.0, -torch.inf)
        self._mask = self._unseen.to(like)[:, None, None]

    def look(self, layer: int, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """As `Looks` has it; each row is of a text of its own."""
        count, heads, size = queries.shape
        seen_keys, seen_values = self._states[layer]
        seen_keys[self._rows, :, self.at] = keys
        seen_values[self._rows, :, self.at] = values
        groups = keys.shape[1]
        # As in `attend`: heads that share keys are to the kernel several queries of one head.
        if self._by_products:
            grouped = queries.reshape(count * groups, heads // groups, size)
            mask = self._unseen.repeat_interleave(groups, 0)[:, None]
            states = seen_keys.flatten(0, 1), seen_values.flatten(0, 1)
            found = attend_by_products(grouped, *states, mask)
        else:
            grouped = queries.reshape(count, groups, heads // groups, size)
            found = attention(grouped, seen_keys, seen_values, attn_mask=self._mask)
        return found.reshape(count, heads * size)


class LayerRows:
    """One layer of all pools, for a step."""

    def __init__(self, layer: int, views: Sequence[PoolView], sizes: Sequence[int]) -> None:
        self._layer, self._views, self._sizes = layer, views, list(sizes)

    def look(
        self, queries: Tensor, keys: Tensor, values: Tensor, at: Places, mask: Tensor | None
    ) -> Tensor:
        """As `Looks` has it. The pools know where their texts end, and what is seen."""
        split = (torch.split(states, self._sizes) for states in (queries, keys, values))
        pairs = zip(self._views, *split, strict=True)
        found = [view.look(self._layer, *of_pool) for view, *of_pool in pairs]
        return torch.cat(found) if len(found) > 1 else found[0]


class Rows:
    """The texts that a net goes on with. Each begins as a copy of what the net has read."""

    def __init__(
        self,
        net: FusedNet,
        limit_bytes: int | None = None,
        *,
        texts: int | None = None,
        by_products: bool | None = None,
    ) -> None:
        """`limit_bytes` is for keys and values; None: a share of what is free now.

        `texts` is how many there are at all, if that is known: no space is taken for more.
        `by_products`: attention is products of matrices and no kernel of torch; None: on a GPU.
        """
        on_gpu = net.device.type == "cuda"
        self._by_products = on_gpu if by_products is None else by_products
        most = GPU_MOST_ROWS if on_gpu else MOST_ROWS
        self.most = most if texts is None else min(most, texts)
        """So many at once are worth while."""
        free = free_device_bytes(str(net.device)) if limit_bytes is None else None
        self._limit = limit_bytes if free is None else int(FREE_SHARE * free)
        self._net = net
        self._pool_tokens = GPU_POOL_TOKENS if on_gpu else POOL_TOKENS
        self._pools: list[Pool] = []
        self._turns = rotary(net.plan.frequencies, 0, net.weights.norm)

    @property
    def memory_bytes(self) -> int:
        """Bytes reserved for keys and values."""
        return sum(pool.states.nbytes for pool in self._pools)

    def has_space(self, tokens: int) -> bool:
        """Whether one more text of so many tokens is within the limit."""
        room = self._net.space_for(tokens + 1)
        return self._free_pool(room) is not None or self._affordable(room) > 0

    def add(self) -> NetRow | None:
        """A text that begins with what the net has read; None if there is no memory for it.

        Alone it may take more than the limit.
        """
        net = self._net
        pool = self._pool_for(net.tokens, self._count())
        if pool is None:
            return None
        row, at = NetRow(net.tokens), len(pool.rows)
        for layer in range(len(net.weights.layers)):
            for states, read in zip(pool.states[layer], net.written(layer), strict=True):
                states[at, :, : row.tokens] = read
        pool.rows.append(row)
        return row

    def reserve(self, row: NetRow) -> bool:
        """Have space for one more id of a text; whether there is memory for it."""
        pool = self._pool_of(row)
        if row.tokens < pool.room:
            return True
        larger = self._pool_for(row.tokens, self._count() - 1)
        if larger is None:
            return False
        there = larger.states[:, :, len(larger.rows)]
        there[..., : row.tokens, :] = pool.states[:, :, pool.rows.index(row)]
        larger.rows.append(row)
        self._take_from(pool, row)
        return True

    def remove(self, row: NetRow) -> None:
        """Let go of a text."""
        self._take_from(self._pool_of(row), row)

    def clear(self) -> None:
        """Let go of all."""
        self._pools = []

    @torch.inference_mode()
    def step(self, ids: Mapping[NetRow, int]) -> Iterator[tuple[NetRow, Tensor]]:
        """Read an id of each text, for which there is space. Returns the scores after each.

        float32, (vocabulary,). Raises whatever torch raises, and then nothing was read.
        """
        net = self._net
        rows = [row for pool in self._pools for row in pool.rows]
        views = [PoolView(pool, net.weights.norm, self._by_products) for pool in self._pools]
        sizes = [len(pool.rows) for pool in self._pools]
        self._turn_up_to(1 + max(row.tokens for row in rows))
        at = torch.cat([view.at for view in views])
        turn = self._turns[0][at][:, None], self._turns[1][at][:, None]

        new = torch.tensor([ids[row] for row in rows], device=net.device)
        layers = [LayerRows(layer, views, sizes) for layer in range(len(net.weights.layers))]
        scores = scores_after(net.plan, net.weights, layers, new, turn, at, None, len(rows))
        for row in rows:
            row.tokens += 1
        return zip(rows, scores, strict=True)

    def _count(self) -> int:
        return sum(len(pool.rows) for pool in self._pools)

    def _pool_for(self, tokens: int, others: int) -> Pool | None:
        """A pool with a free place for a text of so many tokens and one more, beside `others`."""
        room = self._net.space_for(tokens + 1)
        if pool := self._free_pool(room):
            return pool
        places = self._affordable(room) or int(others == 0)
        if not places:
            return None
        try:
            pool = Pool(self._net, room, places)
        except Exception as exc:  # each device has its own
            if not is_out_of_memory(exc):
                raise
            free_memory()
            self._limit = self.memory_bytes
            return None
        self._pools.append(pool)
        return pool

    def _free_pool(self, room: int) -> Pool | None:
        free = (it for it in self._pools if it.room == room and len(it.rows) < it.places)
        return next(free, None)

    def _affordable(self, room: int) -> int:
        """How many texts a new pool may hold."""
        places = max(1, min(self._pool_tokens // room, self.most))
        if self._limit is None:
            return places
        left = self._limit - self.memory_bytes
        return max(0, min(places, left // self._net.bytes_for(room)))

    def _pool_of(self, row: NetRow) -> Pool:
        return next(pool for pool in self._pools if row in pool.rows)

    def _take_from(self, pool: Pool, row: NetRow) -> None:
        pool.remove(row)
        if not pool.rows:
            self._pools.remove(pool)

    def _turn_up_to(self, tokens: int) -> None:
        if tokens > len(self._turns[0]):
            net = self._net
            self._turns = rotary(net.plan.frequencies, net.space_for(tokens), net.weights.norm)


def rows_over(reader: NetReader, texts: int | None = None) -> Rows | None:
    """So many texts for a net that can go on with them at once; None for others."""
    return Rows(reader, texts=texts) if isinstance(reader, FusedNet) else None
