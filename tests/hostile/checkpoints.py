"""The corpus of hostile checkpoints: wrong fields here, wrong files in broken_files.py."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tests.hostile import broken_files, families, healthy, many_files
from tests.hostile.spoiling import GONE, Case, Spoil, only, with_field, without

NUMBERS = ["x", [], {}, True, -3, 10**30]
"""What no size may be."""
MANY = list(range(900_000))
"""Ids of which there are a handful in a real checkpoint."""
CONFIG: Mapping[str, list[Any]] = {
    "architectures": [5, "LlamaForCausalLM", [5], {}, [["a"]]],
    "model_type": [5, [], {}, GONE, None, "no such\nfamily", "../../x", "x" * 100_000],
    "num_hidden_layers": [*NUMBERS, 1.5, 0, 10**5, 10**9, 1],
    "hidden_size": [*NUMBERS, 64.5, 0, 4096, 10**6],
    "num_attention_heads": [*NUMBERS, 0, 3, 10**6],
    "num_key_value_heads": [*NUMBERS, 0, 3],
    "head_dim": [*NUMBERS, 1.5, 0, 10**6],
    "intermediate_size": [*NUMBERS, 0, 10**7],
    "vocab_size": [*NUMBERS, 0, 10**8, 17],
    "max_position_embeddings": [*NUMBERS, 0, 1.5, 1e12, 10**12],
    "rms_norm_eps": ["x", [], {}, float("nan"), float("inf")],
    "rope_parameters": [
        *([], 5, "x", {"rope_type": 5}, {"rope_type": "no such", "rope_theta": 1.0}),
        *({"rope_type": "default", "rope_theta": value} for value in ("x", [], 0, -1.0, None)),
        *({"rope_type": "linear", "rope_theta": 1e4, "factor": value} for value in ("x", 0, GONE)),
        {"rope_type": "llama3", "rope_theta": 1e4, "factor": 8.0, "low_freq_factor": []},
        {"rope_type": "yarn", "rope_theta": 1e4, "factor": "x"},
        {"rope_type": "yarn", "factor": 1e308, "original_max_position_embeddings": 1e308},
        {"rope_type": "longrope", "factor": 1e300, "long_factor": [1.0] * 500_000},
    ],
    "rope_scaling": [[], 5, "x", {"type": 5, "factor": []}],
    "hidden_act": [5, [], "no such function", "__import__"],
    "tie_word_embeddings": ["x", 5, [], {}],
    "dtype": [5, [], "no such", {"": 1}, "load", "hub"],
    "attn_implementation": ["no/such", "evil/kernel:forward", {"text_config": "no/such"}],
    "_attn_implementation": ["paged|no/such", "flash_attention_3", 5],
    "experts_implementation": ["no/such", []],
    "eos_token_id": ["x", 1.5, {}, ["x"], [[]], -5, 10**30, 10**9, MANY],
    "quantization_config": [
        *(5, [], "x", {}, {"quant_method": 5}, {"quant_method": "no such"}),
        *({"quant_method": "bitsandbytes", "load_in_4bit": True}, {"load_in_8bit": True}),
    ],
    "auto_map": [5, [], {"AutoConfig": 5}],
    "layer_types": [
        *(5, ["x"], [5], {}, ["full_attention"], ["sliding_attention", "full_attention"]),
        *(["chunked_attention", "full_attention"], ["full_attention"] * 500_000),
    ],
    "sliding_window": ["x", [], -1, 10**12],
    "attention_chunk_size": ["x", []],
    "pad_token_id": [10**9, "x", -1],
    "bos_token_id": [10**9],
    "mlp_bias": ["x", 1.5],
    "attention_bias": [5, {}],
    "initializer_range": ["x", 5],
    "num_labels": [10**9, "x"],
    "id2label": [5, []],
    **{name: [False, "x", 5] for name in ("return_dict", "torchscript", "use_cache")},
    **{name: [True, "x", {"a": 5}] for name in ("output_hidden_states", "output_attentions")},
    "is_encoder_decoder": [True, "x"],
    **{name: [5, "x", {"a": 5}] for name in ("base_model_tp_plan", "base_model_pp_plan")},
    **{name: ["x", 5] for name in ("chunk_size_feed_forward", "pruned_heads")},
    "text_config": [5, [], "x", {"num_hidden_layers": "x"}],
    "attention_dropout": ["x", [], 5],
}
CHATGLM: Mapping[str, list[Any]] = {
    "num_layers": [*NUMBERS, 1.5, 0, 10**5],
    "hidden_size": [*NUMBERS, 0, 4096],
    "padded_vocab_size": ["x", 0, 17, 10**8],
    "seq_length": ["x", -3, 1.5],
    "kv_channels": ["x", -16, 10**6],
    "multi_query_group_num": ["x", 0, 3],
    "rope_ratio": ["x", [], float("nan"), -1, 0],
    "layernorm_epsilon": ["x", []],
    "torch_dtype": [5, "no such"],
    "eos_token_id": ["x", {}, ["x"], MANY],
}
GENERATION: Mapping[str, list[Any]] = {
    "temperature": ["x", [], -1, float("nan")],
    "top_k": ["x", 1.5, -1],
    "top_p": ["x", 5],
    "repetition_penalty": ["x", -1, 0],
    "do_sample": ["x", 5],
    "eos_token_id": ["x", [[]], 1.5, MANY],
    "suppress_tokens": ["x", [1.5], [5000], MANY, MANY[:20_000]],
    "bad_words_ids": [[[5000]], 5, [5], [[5]] * 100_000, [MANY[:20_000]] * 2],
    "sequence_bias": [[[[5000], 1.0]], 5, [5], [[[5], 1.0]] * 500_000],
    "stop_strings": [5, [5], ["</s>"] * 500_000],
    "begin_suppress_tokens": [[5000], "x"],
    **{name: [5000, "x"] for name in ("forced_bos_token_id", "forced_eos_token_id")},
    "cache_implementation": [0, "x"],
}
TOKENIZER: Mapping[str, list[Any]] = {
    "model_max_length": ["abc", [], -3, {}],
    "chat_template": [5, [5], {"a": 5}, "{{", "x" * 20_000_000],
    "eos_token": [5, [], {"content": 5}, {}],
    "bos_token": ["ab" * 1_000_000],
    "tokenizer_class": [5, [], "NoSuchTokenizer"],
    "added_tokens_decoder": [5, [], {"x": 5}, {"5": {"content": 5}}],
    "extra_special_tokens": [5, {"a": 5}],
    "auto_map": [5, {"AutoTokenizer": 5}],
}


def every_case() -> list[Case]:
    """The whole corpus."""
    wrong = (*fields(), *families.every_case(), *broken_files.every_case())
    return [*wrong, *many_files.every_case(), *folders()]


def fields() -> Iterator[Case]:
    """One field of one JSON file holds what it cannot."""
    tables = (
        (healthy.write_llama, "config.json", CONFIG),
        (healthy.write_llama, "generation_config.json", GENERATION),
        (healthy.write_llama, "tokenizer_config.json", TOKENIZER),
        (healthy.write_chatglm, "config.json", CHATGLM),
    )
    for base, file, table in tables:
        for field, values in table.items():
            value: Any
            for value in values:
                shown = "gone" if value is GONE else f"{value!r:.80}"
                name = f"{base.__name__[6:]} {file} {field}={shown}"
                # What no answer depends on may be left alone.
                yield Case(
                    name,
                    base,
                    with_field(file, field, value),
                    is_harmless=True,
                    is_heavy=isinstance(value, str) and len(value) > 1_000_000,
                )


def folders() -> Iterator[Case]:
    """A folder with too much, too little, or another thing in it."""
    adapter = {"peft_type": "LORA", "base_model_name_or_path": "/nonexistent"}
    for name, value in (("LoRA", adapter), ("an empty object", {}), ("a number", 5)):
        spoil = only({"adapter_config.json": json.dumps(value).encode()})
        yield Case(f"adapter alone: {name}", healthy.write_llama, spoil)
    yield Case("gguf alone", healthy.write_llama, only({"model.gguf": b"GGUF" + bytes(100)}))
    yield Case("nothing", healthy.write_llama, only({}))
    yield Case("no tokenizer", healthy.write_llama, without("tokenizer.json"))
    yield Case("no weights", healthy.write_llama, without("model.safetensors"))
    yield Case("no config.json", healthy.write_llama, without("config.json"))
    yield Case("ChatGLM without a tokenizer", healthy.write_chatglm, without("tokenizer.model"))
    code = "open('PWNED', 'w').close()\n"
    for family in ("hal9000", "llama"):
        yield Case(
            f"Python comes with a {family}",
            healthy.write_llama,
            with_code(family, code),
            is_harmless=family == "llama",
        )


def with_code(family: str, code: str) -> Spoil:
    """Python files beside the weights, and a config.json that names them."""

    def spoil(folder: Path) -> None:
        names = {"AutoConfig": "configuration_x.X", "AutoModelForCausalLM": "modeling_x.X"}
        with_field("config.json", "auto_map", names)(folder)
        with_field("config.json", "model_type", family)(folder)
        for name in ("configuration_x.py", "modeling_x.py"):
            (folder / name).write_text(code)

    return spoil
