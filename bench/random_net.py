"""A Llama of a real shape with random weights, as safetensors and as GGUF, of the same numbers.

At 135M what a program does around the products rules, at 1B and up it is the memory's bandwidth.
The tokenizer is that of the built-in model. Made once, in a folder of the cache, and kept.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

SHAPES = {
    "1.2B": {
        "hidden_size": 2048,
        "intermediate_size": 8192,
        "num_hidden_layers": 16,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "head_dim": 64,
    }
}
"""That of Llama 3.2 1B, but for the vocabulary."""
SPREAD = 0.02
Numbers = NDArray[np.float32]


def random_net(size: str, folder: Path) -> tuple[Path, Path]:
    """The folder with the net as transformers reads it, and the GGUF file, in bfloat16."""
    home, gguf = folder / f"random-{size}", folder / f"random-{size}-BF16.gguf"
    if not gguf.exists():
        home.mkdir(exist_ok=True)
        config = made_config(size, home)
        write_safetensors(config, home)
        made = gguf.with_suffix(".part")
        write_gguf(config, made)
        made.rename(gguf)
    return home, gguf


def made_config(size: str, work: Path) -> dict[str, Any]:
    """The configuration, written to `work` beside the built-in model's tokenizer."""
    from glmcli.config import load_settings
    from glmcli.models.checkpoint import find_checkpoint

    settings = load_settings({"model": "smollm2"})
    own = find_checkpoint("smollm2", settings.model_options, lambda progress: None).folder
    for path in own.iterdir():
        if path.suffix == ".json":
            shutil.copyfile(path, work / path.name)
    config: dict[str, Any] = json.loads((own / "config.json").read_text()) | SHAPES[size]
    (work / "config.json").write_text(json.dumps(config, indent=2))
    return config


def matrices(config: dict[str, Any]) -> Iterator[tuple[str, str, Numbers]]:
    """Each tensor: its name in transformers and in GGUF, and its numbers. The same each time."""
    source = np.random.default_rng(0)
    width, inner = config["hidden_size"], config["intermediate_size"]
    heads, groups = config["num_attention_heads"], config["num_key_value_heads"]
    size = config["head_dim"]

    def matrix(rows: int, columns: int) -> Numbers:
        return source.standard_normal((rows, columns), dtype=np.float32) * np.float32(SPREAD)

    ones = np.ones(width, dtype=np.float32)
    yield "model.embed_tokens.weight", "token_embd.weight", matrix(config["vocab_size"], width)
    for number in range(config["num_hidden_layers"]):
        ours, theirs = f"model.layers.{number}.", f"blk.{number}."
        yield ours + "input_layernorm.weight", theirs + "attn_norm.weight", ones
        for name, rows in (("q", heads * size), ("k", groups * size), ("v", groups * size)):
            names = (f"self_attn.{name}_proj.weight", f"attn_{name}.weight")
            yield ours + names[0], theirs + names[1], matrix(rows, width)
        yield (
            ours + "self_attn.o_proj.weight",
            theirs + "attn_output.weight",
            matrix(width, heads * size),
        )
        yield ours + "post_attention_layernorm.weight", theirs + "ffn_norm.weight", ones
        for name in ("gate", "up"):
            names = (f"mlp.{name}_proj.weight", f"ffn_{name}.weight")
            yield ours + names[0], theirs + names[1], matrix(inner, width)
        yield ours + "mlp.down_proj.weight", theirs + "ffn_down.weight", matrix(width, inner)
    yield "model.norm.weight", "output_norm.weight", ones


def write_safetensors(config: dict[str, Any], work: Path) -> None:
    """The net as transformers reads it; its head is its embedding."""
    import torch
    from safetensors.torch import save_file

    tensors = {name: torch.from_numpy(it).bfloat16() for name, _, it in matrices(config)}
    save_file(tensors, work / "model.safetensors", metadata={"format": "pt"})


def write_gguf(config: dict[str, Any], target: Path) -> None:
    """The net as llama.cpp reads it, beside all that the built-in model's file says of words."""
    import gguf
    from environments import copy_fields, original

    with tempfile.TemporaryDirectory(dir=target.parent) as work:
        reader = gguf.GGUFReader(original(Path(work)))
        writer = gguf.GGUFWriter(target, "llama")
        copy_fields(reader, writer, lambda name: name.startswith(("tokenizer.", "general.")))
        writer.add_context_length(config["max_position_embeddings"])
        writer.add_embedding_length(config["hidden_size"])
        writer.add_feed_forward_length(config["intermediate_size"])
        writer.add_block_count(config["num_hidden_layers"])
        writer.add_head_count(config["num_attention_heads"])
        writer.add_head_count_kv(config["num_key_value_heads"])
        writer.add_rope_dimension_count(config["head_dim"])
        writer.add_rope_freq_base(rope_base(config))
        writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
        writer.add_vocab_size(config["vocab_size"])
        kind = gguf.GGMLQuantizationType.BF16
        for _, name, numbers in matrices(config):
            if numbers.ndim == 1:
                writer.add_tensor(name, numbers)
                continue
            turned = in_pairs(numbers, config["head_dim"]) if is_turned(name) else numbers
            writer.add_tensor(name, gguf.quants.quantize(turned, kind), raw_dtype=kind)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()


def is_turned(name: str) -> bool:
    """Whether rotary positions turn what comes out."""
    return name.endswith(("attn_q.weight", "attn_k.weight"))


def in_pairs(matrix: Numbers, size: int) -> Numbers:
    """Rows as llama.cpp turns them: beside each number the one that was half a head on."""
    columns = matrix.shape[1]
    return matrix.reshape(-1, 2, size // 2, columns).swapaxes(1, 2).reshape(-1, columns).copy()


def rope_base(config: dict[str, Any]) -> float:
    """What the frequencies of the positions are powers of."""
    return float(config.get("rope_theta") or config["rope_parameters"]["rope_theta"])
