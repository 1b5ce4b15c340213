"""GGUF to safetensors: the same numbers under other names."""

from __future__ import annotations

import json
from pathlib import Path

import gguf
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file
from tokenizers import Tokenizer

from glmcli.models.gguf.convert import bfloat16_bits, convert_gguf
from tests.support.folders import LLAMA, Reports, write_llama

TOKENS = ["<unk>", "<s>", "</s>", *"abcdefgh123Ġ", "ab"]
PADDED = [*TOKENS, *(f"<{number}>" for number in range(96 - len(TOKENS)))]
PARTS = {
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}


def interleaved(rows: np.ndarray, heads: int) -> np.ndarray:
    """Query or key rows as GGUF's Llama has them."""
    return rows.reshape(heads, 2, -1, rows.shape[1]).swapaxes(1, 2).reshape(rows.shape)


def gguf_name(name: str) -> str:
    if name == "model.embed_tokens.weight":
        return "token_embd.weight"
    if name == "model.norm.weight":
        return "output_norm.weight"
    _, _, layer, part = name.removesuffix(".weight").split(".", 3)
    return f"blk.{layer}.{PARTS[part]}.weight"


def write_gguf(path: Path, tensors: dict[str, torch.Tensor]) -> None:
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_block_count(LLAMA["num_hidden_layers"])
    writer.add_context_length(LLAMA["max_position_embeddings"])
    writer.add_embedding_length(LLAMA["hidden_size"])
    writer.add_feed_forward_length(LLAMA["intermediate_size"])
    writer.add_head_count(LLAMA["num_attention_heads"])
    writer.add_head_count_kv(LLAMA["num_key_value_heads"])
    writer.add_rope_freq_base(10000.0)
    writer.add_rope_dimension_count(8)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_vocab_size(len(PADDED))
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(PADDED)
    writer.add_token_types([3] * 3 + [1] * (len(PADDED) - 3))
    writer.add_token_merges(["a b"])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    writer.add_pad_token_id(2)
    writer.add_chat_template("{{ messages }}")
    for name, tensor in tensors.items():
        values = tensor.numpy()
        if "q_proj" in name or "k_proj" in name:
            kind = "num_attention_heads" if "q_proj" in name else "num_key_value_heads"
            values = interleaved(values, LLAMA[kind])
        writer.add_tensor(gguf_name(name), np.ascontiguousarray(values))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_llama(tmp_path_factory.mktemp("original"), tie_word_embeddings=True)


@pytest.fixture(scope="module")
def reports() -> Reports:
    return Reports()


@pytest.fixture(scope="module")
def made(original: Path, reports: Reports, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    write_gguf(folder / "model.gguf", load_file(original / "model.safetensors"))
    convert_gguf(folder / "model.gguf", folder / "out", reports)
    return folder / "out"


def test_every_tensor_is_the_original_rounded_to_bfloat16(original: Path, made: Path):
    expected = load_file(original / "model.safetensors")
    loaded = load_file(made / "model.safetensors")
    assert loaded.keys() == expected.keys()
    for name, value in expected.items():
        assert torch.equal(loaded[name], value.to(torch.bfloat16)), name


def test_the_folder_computes_what_the_original_does(original: Path, made: Path):
    from transformers import AutoModelForCausalLM

    ids = torch.arange(20)[None]
    logits = [
        AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16)(ids).logits
        for folder in (original, made)
    ]
    assert torch.equal(*logits)


def test_old_and_new_readers_find_the_same_rope(made: Path):
    config = json.loads((made / "config.json").read_text())
    assert config["rope_theta"] == config["rope_parameters"]["rope_theta"] == 10000.0
    assert config["torch_dtype"] == config["dtype"] == "bfloat16"
    assert config["rms_norm_eps"] == 1e-6


def test_the_tokenizer_splits_digits_and_keeps_control_tokens_whole(made: Path):
    tokenizer = Tokenizer.from_file(str(made / "tokenizer.json"))
    assert tokenizer.encode("ab 123</s>").tokens == ["ab", "Ġ", "1", "2", "3", "</s>"]
    assert tokenizer.decode(tokenizer.encode("ab 12").ids) == "ab 12"
    merges = json.loads((made / "tokenizer.json").read_text())["model"]["merges"]
    assert merges == ["a b"]


def test_the_chat_template_and_special_tokens_survive(made: Path):
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(made)
    assert tokenizer.chat_template == "{{ messages }}"
    assert (tokenizer.bos_token, tokenizer.eos_token, tokenizer.pad_token) == (
        "<s>",
        "</s>",
        "</s>",
    )
    assert tokenizer.model_max_length == 128
    assert list(tokenizer("ab")) == ["input_ids", "attention_mask"]


def test_converting_is_reported_to_the_end(made: Path, reports: Reports):
    assert reports.stages == ["converting"]
    assert reports[-1].done == reports[-1].total


@given(st.lists(st.floats(width=32, allow_nan=False), min_size=1))
def test_bfloat16_rounds_as_torch_does(values: list[float]):
    numbers = np.array(values, np.float32)
    ours = torch.from_numpy(bfloat16_bits(numbers).view(np.int16)).view(torch.bfloat16)
    assert torch.equal(ours, torch.from_numpy(numbers).to(torch.bfloat16))
