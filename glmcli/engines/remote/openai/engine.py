"""Any OpenAI-compatible server: vLLM, SGLang, llama.cpp, Ollama, transformers, public ones.

Sends what all of them take, and what this one is known to take. Knows nothing of sockets or of
how a reply is spelled on the wire (events.py).
"""

from __future__ import annotations

import re
from collections.abc import Generator, Sequence
from functools import partial
from threading import Event
from typing import TYPE_CHECKING, Any

from glmcli.config import Settings
from glmcli.config.servers import hosted_at, server_options
from glmcli.conversation.window import wider_line
from glmcli.engines.estimate import FEWEST_BYTES, least_tokens, most_tokens
from glmcli.engines.remote.faults import Cancelled, Refused, one_line
from glmcli.engines.remote.http import COUNT_S, Server
from glmcli.engines.remote.openai.events import OpenAIReply, sse_messages
from glmcli.engines.remote.openai.listing import ask_models, ask_slot, known_models, open_api
from glmcli.engines.remote.refusals.overflow import Overflow, fault_of, read_overflow
from glmcli.engines.remote.served import LeftOut, Listed, choose, failing_with, not_told
from glmcli.engines.remote.stream import read_reply, text_of, whole_number
from glmcli.errors import ContextFull, EngineError, GlmError, ModelError, UsageError
from glmcli.language import later, tr
from glmcli.types import (
    Chunk,
    GenerationParams,
    Message,
    Progress,
    Report,
    Usage,
    fold_system,
    said_text,
)

if TYPE_CHECKING:
    import httpx

_KINDS = {
    "glm": "glm",
    "vllm": "vLLM",
    "sglang": "SGLang",
    "llamacpp": "llama.cpp",
    "library": "Ollama",
    "fastchat": "FastChat",
}
"""What a server says of a model's owner -> the server."""
LIST_ALL = ("glm", "vLLM", "SGLang", "FastChat")
"""Servers that have no model but those they list."""
GOES_ON = {
    "glm": {},
    "vLLM": {"continue_final_message": True, "add_generation_prompt": False},
    "SGLang": {"continue_final_message": True},
    "llama.cpp": {},
    "Ollama": {},
}
"""What a server must be told to go on with the assistant's last message, where it can."""
_SYSTEM = r"['\"`]?(?:system|developer)['\"`]?"
NO_SYSTEM = re.compile(
    rf"(?:{_SYSTEM} (?:role|message|prompt|instruction)s?|role {_SYSTEM})(?: is| are)?"
    r" (?:not (?:supported|allowed|enabled)|unsupported)"
    rf"|(?:does not|doesn't) support (?:the |a )?{_SYSTEM}"
    rf"|(?:unexpected|unsupported|unknown|invalid) (?:role|value):? .?{_SYSTEM}"
    r"|(?:input|role) (?:should|must) be (?:one of )?'user'(?!.{0,80}system)"
    r"|only user and assistant roles|roles must alternate user",
    re.IGNORECASE,
)
"""How models without a system prompt, and servers, refuse one."""
SMALLEST_WINDOW = 256
"""No window is smaller; some servers count nothing, or only what they had not read before."""
UNLISTED = later("{host} does not list {name!r}: another model may answer for it")
FOLDED = later("{host} takes no system prompt for this model: it was put before the first question")


class OpenAIEngine:
    """A model behind an OpenAI-compatible server. `prefix` is the path of the interface: "/v1".

    `news` is told before the first reply.
    """

    def __init__(
        self, server: Server, prefix: str, model: Listed, news: Sequence[str] = ()
    ) -> None:
        self.name = model.name
        self.kind = _KINDS.get(model.owner, "")
        """Which server it is; "" if that is not known."""
        kind = self.kind or tr("server")
        self.device = tr("{kind} at {host}", kind=kind, host=server.faults.host)
        self.context_tokens = model.window
        self._server = server
        self._news = news
        self._prefix = prefix
        self._takes_extras = True
        self._is_cut = False
        """Whether it was said that the server cuts prompts."""
        self._folds = False
        """Whether the system prompt goes into the first question: the model takes no other."""
        self._limit = "max_tokens"
        """What the server calls the limit of new tokens."""

    @property
    def details(self) -> str:
        """What the server was asked to learn what it is, in that order."""
        return tr("asked {paths}", paths=", ".join(self._server.asked.values()))

    def stream(
        self, messages: Sequence[Message], params: GenerationParams, cancel: Event
    ) -> Generator[Chunk, None, None]:
        """Yield the reply. What not every server takes is left out and tried again if refused."""
        for notice in filter(None, (self._server.take_notice(), *self._news)):
            yield Chunk(notice=notice)
        self._news = ()
        self._check_fits(messages, cancel, params.think)
        extras = self._extras(params) if self._takes_extras else {}
        dropped = False
        while True:
            body = self._body(messages, params) | extras
            has_begun = False
            try:
                for chunk in self._reply(body, params, cancel):
                    self._takes_extras = self._takes_extras and not dropped
                    has_begun = has_begun or bool(chunk.text or chunk.thinking)
                    if chunk.finish_reason == "length" and not has_begun:
                        self._check_room(chunk.usage, params)
                    yield chunk
                return
            except Refused as exc:
                fault = self._understood(exc, params)
                if has_begun and isinstance(fault, ContextFull):  # it filled up meanwhile
                    yield Chunk(finish_reason="length")
                    return
                if has_begun or isinstance(fault, ContextFull | UsageError):
                    raise fault from exc
                if self._must_fold(exc, messages):
                    yield Chunk(notice=tr(FOLDED, host=self._server.faults.host))
                    continue
                if exc.status not in (400, 422):
                    raise fault from exc
                if "max_completion_tokens" in exc.detail and "max_tokens" in body:
                    self._limit = "max_completion_tokens"
                    continue
                if not extras:
                    raise fault from exc
            if left_out := ", ".join(name for name in extras if name != "stream_options"):
                notice = tr(
                    "{host} refused a setting: asked again without {names}",
                    host=self._server.faults.host,
                    names=left_out,
                )
                yield Chunk(notice=notice)
            extras, dropped = {}, True

    def count(
        self, messages: Sequence[Message], cancel: Event | None = None, think: bool | None = None
    ) -> int | None:
        """The exact size of the prompt, from vLLM, llama.cpp and `glm serve`."""
        try:
            return self._counted(messages, cancel, think)
        except (EngineError, Cancelled):
            return None

    def close(self) -> None:
        """Close the connections."""
        self._server.close()

    def _reply(
        self, body: dict[str, Any], params: GenerationParams, cancel: Event
    ) -> Generator[Chunk, None, None]:
        exchange = self._server.send("POST", f"{self._prefix}/chat/completions", body)
        reply = OpenAIReply(self._server.faults, params.stop)
        try:
            for chunk in read_reply(exchange, sse_messages, reply, cancel):
                cut = self._told_of_cut(body["messages"], chunk.usage)
                for notice in filter(None, (chunk.finish_reason and reply.notice, cut)):
                    yield Chunk(notice=notice)
                yield chunk
        finally:
            self._server.patience.renew()

    def _told_of_cut(self, sent: Sequence[dict[str, str]], usage: Usage | None) -> str:
        """The line for a prompt that the server cut and answered all the same, once; or "".

        So does Ollama. No token holds two words: fewer tokens than words are not all of them.
        """
        count = (usage or Usage()).prompt_tokens
        if self._is_cut or count is None or count < SMALLEST_WINDOW:
            return ""
        words = sum(len(message["content"].split()) for message in sent)
        self._is_cut = words > count
        return (
            tr(
                "{host} counted {n:,} tokens in a prompt of {words:,} words: it may have cut the"
                " prompt to its window",
                host=self._server.faults.host,
                n=count,
                words=words,
            )
            if self._is_cut
            else ""
        )

    def _must_fold(self, exc: Refused, messages: Sequence[Message]) -> bool:
        """Whether the system prompt is at fault, and can go into the first question from now on."""
        if self._folds or not NO_SYSTEM.search(exc.detail) or fold_system(messages) is None:
            return False
        self._folds = True
        return True

    def _sent(self, messages: Sequence[Message]) -> list[dict[str, str]]:
        """Messages as this server takes them."""
        folded = fold_system(messages) if self._folds else None
        return [to_api(message) for message in folded or messages]

    def _check_fits(self, messages: Sequence[Message], cancel: Event, think: bool | None) -> None:
        """Raise ContextFull for a prompt that cannot fit: a server may cut it and say nothing."""
        window = self.context_tokens
        if window is None or most_tokens(messages) < FEWEST_BYTES * window:
            return
        size = self.count(messages, cancel, think)
        needed = least_tokens(messages) if size is None else size
        if needed >= window:
            raise ContextFull(needed, window, at_least=size is None)

    def _check_room(self, usage: Usage | None, params: GenerationParams) -> None:
        """Raise ContextFull for a reply of no token: so LMDeploy says it."""
        counts = usage or Usage()
        if counts.completion_tokens == 0:
            found = Overflow(prompt=counts.prompt_tokens)
            raise fault_of(found, params.max_tokens, self.context_tokens)

    def _body(self, messages: Sequence[Message], params: GenerationParams) -> dict[str, Any]:
        """What every server takes. An unset field is not sent: null is not a number to all."""
        fields = {
            "temperature": params.temperature,
            "top_p": params.top_p,
            self._limit: params.max_tokens,
            "stop": list(params.stop) or None,
            "seed": params.seed,
        }
        body: dict[str, Any] = {
            "model": self.name,
            "messages": self._sent(messages),
            "stream": True,
        }
        body |= {name: value for name, value in fields.items() if value is not None}
        return body | self._going_on(messages)

    def _extras(self, params: GenerationParams) -> dict[str, Any]:
        """What some servers refuse."""
        penalty = "repeat_penalty" if self.kind == "llama.cpp" else "repetition_penalty"
        fields = {
            "stream_options": {"include_usage": True},
            "top_k": params.top_k,
            penalty: params.repetition_penalty,
        }
        return {
            **{name: value for name, value in fields.items() if value is not None},
            **template_switch(params.think),
        }

    def _going_on(self, messages: Sequence[Message]) -> dict[str, Any]:
        if not messages or messages[-1].role != "assistant":
            return {}
        if self.kind not in GOES_ON:
            raise self._server.faults.cannot_go_on()
        return GOES_ON[self.kind]

    def _counted(
        self, messages: Sequence[Message], cancel: Event | None, think: bool | None
    ) -> int | None:
        ask = partial(self._server.ask, "POST", cancel=cancel, limit_s=COUNT_S, spend=False)
        switch = template_switch(think) if self._takes_extras else {}
        body = {"model": self.name, "messages": self._sent(messages), **switch}
        if self.kind in ("glm", "vLLM"):
            body |= self._going_on(messages)
            answer = ask("/tokenize", body)
            return whole_number(answer, "count")
        if self.kind == "llama.cpp":
            answer = ask("/apply-template", body)
            prompt = text_of(answer, "prompt")
            content = {"content": prompt, "add_special": True}
            ids = ask("/tokenize", content).get("tokens")
            return len(ids) if prompt and ids and isinstance(ids, list) else None
        return None

    def _understood(self, exc: Refused, params: GenerationParams) -> GlmError:
        """A refusal as the error that says what to do."""
        if found := read_overflow(exc.answer, exc.detail, params.max_tokens):
            return fault_of(found, params.max_tokens, self.context_tokens)
        if exc.status == 404 and "model" in exc.detail.lower():
            return ModelError(exc.message, tr("glm models list shows what it has"))
        return exc


def list_models(
    settings: Settings,
    *,
    transport: httpx.BaseTransport | None = None,
    left_out: LeftOut = not_told,
) -> list[tuple[str, int | None]]:
    """(name, window) of what the server lists. Raises ConfigError, EngineError."""
    server, prefix = open_api(server_options(settings), transport)
    try:
        with failing_with(server.take_notice):
            models = ask_models(server, prefix, left_out)
        return sorted(((each.name, each.window) for each in models), key=lambda found: found[0])
    finally:
        server.close()


def open_engine(
    name: str,
    settings: Settings,
    report: Report,
    *,
    transport: httpx.BaseTransport | None = None,
) -> OpenAIEngine:
    """Open `openai:NAME`, or the only model of the server. Raises ModelError, EngineError."""
    server, prefix = open_api(server_options(settings), transport, hosted_at(name))
    report(Progress("waiting", unit="s", note=server.faults.host))
    try:
        with failing_with(server.take_notice):
            models = known_models(server, prefix, name)
        lists_all = bool(models) and _KINDS.get(models[0].owner) in LIST_ALL
        model = choose(name, models, host=server.faults.host, engine="openai", lists_all=lists_all)
        wider = wider_line(settings.window, model.window)
        if settings.window:
            model = Listed(model.name, settings.window, model.owner)
        elif model.window is None and model.owner == "llamacpp":
            model = Listed(model.name, ask_slot(server), model.owner)
    except GlmError:
        server.close()
        raise
    listed = not models or any(model.name == each.name for each in models)
    shown = one_line(model.name, 80)
    news = "" if listed else tr(UNLISTED, host=server.faults.host, name=shown)
    return OpenAIEngine(server, prefix, model, (news, wider))


def template_switch(think: bool | None) -> dict[str, Any]:
    """What lets a chat template think or not, as vLLM began to take it; nothing if unset."""
    return {} if think is None else {"chat_template_kwargs": {"enable_thinking": think}}


def to_api(message: Message) -> dict[str, str]:
    """A message as the interface has it. Reasoning stays here; a tool's answer comes from the user.

    (The interface ties an answer of a tool to a call by an id, which other engines do not have; a
    call is text too, then.)
    """
    said = said_text(message)
    text = f"{said}\n\n{message.tools}" if message.tools else said
    return {"role": "user" if message.role == "tool" else message.role, "content": text}
