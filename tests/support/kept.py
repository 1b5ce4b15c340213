"""Models that are kept for a test, in this process or in others, and their end."""

from __future__ import annotations

import os
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from glmcli.engines import Engine
from glmcli.engines.echo import EchoEngine
from glmcli.engines.kept.engine import KeptEngine
from glmcli.engines.kept.link import Gone
from glmcli.engines.kept.place import KeptPlace
from glmcli.engines.kept.starting import link_to_socket, listen_in
from glmcli.engines.thread import EngineThread
from glmcli.serve.holder import Holder
from glmcli.serve.life import Life
from glmcli.types import Report


def kept_in(runtime: Path) -> list[int]:
    """The processes that keep a model in a runtime folder, and have not ended."""
    found = []
    for folder in Path("/proc").iterdir():
        with suppress(OSError):
            words = (folder / "cmdline").read_bytes().split(b"\0")
            variables = (folder / "environ").read_bytes().split(b"\0")
            is_there = f"XDG_RUNTIME_DIR={runtime}".encode() in variables
            if is_there and b"glmcli.serve.background" in words:
                found.append(int(folder.name))
    return found


def kill_kept(runtime: Path) -> None:
    """Leave none of them behind."""
    for pid in kept_in(runtime):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def wait_until(is_so: Callable[[], object], within_s: float = 10.0) -> bool:
    """Whether something becomes so in time."""
    until = time.monotonic() + within_s
    while not is_so():
        if time.monotonic() > until:
            return False
        time.sleep(0.01)
    return True


def status_at(place: KeptPlace) -> dict[str, object]:
    """What a kept model says of itself."""
    link = link_to_socket(place)
    assert link is not None
    link.send({"ask": "status"})
    answer = link.receive(5.0)
    link.close()
    assert answer is not None
    found: dict[str, object] = answer["answer"]
    return found


@contextmanager
def held(
    place: KeptPlace,
    *,
    keep_s: float = 60.0,
    delay_s: float = 0.0,
    model: str = "echo:",
    window: int = 8192,
    engine: Engine | None = None,
    loaded: threading.Event | None = None,
) -> Iterator[tuple[Holder, threading.Thread, list[str]]]:
    """A kept echo in this process: its holder, the thread of its life, and what it logs.

    It is loading until `loaded` is set.
    """
    place.folder.mkdir(mode=0o700, exist_ok=True)
    said: list[str] = []
    opened = engine or EchoEngine(delay_s=delay_s, context_tokens=window)

    def open_it(report: Report) -> Engine:
        if loaded is not None:
            loaded.wait(20)
        return opened

    thread_of = EngineThread(model, open_it, shared=True)
    holder = Holder(thread_of, model, keep_s=keep_s, say=said.append)
    listener = listen_in(place)
    life = Life(holder, place, listener, log=said.append, asked=lambda line: None)
    thread = threading.Thread(target=life.run, daemon=True)
    thread_of.start()
    thread.start()
    try:
        yield holder, thread, said
    finally:
        holder.stop()
        thread.join(5)
        thread_of.close()


class KeptForTest(KeptEngine):
    """An engine whose process, which is this one, ends with it."""

    def __init__(self, *, window: int) -> None:
        self._all = ExitStack()
        folder = self._all.enter_context(tempfile.TemporaryDirectory(prefix="glm-"))
        place = KeptPlace(Path(folder), "0" * 16)
        self._all.enter_context(held(place, window=window))
        link = link_to_socket(place)
        assert link is not None
        super().__init__(link, lambda: EchoEngine(context_tokens=window))
        self.open(lambda progress: None)

    def close(self) -> None:
        super().close()
        self._all.close()


def is_gone(place: KeptPlace) -> bool:
    """Whether nothing answers there."""
    link = link_to_socket(place)
    if link is None:
        return True
    with suppress(Gone):
        link.close()
    return False
