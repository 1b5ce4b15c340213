"""A model that is served is found by `glm ask` and `glm chat` like one that is kept for them."""

from __future__ import annotations

import fcntl
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from functools import partial
from threading import Thread
from typing import Any

from glmcli.config import Settings
from glmcli.engines import is_local
from glmcli.engines.kept.finding import make_leave
from glmcli.engines.kept.link import Deaf
from glmcli.engines.kept.place import (
    KeptPlace,
    all_places,
    chooses_bits,
    folder_to_use,
    is_locked_by,
    kept_key,
    model_folder,
    write_about,
)
from glmcli.engines.kept.starting import link_to_socket, listen_in
from glmcli.engines.kept.tending import kept_models
from glmcli.errors import GlmError
from glmcli.language import tr
from glmcli.models.bits import bits_of
from glmcli.serve.holder import Holder
from glmcli.serve.life import Http, Life

END_S = 1.0


@contextmanager
def findable(
    holder: Holder,
    settings: Settings,
    log: Callable[[str], None],
    tell: Callable[[str], None],
) -> Iterator[None]:
    """Listen where those look who want the same model, if it can be.

    Where another process has the model already, beside it, which is told.
    """
    http = http_door(holder, settings, log)
    with ExitStack() as stack:
        at = stack.enter_context(ExitStack())

        def found_at(key: str, tell_other: Callable[[str], None]) -> Life | None:
            """A life at the place that is sought, which is ours until `at` is closed."""
            try:
                place = KeptPlace(folder_to_use(), key)
                lock = locked(place, at)
                if lock is None:
                    tell_other(line_of_other(place))
                    place = place.beside(holder.pid)
                    remove_dead(place)
                at.callback(remove_about, place, lock)
                write_about(place, holder.name, holder.pid)
                life = Life(holder, place, listen_in(place), log=ignore, asked=log, http=http)
                at.callback(life.withdraw)
                return life
            except OSError as exc:  # it is served all the same
                at.close()  # the lock would keep others from keeping the model
                tell(tr("glm ask will not find this model: {why}", why=exc))
                return None

        def live(key: str, life: Life | None) -> None:
            while life:
                life.run()
                if holder.stopping.is_set():
                    return
                life.close()
                at.close()
                if life := found_at(key, ignore):
                    tell(tr("the socket where glm ask finds this model was gone: it is back"))

        try:
            key = kept_key(settings, model_folder(settings))
        except (GlmError, OSError) as exc:
            tell(tr("glm ask will not find this model: {why}", why=exc))
        else:
            thread = Thread(target=live, args=(key, found_at(key, tell)), daemon=True)
            thread.start()
            stack.push(partial(end_of_life, thread, holder))
        yield


def end_of_life(thread: Thread, holder: Holder, why: type | None, *_: object) -> None:
    """Let nobody find it any more; a Ctrl-C waits for nobody who has come."""
    holder.stop()
    if why is not KeyboardInterrupt:
        thread.join(END_S)


def ignore(line: str) -> None:
    """Say it to nobody."""


def as_known(settings: Settings, device: str) -> Settings | None:
    """The settings by which others find a model; None as long as it is not known what that is.

    Its files are part of it, and its bits: some are fetched, and chosen, as it is loaded, to run on
    `device` from then on.
    """
    if device:
        return replace(settings, quantize=bits_of(device)) if chooses_bits(settings) else settings
    if chooses_bits(settings):
        return None
    with suppress(GlmError, OSError):  # the load tells what is wrong
        if not is_local(settings.model) or model_folder(settings) is not None:
            return settings
    return None


def locked(place: KeptPlace, stack: ExitStack) -> int | None:
    """The lock of a place that is ours until the end, if it can be; an idle one that is kept
    there leaves.
    """
    lock = os.open(place.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    stack.callback(os.close, lock)
    for _ in range(2):
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return lock
        except BlockingIOError:
            make_leave([place], lambda progress: None)
    return None


def remove_about(place: KeptPlace, lock: int | None) -> None:
    """Take away what was written of us, unless another process has the place that `lock` was of."""
    if lock is None or is_locked_by(place, lock):
        place.about.unlink(missing_ok=True)


def line_of_other(place: KeptPlace) -> str:
    """What to say of the process that has the same model."""
    status: dict[str, Any] = next((told for at, told in kept_models() if at == place), {})
    pid, address = status.get("pid"), status.get("address")
    if address:
        return tr(
            "process {pid} serves this model already, at {address}: it is loaded once more",
            pid=pid,
            address=address,
        )
    if pid:
        return tr("process {pid} keeps this model already: it is loaded once more", pid=pid)
    return tr("another process has this model already: it is loaded once more")


def remove_dead(place: KeptPlace) -> None:
    """Take away the sockets of copies of the same model whose processes were killed."""
    for each in all_places():
        if each.model_key != place.model_key or not each.pid or each == place:
            continue
        try:
            if link := link_to_socket(each, 0.0):
                link.close()
            else:
                os.kill(each.pid, 0)
        except ProcessLookupError:
            for path in (each.socket, each.about):
                with suppress(OSError):
                    path.unlink()
        except (Deaf, PermissionError):
            continue


def http_door(holder: Holder, settings: Settings, log: Callable[[str], None]) -> Http:
    """Answers who speaks HTTP at the same socket, as `glm serve` does."""

    def answer(connection: socket.socket) -> None:
        from glmcli.serve.http import HttpExchange, Site
        from glmcli.serve.openai.routes import OpenAIRoutes

        routes = OpenAIRoutes(holder, holder.name, settings.model)
        site = Site(routes.all(), is_private=True, log=log, owed=holder.answered_client)
        HttpExchange(connection, site)

    return answer
