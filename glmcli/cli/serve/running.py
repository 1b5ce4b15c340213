"""`glm serve` while it runs: the model behind its doors, what is said of it, and its end.

Knows nothing of options, nor of what is asked.
"""

from __future__ import annotations

import shlex
import signal
import socket as sockets
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from types import FrameType
from typing import TYPE_CHECKING

from glmcli.config import ENVIRONMENT, Settings
from glmcli.errors import EngineError
from glmcli.language import ntr, tr
from glmcli.terminal.signals import Killed

if TYPE_CHECKING:
    from glmcli.cli.serve.cluster import ClusterPlace
    from glmcli.cli.serve.saying import ServerLog
    from glmcli.serve.doors import Doors
    from glmcli.serve.holder import Holder

DRAIN_S = 30.0
"""How long those who are answered at the end may take."""
SENT_S = 1.0
"""So long nothing is said of answers that are made and only have to be sent."""


def answer_until_ended(
    settings: Settings,
    listeners: Sequence[sockets.socket],
    address: str,
    *,
    is_private: bool,
    cluster: ClusterPlace | None = None,
    quiet: bool,
) -> None:
    """Load the model and answer until a signal ends it.

    Raises GlmError, and KeyboardInterrupt or Killed for a signal before it could answer.
    """
    from glmcli.cli.dialog import tell
    from glmcli.cli.serve.cluster import ClusterMember
    from glmcli.cli.serve.saying import say_set_up, server_log
    from glmcli.engines import lasting_name, open_alone, short_name
    from glmcli.engines.thread import EngineThread
    from glmcli.serve.doors import Doors
    from glmcli.serve.findable import as_known, findable
    from glmcli.serve.holder import Holder
    from glmcli.serve.http import Site
    from glmcli.serve.openai.routes import OpenAIRoutes

    model = short_name(settings.model)
    member = None if cluster is None else ClusterMember(cluster, settings, model)
    others: list[str] = []
    open_it = partial(open_alone, settings, tell=others.append, spares_same=True)
    engine = EngineThread(model, member.proven(open_it) if member else open_it, shared=True)
    log = server_log(settings.plain, quiet=quiet)
    full_name = lasting_name(settings)
    holder = Holder(engine, model, full_name=full_name, address=address, say=log)
    site = Site(
        OpenAIRoutes(holder, model, settings.model).all(),
        key=settings.serve_key,
        is_private=is_private,
        log=log,
        owed=holder.answered_client,
    )
    doors = Doors(listeners, member.joined(site, holder) if member else site)
    signals = end_by_signal(holder.stop, holder.stopping)
    doors.open()
    with ExitStack() as found, closing(doors):
        if known := as_known(settings, ""):
            found.enter_context(findable(holder, known, log, tell))
        if log.is_loaded(engine, holder.stopping):
            if known is None and (loaded := as_known(settings, engine.device)):
                found.enter_context(findable(holder, loaded, log, tell))
            for line in others:
                tell(line)
            rows = set_up(model, address, settings, is_private=is_private)
            say_set_up(member.set_up(rows) if member else rows)
            if member:
                member.register(address, holder.stopping)
            while not holder.stopping.wait(3600):
                pass
            with told_of_ctrl_c(holder, signals, log):
                drain(doors, holder, signals)
        elif signals:
            raise KeyboardInterrupt if signals[0] == signal.SIGINT else Killed(signals[0])


def set_up(model: str, address: str, settings: Settings, *, is_private: bool) -> list[str]:
    """Where it listens, and the lines with which clients are set up."""
    rows = [tr("{model} answers at {address}", model=model, address=address)]
    if is_private:
        curl = f"curl --unix-socket {shlex.quote(address)} http://localhost/v1/models"
        rows += ["  " + curl]
    else:
        source = settings.sources.get("serve_key", "")
        # A shell has no variable for a key that another place gives.
        named = "$GLM_SERVE_KEY" if source == ENVIRONMENT else "KEY"
        key = named if settings.serve_key else "any"
        ours = f"GLM_API_KEY={named} " if settings.serve_key else ""
        rows += [
            "  " + f"{ours}glm chat -m openai: --base-url {shlex.quote(address)}",
            "  " + f"OPENAI_BASE_URL={shlex.quote(f'{address}/v1')} OPENAI_API_KEY={key}",
            *([tr("KEY is serve_key of {source}", source=source)] if key == "KEY" else []),
        ]
    return [*rows, tr("Ctrl-C ends it")]


def end_by_signal(stop: Callable[[], None], is_stopping: threading.Event) -> list[int]:
    """Have a signal end the server: the first lets it answer, a Ctrl-C after that does not.

    Returns a list that will hold the signals that came. Nobody reading a pipe ends nothing.
    """
    came: list[int] = []

    def ended(signum: int, frame: FrameType | None) -> None:
        came.append(signum)
        if is_stopping.is_set() and signum == signal.SIGINT:
            raise KeyboardInterrupt
        stop()

    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(signum) is not signal.SIG_IGN:
            signal.signal(signum, ended)
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    return came


@contextmanager
def told_of_ctrl_c(holder: Holder, signals: Sequence[int], log: ServerLog) -> Iterator[None]:
    """End the row of each Ctrl-C, and say how many replies a second one cuts."""
    from glmcli.cli.dialog import tell

    if signal.SIGINT in signals:
        log.end_row()
    try:
        yield
    except KeyboardInterrupt:
        log.end_row()
        if left := holder.unanswered:
            tell(ntr("{n} reply was cut off", "{n} replies were cut off", left))
        raise


def drain(doors: Doors, holder: Holder, signals: Sequence[int]) -> None:
    """Let nobody in, and answer who is there, for a while.

    Raises EngineError if replies were cut, KeyboardInterrupt.
    """
    from glmcli.cli.dialog import tell

    doors.close()
    if not signals:
        tell(tr("glm stop has ended it"))
    if waiting := holder.unanswered if holder.busy else holder.left_after(SENT_S):
        tell(
            ntr(
                "ends after {n} more reply; Ctrl-C ends it at once",
                "ends after {n} more replies; Ctrl-C ends it at once",
                waiting,
            )
        )
    if left := holder.left_after(DRAIN_S):
        raise EngineError(
            ntr("{n} reply was cut off", "{n} replies were cut off", left),
            ntr(
                "a server that is ended waits {n} second for its replies",
                "a server that is ended waits {n} seconds for its replies",
                round(DRAIN_S),
            ),
        )
