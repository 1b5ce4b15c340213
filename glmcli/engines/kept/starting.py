"""How a process that keeps a model is reached, and started where there is none.

The caller itself takes the lock and begins to listen; the process inherits both. So nothing is
polled for, no file says who lives, and the lock of a killed process is free at once. Knows nothing
of what is asked.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from glmcli.config.place import variables_of_keepers
from glmcli.engines.kept.link import Deaf, Link, link_to
from glmcli.engines.kept.place import KeptPlace, open_file, write_about

MODULE = "glmcli.serve.background"
"""What is started: `main` there is given the descriptors of `start`."""
RETRY_S, _PATIENCE_S = 0.01, 45.0
"""How often it is tried to reach one that starts or ends just now, and for how long: one that was
told to end may answer for another thirty seconds."""
LIFE_S, START_S = 10.0, 60.0
"""How long a sign of life is waited for, and at the start, when libraries are read from a disk."""
_WAITING = 128
"""Connections that wait until they are taken."""


def reach(place: KeptPlace, values: Mapping[str, Any], tick: Callable[[], bool]) -> Link:
    """A connection to the process at a place, which is started with `values` if there is none.

    `tick` is called while it waits, and says whether to go on. Raises Deaf where it neither answers
    nor ends, OSError.
    """
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        if link := link_to_socket(place):
            return link
        lock = os.open(place.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:  # another one starts it, or it is about to end
            os.close(lock)
            if not tick() or time.monotonic() > deadline:
                raise Deaf from None
            time.sleep(RETRY_S)
            continue
        try:
            if (link := link_to_socket(place)) or (link := start(place, lock, values)):
                return link
        finally:
            os.close(lock)  # that of the process stays
        if not tick() or time.monotonic() > deadline:
            raise Deaf


def link_to_socket(place: KeptPlace, within_s: float | None = None) -> Link | None:
    """A connection to the process at a place, if it lives; what else is there will be replaced.

    Raises Deaf where it lets nobody in in time, which is `patience_s` if none is said.
    """
    with suppress(OSError):
        return link_to(place.socket, patience_s(place) if within_s is None else within_s)
    return None


def patience_s(place: KeptPlace) -> float:
    """How long a sign of life of the process at a place is waited for."""
    with suppress(OSError):
        age = time.time() - place.socket.stat().st_mtime
        return max(LIFE_S, min(START_S, START_S - age))
    return LIFE_S


def start(place: KeptPlace, lock: int, values: Mapping[str, Any]) -> Link | None:
    """Start the process at a place of which we have the lock; None if it ended at once."""
    listener = listen_in(place)
    reading, writing = os.pipe()
    output = open_log(place)
    try:
        process = subprocess.Popen(
            # -P: a module of the working folder would run instead.
            [sys.executable, "-P", "-m", MODULE, *map(str, (listener.fileno(), lock, reading))],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd="/",
            env=variables_of_keepers(),
            start_new_session=True,
            pass_fds=(listener.fileno(), lock, reading),
        )
        process.returncode = 0  # it outlives us: nobody waits for its end
        model = str(values["settings"]["model"])
        write_about(place, model, process.pid, values.get("made"))
        os.close(reading)
        reading = -1
        with suppress(BrokenPipeError), os.fdopen(writing, "w", encoding="utf-8") as pipe:
            writing = -1
            json.dump({"place": [str(place.folder), place.key], **values}, pipe, default=str)
    finally:
        for each in (reading, writing, output):
            if each >= 0:
                os.close(each)
        listener.close()
    return link_to_socket(place)


def listen_in(place: KeptPlace) -> socket.socket:
    """A socket that listens there, in place of whatever was. Only for whoever has the lock."""
    place.socket.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX)
    try:
        listener.bind(os.fspath(place.socket))
        place.socket.chmod(0o600)
        listener.listen(_WAITING)
    except OSError:
        listener.close()
        raise
    return listener


def open_log(place: KeptPlace) -> int:
    """The file for what the process has to say; where there is no room for it, nothing."""
    try:
        log = open_file(place.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.ftruncate(log, 0)
        return log
    except OSError:
        return os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
