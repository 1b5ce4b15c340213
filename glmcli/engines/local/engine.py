"""A model in this process: messages in, chunks out.

Joins a checkpoint (checkpoint.py), a template (template.py), a net with what it has read
(decode.py) and a reply's text (prompt/decoder.py). Imports torch and transformers only when it is
opened.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from dataclasses import replace
from threading import Event
from typing import TYPE_CHECKING

from glmcli.config import Settings
from glmcli.engines.local.net.open import open_model, silence_libraries
from glmcli.engines.local.net.threads import make_pace, threads_in_use
from glmcli.engines.local.prompt.decoder import Prompt, Reply, Template
from glmcli.engines.local.prompt.open import SANE_WINDOW, open_template
from glmcli.engines.local.prompt.template import ChatTemplate
from glmcli.errors import ContextFull, UsageError
from glmcli.machine import read_ahead
from glmcli.models.checkpoint import find_checkpoint, opening
from glmcli.models.files.agreement import check_ids
from glmcli.models.libraries import check_transformers, quiet
from glmcli.types import Chunk, FinishReason, GenerationParams, Message, Progress, Report, Usage

if TYPE_CHECKING:
    from glmcli.engines.local.net.decode import PrefixCache
    from glmcli.engines.local.net.reader import Model

NO_SWITCH = "this model has no switch for reasoning; --think changes nothing"
FAR_LETTERS = 8
"""A text with more letters than this for each token of the window hardly fits."""
SLICE_LETTERS = 65_536


class LocalEngine:
    """An Engine over a net and its template. What the net has read is kept for the next turn."""

    def __init__(
        self,
        name: str,
        model: Model,
        template: Template,
        *,
        context_tokens: int | None = None,
        threads: int | None = None,
        speculate: bool = False,
    ) -> None:
        from glmcli.engines.local.net.decode import PrefixCache

        self.name = name
        self.device = model.device
        self.weight_bytes = model.weight_bytes
        """Read for each token, if that is known."""
        self.context_tokens = context_tokens
        self._template = template
        self._path = model.path
        self._defaults = model.defaults
        self._stop_ids = template.stop_ids | model.stop_ids
        self._cache: PrefixCache = PrefixCache(model.reader)
        self._goes_back = True
        self._has_told_of_think = False
        self._speculate = speculate
        self._pace = make_pace(threads, model.device.partition(" ")[0])

    def stream(
        self, messages: Sequence[Message], params: GenerationParams, cancel: Event
    ) -> Generator[Chunk, None, None]:
        """Yield the reply. Raises ContextFull, UsageError, OutOfMemory, EngineError."""
        from glmcli.engines.local.net.decode import decode
        from glmcli.engines.local.net.lookup import Lookup
        from glmcli.engines.local.net.sampling import Sampler

        self._check_size(messages)
        prompt = self._template.encode(messages, think=params.think)
        room = self._room(prompt)
        reply = Reply(
            self._template.decoder(prompt),
            self._template.marks,
            thinking=prompt.thinking,
            stop=params.stop,
        )
        if params.think is not None and not self._has_told_of_think:
            self._has_told_of_think = True
            if not self._has_think_switch():
                yield Chunk(notice=NO_SWITCH)
        cached = self._cache.keep(prompt.ids)
        yield from self._read(prompt, cached, cancel)
        ids = decode(
            self._cache,
            prompt.ids,
            Sampler(params, self._defaults, prompt.ids),
            stop_ids=self._stop_ids,
            max_tokens=room if params.max_tokens is None else min(room, params.max_tokens),
            cancel=cancel,
            lookup=Lookup(prompt.ids) if self._speculate else None,
        )
        # Ids that were guessed right take no time: nothing can be learned from them.
        finish = yield from as_chunks(ids if self._speculate else self._pace.paced(ids), reply)
        usage = Usage(len(prompt.ids), cached, reply.tokens)
        yield reply.end(finish, usage)

    def count(self, messages: Sequence[Message], cancel: Event | None = None) -> int | None:
        """The size of the prompt; None if the template refuses it.

        Far beyond the window it is the estimate with which `stream` would refuse the prompt.
        """
        del cancel  # encoding cannot be broken off; the window limits how long it takes
        try:
            self._check_size(messages)
            return len(self._template.encode(messages).ids)
        except ContextFull as exc:
            return exc.needed
        except UsageError:
            return None

    def warm(self, messages: Sequence[Message], params: GenerationParams, cancel: Event) -> None:
        """Read what prompts that go on from `messages` begin with, whatever is typed next.

        The last tokens of a draft may still be read as others, when a word goes on; what is sent
        then goes back by as many. A net that once could not go back is given no drafts any more.
        """
        from glmcli.engines.local.net.decode import prefill, shared_prefix

        try:
            self._check_size(messages)
            one, other = (
                self._template.encode(probe, think=params.think).ids for probe in probes(messages)
            )
        except (UsageError, ContextFull):
            return
        ids = one[: shared_prefix(one, other)]
        known = shared_prefix(ids, self._cache.ids)
        is_draft = bool(messages) and messages[-1].role == "user"
        if (
            known == len(ids)
            or len(ids) >= (self.context_tokens or SANE_WINDOW)
            or not self._cache.in_parts
            or (is_draft and not self._goes_back)
            or cancel.is_set()
        ):
            return
        self._goes_back = self._cache.keep(ids) == known and self._goes_back
        for _ in prefill(self._cache, ids, cancel, leave=0):
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
        parts = [self._path]
        if self.device.startswith("cpu"):
            threads = threads_in_use()
            parts.append("1 thread" if threads == 1 else f"{threads} threads")
        if reserved := self._cache.memory_bytes:
            parts.append(f"{reserved / 1e6:,.0f} MB for {len(self._cache.ids):,} tokens")
        return ", ".join(parts)

    def close(self) -> None:
        """Let go of the net."""
        self._cache.close()

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

    def _room(self, prompt: Prompt) -> int:
        """Tokens left for the reply. Raises ContextFull if there are none."""
        limit = self.context_tokens or SANE_WINDOW
        if len(prompt.ids) >= limit:
            raise ContextFull(len(prompt.ids), limit)
        return limit - len(prompt.ids)

    def _read(self, prompt: Prompt, cached: int, cancel: Event) -> Generator[Chunk, None, None]:
        """Read the prompt, but for its last block, and say how far it is and how long."""
        from glmcli.engines.local.net.decode import prefill

        total = len(prompt.ids)
        if not cancel.is_set():
            yield Chunk(progress=Progress("reading", cached, total))
        for done in prefill(self._cache, prompt.ids, cancel):
            yield Chunk(progress=Progress("reading", done, total))


def probes(messages: Sequence[Message]) -> Iterator[list[Message]]:
    """Two prompts that go on from `messages`, or from the draft at their end, in different ways."""
    is_draft = bool(messages) and messages[-1].role == "user"
    draft = messages[-1] if is_draft else Message("user", "")
    before = messages[:-1] if is_draft else messages
    for letter in ("a", "1"):
        yield [*before, replace(draft, text=draft.text + letter)]


def as_chunks(
    ids: Generator[int, None, FinishReason], reply: Reply
) -> Generator[Chunk, None, FinishReason]:
    """A chunk for each id, until the ids or a stop string end the reply. Returns why it ended."""
    try:
        while not reply.stopped:
            yield reply.push(next(ids))
    except StopIteration as end:
        ending: FinishReason = end.value
        return ending
    return "stop"


def open_engine(name: str, settings: Settings, report: Report) -> LocalEngine:
    """Open a model in this process. Raises ModelError, ConfigError, OutOfMemory."""
    check_transformers()
    checkpoint = find_checkpoint(name, settings, report)
    report(Progress("loading", unit="bytes", note=checkpoint.name))
    read_ahead(checkpoint.weights)  # while torch is imported
    with opening(checkpoint):
        with quiet():
            template, limit = open_template(checkpoint, settings)
            check_ids(checkpoint.config, ids_of_hello(template))
        model = open_model(checkpoint, settings, report)
    silence_libraries()
    called = checkpoint.name
    if isinstance(template, ChatTemplate) and template.is_base:
        called += " (base model)"
    return LocalEngine(
        called,
        model,
        template,
        context_tokens=limit,
        threads=settings.threads,
        speculate=settings.speculate,
    )


def ids_of_hello(template: Template) -> Sequence[int]:
    """The ids of a short question; none if the template refuses it."""
    try:
        return template.encode([Message("user", "hello")]).ids
    except UsageError:
        return []
