"""The built-in model's GGUF file as a folder of safetensors that any server can read.

Weights, tokenizer and chat template come from the file, the shape of the folder from here. Does
for one model what a converter does for many. Knows nothing of torch or transformers.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from glmcli.language import tr
from glmcli.types import Progress, Report

if TYPE_CHECKING:
    import gguf
    import numpy as np
    import numpy.typing as npt

_NAMES = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
"""Names inside a layer: GGUF's and those of transformers' Llama."""

CONTROL = 3
"""GGUF's type of tokens that are never text."""


def convert_gguf(path: Path, folder: Path, report: Report) -> None:
    """Write the model in `path` to a new folder, in bfloat16."""
    import gguf

    report(Progress("converting", 0, None, "bytes", note=tr("reading")))
    reader = gguf.GGUFReader(path)
    fields = {name: field.contents() for name, field in reader.fields.items()}
    folder.mkdir()
    for name, value in (
        ("config.json", llama_config(fields)),
        ("generation_config.json", generation_of(fields)),
        ("tokenizer.json", tokenizer_of(fields)),
        ("tokenizer_config.json", tokenizer_config_of(fields)),
    ):
        text = json.dumps(value, ensure_ascii=False, indent=2)
        (folder / name).write_text(text + "\n", encoding="utf-8")
    write_weights(reader.tensors, fields, folder / "model.safetensors", report)


def llama_config(fields: Mapping[str, Any]) -> dict[str, Any]:
    """config.json, as both transformers 4 and 5 read it: 4 ignores `rope_parameters`."""
    theta = float(fields["llama.rope.freq_base"])
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "attention_bias": False,
        "attention_dropout": 0.0,
        "head_dim": fields["llama.rope.dimension_count"],
        "hidden_act": "silu",
        "hidden_size": fields["llama.embedding_length"],
        "initializer_range": 0.02,
        "intermediate_size": fields["llama.feed_forward_length"],
        "max_position_embeddings": fields["llama.context_length"],
        "mlp_bias": False,
        "num_attention_heads": fields["llama.attention.head_count"],
        "num_hidden_layers": fields["llama.block_count"],
        "num_key_value_heads": fields["llama.attention.head_count_kv"],
        "rms_norm_eps": round(fields["llama.attention.layer_norm_rms_epsilon"], 9),
        "rope_theta": theta,
        "rope_parameters": {"rope_type": "default", "rope_theta": theta},
        "tie_word_embeddings": True,
        "torch_dtype": "bfloat16",
        "dtype": "bfloat16",
        "use_cache": True,
        "vocab_size": fields["llama.vocab_size"],
        **generation_of(fields),
    }


def generation_of(fields: Mapping[str, Any]) -> dict[str, Any]:
    """generation_config.json."""
    return {
        "bos_token_id": fields["tokenizer.ggml.bos_token_id"],
        "eos_token_id": fields["tokenizer.ggml.eos_token_id"],
        "pad_token_id": fields["tokenizer.ggml.padding_token_id"],
    }


def tokenizer_of(fields: Mapping[str, Any]) -> dict[str, Any]:
    """tokenizer.json. Merges are strings, not pairs: tokenizers before 0.20 read nothing else."""
    tokens: list[str] = fields["tokenizer.ggml.tokens"]
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {"id": number, "content": tokens[number], **flags, "special": True}
            for number, kind in enumerate(fields["tokenizer.ggml.token_type"])
            if kind == CONTROL
        ],
        "normalizer": None,
        # What GGUF calls the pre-tokenizer "smollm".
        "pre_tokenizer": {
            "type": "Sequence",
            "pretokenizers": [
                {"type": "Digits", "individual_digits": True},
                byte_level(add_prefix_space=False),
            ],
        },
        "post_processor": None,
        "decoder": byte_level(add_prefix_space=True),
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": "",
            "end_of_word_suffix": "",
            "fuse_unk": False,
            "byte_fallback": False,
            "vocab": {token: number for number, token in enumerate(tokens)},
            "merges": fields["tokenizer.ggml.merges"],
        },
    }


def byte_level(*, add_prefix_space: bool) -> dict[str, Any]:
    """The byte-level part of a tokenizer."""
    return {
        "type": "ByteLevel",
        "add_prefix_space": add_prefix_space,
        "trim_offsets": True,
        "use_regex": True,
    }


def tokenizer_config_of(fields: Mapping[str, Any]) -> dict[str, Any]:
    """tokenizer_config.json."""
    tokens = fields["tokenizer.ggml.tokens"]
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": tokens[fields["tokenizer.ggml.bos_token_id"]],
        "eos_token": tokens[fields["tokenizer.ggml.eos_token_id"]],
        "pad_token": tokens[fields["tokenizer.ggml.padding_token_id"]],
        "unk_token": tokens[fields["tokenizer.ggml.unknown_token_id"]],
        "model_max_length": fields["llama.context_length"],
        "model_input_names": ["input_ids", "attention_mask"],
        "clean_up_tokenization_spaces": False,
        "chat_template": fields["tokenizer.chat_template"],
    }


def write_weights(
    tensors: list[gguf.ReaderTensor], fields: Mapping[str, Any], path: Path, report: Report
) -> None:
    """Write a safetensors file, tensor by tensor: length of the header, header, numbers."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for tensor in tensors:
        shape = [int(size) for size in reversed(tensor.shape)]
        start, end = end, end + 2 * int(tensor.n_elements)
        entry = {"dtype": "BF16", "shape": shape, "data_offsets": [start, end]}
        header[weight_name(tensor.name)] = entry
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    done = 0
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for numbers in convert_tensors(tensors, fields):
            done += file.write(numbers.tobytes())
            report(Progress("converting", done, end, "bytes", note=tr("weights")))


def weight_name(name: str) -> str:
    """A tensor's name in transformers' Llama."""
    if name in ("token_embd.weight", "output_norm.weight"):
        return "model.embed_tokens.weight" if name.startswith("token") else "model.norm.weight"
    _, layer, part, kind = name.split(".")
    return f"model.layers.{layer}.{_NAMES[part]}.{kind}"


def convert_tensors(
    tensors: list[gguf.ReaderTensor], fields: Mapping[str, Any]
) -> Iterator[npt.NDArray[np.uint16]]:
    """Each tensor's numbers as bfloat16 bits, in transformers' order."""
    import numpy as np
    from gguf.quants import dequantize

    heads = {
        "attn_q": fields["llama.attention.head_count"],
        "attn_k": fields["llama.attention.head_count_kv"],
    }
    for tensor in tensors:
        numbers = dequantize(tensor.data, tensor.tensor_type).astype(np.float32, copy=False)
        if (count := heads.get(tensor.name.split(".")[-2])) is not None:
            numbers = unpermute(numbers, count)
        yield bfloat16_bits(numbers)


def unpermute(rows: npt.NDArray[np.float32], heads: int) -> npt.NDArray[np.float32]:
    """Query or key rows for RoPE on halves: GGUF interleaves the two halves of each head."""
    pairs = rows.reshape(heads, -1, 2, rows.shape[1])
    return pairs.swapaxes(1, 2).reshape(rows.shape)


def bfloat16_bits(numbers: npt.NDArray[np.float32]) -> npt.NDArray[np.uint16]:
    """float32 rounded to the nearest bfloat16, ties to even, as its upper 16 bits."""
    import numpy as np

    bits = np.ascontiguousarray(numbers).view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)
