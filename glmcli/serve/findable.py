"""A model that is served is found by `glm ask` and `glm chat` like one that is kept for them."""

from __future__ import annotations

import fcntl
import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from glmcli.config import Settings
from glmcli.engines import is_local
from glmcli.engines.kept.finding import make_leave
from glmcli.engines.kept.place import (
    KeptPlace,
    folder_to_use,
    kept_key,
    model_folder,
    write_about,
)
from glmcli.engines.kept.starting import listen_in
from glmcli.errors import GlmError
from glmcli.serve.holder import Holder
from glmcli.serve.life import Http, Life

END_S = 1.0


@contextmanager
def findable(holder: Holder, settings: Settings, log: Callable[[str], None]) -> Iterator[None]:
    """Listen where those look who want the same model, if nobody else does, and it can be."""
    with ExitStack() as stack:
        try:
            place = place_of_settings(settings)
            if place is not None and locked(place, stack):
                http = http_door(holder, settings, log)
                write_about(place, holder.name, holder.pid)
                life = Life(holder, place, listen_in(place), log=lambda line: None, http=http)
                thread = threading.Thread(target=life.run, daemon=True)
                thread.start()
                stack.callback(thread.join, END_S)
                stack.callback(holder.stop)
        except GlmError:
            pass  # the load tells what is wrong
        except OSError as exc:  # it is served all the same
            log(f"glm ask will not find it: {exc}")
        yield


def place_of_settings(settings: Settings) -> KeptPlace | None:
    """Where it is looked for; None for one that is not here yet. Raises ModelError, OSError."""
    folder = model_folder(settings)
    if folder is None and is_local(settings.model):
        return None
    return KeptPlace(folder_to_use(), kept_key(settings, folder))


def locked(place: KeptPlace, stack: ExitStack) -> bool:
    """Whether the place is ours until the end; an idle one that is kept there leaves."""
    lock = os.open(place.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    stack.callback(os.close, lock)
    for _ in range(2):
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            make_leave([place], lambda progress: None)
    return False


def http_door(holder: Holder, settings: Settings, log: Callable[[str], None]) -> Http:
    """Answers who speaks HTTP at the same socket, as `glm serve` does."""

    def answer(connection: socket.socket) -> None:
        from glmcli.serve.http import HttpExchange, Site
        from glmcli.serve.openai.routes import OpenAIRoutes

        routes = OpenAIRoutes(holder, holder.name, settings.model)
        HttpExchange(connection, Site(routes.all(), key="", is_private=True, log=log))

    return answer
