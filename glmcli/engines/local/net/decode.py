"""Ids in, ids out: what a net has read, prefill in blocks, one id at a time.

Knows nothing of text, templates or messages. Nothing here outlives a fault: when the net fails,
what it had read is forgotten, so that the next reply starts from a state that is known.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Generator, Sequence
from dataclasses import dataclass
from threading import Event

from torch import Tensor

from glmcli.engines.local.ids import shared_prefix
from glmcli.engines.local.net.lookup import GUESSES, Lookup
from glmcli.engines.local.net.reader import Forks, NetReader, free_memory, translate
from glmcli.engines.local.net.sampling.sampler import Sampler
from glmcli.types import FinishReason


@dataclass(frozen=True, slots=True)
class PromptEnd:
    """How the end of a prompt was read."""

    tokens: int
    """Of the whole prompt."""
    scores: Tensor
    """Of the ids to follow, (vocabulary,)."""
    is_alike: bool
    """Whether it was read as `PrefixCache.keep` has it for replies that are to be the same."""


class PrefixCache:
    """The ids a net has read, kept from one reply to the next."""

    def __init__(self, reader: NetReader, name: str = "") -> None:
        """`name` is what errors call the model."""
        self.name = name
        self.ids: list[int] = []
        self._end: PromptEnd | None = None
        """Of the last prompt, as long as all of it is known."""
        self._is_alike = False
        self._asked = self._whole = 0
        """So many of the first ids were read as parts of prompts, and of these in whole blocks."""
        self._reader: NetReader | None = reader
        self.block = reader.block

    def keep(self, ids: Sequence[int], *, alike: bool = False) -> int:
        """Keep what `ids` begin with. Returns how many are kept.

        All of them if they are the last prompt once more, whose scores are known. Otherwise the
        last id has to be read in any case, for what may follow it. `alike` is for replies that are
        to be the same whatever was asked before. How many ids are read together shows in how their
        scores are rounded; so a net of 16 bits keeps whole blocks of what prompts began with. What
        it said itself it keeps: reading that again would take too long.
        """
        self.rewind(self.kept(ids, alike=alike))
        self._is_alike = alike
        if len(self.ids) <= self._asked:
            self._asked = len(ids)
        return len(self.ids)

    def kept(self, ids: Sequence[int], *, alike: bool = False) -> int:
        """How many `keep` keeps of a net that can go back."""
        if not self.in_parts(len(ids)):
            return 0
        shared, end = shared_prefix(self.ids, ids), self._end
        is_again = end is not None and end.tokens == len(ids) == shared
        if end and is_again and (end.is_alike or not alike or not self.net.is_rounded):
            return shared
        shared = min(shared, max(len(ids) - 1, 0))
        if alike and self.net.is_rounded and shared <= self._asked:
            return min(self._whole, shared - shared % self.block)
        return shared

    def ended_with(self, tokens: int) -> bool:
        """Whether the last prompt had so many ids, and all of them are still known."""
        return self._end is not None and self._end.tokens == tokens

    def fork(self, tokens: int, room: int) -> PrefixCache:
        """What has read the first `tokens`, with space for `room`; of its own from then on.

        Raises OutOfMemory, EngineError; what is known here stays.
        """
        try:
            reader = self._forks.fork(tokens, room)
        except Exception as exc:
            raise translate(exc, self.name) from exc
        new = PrefixCache(reader, self.name)
        new.ids = self.ids[:tokens]
        if self._end and self._end.tokens <= tokens:
            new._end = self._end
        new._asked, new._whole = self._asked, self._whole
        new._forget_beyond(tokens)
        return new

    def bytes_for(self, tokens: int) -> int:
        """What a fork with so much room takes."""
        return self._forks.bytes_for(tokens)

    def end_prompt(self, ids: Sequence[int]) -> Tensor:
        """Read what is not kept of `ids`, a prompt. Returns the scores of all ids to follow."""
        if not self._end or self._end.tokens != len(self.ids) or len(self.ids) != len(ids):
            scores = self.read(ids[len(self.ids) :])
            self._end = PromptEnd(len(ids), scores, self._is_alike)
        return self._end.scores.clone()  # what picks an id may write to them

    def in_parts(self, tokens: int) -> bool:
        """Whether a text of so many ids may be read in parts of any size."""
        return tokens <= self.net.whole_beyond

    def read(self, ids: Sequence[int]) -> Tensor:
        """Run the net over `ids`, after what it has read. Returns the scores of all ids to follow.

        float32, (vocabulary,). Raises OutOfMemory, ModelError, EngineError.
        """
        return self.read_each(ids, last=1)[-1]

    def read_each(self, ids: Sequence[int], *, last: int) -> Tensor:
        """Like `read`, but with the scores after each of the `last` ids: (last, vocabulary)."""
        try:
            scores = self.net.read(ids, last)
        except BaseException as exc:
            self.clear()
            if isinstance(exc, Exception):
                raise translate(exc, self.name) from exc
            raise
        if len(self.ids) == self._whole and len(ids) == self.block:
            self._whole += self.block
        self.ids += ids
        return scores

    @property
    def can_rewind(self) -> bool:
        """Whether the last ids can be forgotten without reading the others again."""
        return self.net.can_rewind

    def rewind(self, tokens: int) -> None:
        """Forget all but the first `tokens` ids, or everything if the net cannot go back."""
        if tokens >= len(self.ids):
            return
        if tokens > 0 and self.net.rewind(tokens):
            del self.ids[tokens:]
            if self._end and tokens < self._end.tokens:
                self._end = None
            self._forget_beyond(tokens)
        else:
            self.clear()

    @property
    def memory_bytes(self) -> int:
        """Bytes reserved for keys and values."""
        return self._reader.memory_bytes if self._reader else 0

    def clear(self) -> None:
        """Forget everything that was read."""
        self.ids, self._end = [], None
        self._forget_beyond(0)
        if self._reader:
            self._reader.forget()

    def _forget_beyond(self, tokens: int) -> None:
        self._asked = min(self._asked, tokens)
        self._whole = min(self._whole, tokens - tokens % self.block)

    def close(self) -> None:
        """Let go of the net too."""
        self.clear()
        self._reader = None
        free_memory()

    @property
    def net(self) -> NetReader:
        """The net itself, until it is closed."""
        assert self._reader is not None, "closed"
        return self._reader

    @property
    def _forks(self) -> Forks:
        assert isinstance(self._reader, Forks), "not to be shared"
        return self._reader


def prefill(
    cache: PrefixCache, ids: Sequence[int], cancel: Event, *, leave: int | None = None
) -> Generator[int, None, None]:
    """Read `ids`, which begin with `cache.ids`, but the last `leave`. Yield how many are read.

    By default a block is left. A net that has to read a prompt in one go reads nothing here.
    """
    left = cache.block if leave is None else leave
    if not cache.in_parts(len(ids)):
        return
    while len(ids) - len(cache.ids) > left and not cancel.is_set():
        start = len(cache.ids)
        cache.read(ids[start : start + cache.block])
        yield len(cache.ids)


def decode(
    cache: PrefixCache,
    ids: Sequence[int],
    sampler: Sampler,
    *,
    stop_ids: Collection[int],
    max_tokens: int,
    cancel: Event,
    lookup: Lookup | None = None,
) -> Generator[int, None, FinishReason]:
    """Yield the ids that follow `ids`, which begin with `cache.ids`. Returns why they ended.

    With `lookup`, which holds `ids`, guesses are read along: an id that was guessed right needs no
    step of its own, and each id is picked from the same scores as without. The id that ends the
    reply is not yielded. Raises OutOfMemory, ModelError, EngineError.
    """
    text, left = list(ids), max_tokens
    guesses: list[int]
    while left > 0:
        if cancel.is_set():
            return "cancelled"
        # 1. Read what has to be read, and behind it guesses at the next ids. That is the last id,
        # which was picked and not read, or all, where a net could not go back behind its guesses.
        read, guesses = len(text), []
        if read == len(ids):
            scores = cache.end_prompt(ids)[None]
        else:
            if lookup and cache.can_rewind and cache.in_parts(read + GUESSES):
                guesses = lookup.guess(left - 1)
            started = time.perf_counter()
            unread = text[len(cache.ids) :]
            scores = cache.read_each([*unread, *guesses], last=len(guesses) + 1)
            if lookup:
                lookup.took(time.perf_counter() - started)
        # 2. Pick an id from each row of scores, for as long as the guesses before it were right.
        for index, row in enumerate(scores):
            token = pick(sampler, row, cache)
            # 3. An id that ends the reply is not part of it; nor are the guesses behind it.
            if token in stop_ids:
                cache.rewind(read + index)
                return "stop"
            # 4. A wrong guess is forgotten, with all that was read behind it.
            if lookup:
                lookup.add(token)
            is_right = guesses[index : index + 1] == [token]
            if not is_right:
                cache.rewind(read + index)
            # 5. The id goes out. After it the reply may be over, or the rows worth nothing.
            left -= 1
            text.append(token)
            yield token
            if not is_right:
                break
            if cancel.is_set():
                cache.rewind(read + index + 1)
                return "cancelled"
    return "length"


def pick(sampler: Sampler, scores: Tensor, cache: PrefixCache) -> int:
    """The next id. Raises like `PrefixCache.read`, and then everything read is forgotten."""
    try:
        return sampler.pick(scores)
    except Exception as exc:
        cache.clear()
        raise translate(exc, cache.name) from exc
