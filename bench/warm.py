"""What a warm model is worth: lines together against one by one, --keep against cold starts.

python bench/warm.py each [--lines 30] [--tokens 16] [--rounds 3]
python bench/warm.py keep [--asks 30] [--cold 3] [--tokens 16]

`each`: tokens a second of one engine that is given all lines at once, against the same engine with
one line after the other, in turns; the ratio is the median of each round's. Then the processor time
of a whole `glm ask --each`, the load included.

`keep`: the processor time of `glm ask --keep 10m` in a loop, with the holder's own and the first
load, against cold asks. Of those only --cold are run, and their mean is taken for all: that they
are alike is what is bad about them. The holder is stopped at the end.

With --model smollm2 all of it takes some minutes on one core. Prints Markdown.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from threading import Event

from glmcli.config import load_settings
from glmcli.engines import Asked, BatchItem
from glmcli.engines.batches import batch_of, in_turn
from glmcli.errors import GlmError
from glmcli.types import GenerationParams, Message

GLM = str(Path(sys.executable).with_name("glm"))
NAMES = ("river", "engine", "winter", "market", "violin", "garden", "planet", "bridge", "letter")
REACH = {"together": 2.5, "keep": 0.25}
"""What is wanted: at least so many times the tokens a second; at most this share of processor."""


def arguments() -> argparse.Namespace:
    """What was asked for."""
    text = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=text)
    parser.add_argument("what", choices=("each", "keep", "all"), nargs="?", default="all")
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--lines", type=int, default=30)
    parser.add_argument("--asks", type=int, default=30)
    parser.add_argument("--cold", type=int, default=3)
    parser.add_argument("--tokens", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", default="1")
    parser.add_argument("--dtype", default="auto", help="float32: no text may differ")
    return parser.parse_args()


def questions(count: int) -> list[str]:
    """Short prompts, no two alike."""
    return [f"Write about the {NAMES[n % len(NAMES)]}, number {n}." for n in range(count)]


def speed(items: Iterable[BatchItem]) -> tuple[float, dict[int, str]]:
    """Tokens a second over all replies, and their texts by index. Raises GlmError."""
    started, tokens, texts = time.perf_counter(), 0, dict[int, str]()
    for index, item in items:
        if isinstance(item, GlmError):
            raise item
        texts[index] = texts.get(index, "") + item.text
        tokens += item.usage.completion_tokens or 0 if item.usage else 0
    return tokens / (time.perf_counter() - started), texts


def each(options: argparse.Namespace, env: dict[str, str], folder: Path) -> None:
    """Lines together against one by one, in one process; then the command itself."""
    from glmcli.engines import open_engine

    given = {"model": options.model, "threads": int(options.threads), "dtype": options.dtype}
    engine = open_engine(load_settings(given, environ=env), lambda progress: None)
    params = GenerationParams(max_tokens=options.tokens, temperature=0.0)
    prompts: list[Asked] = [((Message("user", text),), params) for text in questions(options.lines)]
    speed(batch_of(engine, prompts[:2], Event()))
    speeds: dict[str, list[float]] = {"one by one": [], "together": []}
    different = 0
    for at in range(options.rounds):
        texts = {}
        for way in sorted(speeds, reverse=bool(at % 2)):
            make = batch_of if way == "together" else in_turn
            found, texts[way] = speed(make(engine, prompts, Event()))
            speeds[way].append(found)
        one, other = texts.values()
        different = sum(one[index] != other[index] for index in one)
    engine.close()
    ratio = statistics.median(
        b / a for a, b in zip(speeds["one by one"], speeds["together"], strict=True)
    )
    (folder / "lines").write_text("".join(f"{text}\n" for text in questions(options.lines)))
    command = [*ask(options), "--each", str(folder / "lines")]
    cpu, wall = cost(command, env)
    print(f"| {options.lines} lines, {options.tokens} tokens, {engine.device} | tokens/s |")
    print("| --- | ---: |")
    for way, found_speeds in speeds.items():
        print(f"| {way} | {statistics.median(found_speeds):.1f} |")
    print(f"| **ratio** (at least {REACH['together']}) | **{ratio:.2f}** |")
    print(f"| texts that differ | {different} |")
    print(f"\n`glm ask --each`, load included: {cpu:.1f} s of processor, {wall:.1f} s.\n")


def keep(options: argparse.Namespace, env: dict[str, str]) -> None:
    """Asks that find a holder against cold ones."""
    texts = questions(max(options.asks, options.cold))
    cold = [cost([*ask(options), text], env) for text in texts[: options.cold]]
    try:
        warm = [cost([*ask(options), "--keep", "10m", text], env) for text in texts[: options.asks]]
        holders = json.loads(subprocess.check_output([GLM, "ps", "--json"], env=env))
        held = sum(processor_s(each["pid"]) for each in holders)
    finally:
        subprocess.run([GLM, "stop", "--all"], env=env, stdout=subprocess.DEVNULL, check=False)
    cold_s = statistics.mean(cpu for cpu, _ in cold) * options.asks
    warm_s = sum(cpu for cpu, _ in warm) + held
    print(f"| {options.asks} asks, {options.tokens} tokens | processor s | s an ask |")
    print("| --- | ---: | ---: |")
    print(f"| cold | {cold_s:.1f} | {statistics.median(wall for _, wall in cold):.2f} |")
    walls = [wall for _, wall in warm]
    name = f"--keep, {held:.1f} of it in the holder"
    print(f"| {name} | {warm_s:.1f} | {statistics.median(walls):.2f} |")
    print(f"| **ratio** (at most {REACH['keep']}) | **{warm_s / cold_s:.2f}** | |\n")


def ask(options: argparse.Namespace) -> list[str]:
    """The command line of both."""
    sampling = ["--temperature", "0", "--max-tokens", str(options.tokens)]
    load = ["-m", options.model, "--threads", options.threads, "--dtype", options.dtype]
    return [GLM, "ask", "-q", *load, *sampling]


def cost(command: list[str], env: dict[str, str]) -> tuple[float, float]:
    """Seconds of processor and of the clock that a command takes. Raises CalledProcessError."""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(
        command, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=True
    )
    wall, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, wall


def processor_s(pid: int) -> float:
    """Seconds of processor that a running process has taken, its user's and the system's."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    """Measure in a home of its own, so that no history and no other holder has to do with it."""
    options = arguments()
    with tempfile.TemporaryDirectory(prefix="glm-bench-") as name:
        folder = Path(name)
        own = {"GLM_HOME": name, "XDG_RUNTIME_DIR": name}
        env = {k: v for k, v in os.environ.items() if not k.startswith("GLM_")} | own
        if "GLM_CACHE" in os.environ:
            env["GLM_CACHE"] = os.environ["GLM_CACHE"]
        if options.what in ("all", "each"):
            each(options, env, folder)
        if options.what in ("all", "keep"):
            keep(options, env)


if __name__ == "__main__":
    main()
