"""Several prompts to a net at once: it reads one after the other and goes on with all of them.

As one reply ends, the next prompt takes its place. What is said is what each would say alone; when
memory is short, replies are set aside and gone on with later. Imports no torch before it is used.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Collection, Generator, Iterator, Sequence
from dataclasses import dataclass, field
from threading import Event
from typing import TYPE_CHECKING, Any

from glmcli.engines import Asked, BatchItem
from glmcli.engines.batches import is_end
from glmcli.engines.failures import as_user_error
from glmcli.engines.local.net.threads import Pace
from glmcli.engines.local.prompt.apart import GivenUp
from glmcli.engines.local.prompt.decoder import DecodedReply
from glmcli.errors import GlmError, OutOfMemory
from glmcli.types import Chunk, FinishReason, Progress, Usage

if TYPE_CHECKING:
    from glmcli.engines.local.net.decode import PrefixCache
    from glmcli.engines.local.net.fused.rows import NetRow, Rows
    from glmcli.engines.local.net.sampling.sampler import Sampler


@dataclass(slots=True)
class Begun:
    """A prompt as ids, and all that its reply is made with."""

    ids: Sequence[int]
    reply: DecodedReply
    sampler: Sampler
    most: int
    """Ids of the reply at most."""
    until: float
    """When it ends at the latest (monotonic)."""
    is_repeatable: bool
    """Whether the same prompt is to have the same reply."""
    notices: list[Chunk] = field(default_factory=list)


Begin = Callable[[Asked], Begun]
"""Raises GlmError, or GivenUp when it is cancelled."""


def rows_for(prompts: Sequence[Asked], cache: PrefixCache, *, always: bool) -> Rows | None:
    """Rows for several prompts, or `always`; None for one, and where there are no batched steps."""
    from glmcli.engines.local.net.fused.rows import rows_over

    return rows_over(cache.net, len(prompts)) if always or len(prompts) > 1 else None


class BatchReply:
    """One prompt and its reply as far as it is."""

    def __init__(self, index: int, begun: Begun) -> None:
        self.index, self.begun = index, begun
        self.ids = list(begun.ids)
        """The prompt and the reply; the last id of a reply is not read yet."""
        self.cached: int | None = None
        """What of the prompt was known when it was read; None before."""

    @property
    def tokens(self) -> int:
        """Ids of the reply."""
        return len(self.ids) - len(self.begun.ids)

    def items(self, token: int, stop_ids: Collection[int]) -> tuple[list[BatchItem], bool]:
        """Go on with an id; what fails is an item. Also returns whether that was the end."""
        items: list[BatchItem] = []
        try:
            items += ((self.index, chunk) for chunk in self._go_on(token, stop_ids))
        except BaseException as exc:  # a library may panic, or try to exit
            items.append((self.index, as_user_error(exc)))
        return items, is_end(items[-1][1])

    def _go_on(self, token: int, stop_ids: Collection[int]) -> Iterator[Chunk]:
        begun, reply = self.begun, self.begun.reply
        finish: FinishReason | None = None
        if token in stop_ids:
            finish = "stop"
        else:
            self.ids.append(token)
            yield reply.push(token)
            if reply.stopped:
                finish = "stop"
            elif time.monotonic() > begun.until:
                finish = "time"
            elif self.tokens >= begun.most:
                finish = "length"
        if finish:
            yield self.end(finish)

    def end(self, finish: FinishReason) -> Chunk:
        """The last chunk."""
        reply = self.begun.reply
        return reply.end(finish, Usage(len(self.begun.ids), self.cached, reply.tokens))


class Batch:
    """The replies to some prompts while they are made."""

    def __init__(
        self,
        prompts: Sequence[Asked],
        cancel: Event,
        *,
        begin: Begin,
        cache: PrefixCache,
        rows: Rows,
        stop_ids: Collection[int],
        pace: Pace,
    ) -> None:
        self._prompts, self._cancel, self._begin = prompts, cancel, begin
        self._cache, self._rows, self._pace = cache, rows, pace
        self._stop_ids = stop_ids
        self._most = rows.most
        self._next = 0
        self._aside = deque[BatchReply]()
        """Begun, and waiting for a row."""
        self._active: dict[NetRow, BatchReply] = {}

    def items(self) -> Generator[BatchItem, None, None]:
        """The items of all prompts, see `Batches`."""
        try:
            while not self._cancel.is_set():
                if self._may_join():
                    yield from self._join()
                elif self._active:
                    for items in self._pace.paced(self._steps()):
                        yield from items
                else:
                    return
            yield from self._cancelled()
        finally:
            self._rows.clear()

    def _may_join(self) -> bool:
        """Whether another prompt is to be read now."""
        if not (self._aside or self._next < len(self._prompts)):
            return False
        if not self._active:
            return True
        # How long the next one is shows when it is begun: then it waits, if it is too long.
        is_small = not self._aside or self._rows.has_space(len(self._aside[0].ids))
        return len(self._active) < self._most and is_small

    def _join(self) -> Generator[BatchItem, None, None]:
        """Begin the next prompt, if none was set aside, read it and give it a row."""
        if not self._aside:
            index, self._next = self._next, self._next + 1
            try:
                text = BatchReply(index, self._begin(self._prompts[index]))
            except GivenUp:
                self._next = index
                return
            except BaseException as exc:  # a library may panic, or try to exit
                yield index, as_user_error(exc)
                return
            yield from ((index, chunk) for chunk in text.begun.notices)
            self._aside.append(text)
            if not self._may_join():
                return
        text = self._aside.popleft()
        try:
            yield from self._read(text)
        except Exception as exc:
            if isinstance(exc, OutOfMemory) and self._active:
                self._set_aside(text)
            else:
                yield text.index, as_user_error(exc)

    def _read(self, text: BatchReply) -> Generator[BatchItem, None, None]:
        """Read a prompt, with the reply so far, and go on with it in a row. Raises GlmError."""
        from glmcli.engines.local.net.decode import pick, prefill

        cache, begun, is_new = self._cache, text.begun, text.tokens == 0
        ids = text.ids if is_new else text.ids[:-1]
        if begun.most <= 0:
            yield text.index, text.end("length")
            return
        known = cache.keep(ids, alike=begun.is_repeatable)
        text.cached = known if text.cached is None else text.cached
        yield text.index, Chunk(progress=Progress("reading", known, len(ids)))
        scores: list[Any] = []

        def blocks() -> Iterator[int]:
            yield from prefill(cache, ids, self._cancel)
            if not self._cancel.is_set():
                scores.append(cache.end_prompt(ids))

        for done in self._pace.reading(blocks()):
            yield text.index, Chunk(progress=Progress("reading", done, len(ids)))
        if not scores:
            self._aside.appendleft(text)
            return
        if is_new:
            token = pick(begun.sampler, scores[0], cache)
            items, is_over = text.items(token, self._stop_ids)
            yield from items
            if is_over:
                return
        row = self._rows.add()
        if row is None:
            raise OutOfMemory(None, None)
        self._active[row] = text

    def _steps(self) -> Generator[list[BatchItem], None, None]:
        """Go on with all rows, an id each, until another prompt is to be read or none is left."""
        while self._active and not self._cancel.is_set():
            yield list(self._step())
            if self._may_join():
                return

    def _step(self) -> Iterator[BatchItem]:
        from glmcli.engines.local.net.reader import translate

        for row in list(self._active):  # one that leaves makes room for those behind it
            if not self._rows.reserve(row):
                yield from self._without_memory(row)
        if not self._active:
            return
        try:
            found = list(self._rows.step({row: it.ids[-1] for row, it in self._active.items()}))
        except Exception as exc:
            yield from self._failed(translate(exc, self._cache.name))
            return
        for row, scores in found:
            text = self._active[row]
            try:
                token = text.begun.sampler.pick(scores)
            except Exception as exc:
                self._leave(row)
                yield text.index, translate(exc, self._cache.name)
                continue
            items, is_over = text.items(token, self._stop_ids)
            if is_over:
                self._leave(row)
            yield from items

    def _failed(self, exc: GlmError) -> Iterator[BatchItem]:
        """After a step that failed: go on with fewer, or with none of those that were in it."""
        rows = list(self._active)
        if isinstance(exc, OutOfMemory) and len(rows) > 1:
            for row in rows[len(rows) // 2 :]:
                self._set_aside(self._leave(row))
            return
        for row in rows:
            yield self._leave(row).index, exc

    def _without_memory(self, row: NetRow) -> Iterator[BatchItem]:
        """Let a text wait until others have ended; if there are none, that is its end."""
        text = self._leave(row)
        if self._active:
            self._set_aside(text)
        else:
            yield text.index, OutOfMemory(None, None)

    def _set_aside(self, text: BatchReply) -> None:
        """Have a text wait; there will not be more rows than there are now."""
        self._cache.clear()
        self._aside.append(text)
        self._most = max(1, len(self._active))

    def _leave(self, row: NetRow) -> BatchReply:
        self._rows.remove(row)
        return self._active.pop(row)

    def _cancelled(self) -> Iterator[BatchItem]:
        """The ends of all that have none."""
        for text in (*self._active.values(), *self._aside):
            yield text.index, text.end("cancelled")
        for index in range(self._next, len(self._prompts)):
            yield index, Chunk(finish_reason="cancelled", usage=Usage(completion_tokens=0))
