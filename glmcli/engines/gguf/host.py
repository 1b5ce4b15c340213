"""Runs llama.cpp's own server on a Unix socket; a process of its own, started by process.py.

It is run as a file. It reads what to open from its arguments, says in one line of JSON what runs,
and ends when the process that has started it does.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import sys
from pathlib import Path
from typing import Any

_CACHE_MIB = 512
"""Of other conversations than the last one, in main memory."""
_TEMPLATE = "{% for message in messages %}{{ message.content }}{% endfor %}"
_BLOCK = 512
"""Tokens of a prompt that are read at once: a cancelled prompt ends after one block."""


def main() -> None:
    """Open a model and serve it until the starter is gone."""
    alive, wanted, *sys.path[:] = sys.argv[1:]
    from glmcli.engines.local.prompt.foreign import end_with

    end_with(int(alive))  # at once, also while a model is loaded
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _server, told = serve_model(json.loads(wanted))
    signal.signal(signal.SIGIO, signal.SIG_IGN)
    print(json.dumps(told), flush=True)
    os.read(int(alive), 1)  # nothing is ever written to it
    shutil.rmtree(Path(json.loads(wanted)["socket"]).parent, ignore_errors=True)
    os._exit(0)


def serve_model(wanted: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """The server, and what to say of it. Raises RuntimeError; llama.cpp says why on stderr."""
    import xllamacpp

    cards = [each for each in xllamacpp.get_device_info() if "CPU" not in str(each["type"])]
    params = xllamacpp.CommonParams()
    params.model.path = wanted["path"]
    params.hostnames = [wanted["socket"]]
    params.n_ctx = wanted["window"]
    params.n_parallel = 1
    params.n_batch = params.n_ubatch = _BLOCK
    params.cache_ram_mib = _CACHE_MIB
    params.verbosity = 1  # errors
    params.warmup = False  # the first prompt is one
    params.fit_params = bool(cards)  # it would read the file twice
    params.n_gpu_layers = -1 if wanted["gpu"] else 0
    params.ui = params.endpoint_slots = False
    params.n_threads_http = 4
    # The program renders the file's own, under limits: here it would be tried without any.
    params.chat_template = _TEMPLATE
    if threads := wanted["threads"] or affinity():
        params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads
    server = xllamacpp.Server(params)
    device = cards[0]["name"] if cards and wanted["gpu"] else "cpu"
    return server, {"device": str(device).lower(), "threads": threads or 0}


def affinity() -> int:
    """How many processors this process may use, where that is not all of them; else 0."""
    if not hasattr(os, "sched_getaffinity"):
        return 0
    allowed = len(os.sched_getaffinity(0))
    return allowed if allowed < (os.cpu_count() or 1) else 0


if __name__ == "__main__":
    main()
