"""A GGUF model as an Engine: messages to ids here, ids to ids in llama.cpp, ids to chunks here.

The template, the parts of a reply and stop strings are those of models that torch computes. Knows
nothing of files, or of how llama.cpp is started.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from threading import Event
from typing import Any

from glmcli.engines.gguf.process import LlamaProcess
from glmcli.engines.gguf.vocabulary import GgufTemplate, LlamaDecoder
from glmcli.engines.local.fitting import TemplateEngine, limit_of, room_after
from glmcli.engines.local.ids import shared_prefix
from glmcli.engines.local.prompt.apart import GivenUp
from glmcli.engines.local.prompt.decoder import DecodedReply, PromptIds
from glmcli.engines.remote.faults import Cancelled, Unreachable
from glmcli.engines.remote.openai.events import sse_messages
from glmcli.engines.remote.stream import whole_number
from glmcli.errors import ConnectionLost, ContextFull, EngineError, ModelError, UsageError
from glmcli.language import ntr, tr
from glmcli.models.defaults import Defaults
from glmcli.types import Chunk, FinishReason, GenerationParams, Message, Progress, Usage

_SAMPLERS = ("penalties", "top_k", "temperature", "top_p", "min_p")
"""In the order of transformers, but the few are taken first: a temperature changes no order."""
_MOST_SEEDS = 2**32 - 1
_PATH = "/completion"
HIDDEN = -1
"""Stands for an id that llama.cpp does not tell: it added half a character."""


@dataclass(slots=True)
class _Asked:
    """One reply under way."""

    prompt: PromptIds
    reply: DecodedReply
    decoder: LlamaDecoder
    most: int
    sampling: Mapping[str, Any]
    cached: int | None = None
    """How much of the prompt was not read again, once it is known."""


class GgufEngine(TemplateEngine):
    """An Engine over llama.cpp and the template of a file."""

    context_tokens: int
    _template: GgufTemplate

    def __init__(
        self,
        name: str,
        process: LlamaProcess,
        template: GgufTemplate,
        defaults: Defaults,
        *,
        bits: str = "",
        context_tokens: int,
        news: Sequence[str] = (),
    ) -> None:
        """`news` is told whoever is answered."""
        super().__init__(template, context_tokens, news)
        self.name = name
        self.device = f"{process.told.get('device', '')} {bits}".strip()
        self.process = process
        """Where llama.cpp computes."""
        self._defaults = defaults
        self._stop_ids = template.stop_ids | template.turn_ends
        self._known: Sequence[int] = ()
        """What llama.cpp has read last and still knows, at least."""

    @property
    def details(self) -> str:
        """How it runs, for `--stats`."""
        threads = self.process.told.get("threads")
        runs = [ntr("{n} thread", "{n} threads", threads)] if threads else []
        return ", ".join(["llama.cpp", *runs])

    def stream(
        self, messages: Sequence[Message], params: GenerationParams, cancel: Event
    ) -> Generator[Chunk, None, None]:
        """Yield the reply. Raises ContextFull, UsageError, ModelError, EngineError."""
        yield from self._telling.news
        try:
            asked = self._begin(messages, params, cancel)
        except GivenUp:
            yield Chunk(finish_reason="cancelled", usage=Usage(completion_tokens=0))
            return
        yield from self._telling.of(params, asked.prompt)
        finish: FinishReason = "cancelled"
        if not cancel.is_set():
            try:
                finish = yield from self._reply(asked, cancel)
            except Cancelled:
                finish = "cancelled"
            except (ConnectionLost, Unreachable) as exc:
                raise (self.process.lost() or exc) from exc
        usage = Usage(len(asked.prompt.ids), asked.cached, asked.reply.tokens)
        yield asked.reply.end(finish, usage)

    def _begin(
        self, messages: Sequence[Message], params: GenerationParams, cancel: Event
    ) -> _Asked:
        """What a prompt comes to. Raises ContextFull, UsageError, ModelError, GivenUp."""
        prompt = self._encoded(messages, params.think, cancel)
        room = room_after(prompt, self.context_tokens)
        filled = self.filled(params)
        decoder = self._template.decoder(prompt)
        return _Asked(
            prompt,
            DecodedReply(decoder, self._template.parts(prompt), stop=params.stop),
            decoder,
            most=min(room, filled.max_tokens or room),
            sampling=sampling_for(filled, self._defaults.min_p, self.context_tokens),
        )

    def _reply(self, asked: _Asked, cancel: Event) -> Generator[Chunk, None, FinishReason]:
        """The chunks of a reply; returns why it ended. Raises Cancelled, EngineError."""
        reply, self._known = asked.reply, ()
        body = {
            **asked.sampling,
            "n_predict": asked.most,
            "stream": True,
            "return_tokens": True,
            "return_progress": True,
        }
        with closing(self._events(asked.prompt.ids, body, cancel)) as events:
            for event in events:
                if (progress := event.get("prompt_progress")) is not None:
                    yield Chunk(progress=self._reading(asked, progress))
                    continue
                self._known = asked.prompt.ids
                for token in told_ids(event, reply.tokens):
                    if token in self._stop_ids:
                        return "stop"
                    asked.decoder.text = "" if token == HIDDEN else str(event.get("content", ""))
                    yield reply.push(token)
                    if reply.stopped:
                        return "stop"
                if event.get("stop"):
                    return "length" if event.get("stop_type") == "limit" else "stop"
        raise self.process.lost() or ConnectionLost(tr("llama.cpp ended its reply too early"))

    def _events(
        self, ids: Sequence[int], body: Mapping[str, Any], cancel: Event
    ) -> Generator[dict[str, Any], None, None]:
        """What llama.cpp sends; closed, it stops. Raises Cancelled, EngineError."""
        server = self.process.server
        exchange = server.send("POST", _PATH, {"prompt": list(ids), "id_slot": 0, **body})
        try:
            for event in sse_messages(exchange.pieces(cancel), server.faults):
                if event.get("error"):
                    raise server.faults.failed(event)
                yield event
        finally:
            exchange.close()

    def _reading(self, asked: _Asked, told: Mapping[str, Any]) -> Progress:
        """How far a prompt is read."""
        if asked.cached is None:
            asked.cached = whole_number(told, "cache")
        return Progress("reading", whole_number(told, "processed") or 0, len(asked.prompt.ids))

    def warm(self, messages: Sequence[Message], params: GenerationParams, cancel: Event) -> None:
        """Read what prompts that go on from `messages` begin with, whatever is typed next."""
        try:
            ids = self._begins(messages, params, cancel)
            is_known = shared_prefix(ids, self._known) == len(ids)
            if is_known or len(ids) >= limit_of(self.context_tokens) or cancel.is_set():
                return
            self._known = ()
            with closing(self._events(ids, {"n_predict": 0, "stream": True}, cancel)) as events:
                for _ in events:
                    pass
            self._known = ids
        except (UsageError, ModelError, ContextFull, EngineError, Cancelled):
            return  # the next prompt tells

    def filled(self, params: GenerationParams) -> GenerationParams:
        """The settings with what the file, or else llama.cpp, fills in."""
        return self._defaults.filled(params)

    def close(self) -> None:
        """Let go of the model."""
        self.process.close()


def sampling_for(filled: GenerationParams, min_p: float | None, window: int) -> dict[str, Any]:
    """How ids are drawn, as llama.cpp is told; settings that are all set."""
    is_greedy = not filled.temperature
    found: dict[str, Any] = {
        "samplers": list(_SAMPLERS),
        "temperature": filled.temperature,
        "top_k": 1 if is_greedy else filled.top_k,
        "top_p": filled.top_p,
        "min_p": min_p or 0.0,
        "repeat_penalty": filled.repetition_penalty,
        "repeat_last_n": window,
    }
    return found if filled.seed is None else {**found, "seed": filled.seed % _MOST_SEEDS}


def told_ids(event: Mapping[str, Any], seen: int) -> list[int]:
    """The ids that came with an event; HIDDEN for each that came before it and was not told.

    What ends a reply by itself is counted by llama.cpp, and is no id of the reply.
    """
    told = [id for id in event.get("tokens") or () if isinstance(id, int)]
    ending = event.get("stop") is True and event.get("stop_type") == "eos"
    count = (whole_number(event, "tokens_predicted") or 0) - ending
    return [HIDDEN] * (count - seen - len(told)) + told
