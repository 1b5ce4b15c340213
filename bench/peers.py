"""The peers of compare.py as this side sees them: start one, ask it, stop it.

A peer is named by its kind, with bits where it has a choice: "glm", "glm:int8", "generate",
"serve", "fastchat", "llama:Q8_0".
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from environments import gguf_of, python_of

PEER = Path(__file__).with_name("peer.py")
START_S = 300.0
KINDS = ("glm", "gguf", "generate", "serve", "fastchat", "llama")
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
Messages = Sequence[dict[str, str]]


class PeerFailed(Exception):
    """A peer did not start, or died."""


@dataclass(frozen=True, slots=True)
class Setup:
    """What all peers have in common."""

    model: str
    """As glm names it."""
    folder: Path
    """Of its safetensors."""
    environments: Path
    twin: Path | None
    """The same weights as GGUF in bfloat16; None: the built-in model's own file."""
    dtype: str = "bfloat16"
    threads: int | None = 1
    """None leaves the choice to each peer."""
    conv_template: str = "orca-2"
    """What FastChat calls the model's chat template; orca-2 is ChatML."""
    log: bool = False
    """Whether to show what the peers print."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One reply: seconds from the request to the first token, and from there to the last."""

    first_s: float
    decode_s: float
    decode_tokens: int
    text: str

    @property
    def tokens_per_s(self) -> float:
        """Tokens after the first over the time after it."""
        if self.decode_tokens < 1 or self.decode_s <= 0:
            raise PeerFailed(f"the reply was too short to be measured: {self.text!r}")
        return self.decode_tokens / self.decode_s


class Peer:
    """A process that answers; see peer.py."""

    def __init__(self, name: str, process: subprocess.Popen[str]) -> None:
        self.name = name
        self._process = process

    def ask(self, messages: Messages, tokens: int) -> Answer:
        """The reply to `messages`, `tokens` long at most. Raises PeerFailed."""
        assert self._process.stdin
        try:
            self._process.stdin.write(json.dumps({"messages": list(messages), "tokens": tokens}))
            self._process.stdin.write("\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise PeerFailed(f"{self.name} ended") from None
        found = heard(self.name, self._process)
        if found.get("first_s") is None:
            raise PeerFailed(f"{self.name} gave no token")
        numbers = (found["first_s"], found["decode_s"], found["decode_tokens"])
        return Answer(*numbers, text=found["text"])


def user(text: str) -> dict[str, str]:
    """A user's message."""
    return {"role": "user", "content": text}


def reply(text: str) -> dict[str, str]:
    """The assistant's message."""
    return {"role": "assistant", "content": text}


@contextmanager
def running(name: str, setup: Setup) -> Iterator[Peer]:
    """A peer that has answered once, so that everything is loaded. Raises PeerFailed."""
    kind, _, bits = name.partition(":")
    with ExitStack() as stack:
        match kind:
            case "glm":
                options = {"model": setup.model, "quantize": bits or "none", "device": "cpu"}
                options |= {"dtype": setup.dtype, "threads": setup.threads}
                peer = stack.enter_context(child(name, sys.executable, "engine", options, setup))
            case "generate":
                python = python_of("transformers", setup.environments)
                options = {"folder": str(setup.folder), "dtype": setup.dtype}
                options |= {"threads": setup.threads}
                peer = stack.enter_context(child(name, python, "generate", options, setup))
            case "gguf":
                gguf = gguf_of(bits or "BF16", setup.environments, setup.twin)
                options = {"model": f"gguf:{gguf}", "threads": setup.threads}
                peer = stack.enter_context(child(name, sys.executable, "engine", options, setup))
            case "llama":
                python = python_of("llama", setup.environments)
                gguf = gguf_of(bits or "BF16", setup.environments, setup.twin)
                options = {"gguf": str(gguf), "threads": setup.threads}
                peer = stack.enter_context(child(name, python, "llama", options, setup))
            case _:
                server = serve if kind == "serve" else fastchat
                options = stack.enter_context(server(setup))
                peer = stack.enter_context(child(name, sys.executable, "engine", options, setup))
        peer.ask([user("Hello.")], 8)
        yield peer


@contextmanager
def child(
    name: str, python: str | Path, kind: str, options: dict[str, Any], setup: Setup
) -> Iterator[Peer]:
    """peer.py in an environment, ready to be asked."""
    command = [str(python), str(PEER), kind, json.dumps(options)]
    with process(command, setup, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as started:
        heard(name, started)
        yield Peer(name, started)


def heard(name: str, process: subprocess.Popen[str]) -> dict[str, Any]:
    """The next line of a peer. Raises PeerFailed."""
    assert process.stdout
    found: dict[str, Any] = json.loads(process.stdout.readline() or '{"error": "ended"}')
    if "error" in found:
        raise PeerFailed(f"{name}: {found['error']}")
    return found


@contextmanager
def serve(setup: Setup) -> Iterator[dict[str, Any]]:
    """`transformers serve`; gives the settings of the engine that asks it."""
    python = python_of("transformers", setup.environments)
    port, folder = free_port(), str(setup.folder.resolve())
    command = [str(python.with_name("transformers")), "serve", folder]
    command += ["--device", "cpu", "--dtype", setup.dtype]
    command += ["--host", "127.0.0.1", "--port", str(port)]
    url = f"http://127.0.0.1:{port}"
    with process(command, setup) as started:
        wait_for(f"{url}/health", started, "transformers serve")
        yield {"model": f"openai:{folder}", "base_url": f"{url}/v1", "timeout": START_S}


@contextmanager
def fastchat(setup: Setup) -> Iterator[dict[str, Any]]:
    """A FastChat worker without a controller; gives the settings of the engine that asks it."""
    python = python_of("fastchat", setup.environments)
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = [str(python), "-m", "fastchat.serve.model_worker", "--no-register"]
    command += ["--host", "127.0.0.1", "--port", str(port), "--worker-address", url]
    command += ["--model-path", str(setup.folder), "--model-names", "peer", "--device", "cpu"]
    command += ["--dtype", setup.dtype, "--conv-template", setup.conv_template]
    with process(command, setup) as started:
        wait_for(f"{url}/worker_get_status", started, "the FastChat worker", method="POST")
        yield {"model": "fastchat:peer", "base_url": url, "timeout": START_S}


@contextmanager
def process(command: Sequence[str], setup: Setup, **pipes: Any) -> Iterator[subprocess.Popen[str]]:
    """A process with the peers' threads; killed at the end."""
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "LOGDIR": ""}
    if setup.threads:
        environment |= dict.fromkeys(THREADS, str(setup.threads))
    log = sys.stderr if setup.log else subprocess.DEVNULL
    pipes = {"stdout": log} | pipes
    with (
        suppress(BrokenPipeError),  # of a peer that died with a request on its way
        subprocess.Popen(
            command, env=environment, stderr=log, text=True, start_new_session=True, **pipes
        ) as started,
    ):
        try:
            yield started
        finally:
            if started.poll() is None:
                os.killpg(started.pid, signal.SIGKILL)


def free_port() -> int:
    """A port that nobody uses now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def wait_for(url: str, started: subprocess.Popen[str], what: str, *, method: str = "GET") -> None:
    """Wait until a server answers. Raises PeerFailed."""
    end = time.monotonic() + START_S
    while time.monotonic() < end:
        if started.poll() is not None:
            raise PeerFailed(f"{what} ended (exit code {started.returncode})")
        try:
            if httpx.request(method, url, trust_env=False, timeout=5).is_success:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    raise PeerFailed(f"{what} did not answer within {START_S:.0f} s")
