"""One peer of compare.py, in a process and an environment of its own.

    python peer.py KIND JSON

KIND is engine (any engine of glm), generate (transformers) or llama (llama-cpp-python). Reads a
request a line, {"messages": [{"role", "content"}...], "tokens": N}, answers it greedily, and writes
a line: {"first_s", "decode_s", "decode_tokens", "prompt_tokens", "text"}, or {"error"} as its last.
Times are taken where a program that uses the peer would get its tokens. Only KIND engine imports
glm.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

Ask = Callable[[list[dict[str, str]], int], dict[str, Any]]


def engine(options: dict[str, Any]) -> Ask:
    """An engine of glm, without guesses: the model in this process, or a server."""
    from glmcli.config import load_settings
    from glmcli.engines import open_engine
    from glmcli.measure.speed import timed_reply
    from glmcli.types import Message

    opened = open_engine(load_settings({"speculate": "false", **options}), lambda progress: None)

    def ask(messages: list[dict[str, str]], tokens: int) -> dict[str, Any]:
        sent = [Message(item["role"], item["content"]) for item in messages]  # type: ignore[arg-type]
        sample = timed_reply(opened, sent, tokens)
        return {
            "first_s": sample.first_s,
            "decode_s": sample.decode_s,
            "decode_tokens": sample.decode_tokens,
            "prompt_tokens": sample.prompt_tokens,
            "text": sample.text,
        }

    return ask


def generate(options: dict[str, Any]) -> Ask:
    """`generate` in a thread of its own, read through a TextIteratorStreamer."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, TextIteratorStreamer

    if options["threads"]:
        torch.set_num_threads(options["threads"])
    tokenizer = AutoTokenizer.from_pretrained(options["folder"])
    dtype = getattr(torch, options["dtype"])
    net = AutoModelForCausalLM.from_pretrained(options["folder"], dtype=dtype).eval()
    net.generation_config.max_length = None

    class Timed(TextIteratorStreamer):  # type: ignore[misc]
        times: list[float]

        def put(self, value: Any) -> None:
            super().put(value)
            self.times.append(time.perf_counter())

    def ask(messages: list[dict[str, str]], tokens: int) -> dict[str, Any]:
        started = time.perf_counter()
        inputs = tokenizer.apply_chat_template(
            messages, add_generation_prompt=True, return_tensors="pt", return_dict=True
        )
        streamer = Timed(tokenizer, skip_prompt=True, skip_special_tokens=True)
        streamer.times = []
        wanted = {"do_sample": False, "max_new_tokens": tokens, "streamer": streamer}
        thread = threading.Thread(target=net.generate, kwargs={**inputs, **wanted})
        thread.start()
        text = "".join(streamer)
        thread.join()
        times = streamer.times[1:]  # the first is the prompt
        return answer(started, times, text, inputs["input_ids"].shape[1])

    return ask


def llama(options: dict[str, Any]) -> Ask:
    """llama-cpp-python's chat."""
    from llama_cpp import Llama

    net = Llama(
        model_path=options["gguf"],
        n_ctx=0,  # the model's own window
        n_threads=options["threads"] or None,
        n_threads_batch=options["threads"] or None,
        verbose=False,
    )

    def ask(messages: list[dict[str, str]], tokens: int) -> dict[str, Any]:
        started = time.perf_counter()
        stream = net.create_chat_completion(
            messages=messages, max_tokens=tokens, temperature=0.0, stream=True
        )
        text, times = "", []
        for event in stream:
            # A piece for each token, but for those that end within a character.
            if piece := event["choices"][0]["delta"].get("content"):
                text += piece
                times.append(time.perf_counter())
        return answer(started, times, text, None)

    return ask


def answer(started: float, times: list[float], text: str, prompt: int | None) -> dict[str, Any]:
    """The numbers of a reply whose tokens came at `times`."""
    if not times:
        return {"first_s": None, "decode_s": 0.0, "decode_tokens": 0, "text": text}
    return {
        "first_s": times[0] - started,
        "decode_s": times[-1] - times[0],
        "decode_tokens": len(times) - 1,
        "prompt_tokens": prompt,
        "text": text,
    }


def main() -> None:
    """Serve requests until stdin ends, or something fails: then say what."""
    kinds = {"engine": engine, "generate": generate, "llama": llama}
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print must not come between the answers

    def say(found: dict[str, Any]) -> None:
        print(json.dumps(found), file=out, flush=True)

    try:
        ask = kinds[sys.argv[1]](json.loads(sys.argv[2]))
        say({"ready": True})
        for line in sys.stdin:
            request = json.loads(line)
            say(ask(request["messages"], request["tokens"]))
    except Exception as exc:  # each library fails in its own way
        say({"error": str(exc) or repr(exc)})
        raise


if __name__ == "__main__":
    main()
