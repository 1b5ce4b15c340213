"""GGUF files that are small enough to be written in a test, and that llama.cpp runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import gguf
import numpy as np

from glmcli.engines.local.prompt.decoder import byte_alphabet

TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n"
    "{% if enable_thinking is defined and not enable_thinking %}<think>\n\n</think>\n\n{% endif %}"
    "{% endif %}"
)
CONTROLS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
MARKS = ["<think>", "</think>"]
TOKENS = [*CONTROLS, *MARKS, *byte_alphabet(), "he", "ll", "Ġt"]
MERGES = ["h e", "l l", "Ġ t"]
WIDTH, HEADS, LAYERS, WINDOW, FORWARD = 64, 4, 2, 512, 96


def write_chat(
    path: Path,
    *,
    template: str = TEMPLATE,
    name: str = "Tiny",
    window: int = WINDOW,
    fields: Mapping[str, int | float | str] = {},
    leave_out: Sequence[str] = (),
) -> Path:
    """A Llama of random weights with a chat template, two layers and bytes for a vocabulary."""
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name(name)
    writer.add_context_length(window)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(FORWARD)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS // 2)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    writer.add_vocab_size(len(TOKENS))
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(TOKENS)
    kinds = [3] * len(CONTROLS) + [4] * len(MARKS)
    writer.add_token_types(kinds + [1] * (len(TOKENS) - len(kinds)))
    writer.add_token_merges(MERGES)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_add_bos_token(False)
    if template:
        writer.add_chat_template(template)
    for key, value in fields.items():
        add_field(writer, key, value)
    for tensor, shape in shapes().items():
        if tensor not in leave_out:
            writer.add_tensor(tensor, weights(tensor, shape))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def add_field(writer: Any, key: str, value: float | str) -> None:
    """A field of any name."""
    add = {str: writer.add_string, int: writer.add_uint32, float: writer.add_float32}[type(value)]
    add(key, value)


def shapes() -> dict[str, tuple[int, ...]]:
    """The tensors of the model."""
    found: dict[str, tuple[int, ...]] = {
        "token_embd.weight": (len(TOKENS), WIDTH),
        "output_norm.weight": (WIDTH,),
    }
    for layer in range(LAYERS):
        found |= {
            f"blk.{layer}.attn_norm.weight": (WIDTH,),
            f"blk.{layer}.attn_q.weight": (WIDTH, WIDTH),
            f"blk.{layer}.attn_k.weight": (WIDTH // 2, WIDTH),
            f"blk.{layer}.attn_v.weight": (WIDTH // 2, WIDTH),
            f"blk.{layer}.attn_output.weight": (WIDTH, WIDTH),
            f"blk.{layer}.ffn_norm.weight": (WIDTH,),
            f"blk.{layer}.ffn_gate.weight": (FORWARD, WIDTH),
            f"blk.{layer}.ffn_up.weight": (FORWARD, WIDTH),
            f"blk.{layer}.ffn_down.weight": (WIDTH, FORWARD),
        }
    return found


def weights(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """The same random numbers in each run; no control token is ever the likeliest."""
    numbers = np.random.default_rng(sum(name.encode())).normal(0, 0.3, shape).astype(np.float32)
    if name.startswith("token_embd"):
        numbers[: len(CONTROLS) + len(MARKS)] *= 0.01
    return np.ones(shape, np.float32) if len(shape) == 1 else numbers
