"""What `glm serve` costs: decoding through it against the same engine asked directly, in pairs.

    python bench/served.py [MODEL] [--tokens 64]

One process holds the engine and serves it; the client is another one, so that neither waits for the
other. Pairs in turn, since a busy machine changes from second to second: the medians of the ratios,
by the clock and by the processor's time. At least 0.97 is the aim.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable

from glmcli.config import load_settings
from glmcli.engines import open_engine
from glmcli.engines.thread import EngineThread
from glmcli.serve.doors import Doors, listen_at
from glmcli.serve.holder import Holder
from glmcli.serve.http import Site
from glmcli.serve.openai.routes import OpenAIRoutes
from glmcli.types import GenerationParams, Message

PAIRS = 10
QUESTION = "Write a long story about the sea, with many details."
CLIENT = """
import socket, sys
for line in sys.stdin:
    body = line.encode()
    with socket.create_connection(("127.0.0.1", int(sys.argv[1]))) as server:
        head = "POST /v1/chat/completions HTTP/1.1\\r\\nHost: localhost\\r\\n"
        head += f"Connection: close\\r\\nContent-Length: {len(body)}\\r\\n\\r\\n"
        server.sendall(head.encode() + body)
        while server.recv(65536):
            pass
    print("done", flush=True)
"""


def timed(ask: Callable[[], None]) -> tuple[float, float]:
    """Seconds by the clock, and of the processor in this process."""
    clock, processor = time.perf_counter(), time.process_time()
    ask()
    return time.perf_counter() - clock, time.process_time() - processor


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", nargs="?", default="smollm2")
    parser.add_argument("--tokens", type=int, default=64)
    typed = parser.parse_args()
    model, most = typed.model, typed.tokens
    engine = open_engine(load_settings({"model": model}), lambda progress: None)
    held = EngineThread(model, lambda report: engine, shared=True)
    (listener,) = listen_at("127.0.0.1", 0)
    doors = Doors([listener], Site(OpenAIRoutes(Holder(held, model), model).all()))
    doors.open()
    client = subprocess.Popen(
        [sys.executable, "-c", CLIENT, str(listener.getsockname()[1])],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    messages = [{"role": "user", "content": QUESTION}]
    body = {"messages": messages, "max_tokens": most, "temperature": 0, "stream": True}

    def direct() -> None:
        params = GenerationParams(max_tokens=most, temperature=0)
        for _ in engine.stream([Message("user", QUESTION)], params, threading.Event()):
            pass

    def served() -> None:
        assert client.stdin and client.stdout
        client.stdin.write(json.dumps(body) + "\n")
        client.stdin.flush()
        client.stdout.readline()

    served(), direct()
    ratios = []
    for pair in range(PAIRS):
        first, second = (direct, served) if pair % 2 else (served, direct)
        found = {ask: timed(ask) for ask in (first, second)}
        ratios.append([found[direct][at] / found[served][at] for at in (0, 1)])
        print("clock {:.3f} processor {:.3f}".format(*ratios[-1]), flush=True)
    clock, processor = (statistics.median(each) for each in zip(*ratios, strict=True))
    print(f"{model} on {engine.device}: clock {clock:.3f}, processor {processor:.3f}")
    client.kill()
    doors.close()


if __name__ == "__main__":
    main()
