"""A worker's word to its controller: here it is, and again and again that it still is.

Knows nothing of models. Source: FastChat 0.2.36, serve/base_model_worker.py, serve/controller.py.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from glmcli.engines.remote.http import Server
from glmcli.errors import GlmError
from glmcli.language import tr

BEAT_S = 10.0
"""A controller forgets a worker after 90 s. It takes the queue for longer with each request that it
passes on, and learns how long it is by this."""
AGAIN_S = 2.0
CONTROLLER_S = 5.0


class Registration:
    """Registers a worker that answers at `address`, and keeps it registered.

    `status` is what the worker says of itself; `tell` is called with a line when the controller
    cannot be reached, when it can again, and when the worker was registered for the first time;
    `meet` before each try to register.
    """

    def __init__(
        self,
        controller: str,
        address: str,
        status: Callable[[], dict[str, Any]],
        *,
        tell: Callable[[str], None],
        meet: Callable[[], None] = lambda: None,
        beat_s: float = BEAT_S,
        again_s: float = AGAIN_S,
    ) -> None:
        """Raises ConfigError for an address of the controller that cannot be one."""
        self._server = Server(controller, silence_s=CONTROLLER_S)
        self._address = address
        self._status = status
        self._tell = tell
        self._meet = meet
        self._beat_s, self._again_s = beat_s, again_s
        self._is_known = self._was_known = False
        self._lost: str | None = None
        """Why the controller cannot be reached, if that was told."""

    def run(self, stop: threading.Event) -> None:
        """Register and beat until `stop`."""
        try:
            while not stop.is_set():
                stop.wait(self._beat_s if self._try() else self._again_s)
        finally:
            self._server.close()

    def start(self, stop: threading.Event) -> None:
        """Do so on a thread of its own; returns at once."""
        threading.Thread(target=self.run, args=(stop,), name="worker", daemon=True).start()

    def _try(self) -> bool:
        """Say once that the worker is there; whether the controller has heard it."""
        try:
            if self._is_known:
                self._is_known = self._beat()
            if not self._is_known:
                self._register()
        except GlmError as exc:
            self._is_known = False
            if self._lost is None:
                self._lost = exc.message
                self._tell(tr("the controller does not answer ({why}): trying on", why=exc.message))
            return False
        if self._lost is not None:
            self._tell(tr("the controller answers again: the worker is registered"))
        elif not self._was_known:
            self._tell(tr("registered as {address}", address=self._address))
        self._lost, self._is_known, self._was_known = None, True, True
        return True

    def _beat(self) -> bool:
        """Whether the controller still knows the worker. Raises EngineError."""
        queue = self._status()["queue_length"]
        body = {"worker_name": self._address, "queue_length": queue}
        return bool(self._ask("/receive_heart_beat", body).get("exist"))

    def _register(self) -> None:
        """Raises EngineError."""
        self._meet()
        self._ask(
            "/register_worker",
            {
                "worker_name": self._address,
                "check_heart_beat": True,
                "worker_status": self._status(),
                "multimodal": False,
            },
        )

    def _ask(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        self._server.patience.renew()
        return self._server.ask("POST", path, body, limit_s=CONTROLLER_S)
