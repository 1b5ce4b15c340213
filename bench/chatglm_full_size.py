"""A ChatGLM3-6B-32k of the real shape: load time, peak memory and the first tokens' latency.

Writes random weights in the original layout (seven float16 shards, 12.5 GB) to FOLDER, which must
not exist, loads them in a process of its own as `glm` does, in bfloat16 on the CPU, and deletes
FOLDER afterwards. Memory is anonymous plus file-backed, above what it was after the imports.

    python bench/chatglm_full_size.py FOLDER [--layers 28] [--keep]
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

from load_memory import LIMIT, resident, wait_for_line

SHARDS = 7
HIDDEN, FFN, VOCABULARY, GROUPS, HEAD = 4096, 13696, 65024, 2, 128
TOKENIZER = "tests/data/chatglm/checkpoints/tiny-6b-safetensors/tokenizer.model"
CONFIG = {
    "model_type": "chatglm",
    "architectures": ["ChatGLMModel"],
    "hidden_size": HIDDEN,
    "ffn_hidden_size": FFN,
    "padded_vocab_size": VOCABULARY,
    "num_attention_heads": HIDDEN // HEAD,
    "kv_channels": HEAD,
    "multi_query_attention": True,
    "multi_query_group_num": GROUPS,
    "add_qkv_bias": True,
    "layernorm_epsilon": 1e-5,
    "rope_ratio": 50,
    "seq_length": 32768,
    "torch_dtype": "float16",
    "eos_token_id": 2,
    "pad_token_id": 0,
}
LOAD = """
import sys, time
from threading import Event
import torch, transformers, accelerate, safetensors.torch
from transformers import GlmForCausalLM
from glmcli.config import load_settings
from glmcli.engines import open_engine
from glmcli.types import GenerationParams, Message

quiet = lambda progress: None
settings = load_settings({"model": sys.argv[1], "dtype": "bfloat16", "device": "cpu"})
print("ready", flush=True)
sys.stdin.readline()
begin = time.perf_counter()
engine = open_engine(settings, quiet)
print(time.perf_counter() - begin, flush=True)
sys.stdin.readline()
begin = time.perf_counter()
stream = engine.stream([Message("user", "hello")], GenerationParams(max_tokens=4), Event())
times = [time.perf_counter() - begin for chunk in stream if chunk.tokens]
print(*times, flush=True)
"""


def shapes(layers: int) -> dict[str, tuple[int, ...]]:
    """Every tensor of the original layout."""
    fused = HIDDEN + 2 * GROUPS * HEAD
    found: dict[str, tuple[int, ...]] = {
        "transformer.embedding.word_embeddings.weight": (VOCABULARY, HIDDEN),
        "transformer.rotary_pos_emb.inv_freq": (HEAD // 4,),
    }
    for number in range(layers):
        layer = f"transformer.encoder.layers.{number}"
        found |= {
            f"{layer}.input_layernorm.weight": (HIDDEN,),
            f"{layer}.self_attention.query_key_value.weight": (fused, HIDDEN),
            f"{layer}.self_attention.query_key_value.bias": (fused,),
            f"{layer}.self_attention.dense.weight": (HIDDEN, HIDDEN),
            f"{layer}.post_attention_layernorm.weight": (HIDDEN,),
            f"{layer}.mlp.dense_h_to_4h.weight": (2 * FFN, HIDDEN),
            f"{layer}.mlp.dense_4h_to_h.weight": (HIDDEN, FFN),
        }
    found["transformer.encoder.final_layernorm.weight"] = (HIDDEN,)
    found["transformer.output_layer.weight"] = (VOCABULARY, HIDDEN)
    return found


def write_checkpoint(folder: Path, layers: int) -> None:
    """Random weights in shards of about the same size, index, config and a tokenizer."""
    import torch
    from safetensors.torch import save_file

    folder.mkdir(parents=True)
    tensors = shapes(layers)
    total = 2 * sum(torch.Size(shape).numel() for shape in tensors.values())
    shards: list[dict[str, torch.Tensor]] = [{} for _ in range(SHARDS)]
    weight_map: dict[str, str] = {}
    written = 0
    for name, shape in tensors.items():
        number = min(written * SHARDS // total, SHARDS - 1)
        file = f"model-{number + 1:05}-of-{SHARDS:05}.safetensors"
        norm = name.endswith("layernorm.weight")
        tensor = torch.ones(shape) if norm else torch.randn(shape).mul_(0.02)
        shards[number][name] = tensor.half()
        weight_map[name] = file
        written += tensor.numel() * 2
        if min(written * SHARDS // total, SHARDS - 1) > number or written == total:
            save_file(shards[number], folder / file, metadata={"format": "pt"})
            shards[number] = {}
    index = {"metadata": {"total_size": total}, "weight_map": weight_map}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    (folder / "config.json").write_text(json.dumps(CONFIG | {"num_layers": layers}))
    shutil.copyfile(Path(__file__).parents[1] / TOKENIZER, folder / "tokenizer.model")
    print(f"wrote {total / 1e9:.2f} GB in {SHARDS} shards", flush=True)


def measure(folder: Path) -> float:
    """Load, ask for four tokens, print what it took, and return peak memory over the weights."""
    weights = sum(file.stat().st_size for file in folder.glob("*.safetensors"))
    with subprocess.Popen(
        [sys.executable, "-c", LOAD, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as child:
        assert child.stdin and child.stdout
        child.stdout.readline()
        base, peak = resident(child.pid), [0, 0, 0]
        child.stdin.write("\n")
        child.stdin.flush()
        seconds = wait_for_line(child, base, peak)
        if not seconds:
            raise SystemExit("the checkpoint could not be loaded")
        print(f"loaded in {float(seconds):.1f} s", flush=True)
        child.stdin.write("\n")
        child.stdin.close()
        times = [float(time) for time in child.stdout.readline().split()]
    print(f"first token after {times[0]:.1f} s, then {times[1] - times[0]:.1f} s each")
    ratio = peak[2] / weights
    print(
        f"peak {peak[0] / 1e9:.2f} GB anonymous, {peak[1] / 1e9:.2f} GB of files, "
        f"{peak[2] / 1e9:.2f} GB together: {ratio:.2f} x the weights (limit {LIMIT})"
    )
    return ratio


def main() -> int:
    """Write, measure, delete."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="where to write 12.5 GB; must not exist")
    parser.add_argument("--layers", type=int, default=28, help="fewer for a quick try")
    parser.add_argument("--keep", action="store_true", help="do not delete the folder afterwards")
    options = parser.parse_args()
    if options.folder.exists():
        parser.error(f"{options.folder} exists already")
    began = time.perf_counter()
    try:
        # In a process of its own, so that this one stays small.
        write = "import sys; sys.path.insert(0, sys.argv[1]); import chatglm_full_size as m; "
        write += "m.write_checkpoint(m.Path(sys.argv[2]), int(sys.argv[3]))"
        here = str(Path(__file__).parent)
        folder, layers = str(options.folder), str(options.layers)
        subprocess.run([sys.executable, "-c", write, here, folder, layers], check=True)
        ratio = measure(options.folder)
    finally:
        if not options.keep:
            shutil.rmtree(options.folder, ignore_errors=True)
    print(f"{time.perf_counter() - began:.0f} s in all")
    return 0 if ratio <= LIMIT else 1


if __name__ == "__main__":
    sys.exit(main())
