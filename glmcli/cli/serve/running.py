"""`glm serve` while it runs: the model behind its doors, what is said of it, and its end.

Knows nothing of options, nor of what is asked.
"""

from __future__ import annotations

import math
import signal
import socket as sockets
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from glmcli.config import Settings
from glmcli.harmless import as_told
from glmcli.language import ntr, tr

if TYPE_CHECKING:
    from glmcli.cli.serve.cluster import ClusterPlace
    from glmcli.engines.thread import EngineThread
    from glmcli.serve.doors import Doors
    from glmcli.serve.holder import Holder

DRAIN_S = 30.0
"""How long those who are answered at the end may take."""
_TICK_S = 0.05


def answer_until_ended(
    settings: Settings,
    listeners: Sequence[sockets.socket],
    address: str,
    *,
    is_private: bool,
    cluster: ClusterPlace | None = None,
    quiet: bool,
) -> None:
    """Load the model and answer until a signal ends it. Raises GlmError, KeyboardInterrupt."""
    from glmcli.cli.serve.cluster import ClusterMember
    from glmcli.engines import open_alone
    from glmcli.engines.thread import EngineThread
    from glmcli.serve.doors import Doors
    from glmcli.serve.findable import findable
    from glmcli.serve.holder import Holder
    from glmcli.serve.http import Site
    from glmcli.serve.openai.routes import OpenAIRoutes

    model = short_name(settings.model)
    member = None if cluster is None else ClusterMember(cluster, settings, model)
    open_it = partial(open_alone, settings, spares_same=True)
    engine = EngineThread(model, member.proven(open_it) if member else open_it, shared=True)
    holder = Holder(engine, model)
    log: Callable[[str], None] = (lambda line: None) if quiet else in_log()
    site = Site(
        OpenAIRoutes(holder, model, settings.model).all(),
        key=settings.serve_key,
        is_private=is_private,
        log=log,
    )
    doors = Doors(listeners, member.joined(site, holder) if member else site)
    end_by_signal(holder.stop, holder.stopping)
    doors.open()
    with findable(holder, settings, log), closing(doors):
        if is_loaded(engine, holder.stopping, settings):
            rows = set_up(model, address, settings, is_private=is_private)
            sys.stdout.write(as_rows(member.set_up(rows) if member else rows))
            sys.stdout.flush()
            if member:
                member.register(address, holder.stopping)
            while not holder.stopping.wait(3600):
                pass
            drain(doors, holder)


def short_name(model: str) -> str:
    """What clients call the model: of a folder its name."""
    from glmcli.engines import split_name

    engine, name = split_name(model)
    if engine != "local":
        return model.removesuffix(":")
    path = Path(name).expanduser()
    return path.resolve().name if path.is_dir() else name


def is_loaded(engine: EngineThread, stop: threading.Event, settings: Settings) -> bool:
    """Load the model and say how far it is; whether it was done before `stop`. Raises GlmError."""
    from glmcli.terminal.output import outputs
    from glmcli.terminal.replies.text import StatusLine
    from glmcli.types import Chunk

    status = StatusLine(outputs(settings.plain)[1])
    try:
        return engine.wait(math.inf, stop, lambda: status.show(Chunk(progress=engine.progress)))
    finally:
        status.clear()


def set_up(model: str, address: str, settings: Settings, *, is_private: bool) -> list[str]:
    """Where it listens, and the lines with which clients are set up."""
    rows = [tr("{model} answers at {address}", model=model, address=address)]
    if is_private:
        curl = f"curl --unix-socket {address} http://localhost/v1/models"
        rows += ["  " + curl]
    else:
        key = "$GLM_SERVE_KEY" if settings.serve_key else "any"
        ours = "GLM_API_KEY=$GLM_SERVE_KEY " if settings.serve_key else ""
        rows += [
            "  " + f"{ours}glm chat -m openai: --base-url {address}",
            "  " + f"OPENAI_BASE_URL={address}/v1 OPENAI_API_KEY={key}",
        ]
    return [*rows, tr("Ctrl-C ends it")]


def as_rows(rows: Sequence[str]) -> str:
    """Lines that are harmless on a terminal."""
    return "".join(as_told(row) + "\n" for row in rows)


def in_log() -> Callable[[str], None]:
    """Writes a line with the time of day for each request, on stderr; from any thread."""
    writing = threading.Lock()

    def write(line: str) -> None:
        if sys.stderr is None:
            return
        with writing, suppress(OSError):
            sys.stderr.write(f"{time.strftime('%H:%M:%S')} {as_told(line)}\n")
            sys.stderr.flush()

    return write


def end_by_signal(stop: Callable[[], None], is_stopping: threading.Event) -> None:
    """Have a signal end the server: the first lets it answer, a second Ctrl-C does not."""

    def ended(signum: int, frame: FrameType | None) -> None:
        if is_stopping.is_set() and signum == signal.SIGINT:
            raise KeyboardInterrupt
        stop()

    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(signum) is not signal.SIG_IGN:
            signal.signal(signum, ended)


def drain(doors: Doors, holder: Holder) -> None:
    """Let nobody in, and answer who is there, for a while. Raises KeyboardInterrupt."""
    from glmcli.cli.dialog import tell

    doors.close()
    if holder.busy:
        tell(
            ntr(
                "ends after {n} more reply; Ctrl-C again ends it at once",
                "ends after {n} more replies; Ctrl-C again ends it at once",
                holder.busy,
            )
        )
    until = time.monotonic() + DRAIN_S
    while holder.busy and time.monotonic() < until:
        time.sleep(_TICK_S)
    time.sleep(_TICK_S)  # the last bytes are sent
