"""Decode speed beside transformers: our loop against `generate` with a TextIteratorStreamer.

    python bench/decode.py [--model smollm2] [--dtype auto] [--threads 1] [--tokens 48]
                           [--rounds 15]

Both answer the same prompt greedily, in the same process and dtype, in turns (A B B A ...), each
with what it takes from ids to text. Speed is tokens after the first by the time after the first.
The ratio of each pair is taken and their median printed: a busy machine slows both of a pair.
`generate` runs twice: on the net as transformers loads it (the figure), and on our net, whose
weights are arranged for the processor (what the loop alone gains).
"""

from __future__ import annotations

import argparse
import sys
import threading
import time
from statistics import median
from typing import Any

GOAL = 1.05
QUESTION = "Tell me a long story about a fox who wanted to see the sea."


def ours(engine: Any, tokens: int) -> tuple[float, str]:
    """Tokens per second and the text of one reply of the engine."""
    from glmcli.types import GenerationParams, Message

    engine._cache.clear()
    params = GenerationParams(temperature=0, max_tokens=tokens)
    stream = engine.stream([Message("user", QUESTION)], params, threading.Event())
    times, text = [], ""
    for chunk in stream:
        text += chunk.text
        if chunk.tokens:
            times.append(time.perf_counter())
    return (len(times) - 1) / (times[-1] - times[0]), text


def theirs(net: Any, tokenizer: Any, ids: list[int], tokens: int) -> tuple[float, str]:
    """The same of `generate` in a thread of its own, read through a TextIteratorStreamer."""
    import torch
    from transformers import TextIteratorStreamer

    class Timed(TextIteratorStreamer):
        times: list[float]

        def put(self, value: Any) -> None:
            super().put(value)
            self.times.append(time.perf_counter())

    streamer = Timed(tokenizer, skip_prompt=True, skip_special_tokens=True)
    streamer.times = []
    prompt = torch.tensor([ids])
    inputs = {"input_ids": prompt, "attention_mask": torch.ones_like(prompt)}
    options = {"do_sample": False, "max_new_tokens": tokens, "streamer": streamer}
    thread = threading.Thread(target=net.generate, kwargs={**inputs, **options})
    thread.start()
    text = "".join(streamer)
    thread.join()
    times = streamer.times[1:]  # the first is the prompt
    return (len(times) - 1) / (times[-1] - times[0]), text


def main() -> int:
    """Print speeds and ratios; 1 if the goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--tokens", type=int, default=48)
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()

    from glmcli.config import load_settings
    from glmcli.engines import open_engine
    from glmcli.engines.checkpoint import find_checkpoint, load_net
    from glmcli.types import Message

    chosen = {"model": options.model, "dtype": options.dtype, "threads": options.threads}
    settings = load_settings({**chosen, "device": "cpu"})
    engine: Any = open_engine(settings, lambda progress: None)
    checkpoint = find_checkpoint(options.model, settings, lambda progress: None)
    plain = load_net(checkpoint, settings, lambda progress: None)
    tokenizer = engine._template._tokenizer
    ids = engine._template.encode([Message("user", QUESTION)]).ids
    runs = {
        "glm": lambda: ours(engine, options.tokens),
        "generate": lambda: theirs(plain, tokenizer, ids, options.tokens),
        "generate, arranged": lambda: theirs(engine._cache._net, tokenizer, ids, options.tokens),
    }
    texts = {name: run()[1] for name, run in runs.items()}
    if len(set(texts.values())) > 1:
        print(f"the texts differ: {texts}")
    rounds = []
    for index in range(options.rounds):
        order = list(runs)[:: 1 if index % 2 else -1]
        rounds.append({name: runs[name]()[0] for name in order})
    print(f"{engine.name}, {engine.device}, {options.threads} thread(s), {options.tokens} tokens")
    for name in runs:
        print(f"  {name:20} {median(speed[name] for speed in rounds):6.2f} tokens/s")
    for name in list(runs)[1:]:
        ratio = median(speed["glm"] / speed[name] for speed in rounds)
        print(f"  glm / {name:20} {ratio:5.2f} x")
    goal = median(speed["glm"] / speed["generate"] for speed in rounds)
    print(f"goal {GOAL} x: {'reached' if goal >= GOAL else 'missed'}")
    return 0 if goal >= GOAL else 1


if __name__ == "__main__":
    sys.exit(main())
