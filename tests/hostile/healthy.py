"""Two tiny checkpoints that answer, a Llama and a ChatGLM3, to spoil; made without torch."""

from __future__ import annotations

import io
import json
import random
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file
from sentencepiece import SentencePieceTrainer

from tests.support import tiny

TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message.role + '\\n' + message.content }}"
    "<|im_end|>\\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\\n{% endif %}"
)
LLAMA = {
    "architectures": ["LlamaForCausalLM"],
    "attention_bias": False,
    "attention_dropout": 0.0,
    "bos_token_id": None,
    "dtype": "float32",
    "eos_token_id": 422,
    "head_dim": 16,
    "hidden_act": "silu",
    "hidden_size": 64,
    "initializer_range": 0.02,
    "intermediate_size": 96,
    "max_position_embeddings": 1024,
    "mlp_bias": False,
    "model_type": "llama",
    "num_attention_heads": 4,
    "num_hidden_layers": 2,
    "num_key_value_heads": 2,
    "pad_token_id": 420,
    "pretraining_tp": 1,
    "rms_norm_eps": 1e-06,
    "rope_parameters": {"rope_theta": 10000.0, "rope_type": "default"},
    "tie_word_embeddings": False,
    "transformers_version": "5.0.0",
    "use_cache": True,
    "vocab_size": 430,
}
GENERATION = {"do_sample": True, "temperature": 0.7, "top_k": 40, "top_p": 0.9, "eos_token_id": 422}
TOKENIZER = {
    "tokenizer_class": "PreTrainedTokenizerFast",
    "chat_template": TEMPLATE,
    "eos_token": "<|im_end|>",
    "pad_token": "<|endoftext|>",
    "model_max_length": 1024,
}
CHATGLM = {
    "model_type": "chatglm",
    "architectures": ["ChatGLMModel"],
    "auto_map": {"AutoModel": "modeling_chatglm.ChatGLMForConditionalGeneration"},
    "add_bias_linear": False,
    "add_qkv_bias": True,
    "apply_residual_connection_post_layernorm": False,
    "attention_dropout": 0.0,
    "eos_token_id": 2,
    "ffn_hidden_size": 96,
    "hidden_size": 64,
    "kv_channels": 16,
    "layernorm_epsilon": 1e-05,
    "multi_query_attention": True,
    "multi_query_group_num": 2,
    "num_attention_heads": 4,
    "num_layers": 2,
    "original_rope": True,
    "pad_token_id": 0,
    "padded_vocab_size": 448,
    "post_layer_norm": True,
    "rmsnorm": True,
    "rope_ratio": 1,
    "seq_length": 1024,
    "tie_word_embeddings": False,
    "torch_dtype": "float16",
}


def write_llama(folder: Path) -> Path:
    """A Llama with all that a checkpoint has: sampling, a tokenizer, a chat template."""
    folder.mkdir(parents=True)
    write_json(folder / "config.json", LLAMA)
    write_json(folder / "generation_config.json", GENERATION)
    write_json(folder / "tokenizer_config.json", TOKENIZER)
    tiny.byte_level().save(str(folder / "tokenizer.json"))
    save_file(llama_tensors(), folder / "model.safetensors", {"format": "pt"})
    return folder


def write_shards(folder: Path) -> Path:
    """The same Llama in two files and an index."""
    write_llama(folder)
    (folder / "model.safetensors").unlink()
    tensors = llama_tensors()
    table = {name: f"model-0000{1 + ('layers.1' in name)}-of-00002.safetensors" for name in tensors}
    for file in set(table.values()):
        part = {name: value for name, value in tensors.items() if table[name] == file}
        save_file(part, folder / file, {"format": "pt"})
    write_json(folder / "model.safetensors.index.json", {"metadata": {}, "weight_map": table})
    return folder


def write_bin(folder: Path) -> Path:
    """The same Llama as a pickle in a zip."""
    import torch

    write_llama(folder)
    (folder / "model.safetensors").unlink()
    state = {name: torch.from_numpy(value) for name, value in llama_tensors().items()}
    torch.save(state, folder / "pytorch_model.bin")
    return folder


def write_chatglm(folder: Path) -> Path:
    """A ChatGLM3 with a SentencePiece model of its own."""
    folder.mkdir(parents=True)
    write_json(folder / "config.json", CHATGLM)
    (folder / "tokenizer.model").write_bytes(pieces())
    save_file(chatglm_tensors(), folder / "model.safetensors", {"format": "pt"})
    return folder


def write_json(path: Path, value: Any) -> None:
    """A JSON file."""
    path.write_text(json.dumps(value, ensure_ascii=False, indent=1), encoding="utf-8")


def pieces() -> bytes:
    """A SentencePiece model of bytes and a few words."""
    model = io.BytesIO()
    SentencePieceTrainer.train(
        sentence_iterator=iter(tiny.CORPUS),
        model_writer=model,
        model_type="bpe",
        vocab_size=400,
        byte_fallback=True,
        hard_vocab_limit=False,
        minloglevel=2,
    )
    return model.getvalue()


def llama_tensors() -> dict[str, Any]:
    """Weights at random, the same each time."""
    shapes: dict[str, tuple[int, ...]] = {
        "model.embed_tokens.weight": (430, 64),
        "model.norm.weight": (64,),
        "lm_head.weight": (430, 64),
    }
    for index in range(2):
        layer = f"model.layers.{index}."
        shapes |= {
            f"{layer}input_layernorm.weight": (64,),
            f"{layer}post_attention_layernorm.weight": (64,),
            f"{layer}self_attn.q_proj.weight": (64, 64),
            f"{layer}self_attn.k_proj.weight": (32, 64),
            f"{layer}self_attn.v_proj.weight": (32, 64),
            f"{layer}self_attn.o_proj.weight": (64, 64),
            f"{layer}mlp.gate_proj.weight": (96, 64),
            f"{layer}mlp.up_proj.weight": (96, 64),
            f"{layer}mlp.down_proj.weight": (64, 96),
        }
    return at_random(shapes, np.float32)


def chatglm_tensors() -> dict[str, Any]:
    """Weights at random, the same each time."""
    shapes: dict[str, tuple[int, ...]] = {
        "transformer.embedding.word_embeddings.weight": (448, 64),
        "transformer.encoder.final_layernorm.weight": (64,),
        "transformer.output_layer.weight": (448, 64),
    }
    for index in range(2):
        layer = f"transformer.encoder.layers.{index}."
        shapes |= {
            f"{layer}input_layernorm.weight": (64,),
            f"{layer}post_attention_layernorm.weight": (64,),
            f"{layer}self_attention.query_key_value.weight": (128, 64),
            f"{layer}self_attention.query_key_value.bias": (128,),
            f"{layer}self_attention.dense.weight": (64, 64),
            f"{layer}mlp.dense_h_to_4h.weight": (192, 64),
            f"{layer}mlp.dense_4h_to_h.weight": (64, 96),
        }
    return at_random(shapes, np.float16)


def at_random(shapes: dict[str, tuple[int, ...]], kind: Any) -> dict[str, Any]:
    """Numbers for each of these shapes: ones for norms, and for the rest of a seed."""
    made = np.random.default_rng(random.Random(13).getrandbits(32))
    return {
        name: (np.ones(shape) if "norm" in name else made.normal(0, 0.3, shape)).astype(kind)
        for name, shape in shapes.items()
    }
