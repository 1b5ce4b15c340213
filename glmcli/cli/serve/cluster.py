"""`glm serve --controller`: the model as a worker of a FastChat cluster.

Whom it answers and what is said of it; what is asked there is for `serve.worker`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING

from glmcli.config import Settings
from glmcli.config.proxies import AddressBlock, is_loopback
from glmcli.errors import UsageError
from glmcli.language import tr

if TYPE_CHECKING:
    from glmcli.engines import Engine
    from glmcli.serve.holder import Holder
    from glmcli.serve.http import Site
    from glmcli.serve.worker.advertised import Proven
    from glmcli.types import Report

WORKER_PORT = 21002
"""Where FastChat's workers listen if nothing else is said."""


@dataclass(frozen=True, slots=True)
class ClusterPlace:
    """A controller, and how it and others reach the worker. All of it was typed."""

    controller: str
    host: str
    port: int
    address: str
    """What the controller is told; "" for where the worker listens."""
    allowed: tuple[AddressBlock, ...]


def cluster_place(
    controller: str | None,
    address: str | None,
    allowed: Sequence[str],
    host: str,
    *,
    path: Path | None,
) -> ClusterPlace | None:
    """What the options come to, None without a controller. Raises UsageError, ConfigError.

    `host` is where the worker is to listen, `path` a socket.
    """
    if controller is None:
        if address is not None or allowed:
            option = "--allow" if address is None else "--worker-address"
            raise UsageError(
                tr("{option} is for a worker of a controller", option=option),
                tr("name it: --controller http://HOST:21001"),
            )
        return None
    from glmcli.engines.remote.address import parse_address
    from glmcli.serve.worker.guests import allowed_blocks

    if path is not None:
        raise UsageError(
            tr("a controller reaches no socket"), tr("leave out --socket, or --controller")
        )
    url = parse_address(controller)
    if address is not None:
        address = str(parse_address(address)).rstrip("/")
    elif is_loopback(host) and not is_loopback(url.host):
        raise UsageError(
            tr("the controller at {host} cannot reach {address}", host=url.host, address=host),
            tr("--host 0.0.0.0 listens everywhere; --worker-address says how it is reached"),
        )
    blocks = allowed_blocks(allowed)
    port = url.port or (443 if url.scheme == "https" else 80)
    return ClusterPlace(controller, url.host, port, address or "", tuple(blocks))


class ClusterMember:
    """A model as a worker: what it adds to a server."""

    def __init__(self, place: ClusterPlace, settings: Settings, model: str) -> None:
        from glmcli.serve.worker.guests import Guests

        self._place = place
        self._settings = settings
        self._model = model
        self._guests = Guests(place.host, place.allowed)
        self._guests.look_up()
        self._proven: Proven | None = None

    @property
    def _has_openai(self) -> bool:
        """Whether OpenAI's interface is there too: nobody else may ask without a key.

        Not on this machine either: what others reach a worker by may lead there.
        """
        return bool(self._settings.serve_key)

    def proven(self, open_it: Callable[[Report], Engine]) -> Proven:
        """What opens the engine, and raises ModelError if no client could ask it rightly."""
        from glmcli.serve.worker.advertised import Proven

        self._proven = Proven(open_it)
        return self._proven

    def joined(self, site: Site, holder: Holder) -> Site:
        """The site with the worker's routes."""
        assert self._proven is not None, "the engine is opened by `proven`"
        from glmcli.serve.worker.routes import WorkerRoutes

        self._routes = WorkerRoutes(holder, self._proven, self._model)
        return replace(
            site,
            routes=site.routes if self._has_openai else {},
            guest_routes=self._routes.all(),
            is_guest=self._guests.is_guest,
        )

    def set_up(self, rows: Sequence[str]) -> list[str]:
        """What is said at the start, beside the `rows` of OpenAI's interface."""
        from glmcli.serve.worker.guests import told_blocks

        line = tr(
            "as a worker it answers {addresses} without a key, and nobody else",
            addresses=told_blocks(self._guests.blocks) or self._place.host,
        )
        if self._has_openai:
            return [*rows[:-1], line, rows[-1]]
        return [
            rows[0],
            line,
            tr("beside a controller OpenAI's interface needs GLM_SERVE_KEY"),
            rows[-1],
        ]

    def register(self, listens_at: str, stop: Event) -> None:
        """Tell the controller, now and again until `stop`; returns at once."""
        from glmcli.cli.dialog import tell
        from glmcli.serve.worker.registration import Registration

        Registration(
            self._place.controller,
            self._place.address or self._reached_at(listens_at),
            self._routes.status,
            tell=tell,
            meet=self._guests.look_up,
        ).start(stop)

    def _reached_at(self, listens_at: str) -> str:
        """Where others reach it, if it listens everywhere: a name may mean nothing to them."""
        from glmcli.serve.doors import EVERYWHERE
        from glmcli.serve.worker.guests import own_address

        number = own_address(self._place.host, self._place.port)
        if self._settings.host not in EVERYWHERE or not number:
            return listens_at
        host = f"[{number}]" if ":" in number else number
        return f"http://{host}:{listens_at.rpartition(':')[2]}"
