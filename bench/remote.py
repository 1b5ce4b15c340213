"""What remote engines cost beside bare httpx on the same stream: first token, tokens per second.

    python bench/remote.py [--tokens 300] [--rate 100] [--rounds 5]

A server on loopback sends the same stream to both, a token at a time. At `--rate 0` it sends as
fast as it can, which no model does.
"""

from __future__ import annotations

import argparse
import json
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

import httpx

from glmcli.config import Settings
from glmcli.engines.remote.fastchat import engine as fastchat
from glmcli.engines.remote.openai import engine as openai
from glmcli.types import GenerationParams, Message

HELLO = (Message("user", "Tell me about the sea."),)
FIRST_TOKEN_S = 0.2
JSON_ANSWERS = {
    "/v1/models": {"data": [{"id": "m", "owned_by": "vllm", "max_model_len": 8192}]},
    "/list_models": {"models": ["m"]},
    "/model_details": {"context_length": 8192},
    "/count_token": {"count": 8},
    "/worker_get_conv_template": {
        "conv": {"name": "raw", "sep_style": 4, "roles": ["", ""], "sep": ""}
    },
}


def sse_stream(tokens: int) -> Iterator[bytes]:
    for index in range(tokens):
        choice = {"delta": {"content": f" word{index}"}, "finish_reason": None}
        event = {"id": "x", "object": "chat.completion.chunk", "choices": [choice]}
        yield b"data: " + json.dumps(event).encode() + b"\n\n"
    end = {"choices": [{"delta": {}, "finish_reason": "stop"}]}
    yield b"data: " + json.dumps(end).encode() + b"\n\ndata: [DONE]\n\n"


def nul_stream(tokens: int) -> Iterator[bytes]:
    text = ""
    for index in range(tokens):
        text += f" word{index}"
        reason = "stop" if index == tokens - 1 else None
        usage = {"prompt_tokens": 8, "completion_tokens": index}
        fields = {"text": text, "error_code": 0, "usage": usage, "finish_reason": reason}
        yield json.dumps(fields).encode() + b"\0"


class Handler(BaseHTTPRequestHandler):
    """Answers as vLLM and as a FastChat controller and worker do."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    streams: ClassVar[dict[str, list[bytes]]] = {}
    pause_s: ClassVar[float] = 0.0

    def do_GET(self) -> None:
        self.do_POST()

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.path in self.streams:
            return self.stream(self.streams[self.path])
        own = {"address": f"http://127.0.0.1:{self.server.server_port}"}
        body = json.dumps(JSON_ANSWERS.get(self.path, own)).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        return None

    def stream(self, parts: list[bytes]) -> None:
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        due = time.perf_counter() + FIRST_TOKEN_S
        for part in parts:
            while (rest := due - time.perf_counter()) > 0:
                time.sleep(rest)
            self.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))
            due += self.pause_s
        self.wfile.write(b"0\r\n\r\n")

    def log_message(self, format: str, *args: object) -> None:
        """A line for each request would be in the way."""


Words = Iterator[str]


def bare_openai(client: httpx.Client, url: str) -> Words:
    with client.stream("POST", f"{url}/v1/chat/completions", json={"stream": True}) as response:
        for line in response.iter_lines():
            if line.startswith("data: {"):
                yield json.loads(line[6:])["choices"][0]["delta"].get("content", "")


def bare_fastchat(client: httpx.Client, url: str) -> Words:
    """With the two questions that the protocol needs before each reply."""
    address = client.post(f"{url}/get_worker_address", json={"model": "m"}).json()["address"]
    assert client.post(f"{address}/count_token", json={"prompt": "x"}).json()["count"]
    rest, shown = b"", ""
    with client.stream("POST", f"{url}/worker_generate_stream", json={}) as response:
        for piece in response.iter_bytes():
            *parts, rest = (rest + piece).split(b"\0")
            for part in parts:
                text = json.loads(part)["text"]
                yield text[len(shown) :]
                shown = text


def measured(words: Words) -> tuple[float, float]:
    """(seconds to the first word, words per second after it)."""
    started = time.perf_counter()
    first, count = 0.0, 0
    for word in words:
        if word:
            first = first or time.perf_counter()
            count += 1
    return first - started, (count - 1) / (time.perf_counter() - first)


def compare(name: str, bare: Callable[[], Words], ours: Callable[[], Words], rounds: int) -> None:
    measured(bare())
    measured(ours())
    pairs = [(measured(bare()), measured(ours())) for _ in range(rounds)]
    for index, what, unit in ((0, "first token", "ms"), (1, "speed", "tok/s")):
        scale = 1000 if unit == "ms" else 1
        theirs = statistics.median(pair[0][index] for pair in pairs) * scale
        mine = statistics.median(pair[1][index] for pair in pairs) * scale
        change = (mine / theirs - 1) * 100
        print(f"{name:10} {what:12} httpx {theirs:9.1f}  glm {mine:9.1f} {unit:6} {change:+6.2f} %")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--tokens", type=int, default=300)
    parser.add_argument("--rate", type=float, default=100.0)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    Handler.pause_s = 1 / options.rate if options.rate else 0.0
    Handler.streams["/v1/chat/completions"] = list(sse_stream(options.tokens))
    Handler.streams["/worker_generate_stream"] = list(nul_stream(options.tokens))
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}"
    never = threading.Event()
    client = httpx.Client(trust_env=False, timeout=60)
    settings = Settings(base_url=url)

    def words(engine) -> Words:
        for chunk in engine.stream(HELLO, GenerationParams(), never):
            yield chunk.text

    engine = openai.open_engine("m", settings, print_nothing)
    worker = fastchat.open_engine("m", settings, print_nothing)
    rounds = options.rounds
    compare("openai", lambda: bare_openai(client, url), lambda: words(engine), rounds)
    compare("fastchat", lambda: bare_fastchat(client, url), lambda: words(worker), rounds)


def print_nothing(progress: object) -> None:
    """An engine's progress while it opens is of no interest here."""


if __name__ == "__main__":
    main()
