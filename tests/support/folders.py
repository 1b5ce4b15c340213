"""Model folders, small enough to be written in a test."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from glmcli.types import Progress

LLAMA = {
    "model_type": "llama",
    "architectures": ["LlamaForCausalLM"],
    "vocab_size": 96,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
    "tie_word_embeddings": False,
}


class Reports(list[Progress]):
    """Everything that was reported."""

    def __call__(self, progress: Progress) -> None:
        self.append(progress)

    @property
    def stages(self) -> list[str]:
        return list(dict.fromkeys(progress.stage for progress in self))


def write_config(folder: Path, **changes: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(LLAMA | changes))
    return folder


def write_zeros(path: Path, *names: str) -> None:
    """A safetensors file of zeros for each name, as many as the config has tokens."""
    save_file({name: np.zeros(96, np.float32) for name in names}, path)


def write_shards(folder: Path, index: dict[str, str] | None = None) -> Path:
    """Two shards, "a" and "b" in the first and "c" in the second, and their index."""
    write_config(folder)
    first, second = "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"
    write_zeros(folder / first, "a", "b")
    write_zeros(folder / second, "c")
    table = {"a": first, "b": first, "c": second} if index is None else index
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": table}))
    return folder


def write_llama(folder: Path, *, stored: str = "float32", **changes: Any) -> Path:
    """A random Llama of 20,000 numbers, as safetensors."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    net = LlamaForCausalLM(LlamaConfig(**(LLAMA | changes))).to(getattr(torch, stored))
    net.config.dtype = stored
    net.save_pretrained(folder)
    return folder
