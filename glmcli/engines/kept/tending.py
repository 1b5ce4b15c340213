"""Which models are kept, and their end. Looking at them neither loads nor keeps one."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from glmcli.engines.kept.link import Deaf, Gone, Link
from glmcli.engines.kept.place import KeptPlace, all_places, read_about
from glmcli.engines.kept.starting import MODULE, link_to_socket
from glmcli.engines.kept.wire import checked_answer, possible, status_in

ANSWER_S, END_S = 2.0, 35.0
"""How long an answer is waited for, and the end: what is being answered may take thirty seconds."""
KILL_S = 5.0
_TICK_S = 0.05


def kept_models() -> list[tuple[KeptPlace, dict[str, Any]]]:
    """Where models are kept and what each says of itself; one that does not answer is "deaf"."""
    found = []
    for place in all_places():
        try:
            link = link_to_socket(place, ANSWER_S)
        except Deaf:
            found.append((place, deaf_status(place, None)))
            continue
        if link is not None:
            with closing(link):
                status = answer_to(link, "status")
                if status is None:
                    continue  # it has just ended
                with suppress(ValueError):  # something else that listens there
                    known = status_in(status) if status else deaf_status(place, link.process)
                    found.append((place, known))
    return found


def deaf_status(place: KeptPlace, pid: int | None) -> dict[str, Any]:
    """What is known of a process that does not answer; `pid` is at the end of a connection."""
    about = read_about(place)
    told = about.get("pid")
    is_known = told is not None and is_ours(told, place)
    return {**about, "state": "deaf", "pid": told if is_known else pid}


def answer_to(link: Link, what: str) -> dict[str, Any] | None:
    """The answer; an empty one if none comes in time, None if the process has ended."""
    try:
        link.send({"ask": what})
        return dict(checked_answer(link.receive(ANSWER_S) or {}).get("answer") or {})
    except (Gone, ValueError):
        return None


def stop_kept(place: KeptPlace, waits: Callable[[int], None] = lambda n: None) -> bool:
    """End what is kept there, once it has answered; whether it ended.

    `waits` is told how many replies are waited for, if there are any.
    A process that does not answer is killed.
    """
    try:
        link = link_to_socket(place, ANSWER_S)
    except Deaf:
        return is_killed(place, None)
    if link is None:
        return True
    with closing(link):
        answer = answer_to(link, "stop")
        if answer == {}:
            return is_killed(place, link.process)
        if answer and (busy := possible(answer).get("busy")):
            waits(busy)
        until = time.monotonic() + END_S
        try:
            while answer is not None and time.monotonic() < until:
                link.receive(_TICK_S)
        except Gone:
            return True
        return answer is None


def is_killed(place: KeptPlace, pid: int | None) -> bool:
    """Kill the process that does not answer at a place; whether it is gone."""
    pid = deaf_status(place, pid)["pid"]
    if not pid or not is_ours(pid, place):
        return False
    with suppress(OSError):
        os.kill(pid, signal.SIGKILL)
    until = time.monotonic() + KILL_S
    while is_ours(pid, place) and time.monotonic() < until:
        time.sleep(_TICK_S)
    return not is_ours(pid, place)


def is_ours(pid: int, place: KeptPlace) -> bool:
    """Whether a process is the one that keeps a model at a place: its lock is open there."""
    process = Path(f"/proc/{pid}")
    with suppress(OSError):
        if MODULE.encode() not in (process / "cmdline").read_bytes().split(b"\0"):
            return False
        return any(is_same(fd, place.lock) for fd in (process / "fd").iterdir())
    return False


def is_same(fd: Path, lock: Path) -> bool:
    """Whether an open file is this one."""
    with suppress(OSError):
        return fd.samefile(lock)
    return False
