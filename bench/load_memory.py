"""Peak memory while a checkpoint loads, as a multiple of its weights.

Writes a random Llama-shaped checkpoint (700 MB in float16 unless told otherwise) into a temporary
folder, loads it in a process of its own as `glm` does, and samples that process's anonymous and
file-backed resident memory above what it was after the imports.

    python bench/load_memory.py [--stored float16] [--dtype bfloat16] [--folder FOLDER]
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SAMPLE_S = 0.002
LIMIT = 1.15
LOAD = """
import sys, time
import torch, transformers, accelerate, safetensors.torch
from transformers import LlamaForCausalLM
from glmcli.config import load_settings
from glmcli.models.checkpoint import find_checkpoint
from glmcli.engines.local.net.load import load_net
from glmcli.engines.local.net.plain.open import arrange

options = load_settings({"dtype": sys.argv[2], "device": "cpu"}).model_options
find_checkpoint(sys.argv[1], options, lambda progress: None)
print("ready", flush=True)
sys.stdin.readline()
begin = time.perf_counter()
checkpoint = find_checkpoint(sys.argv[1], options, print)
net = load_net(checkpoint, options, lambda progress: None)
weights = sum(parameter.nbytes for parameter in net.parameters())
arrange(net, checkpoint, lambda progress: None)
print(weights, time.perf_counter() - begin, net.dtype, flush=True)
sys.stdin.readline()
"""


def write_checkpoint(folder: Path, stored: str) -> None:
    """A Llama of about 350 million random numbers in 150 MB shards."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        hidden_size=1280,
        intermediate_size=3456,
        num_hidden_layers=16,
        num_attention_heads=20,
        num_key_value_heads=4,
        vocab_size=32000,
        dtype=stored,
    )
    torch.set_default_dtype(getattr(torch, stored))
    LlamaForCausalLM(config).save_pretrained(folder, max_shard_size="150MB")


def resident(pid: int) -> tuple[int, int]:
    """A process's anonymous and file-backed resident bytes."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    sizes = dict(line.split(":") for line in lines if line.startswith("Rss"))
    anonymous, files = (int(sizes[name].split()[0]) * 1024 for name in ("RssAnon", "RssFile"))
    return anonymous, files


def measure(folder: Path, dtype: str) -> float:
    """Load a folder once, print what it took, and return the ratio."""
    with subprocess.Popen(
        [sys.executable, "-c", LOAD, str(folder), dtype],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as child:
        assert child.stdin and child.stdout
        if child.stdout.readline().strip() != "ready":
            raise SystemExit("the checkpoint could not be opened")
        base = resident(child.pid)
        peak = [0, 0, 0]
        child.stdin.write("\n")
        child.stdin.flush()
        answer = wait_for_line(child, base, peak)
        child.stdin.write("\n")
    weights, seconds, loaded_as = answer.split()
    ratio = peak[2] / int(weights)
    print(
        f"{folder.name}: {int(weights) / 1e6:.0f} MB as {loaded_as} in {float(seconds):.1f} s; "
        f"peak {peak[0] / 1e6:.0f} MB anonymous, {peak[1] / 1e6:.0f} MB of files, "
        f"{peak[2] / 1e6:.0f} MB together: {ratio:.2f} x the weights (limit {LIMIT})"
    )
    return ratio


def wait_for_line(child: subprocess.Popen[str], base: tuple[int, int], peak: list[int]) -> str:
    """Sample until the child answers."""
    import select

    while not select.select([child.stdout], [], [], SAMPLE_S)[0]:
        anonymous, files = resident(child.pid)
        grown = anonymous - base[0], files - base[1]
        peak[:] = map(max, peak, (*grown, sum(grown)))
    assert child.stdout
    return child.stdout.readline()


def main() -> int:
    """Measure one folder, or every way that a checkpoint is stored and loaded."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, help="a checkpoint to load instead of a random one")
    parser.add_argument("--stored", nargs="*", default=["bfloat16", "float16"])
    parser.add_argument("--dtype", nargs="*", default=["auto", "float32"])
    options = parser.parse_args()
    began = time.perf_counter()
    worst = 0.0
    with tempfile.TemporaryDirectory() as temporary:
        for stored in [""] if options.folder else options.stored:
            folder = options.folder or Path(temporary) / f"stored-{stored}"
            if not options.folder:
                write = "import sys; sys.path.insert(0, 'bench'); import load_memory as m; "
                write += f"m.write_checkpoint(m.Path({str(folder)!r}), {stored!r})"
                subprocess.run([sys.executable, "-c", write], check=True, stderr=subprocess.DEVNULL)
            worst = max(worst, *(measure(folder, dtype) for dtype in options.dtype))
    print(f"worst {worst:.2f} x, {time.perf_counter() - began:.0f} s")
    return 0 if worst <= LIMIT else 1


if __name__ == "__main__":
    sys.exit(main())
