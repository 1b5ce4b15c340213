"""Which models are kept, and their end. Looking at them neither loads nor keeps one."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from glmcli.engines.kept.link import Gone, Link
from glmcli.engines.kept.place import KeptPlace, all_places
from glmcli.engines.kept.starting import MODULE, link_to_socket

ANSWER_S, END_S = 2.0, 35.0
"""How long an answer is waited for, and the end: what is being answered may take thirty seconds."""
_TICK_S = 0.05


def kept_models() -> list[tuple[KeptPlace, dict[str, Any]]]:
    """Where models are kept and what each says of itself; one that does not answer is "deaf"."""
    found = []
    for place in all_places():
        if link := link_to_socket(place):
            with closing(link):
                status = answer_to(link, "status")
                if status is None:
                    continue  # it has just ended
                found.append((place, status or {"state": "deaf", "pid": link.process}))
    return found


def answer_to(link: Link, what: str) -> dict[str, Any] | None:
    """The answer; an empty one if none comes in time, None if the process has ended."""
    try:
        link.send({"ask": what})
        return dict((link.receive(ANSWER_S) or {}).get("answer") or {})
    except Gone:
        return None


def stop_kept(place: KeptPlace, tick: Callable[[], None] = lambda: None) -> bool:
    """End what is kept there, once it has answered; whether it ended. `tick` is called meanwhile.

    A process that does not answer is killed.
    """
    link = link_to_socket(place)
    if link is None:
        return True
    with closing(link):
        answer = answer_to(link, "stop")
        if answer == {}:
            pid = link.process
            if not pid or not is_ours(pid):
                return False
            with suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        until = time.monotonic() + END_S
        try:
            while answer is not None and time.monotonic() < until:
                tick()
                link.receive(_TICK_S)
        except Gone:
            return True
        return answer is None


def is_ours(pid: int) -> bool:
    """Whether a process is one that keeps a model; of its user the system has already said so."""
    with suppress(OSError):
        return MODULE.encode() in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    return False
