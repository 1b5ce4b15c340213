"""The process in which llama.cpp computes: started, waited for, asked over a socket, ended.

The socket lies in a folder that only this user can enter. Knows nothing of prompts or replies.
"""

from __future__ import annotations

import json
import os
import re
import select
import shutil
import subprocess
import sys
import tempfile
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

from glmcli.engines.remote.http import Server
from glmcli.errors import EngineError, ModelError, OutOfMemory
from glmcli.harmless import in_a_line
from glmcli.language import tr
from glmcli.paths import absolute

_PROGRAM = Path(__file__).with_name("host.py")
_PASSED_ON = (
    *("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "TMPDIR", "HOME"),
    *("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES"),
    *("GGML_VK_VISIBLE_DEVICES", "OMP_NUM_THREADS", "OMP_WAIT_POLICY", "GOMP_SPINCOUNT"),
)
"""Of the environment: what libraries and graphics cards are found by. No key, no secret."""
_DEFAULTS = {"GOMP_SPINCOUNT": "1000"}
"""Threads that wait for one another sleep soon: where other programs want the processor too, those
that spin take it from the one that is waited for, and a reply is ten times slower."""
_SILENCE_S = 86_400.0
"""It is never late: a block of a long prompt may take minutes, and its end is noticed at once."""
_TICK_S, _END_S = 0.1, 2.0
"""How often a start is looked at, and how long the end of what has hung up is waited for."""
_LOG_BYTES = 20_000
_REASONS = (
    re.compile(r"error loading model: (.+)"),
    re.compile(r"\bE (?:\S+\s+)?\S+: (.+)"),
    re.compile(r"(?:GGML_ASSERT|RuntimeError|ImportError|OSError)\W*(.+)"),
)
"""Where llama.cpp says why it does not go on, what says most first."""
_NO_MEMORY = re.compile(
    r"failed to allocate|unable to allocate|out of memory|bad_alloc|insufficient memory", re.I
)


class LlamaProcess:
    """llama.cpp with one model. Raises ModelError, OutOfMemory if it cannot be opened."""

    def __init__(self, wanted: dict[str, Any], name: str, tick: Callable[[], None]) -> None:
        self._wanted, self._name = wanted, name
        self.folder = Path()
        """Where its socket is."""
        self.told: dict[str, Any] = {}
        """What it says of itself: "device", "threads"."""
        self._start(tick)

    @property
    def server(self) -> Server:
        """What answers; started again if it has ended. Raises ModelError, OutOfMemory."""
        if self._process.poll() is not None:
            self.close()
            self._start(lambda: None)
        return self._server

    @property
    def pid(self) -> int:
        """The number of the process."""
        return self._process.pid

    def close(self) -> None:
        """End the process."""
        self._server.close()
        self._end()

    def lost(self) -> EngineError | None:
        """The error for a process that ended by itself while it answered, if it did."""
        try:
            self._process.wait(_END_S)
        except subprocess.TimeoutExpired:
            return None
        why = self._why() or tr("it gave no reason")
        return EngineError(tr("llama.cpp broke down: {why}", why=why), tr("ask again"), again=True)

    def _start(self, tick: Callable[[], None]) -> None:
        self.folder = folder = Path(tempfile.mkdtemp(prefix="glm-"))
        self._log, socket = folder / "log", folder / "llama.sock"
        alive, held = os.pipe()  # nothing is written to it: it ends when this process does
        paths = [str(absolute(Path(path))) for path in sys.path if path]
        wanted = json.dumps({**self._wanted, "socket": str(socket)})
        command = [sys.executable, "-I", "-S", "-X", "utf8", str(_PROGRAM), str(alive), wanted]
        try:
            with self._log.open("wb") as log:
                self._process = subprocess.Popen(
                    [*command, *paths],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=log,
                    pass_fds=(alive,),
                    start_new_session=True,  # Ctrl-C is for the reply
                    env=_DEFAULTS
                    | {name: os.environ[name] for name in _PASSED_ON if name in os.environ},
                )
        except OSError as exc:
            os.close(held)
            shutil.rmtree(folder, ignore_errors=True)
            raise ModelError(
                tr("llama.cpp cannot be started: {why}", why=exc.strerror),
                tr("close other programs"),
            ) from exc
        finally:
            os.close(alive)
        self._end = weakref.finalize(self, end_with_folder, self._process, held, folder)
        try:
            self.told = self._opened(tick)
        except BaseException:
            self._end()
            raise
        # llama.cpp closes a connection just when the next question might be sent over it.
        once = httpx.Limits(max_keepalive_connections=0)
        transport = httpx.HTTPTransport(uds=str(socket), limits=once)
        self._server = Server("http://llama.cpp", silence_s=_SILENCE_S, transport=transport)

    def _opened(self, tick: Callable[[], None]) -> dict[str, Any]:
        """What it says once it is open. Raises ModelError, OutOfMemory."""
        assert self._process.stdout is not None
        while not select.select([self._process.stdout], [], [], _TICK_S)[0]:
            tick()
        line = self._process.stdout.readline()
        if line:
            told: dict[str, Any] = json.loads(line)
            return told
        code, why = self._process.wait(), self._why()
        if _NO_MEMORY.search(why) or code == -9:  # so the system ends what takes too much
            raise OutOfMemory(None, None)
        hint = tr("download it again, or try a newer llama.cpp: pip install -U xllamacpp")
        raise ModelError(
            tr(
                "llama.cpp cannot load {name}: {why}",
                name=self._name,
                why=why or tr("it broke down"),
            ),
            hint,
        )

    def _why(self) -> str:
        """The line of its log that says most, if it has said anything."""
        try:
            text = self._log.read_bytes()[:_LOG_BYTES].decode("utf-8", "replace")
        except OSError:
            return ""
        found = next((match for each in _REASONS if (match := each.search(text))), None)
        return in_a_line(found[1].strip())[:200] if found else ""


def end_with_folder(process: subprocess.Popen[bytes], held: int, folder: Path) -> None:
    """End a process at once, and take its folder away; `held` is what it lives by."""
    os.close(held)
    process.kill()
    if process.stdout is not None:
        process.stdout.close()
    process.wait()
    shutil.rmtree(folder, ignore_errors=True)
