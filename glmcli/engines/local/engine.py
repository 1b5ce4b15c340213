"""A model in this process: messages in, chunks out.

Joins a template (prompt/), a net with what it has read (net/) and a reply's text. Imports torch and
transformers only when it is opened.
"""

from __future__ import annotations

import math
import time
from collections.abc import Generator, Iterator, Sequence
from threading import Event
from typing import TYPE_CHECKING, Any

from glmcli.engines import Asked, BatchItem
from glmcli.engines.batches import in_turn
from glmcli.engines.local.batch import Batch, Begun, rows_for
from glmcli.engines.local.fitting import TemplateEngine, limit_of, room_after
from glmcli.engines.local.net.threads import make_pace, threads_in_use
from glmcli.engines.local.prompt.apart import GivenUp
from glmcli.engines.local.prompt.decoder import DecodedReply, PromptTemplate, as_chunks
from glmcli.language import ntr, tr
from glmcli.types import Chunk, GenerationParams, Message, Progress, Usage

if TYPE_CHECKING:
    from glmcli.engines.local.net.decode import PrefixCache
    from glmcli.engines.local.net.lookup import Always, Lookup
    from glmcli.engines.local.net.reader import LoadedNet, NetReader
    from glmcli.engines.local.net.slots.slots import Slots

FEW = 64
"""Ids that are read at once where the scores of all of them are kept."""


class LocalEngine(TemplateEngine):
    """An Engine over a net and its template. What the net has read is kept for the next turn.

    After `share` that of several conversations, of which several streams may be open at once.
    """

    def __init__(
        self,
        name: str,
        model: LoadedNet,
        template: PromptTemplate,
        *,
        context_tokens: int | None = None,
        threads: int | None = None,
        speculate: bool | None = None,
        news: Sequence[str] = (),
        opening: Sequence[str] = (),
    ) -> None:
        """`news` is told whoever is answered, `opening` whoever is answered first."""
        from glmcli.engines.local.net.slots.slots import Slots

        super().__init__(template, context_tokens, [*news, model.defaults.notice], opening)
        self.name = name
        self.device = model.device
        self.weight_bytes = model.weight_bytes
        """Read for each token, if that is known."""
        self._runner = model.runner
        self._defaults = model.defaults
        stated = template.stop_ids | model.stop_ids
        self._stop_ids = stated if stated & template.turn_ends else stated | template.turn_ends
        self._slots: Slots = Slots(model.reader, model.device.partition(" ")[0], name)
        self._goes_back = True
        self._speculate = speculate
        self._paid: Always | None = None
        kind = model.device.partition(" ")[0]
        self._pace = make_pace(threads, kind)
        # How long an id takes in a batch says nothing of how long it takes alone; a prompt does.
        self._batch_pace = make_pace(threads, kind, self._pace.blocks)

    def stream(
        self, messages: Sequence[Message], params: GenerationParams, cancel: Event
    ) -> Generator[Chunk, None, None]:
        """Yield the reply. Raises ContextFull, UsageError, OutOfMemory, ModelError, EngineError."""
        return self._stream((messages, params), cancel, private=False)

    def stream_privately(
        self, messages: Sequence[Message], params: GenerationParams, cancel: Event
    ) -> Generator[Chunk, None, None]:
        """The same; what was read for it is forgotten."""
        return self._stream((messages, params), cancel, private=True)

    def _stream(
        self, asked: Asked, cancel: Event, *, private: bool
    ) -> Generator[Chunk, None, None]:
        from glmcli.engines.local.net.decode import decode

        yield from self._telling.news
        try:
            begun = self._begin(asked, cancel)
        except GivenUp:
            yield Chunk(finish_reason="cancelled", usage=Usage(completion_tokens=0))
            return
        yield from begun.notices
        prompt, alike = begun.ids, begun.is_repeatable
        with self._slots.taken(prompt, alike=alike, private=private) as cache:
            cached = cache.keep(prompt, alike=alike)
            yield from self._read(cache, prompt, cached, cancel)
            lookup = self._lookup(prompt, cache.net)
            ids = decode(
                cache,
                prompt,
                begun.sampler,
                stop_ids=self._stop_ids,
                max_tokens=begun.most,
                cancel=cancel,
                lookup=lookup,
            )
            paced = self._pace.paced(ids, lambda: lookup is None or lookup.is_alone)
            finish = yield from as_chunks(paced, begun.reply, begun.until)
        yield begun.reply.end(finish, Usage(len(prompt), cached, begun.reply.tokens))

    def _lookup(self, prompt: Sequence[int], net: NetReader) -> Lookup | None:
        """Guesses at the reply to a prompt: where they change nothing else and pay, or as told."""
        from glmcli.engines.local.net.fused.alike import reads_alike
        from glmcli.engines.local.net.lookup import Always, Lookup, WherePaid

        never = self._speculate is None and not self.device.startswith("cpu")
        if self._speculate is False or never:  # nor is a table of the prompt made
            return None
        if self._paid is None:
            self._paid = Always() if self._speculate else WherePaid(lambda: reads_alike(net))
        return Lookup(prompt, self._paid, lambda: self._pace.is_trying)

    def batch(self, prompts: Sequence[Asked], cancel: Event) -> Generator[BatchItem, None, None]:
        """Yield the replies to all `prompts`; by nets that read them one by one, in turn.

        Nothing that was read for them is kept.
        """
        with self._slots.taken((), private=True) as cache:
            # In turn, one prompt would go on where a conversation is kept.
            rows = rows_for(prompts, cache, always=self._slots.limit is not None)
            if rows is not None:
                yield from ((0, chunk) for chunk in self._telling.news)
                batch = Batch(
                    prompts,
                    cancel,
                    begin=lambda asked: self._begin(asked, cancel),
                    cache=cache,
                    rows=rows,
                    stop_ids=self._stop_ids,
                    pace=self._batch_pace,
                )
                yield from batch.items()
        if rows is None:
            try:
                yield from in_turn(self, prompts, cancel)
            finally:
                self.forget()

    def _begin(self, asked: Asked, cancel: Event) -> Begun:
        """What a prompt comes to. Raises ContextFull, UsageError, ModelError, GivenUp."""
        from glmcli.engines.local.net.sampling.sampler import Sampler

        (messages, params), started = asked, time.monotonic()
        prompt = self._encoded(messages, params.think, cancel)
        room = room_after(prompt, self.context_tokens)
        limits = (params.max_tokens, self._defaults.max_new_tokens, room)
        most = min(next(limit for limit in limits if limit is not None), room)
        reply = DecodedReply(
            self._template.decoder(prompt),
            self._template.parts(prompt),
            stop=params.stop,
            stated=() if params.stop else self._defaults.stop_strings,
            before=prompt.ids,
        )
        sampler = Sampler(
            params,
            self._defaults,
            prompt.ids,
            stop_ids=self._stop_ids,
            max_length=len(prompt.ids) + most,
        )
        return Begun(
            prompt.ids,
            reply,
            sampler,
            most=most,
            until=started + (self._defaults.max_time or math.inf),
            is_repeatable=self._is_repeatable(params),
            notices=self._telling.of(params, prompt),
        )

    @property
    def at_once(self) -> int:
        """How many streams may be open now."""
        return self._slots.at_once

    @property
    def slots(self) -> Sequence[int]:
        """How many tokens of each conversation the net still knows."""
        return self._slots.tokens

    @property
    def slot_bytes(self) -> int:
        """What they take of the memory of the device."""
        return self._slots.memory_bytes

    @property
    def slot_limit(self) -> int | None:
        """What they may take, those in use aside; None: there is only one."""
        return self._slots.limit

    def share(self, limit_bytes: int | None) -> None:
        """Keep several conversations, if the net can; None: by what memory is free."""
        self._slots.share(limit_bytes)

    def filled(self, params: GenerationParams) -> GenerationParams:
        """The settings with what the model's own files, or else this program, fill in."""
        return self._defaults.filled(params)

    def _is_repeatable(self, params: GenerationParams) -> bool:
        """Whether the same prompt is to have the same reply."""
        return self.filled(params).temperature == 0 or params.seed is not None

    def warm(self, messages: Sequence[Message], params: GenerationParams, cancel: Event) -> None:
        """Read what prompts that go on from `messages` begin with, whatever is typed next.

        The last tokens of a draft may still be read as others, when a word goes on; what is sent
        then goes back by as many. A net that once could not go back is given no drafts any more.
        """
        from glmcli.engines.local.net.decode import prefill

        ids = self._begins(messages, params, cancel)
        known = self._slots.known(ids)
        is_draft = bool(messages) and messages[-1].role == "user"
        if (
            known == len(ids)
            or len(ids) >= limit_of(self.context_tokens)
            or not self._slots.latest.in_parts(len(ids))
            or (is_draft and not self._goes_back)
            or cancel.is_set()
        ):
            return
        with self._slots.taken(ids) as cache:
            self._goes_back = cache.keep(ids) == known and self._goes_back
            for _ in self._pace.reading(prefill(cache, ids, cancel, leave=0)):
                pass

    @property
    def known_ids(self) -> Sequence[int]:
        """What the net has read last and still knows."""
        return tuple(self._slots.latest.ids)

    def forget(self) -> None:
        """Forget what the net has read: the next prompt is read whole."""
        self._slots.clear()

    @property
    def details(self) -> str:
        """How it runs, for `--stats`: which code, how many threads, memory for what it has read."""
        parts = [self._runner]
        if self.device.startswith("cpu"):
            threads = threads_in_use()
            parts.append(ntr("{n} thread", "{n} threads", threads))
        if self._paid and self._paid.checked:
            right, n = self._paid.right, self._paid.checked
            parts.append(
                ntr("{right} of {n} guess right", "{right} of {n} guesses right", n, right=right)
            )
        if reserved := self._slots.memory_bytes:
            size, tokens = reserved / 1e6, sum(self._slots.tokens)
            parts.append(tr("{size:,.0f} MB for {tokens:,} tokens", size=size, tokens=tokens))
        if limit := self._slots.limit:
            n = len(self._slots.tokens)
            parts.append(
                ntr(
                    "{n} conversation kept, {limit:,.0f} MB at most",
                    "{n} conversations kept, {limit:,.0f} MB at most",
                    n,
                    limit=limit / 1e6,
                )
            )
        return ", ".join(parts)

    def ids(self, text: str) -> list[int]:
        """The prompt that a text makes, as far as the window goes."""
        return self._template.encode([Message("user", text)]).ids[: self.context_tokens]

    def scores(self, ids: Sequence[int]) -> Iterator[Any]:
        """The scores after each id, as in a chat: half are read in blocks, the rest one by one.

        Tensors (vocabulary,) of float32, in main memory.
        """
        cache = self._slots.latest
        cache.clear()
        half = len(ids) // 2
        for start in range(0, half, FEW):
            block = ids[start : min(start + FEW, half)]
            yield from cache.read_each(block, last=len(block)).cpu()
        singles = (cache.read([token]).cpu() for token in ids[half:])
        # As in a reply: a busy neighbour must not make this ten times slower.
        yield from self._pace.paced(singles)

    def close(self) -> None:
        """Let go of the net."""
        self._slots.close()

    def _read(
        self, cache: PrefixCache, prompt: Sequence[int], cached: int, cancel: Event
    ) -> Generator[Chunk, None, None]:
        """Read the prompt, but for its last block, and say how far it is and how long."""
        from glmcli.engines.local.net.decode import prefill

        total = len(prompt)
        if not cancel.is_set():
            yield Chunk(progress=Progress("reading", cached, total))
        for done in self._pace.reading(prefill(cache, prompt, cancel)):
            yield Chunk(progress=Progress("reading", done, total))
