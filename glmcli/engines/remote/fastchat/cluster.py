"""A FastChat controller's list of workers: which models there are, and who serves them.

Knows nothing of prompts or replies.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from glmcli.config import Settings
from glmcli.engines.remote.fastchat.templates import Template, named_template, read_template
from glmcli.engines.remote.fastchat.workers import can_be_worker, can_have_worker
from glmcli.engines.remote.faults import Refused, Unreachable, one_line
from glmcli.engines.remote.http import Patience, Server, all_keys, checked_url, open_server
from glmcli.engines.remote.stream import is_name, text_of, window_of
from glmcli.errors import ConfigError, ConnectionLost, EngineError, ModelError

if TYPE_CHECKING:
    import httpx

T = TypeVar("T")
DEFAULT_URL = "http://127.0.0.1:21001"

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
