"""A FastChat controller's list of workers: which models there are, and who serves them.

Knows nothing of prompts or replies.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from glmcli.config.servers import ServerOptions
from glmcli.conversation.window import wider_line
from glmcli.engines.remote.address import parse_address
from glmcli.engines.remote.fastchat.templates import WorkerTemplate, named_template, read_template
from glmcli.engines.remote.fastchat.workers import can_be_worker, can_have_worker
from glmcli.engines.remote.faults import Refused, Unreachable
from glmcli.engines.remote.glance import is_name
from glmcli.engines.remote.http import Patience, Server, open_server
from glmcli.engines.remote.served import LeftOut, Listed, choose, not_told
from glmcli.engines.remote.stream import text_of, window_of
from glmcli.errors import ConfigError, ConnectionLost, EngineError

if TYPE_CHECKING:
    import httpx

_T = TypeVar("_T")
_DEFAULT_URL = "http://127.0.0.1:21001"

REFRESH_S = 60.0
"""A controller asks its workers one after another, 5 s each."""


@dataclass(frozen=True, slots=True)
class Worker:
    """Where a model answers, and what is known of it."""

    server: Server
    template: WorkerTemplate
    window: int | None
    counts: bool = True
    """It has `/count_token`; a controller that passes requests on does not."""


class Cluster:
    """A controller and its workers, or one worker alone: who serves a model, and where.

    A worker's address is what the worker believes it is, which may mean nothing here: then the
    controller passes requests on.
    """

    def __init__(
        self, options: ServerOptions, *, transport: httpx.BaseTransport | None = None
    ) -> None:
        self._options = options
        self._transport = transport
        self.patience = Patience(options.timeout)
        url = options.base_url or _DEFAULT_URL
        self._front = open_server(options, url, patience=self.patience, transport=transport)
        self._workers: dict[str, Worker] = {}
        self._passed_on: Worker | None = None
        """The controller itself, once the worker's own address turned out to be of no use."""
        self._next: Worker | None = None
        """A worker that the controller has chosen already."""
        self._alone = False
        self._wider = ""
        self.host = self._front.faults.host

    def models(self, left_out: LeftOut = not_told) -> list[Listed]:
        """All models, by their names. Raises EngineError."""
        try:
            return models_in(self._front.ask("POST", "/list_models"), "models", left_out)
        except Refused as exc:
            if exc.status not in (404, 405):
                raise
        self._alone = True
        return models_in(self._front.ask("POST", "/worker_get_status"), "model_names", left_out)

    def choose(self, name: str) -> str:
        """`name` if the cluster has it, or the only model. Raises ModelError, EngineError."""
        models = self.models()
        if not models or (name and name not in {model.name for model in models}):
            self.refresh()
            models = self.models()
        return choose(name, models, host=self.host, engine="fastchat").name

    def refresh(self) -> None:
        """Let the controller look for its workers again. It answers nobody meanwhile."""
        if not self._alone:
            self._front.ask("POST", "/refresh_all_workers", limit_s=REFRESH_S)

    def reach(
        self, model: str, use: Callable[[Worker], _T], cancel: threading.Event | None = None
    ) -> _T:
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
            raise self._front.faults.no_worker(model)
        try:
            return use(self._meet(address, cancel, again=True))
        except Unreachable:
            self._passed_on = self._via_controller()
            return use(self._passed_on)

    def take_notice(self) -> str:
        """What the user must hear before the next reply, if anything; said once."""
        notice = self._front.take_notice()
        if not notice:
            notice, self._wider = self._wider, ""
        return notice

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

    def _meet(self, address: str, cancel: threading.Event | None, *, again: bool = False) -> Worker:
        """What there is to know of the worker at an address; asked once."""
        known = self._workers.get(address)
        if known is not None and not again:
            return known
        server = known.server if known is not None else self._server_at(address)
        details = server.ask("POST", "/model_details", {}, cancel)
        if self._options.template:
            template = named_template(self._options.template)
        else:
            conv = server.ask("POST", "/worker_get_conv_template", {}, cancel).get("conv")
            template = read_template(conv if isinstance(conv, dict) else {})
        stated = window_of(details, "context_length")
        if known is None:
            self._wider = wider_line(self._options.window, stated)
        window = self._options.window or stated
        worker = Worker(server, template, window)
        self._workers[address] = worker
        return worker

    def _server_at(self, address: str) -> Server:
        """The server at an address from the controller. The key stays with the controller's own.

        That means the same scheme, host and port: a key for https is never sent in the clear.

        Raises Unreachable for a malformed address, EngineError for one that is not a worker's.
        """
        try:
            url = parse_address(address)
        except ConfigError as exc:
            raise self._front.faults.lost_worker(address) from exc
        if url == parse_address(self._front.url):
            return self._front
        if not can_be_worker(url):
            raise self._front.faults.wrong_worker(address)
        return Server(
            address,
            secrets=self._options.all_keys,
            silence_s=self._options.timeout,
            patience=self.patience,
            allowed=can_have_worker,
            transport=self._transport,
        )

    def _via_controller(self) -> Worker:
        known = [worker.template for worker in self._workers.values()]
        if self._options.template:
            known = [named_template(self._options.template)]
        if not known:
            raise self._front.faults.no_template()
        return Worker(self._front, known[0], None, counts=False)


def models_in(answer: dict[str, Any], field: str, left_out: LeftOut) -> list[Listed]:
    """The models that an answer lists, by their names."""
    listed = answer.get(field)
    listed = listed if isinstance(listed, list) else []
    names = [name for name in listed if isinstance(name, str) and is_name(name)]
    left_out(len(listed) - len(names))
    return [Listed(name) for name in sorted(names)]
