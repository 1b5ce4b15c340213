"""A model in this process: messages in, chunks out.

Joins a template (prompt/), a net with what it has read (net/) and a reply's text. Imports torch and
transformers only when it is opened.
"""

from __future__ import annotations

import math
import time
from collections.abc import Generator, Iterator, Sequence
from dataclasses import replace
from threading import Event
from typing import TYPE_CHECKING, Any

from glmcli.engines import Asked, BatchItem
from glmcli.engines.batches import in_turn
from glmcli.engines.local.batch import Batch, Begun
from glmcli.engines.local.net.threads import make_pace, threads_in_use
from glmcli.engines.local.prompt.apart import GivenUp, heeding
from glmcli.engines.local.prompt.decoder import DecodedReply, PromptIds, PromptTemplate
from glmcli.engines.local.prompt.open import SANE_WINDOW
from glmcli.errors import ContextFull, ModelError, UsageError
from glmcli.language import later, ntr, tr
from glmcli.types import Chunk, FinishReason, GenerationParams, Message, Progress, Usage

if TYPE_CHECKING:
    from glmcli.engines.local.net.decode import PrefixCache
    from glmcli.engines.local.net.reader import LoadedNet

NO_SWITCH = later("this model has no switch for reasoning; --think changes nothing")
FOLDED = later("this model takes no system prompt: it was put before the first question")
FAR_LETTERS = 8
"""A text with more letters than this for each token of the window hardly fits."""
SLICE_LETTERS = 65_536
FEW = 64
"""Ids that are read at once where the scores of all of them are kept."""


class LocalEngine:
    """An Engine over a net and its template. What the net has read is kept for the next turn."""

    def __init__(
        self,
        name: str,
        model: LoadedNet,
        template: PromptTemplate,
        *,
        context_tokens: int | None = None,
        threads: int | None = None,
        speculate: bool = False,
        news: Sequence[str] = (),
    ) -> None:
        """`news` is told before the first reply."""
        from glmcli.engines.local.net.decode import PrefixCache

        self.name = name
        self.device = model.device
        self.weight_bytes = model.weight_bytes
        """Read for each token, if that is known."""
        self.context_tokens = context_tokens
        self._template = template
        self._runner = model.runner
        self._defaults = model.defaults
        stated = template.stop_ids | model.stop_ids
        self._stop_ids = stated if stated & template.turn_ends else stated | template.turn_ends
        self._news = [*filter(None, (*news, model.defaults.notice))]
        self._cache: PrefixCache = PrefixCache(model.reader, name)
        self._goes_back = True
        self._told = set[str]()
        self._speculate = speculate
        self._threads = threads
        self._pace = make_pace(threads, model.device.partition(" ")[0])

    def stream(
        self, messages: Sequence[Message], params: GenerationParams, cancel: Event
    ) -> Generator[Chunk, None, None]:
        """Yield the reply. Raises ContextFull, UsageError, OutOfMemory, ModelError, EngineError."""
        from glmcli.engines.local.net.decode import decode
        from glmcli.engines.local.net.lookup import Lookup

        while self._news:
            yield Chunk(notice=self._news.pop(0))
        try:
            begun = self._begin((messages, params), cancel)
        except GivenUp:
            yield Chunk(finish_reason="cancelled", usage=Usage(completion_tokens=0))
            return
        yield from (Chunk(notice=line) for line in begun.notices)
        prompt = begun.ids
        cached = self._cache.keep(prompt, alike=begun.is_repeatable)
        yield from self._read(prompt, cached, cancel)
        ids = decode(
            self._cache,
            prompt,
            begun.sampler,
            stop_ids=self._stop_ids,
            max_tokens=begun.most,
            cancel=cancel,
            lookup=Lookup(prompt) if self._speculate else None,
        )
        # Ids that were guessed right take no time: nothing can be learned from them.
        paced = ids if self._speculate else self._pace.paced(ids)
        finish = yield from as_chunks(paced, begun.reply, begun.until)
        yield begun.reply.end(finish, Usage(len(prompt), cached, begun.reply.tokens))

    def batch(self, prompts: Sequence[Asked], cancel: Event) -> Generator[BatchItem, None, None]:
        """Yield the replies to all `prompts`; by nets that read them one by one, in turn."""
        from glmcli.engines.local.net.fused.rows import rows_over

        rows = rows_over(self._cache.net) if len(prompts) > 1 else None
        if rows is None:
            yield from in_turn(self, prompts, cancel)
            return
        while self._news:
            yield 0, Chunk(notice=self._news.pop(0))
        batch = Batch(
            prompts,
            cancel,
            begin=lambda asked: self._begin(asked, cancel),
            cache=self._cache,
            rows=rows,
            stop_ids=self._stop_ids,
            # How long an id takes says nothing here of how long it takes alone.
            pace=make_pace(self._threads, self.device.partition(" ")[0]),
        )
        yield from batch.items()

    def _begin(self, asked: Asked, cancel: Event) -> Begun:
        """What a prompt comes to. Raises ContextFull, UsageError, ModelError, GivenUp."""
        from glmcli.engines.local.net.sampling.sampler import Sampler

        (messages, params), started = asked, time.monotonic()
        with heeding(cancel):
            self._check_size(messages)
            prompt = self._template.encode(messages, think=params.think)
        room = self._room(prompt)
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
            notices=[*map(tr, self._to_tell(params, prompt))],
        )

    def filled(self, params: GenerationParams) -> GenerationParams:
        """The settings with what the model's own files, or else this program, fill in."""
        return self._defaults.filled(params)

    def _is_repeatable(self, params: GenerationParams) -> bool:
        """Whether the same prompt is to have the same reply."""
        return self.filled(params).temperature == 0 or params.seed is not None

    def own_system(self) -> str:
        """The system prompt that the model's template adds where there is none."""
        tell = getattr(self._template, "own_system", None)  # ChatGLM's own formats add none
        return str(tell()) if tell else ""

    def count(self, messages: Sequence[Message], cancel: Event | None = None) -> int | None:
        """The size of the prompt; None if the template does not take it.

        Far beyond the window it is the estimate with which `stream` would refuse the prompt.
        """
        try:
            with heeding(cancel):
                self._check_size(messages)
                return len(self._template.encode(messages).ids)
        except ContextFull as exc:
            return exc.needed
        except (UsageError, ModelError, GivenUp):
            return None

    def warm(self, messages: Sequence[Message], params: GenerationParams, cancel: Event) -> None:
        """Read what prompts that go on from `messages` begin with, whatever is typed next.

        The last tokens of a draft may still be read as others, when a word goes on; what is sent
        then goes back by as many. A net that once could not go back is given no drafts any more.
        """
        from glmcli.engines.local.net.decode import prefill, shared_prefix

        try:
            with heeding(cancel):
                self._check_size(messages)
                one, other = (
                    self._template.encode(probe, think=params.think).ids
                    for probe in probes(messages)
                )
        except (UsageError, ModelError, ContextFull, GivenUp):
            return
        ids = one[: shared_prefix(one, other)]
        known = shared_prefix(ids, self._cache.ids)
        is_draft = bool(messages) and messages[-1].role == "user"
        if (
            known == len(ids)
            or len(ids) >= (self.context_tokens or SANE_WINDOW)
            or not self._cache.in_parts(len(ids))
            or (is_draft and not self._goes_back)
            or cancel.is_set()
        ):
            return
        self._goes_back = self._cache.keep(ids) == known and self._goes_back
        for _ in self._pace.reading(prefill(self._cache, ids, cancel, leave=0)):
            pass

    @property
    def known_ids(self) -> Sequence[int]:
        """What the net has read and still knows."""
        return tuple(self._cache.ids)

    def forget(self) -> None:
        """Forget what the net has read: the next prompt is read whole."""
        self._cache.clear()

    @property
    def details(self) -> str:
        """How it runs, for `--stats`: which code, how many threads, memory for what it has read."""
        parts = [self._runner]
        if self.device.startswith("cpu"):
            threads = threads_in_use()
            parts.append(ntr("{n} thread", "{n} threads", threads))
        if reserved := self._cache.memory_bytes:
            size, tokens = reserved / 1e6, len(self._cache.ids)
            parts.append(tr("{size:,.0f} MB for {tokens:,} tokens", size=size, tokens=tokens))
        return ", ".join(parts)

    def ids(self, text: str) -> list[int]:
        """The prompt that a text makes, as far as the window goes."""
        return self._template.encode([Message("user", text)]).ids[: self.context_tokens]

    def scores(self, ids: Sequence[int]) -> Iterator[Any]:
        """The scores after each id, as in a chat: half are read in blocks, the rest one by one.

        Tensors (vocabulary,) of float32, in main memory.
        """
        self._cache.clear()
        half = len(ids) // 2
        for start in range(0, half, FEW):
            block = ids[start : min(start + FEW, half)]
            yield from self._cache.read_each(block, last=len(block)).cpu()
        singles = (self._cache.read([token]).cpu() for token in ids[half:])
        # As in a reply: a busy neighbour must not make this ten times slower.
        yield from self._pace.paced(singles)

    def close(self) -> None:
        """Let go of the net."""
        self._cache.close()

    def _to_tell(self, params: GenerationParams, prompt: PromptIds) -> list[str]:
        """What becomes of a question otherwise than it was asked; each is told once."""
        lines = []
        if params.think is not None and NO_SWITCH not in self._told:
            self._told.add(NO_SWITCH)
            lines += [] if self._has_think_switch() else [NO_SWITCH]
        if prompt.folded and FOLDED not in self._told:
            self._told.add(FOLDED)
            lines.append(FOLDED)
        return lines

    def _has_think_switch(self) -> bool:
        """Whether the template writes another prompt with it."""
        probe = [Message("user", "?")]
        first, second = (self._template.encode(probe, think=think).ids for think in (True, False))
        return first != second

    def _check_size(self, messages: Sequence[Message]) -> None:
        """Raise ContextFull for texts far beyond the window after a look at their beginning.

        To encode 50 MB takes minutes and gigabytes; the number of tokens is an estimate then.
        """
        limit = self.context_tokens or SANE_WINDOW
        letters = sum(len(item.text) for item in messages)
        if letters <= FAR_LETTERS * limit:
            return
        around = len(self._template.encode([Message("user", "")]).ids)
        tokens = seen = 0
        for item in messages:
            for start in range(0, len(item.text), SLICE_LETTERS):
                part = item.text[start : start + SLICE_LETTERS]
                tokens += len(self._template.encode([Message("user", part)]).ids) - around
                seen += len(part)
                if tokens > 2 * limit:
                    raise ContextFull(round(tokens * letters / seen), limit)

    def _room(self, prompt: PromptIds) -> int:
        """Tokens left for the reply. Raises ContextFull if there are none."""
        limit = self.context_tokens or SANE_WINDOW
        if len(prompt.ids) >= limit:
            raise ContextFull(len(prompt.ids), limit)
        return limit - len(prompt.ids)

    def _read(
        self, prompt: Sequence[int], cached: int, cancel: Event
    ) -> Generator[Chunk, None, None]:
        """Read the prompt, but for its last block, and say how far it is and how long."""
        from glmcli.engines.local.net.decode import prefill

        total = len(prompt)
        if not cancel.is_set():
            yield Chunk(progress=Progress("reading", cached, total))
        for done in self._pace.reading(prefill(self._cache, prompt, cancel)):
            yield Chunk(progress=Progress("reading", done, total))


def probes(messages: Sequence[Message]) -> Iterator[list[Message]]:
    """Two prompts that go on from `messages`, or from the draft at their end, in different ways."""
    is_draft = bool(messages) and messages[-1].role == "user"
    draft = messages[-1] if is_draft else Message("user", "")
    before = messages[:-1] if is_draft else messages
    for letter in ("a", "1"):
        yield [*before, replace(draft, text=draft.text + letter)]


def as_chunks(
    ids: Generator[int, None, FinishReason], reply: DecodedReply, until: float
) -> Generator[Chunk, None, FinishReason]:
    """A chunk for each id, until they end, a stop string comes, or it is `until` (monotonic).

    Returns why it ended.
    """
    try:
        while not reply.stopped:
            yield reply.push(next(ids))
            if time.monotonic() > until and not reply.stopped:
                return "time"
    except StopIteration as end:
        ending: FinishReason = end.value
        return ending
    return "stop"
