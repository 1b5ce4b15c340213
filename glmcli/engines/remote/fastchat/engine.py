"""A FastChat controller and its workers, or one worker.

Finds the worker, renders the prompt, and asks for no more than fits. Knows nothing of how a prompt
is written (templates.py) or how a reply comes over the wire (texts.py).
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from threading import Event
from typing import TYPE_CHECKING, Any

from glmcli.config import Settings
from glmcli.config.servers import server_options
from glmcli.engines.estimate import TOKEN_BYTES, least_tokens
from glmcli.engines.remote.fastchat.cluster import Cluster, Worker
from glmcli.engines.remote.fastchat.texts import WorkerReply, nul_messages
from glmcli.engines.remote.faults import Cancelled
from glmcli.engines.remote.http import ANSWER_S, COUNT_S
from glmcli.engines.remote.served import LeftOut, failing_with, not_told
from glmcli.engines.remote.stream import read_reply, whole_number
from glmcli.errors import ContextFull, EngineError, GlmError
from glmcli.language import tr
from glmcli.types import Chunk, GenerationParams, Message, Progress, Report

if TYPE_CHECKING:
    import httpx

NEW_TOKENS = 1024
"""What is asked for when neither the user nor the worker says how much is possible."""
TIGHT = 256
"""What is asked for when an estimate says that the window is full."""


class FastChatEngine:
    """A model of a FastChat cluster. `seed` is not sent: workers do not know it."""

    def __init__(self, cluster: Cluster, name: str, worker: Worker) -> None:
        self.name = name
        self.context_tokens = worker.window
        self._cluster = cluster
        self._worker = worker

    @property
    def device(self) -> str:
        """The worker that answered last; another one may answer next."""
        return tr("FastChat worker at {host}", host=self._worker.server.faults.host)

    @property
    def details(self) -> str:
        """What the controller and the worker were asked, in that order."""
        return tr("asked {paths}", paths=", ".join(self._cluster.asked(self._worker)))

    def stream(
        self, messages: Sequence[Message], params: GenerationParams, cancel: Event
    ) -> Generator[Chunk, None, None]:
        """Yield the reply. Raises ContextFull before a worker could cut the prompt."""
        if notice := self._cluster.take_notice():
            yield Chunk(notice=notice)
        try:
            body, max_tokens = self._request(messages, params, cancel)
        except Cancelled:
            yield Chunk(finish_reason="cancelled")
            return
        template, server = self._worker.template, self._worker.server
        stop = (*template.stop, *params.stop)
        hides_length = template.name.startswith(("chatglm", "glm-4"))
        reply = WorkerReply(server.faults, stop, max_tokens=max_tokens if hides_length else None)
        exchange = server.send("POST", "/worker_generate_stream", body)
        try:
            yield from read_reply(exchange, nul_messages, reply, cancel)
        finally:
            self._cluster.patience.renew()

    def count(
        self, messages: Sequence[Message], cancel: Event | None = None, think: bool | None = None
    ) -> int | None:
        """The exact size of the prompt, from the worker that answered last."""
        try:
            prompt = self._worker.template.render(messages)
            return counted(self._worker, prompt, cancel, limit_s=COUNT_S, spend=False)
        except (EngineError, Cancelled):
            return None

    def close(self) -> None:
        """Close the connections."""
        self._cluster.close()

    def _request(
        self, messages: Sequence[Message], params: GenerationParams, cancel: Event
    ) -> tuple[dict[str, Any], int]:
        """What to send to `self._worker`, which is found first, and how many tokens that asks for.

        Nothing is sent as null, and no number as 0 that a worker cannot bear: such a request
        would cost the worker one of its slots for good.
        """

        def prepare(worker: Worker) -> tuple[Worker, str, int | None]:
            prompt = worker.template.render(messages)
            return worker, prompt, counted(worker, prompt, cancel)

        self._worker, prompt, size = self._cluster.reach(self.name, prepare, cancel)
        self.context_tokens = self._worker.window or self.context_tokens
        template = self._worker.template
        max_tokens = new_tokens(self._worker.window, prompt, size, params.max_tokens)
        fields = {
            "temperature": params.temperature,
            "top_p": params.top_p,
            "top_k": params.top_k or None,
            "repetition_penalty": params.repetition_penalty,
            "stop": [*template.stop, *params.stop] or None,
            "stop_token_ids": list(template.stop_ids) or None,
        }
        body = {"model": self.name, "prompt": prompt, "echo": False, "max_new_tokens": max_tokens}
        return body | {key: value for key, value in fields.items() if value is not None}, max_tokens


def counted(
    worker: Worker,
    prompt: str,
    cancel: Event | None = None,
    *,
    limit_s: float = ANSWER_S,
    spend: bool = True,
) -> int | None:
    """The size of a prompt. Raises Cancelled, EngineError."""
    if not worker.counts:
        return None
    body = {"prompt": prompt}
    answer = worker.server.ask("POST", "/count_token", body, cancel, limit_s=limit_s, spend=spend)
    return whole_number(answer, "count") or None  # 0 is what a worker says that cannot count


def new_tokens(window: int | None, prompt: str, size: int | None, wanted: int | None) -> int:
    """How many tokens to ask for, so that a worker never cuts the prompt. Raises ContextFull.

    A worker keeps the last `window - max_new_tokens - 1` tokens of a prompt and says nothing.
    """
    if window is None:
        return wanted or NEW_TOKENS
    least = least_tokens([Message("user", prompt)])
    if size is None and least >= window:
        raise ContextFull(least, window, at_least=True)
    if size is not None:
        room = window - size - 1
        if room < 1:
            raise ContextFull(size + 2, window)
    else:
        estimate = len(prompt.encode("utf-8", "replace")) // TOKEN_BYTES
        room = max(window - estimate - 1, min(TIGHT, window // 2))
    return min(wanted or room, room)


def list_models(
    settings: Settings,
    *,
    transport: httpx.BaseTransport | None = None,
    left_out: LeftOut = not_told,
) -> list[tuple[str, int | None]]:
    """(name, None) of what the cluster has: a controller knows no windows. Raises EngineError."""
    cluster = Cluster(server_options(settings), transport=transport)
    try:
        with failing_with(cluster.take_notice):
            return [(model.name, None) for model in cluster.models(left_out)]
    finally:
        cluster.close()


def open_engine(
    name: str,
    settings: Settings,
    report: Report,
    *,
    transport: httpx.BaseTransport | None = None,
) -> FastChatEngine:
    """Open `fastchat:NAME`, or the only model. Raises ModelError, EngineError."""
    cluster = Cluster(server_options(settings), transport=transport)
    report(Progress("waiting", unit="s", note=cluster.host))
    try:
        with failing_with(cluster.take_notice):
            model = cluster.choose(name)
            return FastChatEngine(cluster, model, cluster.meet_next(model))
    except GlmError:
        cluster.close()
        raise
