"""The process that keeps a model for `glm ask --keep`. It is started by the first who asks.

Its settings come through a pipe: it reads no `.env`, no config.toml, and has no key of a server.
What loading needs that is secret comes there too, and is forgotten when the model is loaded: an
environment that a process is started with can be read of it as long as it lives.
"""

from __future__ import annotations

import fcntl
import io
import json
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from glmcli.config import TYPED, Settings, parse
from glmcli.engines import Engine, open_engine
from glmcli.engines.kept.place import KeptPlace, is_locked_by
from glmcli.engines.thread import EngineThread
from glmcli.serve.findable import http_door
from glmcli.serve.holder import Holder
from glmcli.serve.life import Life
from glmcli.types import Report

LOG_BYTES = 1 << 20
"""A log that has grown larger begins again."""


class Log(io.TextIOBase):
    """stdout and stderr of a process that nobody watches: short, and never in its way."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def writable(self) -> bool:
        """It is, always."""
        return True

    def write(self, text: str) -> int:
        """Write, if there is room on the disk."""
        with suppress(OSError):
            if os.fstat(self._fd).st_size > LOG_BYTES:
                os.ftruncate(self._fd, 0)
            os.write(self._fd, text.encode("utf-8", "replace"))
        return len(text)

    def say(self, line: str) -> None:
        """Write a line with the time; never one with what was asked or answered."""
        self.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {line}\n")


def keep_model(listening: int, lock: int, reading: int) -> None:
    """Keep the model that the pipe `reading` names, for those who come to the socket."""
    log = Log(sys.stderr.fileno())
    sys.stdout = sys.stderr = log
    for fd in (listening, lock):  # a process that a library starts must not outlive this one there
        fcntl.fcntl(fd, fcntl.F_SETFD, fcntl.FD_CLOEXEC)
    with os.fdopen(reading, encoding="utf-8") as pipe:
        told: dict[str, Any] = json.load(pipe)
    settings = told_settings(told["settings"])
    folder, key = told["place"]
    listener = socket.socket(fileno=listening)
    listener.listen(128)  # from now on callers are told this process's number
    open_it = opening_with(told["secrets"], partial(open_engine, settings))
    engine = EngineThread(settings.model, open_it, shared=True)
    holder = Holder(engine, settings.model, keep_s=float(told["keep"]), say=log.say)
    for signum in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signum, lambda signum, frame: holder.stop())
    for signum in (signal.SIGHUP, signal.SIGPIPE):
        signal.signal(signum, signal.SIG_IGN)
    engine.start()
    log.say(f"keeps {settings.model}")
    http = http_door(holder, settings, log.say)
    place = KeptPlace(Path(folder), key)
    Life(holder, place, listener, log=log.say, http=http).run()
    if is_locked_by(place, lock):
        with suppress(OSError):
            place.about.unlink(missing_ok=True)
            if engine.failure is None:  # else the log tells more of it
                place.log.unlink(missing_ok=True)
    os._exit(0)  # threads may be inside torch


def opening_with(
    secrets: dict[str, str], open_it: Callable[[Report], Engine]
) -> Callable[[Report], Engine]:
    """Opens an engine with variables that nobody has once it is open."""

    def opened(report: Report) -> Engine:
        os.environ.update(secrets)
        try:
            engine = open_it(report)
        finally:
            for name in secrets:
                os.environ.pop(name, None)
        secrets.clear()
        return engine

    return opened


def told_settings(values: dict[str, Any]) -> Settings:
    """The settings that were told, as if they were typed. Raises ConfigError."""
    values = {
        name: parse(name, value, TYPED) for name, value in values.items() if value is not None
    }
    return Settings(**values, sources=dict.fromkeys(values, TYPED))


if __name__ == "__main__":
    keep_model(*map(int, sys.argv[1:4]))
