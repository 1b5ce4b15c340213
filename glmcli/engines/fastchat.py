"""A FastChat controller and its workers, or one worker.

Finds the worker, renders the prompt, and asks for no more than fits. Knows nothing of how a prompt
is written (conversation.py) or how a reply comes over the wire (cumulative.py).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from glmcli.config import Settings
from glmcli.engines.conversation import Template, named_template, read_template
from glmcli.engines.cumulative import WorkerReply, nul_messages
from glmcli.engines.remote.faults import Cancelled, Refused, Unreachable, one_line
from glmcli.engines.remote.http import (
    ANSWER_S,
    COUNT_S,
    Patience,
    Server,
    all_keys,
    checked_url,
    open_server,
)
from glmcli.engines.remote.stream import is_name, read_reply, text_of, whole_number, window_of
from glmcli.engines.workers import can_be_worker, can_have_worker
from glmcli.errors import (
    ConfigError,
    ConnectionLost,
    ContextFull,
    EngineError,
    GlmError,
    ModelError,
)
from glmcli.types import Chunk, GenerationParams, Message, Progress, Report

if TYPE_CHECKING:
    import httpx

T = TypeVar("T")
DEFAULT_URL = "http://127.0.0.1:21001"
NEW_TOKENS = 1024
"""What is asked for when neither the user nor the worker says how much is possible."""
TIGHT = 256
"""What is asked for when an estimate says that the window is full."""
REFRESH_S = 60.0
"""A controller asks its workers one after another, 5 s each."""


@dataclass(frozen=True, slots=True)
class Worker:
    """Where a model answers, and what is known of it."""

    server: Server
    template: Template
    window: int | None
    counts: bool = True
    """It has `/count_token`; a controller that passes requests on does not."""


class Cluster:
    """A controller and its workers, or one worker alone: who serves a model, and where.

    A worker's address is what the worker believes it is, which may mean nothing here: then the
    controller passes requests on.
    """

    def __init__(self, settings: Settings, *, transport: httpx.BaseTransport | None = None) -> None:
        self._settings = settings
        self._transport = transport
        self.patience = Patience(settings.timeout)
        url = settings.base_url or DEFAULT_URL
        self._front = open_server(settings, url, patience=self.patience, transport=transport)
        self._workers: dict[str, Worker] = {}
        self._passed_on: Worker | None = None
        """The controller itself, once the worker's own address turned out to be of no use."""
        self._next: Worker | None = None
        """A worker that the controller has chosen already."""
        self._alone = False
        self.host = self._front.faults.host

    def models(self) -> list[str]:
        """The names of all models, sorted. Raises EngineError."""
        try:
            return sorted(names_in(self._front.ask("POST", "/list_models"), "models"))
        except Refused as exc:
            if exc.status not in (404, 405):
                raise
        self._alone = True
        return sorted(names_in(self._front.ask("POST", "/worker_get_status"), "model_names"))

    def refresh(self) -> None:
        """Let the controller look for its workers anew. It answers nobody meanwhile."""
        if not self._alone:
            self._front.ask("POST", "/refresh_all_workers", limit_s=REFRESH_S)

    def reach(
        self, model: str, use: Callable[[Worker], T], cancel: threading.Event | None = None
    ) -> T:
        """`use` the worker that is to answer next; try another way if it cannot be reached.

        `use` may be called twice, so it must not start a reply. Raises Cancelled, EngineError.
        """
        worker, self._next = self._passed_on or self._next, None
        address = "" if worker else self._address(model, cancel)
        fault: EngineError | None = None
        if worker or address:
            try:
                return use(worker or self._meet(address, cancel))
            except (Unreachable, ConnectionLost) as exc:
                if self._alone:
                    raise
                fault = exc
        try:
            self.refresh()
        except ConnectionLost as exc:  # it still waits for the worker that is the cause
            raise fault or exc from exc
        address = self._address(model, cancel)
        if not address:
            raise EngineError(
                f"no worker of {self.host} serves {model}", "/retry asks again; glm models list"
            )
        try:
            return use(self._meet(address, cancel, anew=True))
        except Unreachable:
            self._passed_on = self._via_controller()
            return use(self._passed_on)

    def asked(self, worker: Worker) -> list[str]:
        """The questions to the controller, then those to a worker."""
        return list((self._front.asked | worker.server.asked).values())

    def meet_next(self, model: str) -> Worker:
        """The worker that will answer next: a controller must not be asked twice for one reply."""
        self._next = self.reach(model, lambda worker: worker)
        return self._next

    def close(self) -> None:
        """Close all connections."""
        for server in {self._front, *(worker.server for worker in self._workers.values())}:
            server.close()

    def _address(self, model: str, cancel: threading.Event | None) -> str:
        """Where the controller says that a model answers; "" if it knows no worker."""
        if self._alone:
            return self._front.url
        answer = self._front.ask("POST", "/get_worker_address", {"model": model}, cancel)
        return text_of(answer, "address")

    def _meet(self, address: str, cancel: threading.Event | None, *, anew: bool = False) -> Worker:
        """What there is to know of the worker at an address; asked once."""
        known = self._workers.get(address)
        if known is not None and not anew:
            return known
        server = known.server if known is not None else self._server_at(address)
        details = server.ask("POST", "/model_details", {}, cancel)
        if self._settings.template:
            template = named_template(self._settings.template)
        else:
            conv = server.ask("POST", "/worker_get_conv_template", {}, cancel).get("conv")
            template = read_template(conv if isinstance(conv, dict) else {})
        worker = Worker(server, template, window_of(details, "context_length"))
        self._workers[address] = worker
        return worker

    def _server_at(self, address: str) -> Server:
        """The server at an address from the controller. The key stays with the controller's.

        Raises Unreachable for what is no address, EngineError for one that is no worker's.
        """
        try:
            url = checked_url(address)
            known = url == checked_url(self._front.url)
        except ConfigError as exc:
            raise Unreachable(
                f"{self.host} says that its worker is at {self._front.faults.clean(address, 80)!r}",
                "the worker needs --worker-address http://HOST:PORT",
            ) from exc
        if known:
            return self._front
        if not can_be_worker(url):
            raise self._front.faults.wrong_worker(address)
        return Server(
            address,
            secrets=all_keys(self._settings),
            silence_s=self._settings.timeout,
            patience=self.patience,
            allowed=can_have_worker,
            transport=self._transport,
        )

    def _via_controller(self) -> Worker:
        known = [worker.template for worker in self._workers.values()]
        if self._settings.template:
            known = [named_template(self._settings.template)]
        if not known:
            raise EngineError(
                f"the worker's own address cannot be reached; {self.host} can pass requests on,"
                " but does not say which template the model needs",
                "name it with --template, or give the worker's address with --base-url",
            )
        return Worker(self._front, known[0], None, counts=False)


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
        return f"FastChat worker at {self._worker.server.faults.host}"

    @property
    def details(self) -> str:
        """What the controller and the worker were asked, in that order."""
        return f"asked {', '.join(self._cluster.asked(self._worker))}"

    def stream(
        self, messages: Sequence[Message], params: GenerationParams, cancel: threading.Event
    ) -> Generator[Chunk, None, None]:
        """Yield the reply. Raises ContextFull before a worker could cut the prompt."""
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
        self, messages: Sequence[Message], cancel: threading.Event | None = None
    ) -> int | None:
        """The exact size of the prompt, from the worker that answered last."""
        try:
            prompt = self._worker.template.render(messages)
            return counted(self._worker, prompt, cancel, limit_s=COUNT_S, spend=False)
        except (EngineError, Cancelled):
            return None

    def warm(
        self, messages: Sequence[Message], params: GenerationParams, cancel: threading.Event
    ) -> None:
        """A worker keeps nothing between requests."""

    def close(self) -> None:
        """Close the connections."""
        self._cluster.close()

    def _request(
        self, messages: Sequence[Message], params: GenerationParams, cancel: threading.Event
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
    cancel: threading.Event | None = None,
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
    if size is not None:
        room = window - size - 1
        if room < 1:
            raise ContextFull(size + 2, window)
    else:
        estimate = len(prompt.encode("utf-8", "replace")) // 3
        room = max(window - estimate - 1, min(TIGHT, window // 2))
    return min(wanted or room, room)


def names_in(answer: dict[str, Any], field: str) -> list[str]:
    """The names that an answer lists."""
    names = answer.get(field)
    names = names if isinstance(names, list) else []
    return [name for name in names if isinstance(name, str) and is_name(name)]


def pick(name: str, cluster: Cluster) -> str:
    """`name` if the cluster has it, or the only model. Raises ModelError."""
    names = cluster.models()
    if not names or (name and name not in names):
        cluster.refresh()
        names = cluster.models()
    if name in names:
        return name
    if not names:
        raise ModelError(f"{cluster.host} has no model", "start a worker that registers with it")
    if not name and len(names) == 1:
        return names[0]
    what = f"has no model {one_line(name, 80)!r}" if name else "has several models"
    listed = ", ".join(one_line(known, 80) for known in names[:20])
    raise ModelError(f"{cluster.host} {what}", f"choose one, as in fastchat:NAME: {listed}")


def list_models(
    settings: Settings, *, transport: httpx.BaseTransport | None = None
) -> list[tuple[str, int | None]]:
    """(name, None) of what the cluster has: a controller knows no windows. Raises EngineError."""
    cluster = Cluster(settings, transport=transport)
    try:
        return [(name, None) for name in cluster.models()]
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
    cluster = Cluster(settings, transport=transport)
    report(Progress("waiting", note=cluster.host))
    try:
        model = pick(name, cluster)
        return FastChatEngine(cluster, model, cluster.meet_next(model))
    except GlmError:
        cluster.close()
        raise
