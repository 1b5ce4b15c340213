"""The real FastChat on loopback: its controller, and its own worker classes around a script."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx

from tests.support.loopback import closed_port


@contextmanager
def process(folder: Path, *command: str) -> Iterator[subprocess.Popen[bytes]]:
    environment = os.environ | {
        "LOGDIR": str(folder),
        "FASTCHAT_WORKER_API_TIMEOUT": "10",
        "FASTCHAT_WORKER_HEART_BEAT_INTERVAL": "1",
    }
    with (folder / "log").open("ab") as log:
        running = subprocess.Popen(
            [sys.executable, *command], env=environment, cwd=folder, stdout=log, stderr=log
        )
    try:
        yield running
    finally:
        running.kill()  # a controller does not end on SIGTERM
        running.wait()


def wait_for(url: str, wanted: str, patience_s: float = 60.0) -> None:
    """Ask a server again and again until its answer holds `wanted`."""
    deadline = time.monotonic() + patience_s
    said = ""
    while wanted not in said:
        assert time.monotonic() < deadline, said
        try:
            said = httpx.post(url, timeout=5, trust_env=False).text
        except httpx.TransportError as exc:
            said = repr(exc)
        threading.Event().wait(0.05)


class RealCluster:
    """A controller, and scripted workers by the names of their models."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.url = f"http://127.0.0.1:{closed_port()}"
        self.workers: dict[str, subprocess.Popen[bytes]] = {}
        self.addresses: dict[str, str] = {}
        self._stack = ExitStack()

    def __enter__(self) -> RealCluster:
        port = self.url.rpartition(":")[2]
        command = ("-m", "fastchat.serve.controller", "--host", "127.0.0.1", "--port", port)
        self._stack.enter_context(process(self._folder, *command))
        wait_for(f"{self.url}/list_models", "models")
        return self

    def __exit__(self, *exc) -> None:
        self._stack.close()

    def start(self, model: str, template: str = "orca-2") -> None:
        script = Path(__file__).with_name("fastchat_worker.py")
        port = str(closed_port())
        command = (str(script), self.url, port, model, template)
        self.workers[model] = self._stack.enter_context(process(self._folder, *command))
        self.addresses[model] = f"http://127.0.0.1:{port}"
        wait_for(f"{self.url}/list_models", model)
        wait_for(f"{self.addresses[model]}/worker_get_status", model)
