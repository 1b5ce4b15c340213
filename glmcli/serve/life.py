"""The life of a process that keeps a model: who comes in, when it leaves, and how.

It leaves when nobody has needed it for long enough, when it is told to, when another model needs
the memory, or when its socket is not there any more: nobody would find it. Before that it takes the
socket away, answers who had come already, and stays after all if it was only idle. Knows nothing of
what is asked.
"""

from __future__ import annotations

import os
import select
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress

from glmcli.engines.kept.link import Link, peer_of
from glmcli.engines.kept.place import KeptPlace
from glmcli.engines.kept.starting import listen_in
from glmcli.machine import free_bytes, trim_heap
from glmcli.serve.holder import Holder
from glmcli.serve.lines import Lines

LOOK_S, SLIP_S, DRAIN_S = 0.2, 0.05, 30.0
"""How often it is looked whether to leave; how long somebody may take to come in who found the
socket just before it went; how long those are answered who came."""
MEMORY_S, LEAST_FREE = 5.0, 256 << 20
"""An idle model leaves when less memory than this is free, by a look now and then."""
GIVE_BACK_S = 3.0
"""After so long without need the memory that is only reserved goes back to the system."""
DEAF_S = 60.0
"""An engine that nobody needs and that does not stop for so long will never stop."""

Http = Callable[[socket.socket], None]
"""Answers a connection on which HTTP is spoken, up to its end."""


class Life:
    """See the module. `run` ends when the process is to end."""

    def __init__(
        self,
        holder: Holder,
        place: KeptPlace,
        listener: socket.socket,
        *,
        log: Callable[[str], None],
        asked: Callable[[str], None] | None = None,
        http: Http | None = None,
    ) -> None:
        """`listener` listens at `place`, of which this process has the lock.

        What was asked is told to `asked`, if to another one than `log`.
        """
        self._holder = holder
        self._place = place
        self._listener = listener
        self._log = log
        self._asked = asked or log
        self._http = http
        self._inode = os.stat(place.socket).st_ino  # noqa: PTH116
        self._came = 0
        self._looked_at = 0.0
        self._deaf_since: float | None = None
        self._has_given_back = False

    def run(self) -> None:
        """Let callers in until it is time to leave, and those are answered who came before."""
        self._let_in()
        while True:
            self._holder.stopping.wait(LOOK_S)
            self._give_back()
            why = self._why_to_leave()
            if why and self._leaves(why):
                self._log(f"ends: {why}")
                return

    def withdraw(self) -> None:
        """Let nobody find it any more."""
        if self._is_found():
            self._place.socket.unlink(missing_ok=True)

    def close(self) -> None:
        """Take no more callers."""
        close_listener(self._listener)

    def _let_in(self) -> None:
        listener = self._listener
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                if listener.fileno() < 0:
                    return
                time.sleep(SLIP_S)  # too many files are open
                continue
            self._came += 1
            threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        with connection, suppress(OSError):
            if peer_of(connection)[1] != os.geteuid():
                return
            first = connection.recv(1, socket.MSG_PEEK)
            if first == b"{":
                Lines(Link(connection), self._holder, self._asked).answer_all()
            elif first.isupper() and self._http is not None:
                self._http(connection)

    def _why_to_leave(self) -> str:
        """Why it should, in a word for the log; "" if it should not."""
        holder = self._holder
        if holder.stopping.is_set():
            return "told to"
        if not self._is_found():
            return "its socket is gone"
        if holder.is_needed or not holder.is_kept:  # what is served is no other model's to end
            holder.in_the_way.clear()
            self._deaf_since = None
            return ""
        if self._is_deaf():
            return "the engine does not stop"
        if holder.engine.failure is not None:
            return "the model cannot be loaded"
        if holder.in_the_way.is_set():
            return "in the way"
        if holder.idle_s > holder.keep_s:
            return "idle"
        return "memory is short" if holder.is_kept and self._is_memory_short() else ""

    def _give_back(self) -> None:
        """Keep no memory that nothing is in while nobody needs the model; once each time."""
        is_idle = self._holder.idle_s > GIVE_BACK_S and self._holder.engine.is_open
        if is_idle and not self._has_given_back and self._holder.is_kept:
            trim_heap()
        self._has_given_back = is_idle

    def _is_found(self) -> bool:
        with suppress(OSError):
            return os.stat(self._place.socket).st_ino == self._inode  # noqa: PTH116
        return False

    def _is_deaf(self) -> bool:
        """Whether the engine goes on with what nobody wants any more."""
        if not self._holder.engine.running:
            self._deaf_since = None
            return False
        self._deaf_since = self._deaf_since or time.monotonic()
        return time.monotonic() - self._deaf_since > DEAF_S

    def _is_memory_short(self) -> bool:
        """Whether others need what an idle model takes; looked at now and then."""
        holder, now = self._holder, time.monotonic()
        if holder.idle_s < MEMORY_S or not holder.engine.is_open or now < self._looked_at:
            return False
        self._looked_at = now + MEMORY_S
        free = free_bytes()
        return free is not None and free < LEAST_FREE

    def _leaves(self, why: str) -> bool:
        """Take the socket away and answer those who came; whether it is over then."""
        holder, came = self._holder, self._came
        must = holder.stopping.is_set() or why == "its socket is gone"
        self.withdraw()
        time.sleep(SLIP_S)
        self._take_waiting()
        if not must and (holder.is_needed or self._came > came):
            self._listen_again()
            return False
        if holder.is_kept or holder.stopping.is_set():  # what is served goes on elsewhere
            holder.left_after(DRAIN_S)
        return True

    def _take_waiting(self) -> None:
        """Wait until all who came in before are being answered."""
        poll = select.poll()
        poll.register(self._listener, select.POLLIN)
        until = time.monotonic() + 1.0
        while poll.poll(0) and time.monotonic() < until:
            time.sleep(SLIP_S)
        time.sleep(SLIP_S)

    def _listen_again(self) -> None:
        """Stay: somebody came in while the socket went away."""
        old = self._listener
        self._listener = listen_in(self._place)
        self._inode = os.stat(self._place.socket).st_ino  # noqa: PTH116
        self._holder.in_the_way.clear()
        self._let_in()
        close_listener(old)
        self._log("stays: somebody came")


def close_listener(listener: socket.socket) -> None:
    """Close it, which wakes who waits in accept."""
    with suppress(OSError):
        listener.shutdown(socket.SHUT_RDWR)
    listener.close()
