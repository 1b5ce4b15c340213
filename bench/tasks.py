"""What compare.py measures: one function for each line of its table.

Each gives seconds or tokens/s of every round for each of its runs, and which of them to divide.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from statistics import median

from paste import PASTED_TOKENS, first_token_after_paste
from peers import Peer, PeerFailed, Setup, reply, running, user
from tokenizers import Tokenizer

from glmcli.measure.speed import sample_text

STORY = "Tell me a long story about a fox who wanted to see the sea."
QUESTIONS = (
    "Tell me about the sea in a few sentences.",
    "Which animals live there, and what do they eat?",
    "How deep is it, and how do people know?",
    "Write a short story that takes place on a ship.",
    "What happened to the captain afterwards?",
)
SMALL, LARGE = 100, 4000
CHAT_TURNS, LONG_TURNS, LONG_REPLY = 10, 20, 200
COLD = """
import sys, torch
from transformers import AutoModelForCausalLM, AutoTokenizer
tokenizer = AutoTokenizer.from_pretrained(sys.argv[1])
net = AutoModelForCausalLM.from_pretrained(sys.argv[1], dtype=getattr(torch, sys.argv[2]))
inputs = tokenizer.apply_chat_template(
    [{"role": "user", "content": sys.argv[3]}],
    add_generation_prompt=True, return_tensors="pt", return_dict=True,
)
with torch.inference_mode():
    token = net(**inputs, logits_to_keep=1).logits[0, -1].argmax()
print(tokenizer.decode(token), flush=True)
"""
"""A bare script: imports, weights, one prefill, the first token."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How much to measure."""

    rounds: int = 5
    tokens: int = 64
    """Tokens of a reply whose speed is measured."""
    quick: bool = False
    """Fewer turns and tokens, to see that everything runs; the figures mean nothing."""

    def scaled(self, count: int) -> int:
        """A number of turns or tokens, a tenth of it when quick."""
        return max(count // 10, 2) if self.quick else count


@dataclass(slots=True)
class Measured:
    """One task's numbers."""

    task: str
    unit: str
    """"tok/s" or "s"."""
    values: dict[str, list[float]] = field(default_factory=dict)
    """Run -> a number for each round."""
    pairs: list[tuple[str, str]] = field(default_factory=list)
    """Runs whose ratio is wanted: the first over the second."""

    def medians(self) -> dict[str, float]:
        """Run -> the median of its rounds."""
        return {name: median(numbers) for name, numbers in self.values.items() if numbers}

    def ratios(self) -> list[tuple[str, str, float]]:
        """The median of each round's ratio: what slows a round slows both of a pair."""
        found = []
        for one, other in self.pairs:
            both = zip(self.values.get(one, ()), self.values.get(other, ()), strict=False)
            shares = [a / b for a, b in both if b]
            if shares:
                found.append((one, other, median(shares)))
        return found


def in_turns(measured: Measured, rounds: int, runs: Mapping[str, Callable[[int], float]]) -> None:
    """Call every run once a round, the order turned round each time; one that fails is left out."""
    alive = dict(runs)
    for number in range(rounds):
        for name in list(alive)[:: -1 if number % 2 else 1]:
            try:
                measured.values.setdefault(name, []).append(alive[name](number))
            except PeerFailed as exc:
                print(f"{measured.task}: {name} left out: {exc}", file=sys.stderr)
                measured.values.pop(name, None)
                del alive[name]


@contextmanager
def started(names: Sequence[str], setup: Setup) -> Iterator[dict[str, Peer]]:
    """All peers that can be started, side by side: each waits while another one is asked."""
    with ExitStack() as stack:
        peers = {}
        for name in names:
            try:
                peers[name] = stack.enter_context(running(name, setup))
            except (PeerFailed, subprocess.CalledProcessError) as exc:
                print(f"left out: {exc}", file=sys.stderr)
        yield peers


def against_glm(names: Sequence[str]) -> list[tuple[str, str]]:
    """Every glm with every other peer, and with those glm that stand before it."""
    own = [name for name in names if name.partition(":")[0] == "glm"]
    others = [name for name in names if name not in own]
    return [(one, other) for at, one in enumerate(own) for other in own[:at] + others]


def text_of(tokens: int, setup: Setup) -> str:
    """A text of so many tokens, English, Chinese and code."""
    tokenizer = Tokenizer.from_file(str(setup.folder / "tokenizer.json"))
    text = sample_text()
    ids = tokenizer.encode(text, add_special_tokens=False).ids
    ids = (ids * (tokens // len(ids) + 1))[:tokens]
    decoded: str = tokenizer.decode(ids)
    return decoded


def decode(peers: Mapping[str, Peer], setup: Setup, plan: Plan) -> Measured:
    """Decode speed after a short question."""
    del setup
    measured = Measured("decode", "tok/s", pairs=against_glm(list(peers)))

    def run(peer: Peer) -> Callable[[int], float]:
        return lambda number: peer.ask([user(STORY)], plan.tokens).tokens_per_s

    in_turns(measured, plan.rounds, {name: run(peer) for name, peer in peers.items()})
    return measured


def chat(peers: Mapping[str, Peer], setup: Setup, plan: Plan) -> Measured:
    """First token of the tenth turn of a chat whose history is sent again every turn."""
    del setup
    turns = 3 if plan.quick else CHAT_TURNS
    measured = Measured(f"first token of turn {turns}", "s", pairs=against_glm(list(peers)))

    def run(peer: Peer) -> Callable[[int], float]:
        def first_token(number: int) -> float:
            messages = [user(f"Chat {number}. {QUESTIONS[0]}")]
            for turn in range(1, turns):
                answer = peer.ask(messages, plan.tokens)
                question = QUESTIONS[turn % len(QUESTIONS)]
                messages += [reply(answer.text.strip() or "Yes."), user(question)]
            return peer.ask(messages, 2).first_s

        return first_token

    in_turns(measured, plan.rounds, {name: run(peer) for name, peer in peers.items()})
    return measured


def context(peers: Mapping[str, Peer], setup: Setup, plan: Plan) -> Measured:
    """Decode speed after a prompt of 4,000 tokens, against one of 100."""
    sizes = (SMALL, plan.scaled(LARGE))
    measured = Measured("decode by context", "tok/s")
    runs: dict[str, Callable[[int], float]] = {}
    for name, peer in peers.items():
        for size in sizes:
            messages = [user(f"{STORY} Begin after this:\n\n{text_of(size - 40, setup)}")]
            runs[f"{name} at {size}"] = lambda number, peer=peer, messages=messages: (
                peer.ask(messages, plan.tokens).tokens_per_s
            )
        measured.pairs.append((f"{name} at {sizes[1]}", f"{name} at {sizes[0]}"))
    in_turns(measured, plan.rounds, runs)
    return measured


def long_chat(peers: Mapping[str, Peer], setup: Setup, plan: Plan) -> Measured:
    """The time of a chat of 20 turns with replies of 200 tokens, against its decode time alone."""
    del setup
    turns, tokens = plan.scaled(LONG_TURNS), plan.scaled(LONG_REPLY)
    measured = Measured(f"chat of {turns} turns", "s")
    for name, peer in peers.items():
        if name.partition(":")[0] != "glm":
            continue
        whole, decoding = f"{name}: whole chat", f"{name}: decoding"
        measured.pairs.append((whole, decoding))
        for number in range(max(plan.rounds // 2, 1)):
            messages = [user(f"Chat {number}. {STORY}")]
            begun, decode_s = time.perf_counter(), 0.0
            for turn in range(turns):
                answer = peer.ask(messages, tokens)
                decode_s += answer.decode_s
                question = f"Go on with chapter {turn + 2}, at length."
                messages += [reply(answer.text.strip() or "Yes."), user(question)]
            measured.values.setdefault(whole, []).append(time.perf_counter() - begun)
            measured.values.setdefault(decoding, []).append(decode_s)
    return measured


def cold(setup: Setup, plan: Plan) -> Measured:
    """From the start of the process to the first token: `glm ask` against a bare script."""
    measured = Measured("cold start to the first token", "s", pairs=[("glm ask", "bare script")])
    one = [sys.executable, "-m", "glmcli", "ask", "-m", setup.model, "--dtype", setup.dtype]
    one += ["--max-tokens", "1", "--temperature", "0", "--no-save", "--quiet", "--no-stdin", STORY]
    other = [sys.executable, "-c", COLD, str(setup.folder), setup.dtype, STORY]

    def run(command: list[str]) -> Callable[[int], float]:
        return lambda number: until_output(command)

    in_turns(measured, plan.rounds, {"glm ask": run(one), "bare script": run(other)})
    return measured


def until_output(command: list[str]) -> float:
    """Seconds until a command writes something. Raises PeerFailed if it writes nothing."""
    begun = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout
        first = process.stdout.read(1)
        seconds = time.perf_counter() - begun
        process.stdout.read()
    if not first:
        raise PeerFailed(f"exit code {process.returncode} and no output")
    return seconds


def busy(name: str, setup: Setup, plan: Plan) -> Measured:
    """Decode speed with half of the cores taken by busy loops, against one thread undisturbed."""
    taken, idle = f"{name}, half of cores taken", f"{name}, alone, one thread"
    measured = Measured("decode beside busy loops", "tok/s", pairs=[(taken, idle)])
    with (
        running(name, replace(setup, threads=None)) as free,
        running(name, replace(setup, threads=1)) as single,
    ):

        def disturbed(number: int) -> float:
            loops = [
                subprocess.Popen([sys.executable, "-c", "while True: pass"])
                for _ in range(max((os.cpu_count() or 2) // 2, 1))
            ]
            try:
                free.ask([user(STORY)], 16)  # it may take notice first
                return free.ask([user(STORY)], plan.tokens).tokens_per_s
            finally:
                for loop in loops:
                    loop.kill()
                    loop.wait()

        def alone(number: int) -> float:
            return single.ask([user(STORY)], plan.tokens).tokens_per_s

        in_turns(measured, plan.rounds, {taken: disturbed, idle: alone})
    return measured


def paste(setup: Setup, plan: Plan) -> Measured:
    """First token after a long paste and some typing, with and without warming."""
    measured = Measured(
        "first token after a paste", "s", pairs=[("glm, warmed", "glm, GLM_WARM=off")]
    )
    text = text_of(plan.scaled(PASTED_TOKENS), setup)

    def run(warm: str) -> Callable[[int], float]:
        return lambda number: first_token_after_paste(
            f"{number} {text}", model=setup.model, dtype=setup.dtype, warm=warm
        )

    runs = {"glm, warmed": run("on"), "glm, GLM_WARM=off": run("off")}
    in_turns(measured, max(plan.rounds // 2, 1), runs)
    return measured
