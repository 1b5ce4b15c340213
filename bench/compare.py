"""glm beside its peers: the same prompts on the same weights, in turns (A B, B A, ...).

    python bench/compare.py [--model smollm2|random:1.2B|FOLDER]
                            [--peers glm,glm:int8,generate,serve,fastchat,llama:Q8_0]
                            [--tasks decode,chat,context,long,cold,busy,paste]
                            [--threads 1] [--rounds 5] [--json FILE] [--plot FILE.svg]
                            [--quick] [--log]

Peers: glm and glm:int8 (this program), gguf:BF16, :Q8_0 or :Q4_1 (this program, which has llama.cpp
compute a GGUF file; llama:Q8_0 is asked about the very same file), generate (transformers with a
TextIteratorStreamer), serve (`transformers serve`), fastchat (a FastChat worker), llama:BF16, :Q8_0
or :Q4_1 (llama-cpp-python). Those of others run in virtual environments, made at first use in
--folder (5 GB, and minutes of compiling for llama). Prints Markdown: medians, and the median of
each round's ratio, since what slows a round slows both of a pair. CPU only, on a machine that does
nothing else. What cannot run is named on stderr and left out.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import tasks
from bars import bar_plot
from environments import PACKAGES
from peers import KINDS, PeerFailed, Setup
from random_net import SHAPES, random_net
from tasks import Measured, Plan, started

from glmcli import __version__
from glmcli.config import default_folder, load_settings
from glmcli.machine import PROC, read_lines
from glmcli.models.checkpoint import find_checkpoint

TOGETHER = {
    "decode": tasks.decode,
    "chat": tasks.chat,
    "context": tasks.context,
    "long": tasks.long_chat,
}
"""Tasks in which all peers run side by side."""
ALONE = ("cold", "busy", "paste")
RANDOM = "random:"
FLAGS = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_int8", "bf16", "i8mm")
"""What decides which products a processor has."""
PEERS = "glm,glm:int8,generate,serve,fastchat,llama:BF16,llama:Q8_0"


def arguments() -> argparse.Namespace:
    """What was asked for."""
    text = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=text)
    parser.add_argument("--model", default="smollm2", help="as glm names it, or random:1.2B")
    parser.add_argument("--gguf", type=Path, help="the same weights in bfloat16, of another model")
    parser.add_argument("--conv-template", default="orca-2", help="FastChat's name for the format")
    parser.add_argument("--dtype", default="bfloat16", help="of all that is not quantised")
    parser.add_argument("--peers", default=PEERS)
    parser.add_argument("--tasks", default=",".join([*TOGETHER, *ALONE]))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--tokens", type=int, default=64, help="of a reply")
    parser.add_argument("--folder", type=Path, default=default_folder("cache") / "compare")
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--plot", type=Path, metavar="FILE.svg")
    parser.add_argument("--log", action="store_true", help="show what the peers say")
    parser.add_argument("--quick", action="store_true", help="only to see that everything runs")
    options = parser.parse_args()
    options.peers, options.tasks = options.peers.split(","), options.tasks.split(",")
    for name in options.peers:
        if name.partition(":")[0] not in KINDS:
            parser.error(f"there is no peer {name!r}: {', '.join(KINDS)}")
    for name in options.tasks:
        if name not in (*TOGETHER, *ALONE):
            parser.error(f"there is no task {name!r}: {', '.join([*TOGETHER, *ALONE])}")
    size = options.model.removeprefix(RANDOM)
    if options.model.startswith(RANDOM) and size not in SHAPES:
        parser.error(f"there is no random net {size!r}: {', '.join(SHAPES)}")
    return options


def measure(options: argparse.Namespace) -> list[Measured]:
    """Run the tasks; an interrupt keeps what was measured."""
    found: list[Measured] = []
    options.folder.mkdir(parents=True, exist_ok=True)
    model, twin = options.model, options.gguf
    if model.startswith(RANDOM):
        made, twin = random_net(model.removeprefix(RANDOM), options.folder)
        model = str(made)
    settings = load_settings({"model": model})
    setup = Setup(
        model=model,
        folder=find_checkpoint(model, settings.model_options, lambda progress: None).folder,
        environments=options.folder,
        twin=twin,
        dtype=options.dtype,
        threads=options.threads,
        conv_template=options.conv_template,
        log=options.log,
    )
    plan = Plan(options.rounds, options.tokens, options.quick)
    together = [name for name in options.tasks if name in TOGETHER]
    try:
        if together:
            with started(options.peers, setup) as peers:
                for name in together:
                    found.append(shown(TOGETHER[name](peers, setup, plan)))
        for name in options.tasks:
            if name in ALONE:
                found += [shown(item) for item in alone(name, options.peers, setup, plan)]
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
    return found


def alone(name: str, peers: Sequence[str], setup: Setup, plan: Plan) -> list[Measured]:
    """The tasks that need the machine, or a program of their own."""
    match name:
        case "cold":
            return [tasks.cold(setup, plan)]
        case "paste":
            return [tasks.paste(setup, plan)]
    found = []
    for peer in peers:
        if peer.partition(":")[0] == "glm":
            try:
                found.append(tasks.busy(peer, setup, plan))
            except PeerFailed as exc:
                print(f"left out: {exc}", file=sys.stderr)
    return found


def shown(measured: Measured) -> Measured:
    """Print one task's medians and ratios, as a Markdown table."""
    print(f"\n| {measured.task}, {measured.unit} | median | lowest | highest |")
    print("| --- | ---: | ---: | ---: |")
    for name, value in measured.medians().items():
        numbers = measured.values[name]
        print(f"| {name} | {value:.3f} | {min(numbers):.3f} | {max(numbers):.3f} |")
    for one, other, ratio in measured.ratios():
        print(f"| {one} / {other} | **{ratio:.2f}** | | |")
    sys.stdout.flush()
    return measured


def machine() -> dict[str, Any]:
    """Where and when this was measured."""
    lines = [line.split(":", 1) for line in read_lines(PROC / "cpuinfo") if ":" in line]
    told = {key.strip(): value.strip() for key, value in lines}
    flags = {*told.get("flags", "").split(), *told.get("Features", "").split()}
    return {
        "date": datetime.date.today().isoformat(),
        "processor": told.get("model name") or platform.processor(),
        "flags": [flag for flag in FLAGS if flag in flags],
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 2),
        "glm": __version__,
        "commit": commit(),
        "packages": PACKAGES,
    }


def commit() -> str:
    """The revision of this source, if git knows it."""
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "--short", "HEAD"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip()


def as_json(found: Sequence[Measured], options: argparse.Namespace, where: dict[str, Any]) -> str:
    """Everything that was measured."""
    data = {
        "machine": where,
        "options": {key: str(value) for key, value in vars(options).items()},
        "tasks": [
            {
                "task": item.task,
                "unit": item.unit,
                "values": item.values,
                "medians": item.medians(),
                "ratios": [dict(zip(("of", "to", "ratio"), row, strict=True)) for row in ratios],
            }
            for item in found
            for ratios in [item.ratios()]
        ],
    }
    return json.dumps(data, ensure_ascii=False, indent=2) + "\n"


def plural(count: int, noun: str) -> str:
    """A count and its noun: "1 core", "2 cores"."""
    return f"{count:,} {noun}" + ("" if count == 1 else "s")


def plot(found: Sequence[Measured], options: argparse.Namespace, where: dict[str, Any]) -> str:
    """A group of bars for each task."""
    groups = [(f"{item.task}, {item.unit}", list(item.medians().items())) for item in found]
    threads = plural(options.threads, "thread")
    subtitle = f"{where['processor']}, {threads}, {where['date']}; medians of {options.rounds}"
    return bar_plot(f"glm beside its peers: {options.model}", subtitle, groups)


def main() -> int:
    """Measure, print, write; 1 if nothing could be measured."""
    options = arguments()
    where = machine()
    print(f"{options.model}, {options.dtype}, {plural(options.threads, 'thread')}, ", end="")
    print(f"{where['processor']} ({', '.join(where['flags'])}), ", end="")
    print(f"{plural(where['cores'], 'core')}, {where['date']}")
    found = [item for item in measure(options) if item.values]
    if options.json:
        options.json.write_text(as_json(found, options, where), encoding="utf-8")
    if options.plot:
        options.plot.write_text(plot(found, options, where), encoding="utf-8")
    return 0 if found else 1


if __name__ == "__main__":
    sys.exit(main())
