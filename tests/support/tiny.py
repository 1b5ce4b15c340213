"""Tokenizers and nets small enough to be made in a test. Knows nothing of the program."""

import json
from functools import cache
from typing import Any

from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers
from tokenizers.trainers import BpeTrainer

CORPUS = [
    "The quick brown fox jumps over the lazy dog. She doesn't know why, does she?",
    "def f(x):\n    return x * 2  # doubled\n\n\tand tabs",
    "你好，世界。模型在自己的电脑上运行。",
    "naïve café, Ünïcode; emoji 🙂🙃👩\u200d💻 and £100 or 5 €.",
    "system user assistant think stop hello world " * 3,
]
CHATML = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]


def trained(
    tokenizer: Tokenizer, size: int, alphabet: list[str], special: list[str] | None = None
) -> Tokenizer:
    trainer = BpeTrainer(
        vocab_size=size,
        show_progress=False,
        initial_alphabet=alphabet,
        special_tokens=special or [],
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    return tokenizer


@cache
def byte_level(*special: str) -> Tokenizer:
    """Byte-level BPE, as GPT-2, Llama 3, Qwen and GLM-4 have it."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trained(tokenizer, 420, pre_tokenizers.ByteLevel.alphabet())
    tokenizer.add_special_tokens(list(special or CHATML))
    tokenizer.add_tokens([AddedToken("<think>", special=False), AddedToken("中文", special=False)])
    return tokenizer


@cache
def byte_tokens(kind: str, *special: str) -> Tokenizer:
    """BPE with byte tokens: "llama" drops the first blank, "gemma" does not, "mistral" is newer."""
    plain = Tokenizer(models.BPE())
    plain.normalizer = normalizers.Replace(" ", "▁")
    trained(plain, 300, [])
    learned = json.loads(plain.to_str())["model"]
    names = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), *learned["vocab"]]
    vocab = {name: id for id, name in enumerate(dict.fromkeys(names))}
    merges = [tuple(pair) for pair in learned["merges"]]
    tokenizer = Tokenizer(
        models.BPE(vocab, merges, unk_token="<unk>", byte_fallback=True, fuse_unk=True)
    )
    steps: list[Any] = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    if kind == "llama":
        steps.append(decoders.Strip(" ", 1, 0))
        tokenizer.normalizer = normalizers.Sequence(
            [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
        )
    elif kind == "mistral":
        steps.append(decoders.Strip(" ", 1, 0))
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    else:
        tokenizer.normalizer = normalizers.Replace(" ", "▁")
    tokenizer.decoder = decoders.Sequence(steps)
    tokenizer.add_special_tokens(["<unk>", "<s>", "</s>", *special])
    return tokenizer


@cache
def metaspace() -> Tokenizer:
    """Words that start with "▁", and no bytes at all."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    trained(tokenizer, 300, [], ["<unk>", "<s>"])
    return tokenizer


def letters(known: str) -> Tokenizer:
    """Single letters with scores, as SentencePiece has them; what is not `known` is `<unk>`."""
    pieces = [("<unk>", 0.0), *((letter, -2.0) for letter in dict.fromkeys("▁" + known))]
    tokenizer = Tokenizer(models.Unigram(pieces, 0))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.add_special_tokens(["<unk>", *CHATML])
    return tokenizer


def llama(vocab_size: int = 430, **settings: Any) -> Any:
    """A random Llama of 2 layers that keeps every key and value."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(settings.pop("seed", 0))
    config = LlamaConfig(
        vocab_size=vocab_size,
        **{
            "hidden_size": 64,
            "intermediate_size": 96,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "max_position_embeddings": 1024,
            "initializer_range": 0.3,
            "bos_token_id": None,
            "eos_token_id": None,
            "pad_token_id": 0,
            **settings,
        },
    )
    return LlamaForCausalLM(config).eval()


def sliding(window: int = 16) -> Any:
    """A random Mistral whose layers forget what is older than `window` tokens."""
    import torch
    from transformers import MistralConfig, MistralForCausalLM

    torch.manual_seed(0)
    config = MistralConfig(
        vocab_size=430,
        hidden_size=64,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        sliding_window=window,
        initializer_range=0.3,
        eos_token_id=None,
        bos_token_id=None,
        pad_token_id=0,
    )
    return MistralForCausalLM(config).eval()


def hybrid() -> Any:
    """A random LFM2: layers that keep a state instead of keys, beside attention."""
    import torch
    from transformers import Lfm2Config, Lfm2ForCausalLM

    torch.manual_seed(0)
    config = Lfm2Config(
        vocab_size=430,
        hidden_size=64,
        intermediate_size=96,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=2,
        full_attn_idxs=[1, 3],
        initializer_range=0.3,
        eos_token_id=None,
        bos_token_id=None,
        pad_token_id=0,
    )
    return Lfm2ForCausalLM(config).eval()
