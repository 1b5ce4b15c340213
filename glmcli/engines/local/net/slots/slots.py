"""What a net has read of several conversations: the one that begins like a prompt goes on with it.

Each slot has keys and values of its own; the weights are those of one net. Which slot is taken
changes no reply, only how much of a prompt has to be read.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch

from glmcli.engines.local.ids import shared_prefix
from glmcli.engines.local.net.decode import PrefixCache
from glmcli.engines.local.net.placement import free_device_bytes
from glmcli.engines.local.net.reader import Forks, NetReader, free_memory
from glmcli.errors import OutOfMemory

LOSS_TOKENS = 32
"""A slot goes on with another prompt if it loses no more tokens by that; else a copy does.

So two who ask in turn may cost each other that much of a short history once, which a single step
reads again. A copy each time would keep a slot for every end that a conversation has had, as one
whose last reply is written anew has many, and push whole histories of others out.
"""
MOST_BYTES, PART = 4 << 30, 4
"""Slots take so many bytes at most, and no more than one part of the memory that is free."""
AT_ONCE, AT_ONCE_GPU = 16, 4
"""Streams at the same time; on a GPU each slot has a graph of its own, with its own memory."""
MOST_SLOTS, MOST_SLOTS_GPU = 64, 4


class Slots:
    """A single slot, or after `share` as many as there is room for, if the net can be forked."""

    def __init__(self, reader: NetReader, device: str, name: str = "") -> None:
        """`device` is where keys and values are, `name` what errors call the model."""
        self._all = [PrefixCache(reader, name)]
        """Those that can be gone on with, the one that was used last at the end."""
        self._busy: list[PrefixCache] = []
        self._first: NetReader | None = reader
        self._device, self._is_gpu = device, device.startswith("cuda")
        self._is_shared = False
        self._wanted: int | None = None

    def share(self, limit_bytes: int | None) -> None:
        """Allow several slots, of so many bytes; None: a quarter of what is free, 4 GB at most."""
        self._is_shared, self._wanted = isinstance(self._first, Forks), limit_bytes

    @property
    def latest(self) -> PrefixCache:
        """The slot that was used last."""
        return self._all[-1]

    @property
    def tokens(self) -> list[int]:
        """How many tokens each slot holds, the one that was used last at the end."""
        return [len(cache.ids) for cache in tuple(self._all)]

    @property
    def memory_bytes(self) -> int:
        """Bytes reserved for keys and values, those of private streams included."""
        caches = {id(cache): cache for cache in (*self._all, *self._busy)}
        return sum(cache.memory_bytes for cache in caches.values())

    @property
    def limit(self) -> int | None:
        """What they may take, idle ones beside those in use; None where there is only one slot."""
        if not self._is_shared:
            return None
        if self._wanted is not None:
            return self._wanted
        free = free_device_bytes(self._device)
        if free is None:
            return MOST_BYTES
        if self._is_gpu:  # what torch keeps for what comes next
            free += torch.cuda.memory_reserved(self._device)
            free -= torch.cuda.memory_allocated(self._device)
        return min(MOST_BYTES, (free + self.memory_bytes) // PART)

    @property
    def at_once(self) -> int:
        """How many may be in use now: one more, as long as those that are leave room for it."""
        if not self._is_shared:
            return 1
        if sum(cache.memory_bytes for cache in self._busy) >= (self.limit or 0):
            return max(1, len(self._busy))
        return AT_ONCE_GPU if self._is_gpu else AT_ONCE

    def known(self, ids: Sequence[int]) -> int:
        """How many of the ids that `ids` begin with were read."""
        return max(shared_prefix(cache.ids, ids) for cache in self._all)

    @contextmanager
    def taken(
        self, ids: Sequence[int], *, alike: bool = False, private: bool = False
    ) -> Iterator[PrefixCache]:
        """The slot for a prompt, nobody else's for as long as this lasts; `alike` as for `keep`.

        Of a `private` one nothing is left afterwards, and nobody goes on with it meanwhile. Where
        memory ends, also for the slot itself, all that nobody uses is forgotten: OutOfMemory.
        """
        try:
            cache = self._pick(ids, alike, private) if self._is_shared else self.latest
            self._busy.append(cache)
            try:
                yield cache
            finally:
                self._busy.remove(cache)
                if private:
                    cache.clear()
        except OutOfMemory:
            self.clear()
            free_memory()
            raise
        finally:
            if self._is_shared:
                self._make_room(0, self.latest)

    def clear(self) -> None:
        """Forget everything that was read for nobody who still waits."""
        self._drop([cache for cache in self._all if cache not in self._busy])

    def close(self) -> None:
        """Let go of the net too."""
        for cache in (*self._all, *self._busy):
            cache.close()
        self._first = None

    def _pick(self, ids: Sequence[int], alike: bool, private: bool) -> PrefixCache:
        """The slot that begins most like a prompt; a copy of it where others would lose by that."""
        # Of those that know as much: which read it in the same way, is empty, was used last.
        best = max(
            reversed(self._all),
            key=lambda cache: (cache.kept(ids), cache.ended_with(len(ids)), not cache.ids),
        )
        kept = best.kept(ids, alike=alike)
        is_free = best not in self._busy and not private
        # The same prompt once more is going to have the same reply, which is not lost then.
        is_again = alike and best.ended_with(len(ids)) and best.kept(ids) >= len(ids) - 1
        lost = 0 if is_again else len(best.ids) - kept
        if not is_free or lost > LOSS_TOKENS:
            needed = best.bytes_for(len(ids) + 1)
            self._make_room(needed, best)
            if not is_free or self.memory_bytes + needed <= (self.limit or 0):
                best = best.fork(kept, len(ids) + 1)
        else:
            self._make_room(max(0, best.bytes_for(len(ids) + 1) - best.memory_bytes), best)
        if not private:
            self._all = [cache for cache in self._all if cache is not best] + [best]
        return best

    def _make_room(self, needed: int, spared: PrefixCache) -> None:
        """Forget what was used longest ago until there is room for so many bytes more."""
        left = (self.limit or 0) - needed
        most = (MOST_SLOTS_GPU if self._is_gpu else MOST_SLOTS) - bool(needed)
        for cache in tuple(self._all):
            if self.memory_bytes <= left and len(self._all) <= most:
                return
            if cache is not spared and cache not in self._busy:
                self._drop([cache])

    def _drop(self, caches: Sequence[PrefixCache]) -> None:
        """Forget them; one of all slots stays, empty."""
        for cache in caches:
            cache.clear()
        self._all = [cache for cache in self._all if cache not in caches] or [*caches[-1:]]
