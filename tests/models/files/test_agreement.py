"""A config.json that speaks of another net than the weights is refused before one is built."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import transformers

from glmcli.errors import ModelError
from glmcli.models.files.agreement import COUNTED, check_ids, check_places, check_sizes
from glmcli.models.files.headers import Tensor
from tests.support.families import CHANGES, tiny_net

CONFIG = {"model_type": "llama", "hidden_size": 8, "vocab_size": 32, "num_hidden_layers": 2}


def tensors(**shapes: tuple[int, ...]) -> dict[str, Tensor]:
    found = {
        "model.embed_tokens.weight": (32, 8),
        "model.layers.0.mlp.weight": (16, 8),
        "model.layers.1.mlp.weight": (16, 8),
        "model.layers.0.mlp.gate_proj.weight": (16, 8),
        "model.layers.1.mlp.gate_up_proj.weight": (32, 8),
        "model.layers.0.self_attn.q_proj.weight": (8, 8),
        "model.layers.0.self_attn.k_proj.weight": (4, 8),
        **shapes,
    }
    return {name: Tensor("F32", shape, 0) for name, shape in found.items()}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"num_hidden_layers": 9_999}, "num_hidden_layers is 9,999, but the weights hold 2 layers"),
        ({"hidden_size": 16}, "hidden_size is 16, but the embedding has 8"),
        ({"vocab_size": 17}, "vocab_size is 17, but the embedding has 32"),
        ({"intermediate_size": 10**6}, "intermediate_size is 1,000,000, but no side of a tensor"),
        (
            {"layer_types": ["sliding_attention"]},
            "layer_types is sliding_attention, but there is no",
        ),
        (
            {"layer_types": ["chunked_attention"], "attention_chunk_size": None},
            "attention_chunk_size is None, but layer_types asks for chunked_attention",
        ),
        (
            {"model_type": "gemma2", "layer_types": ["sliding_attention"], "sliding_window": None},
            "sliding_window is None, but layer_types asks for sliding_attention",
        ),
        ({"pad_token_id": 32}, "pad_token_id is 32, but the vocabulary has 32 entries"),
        (
            {"num_attention_heads": 3, "head_dim": 4},
            "num_attention_heads × head_dim is 3 × 4, but model.layers.0.self_attn.q_proj.weight",
        ),
        (
            {"num_key_value_heads": 2, "head_dim": 4},
            "num_key_value_heads × head_dim is 2 × 4, but model.layers.0.self_attn.k_proj.weight",
        ),
        (
            {"intermediate_size": 5},
            "intermediate_size is 5, but model.layers.0.mlp.gate_proj.weight has 16 rows",
        ),
        ({"vocab_size": 17, "pad_token_id": 20}, "vocab_size is 17, but the embedding has 32"),
        (
            {"num_attention_heads": 9, "head_dim": 4},
            "num_attention_heads × head_dim is 36, but no side of a tensor is longer than 32",
        ),
    ],
)
def test_a_size_that_the_weights_contradict_is_named(change, said):
    with pytest.raises(ModelError) as caught:
        check_sizes(CONFIG | change, tensors())
    assert caught.value.message.startswith(f"config.json: {said}")
    assert "another model" in caught.value.hint


@pytest.mark.parametrize(
    "config",
    [
        CONFIG,
        CONFIG | {"num_hidden_layers": 1},  # layers beyond those of the chat: loading tells
        CONFIG | {"model_type": "hrm_text", "num_hidden_layers": 16},  # goes through them again
        CONFIG | {"layer_types": ["sliding_attention"], "sliding_window": 16, "pad_token_id": -1},
        CONFIG | {"model_type": "gemma2", "layer_types": ["sliding_attention"]},  # 4096 if unsaid
        CONFIG | {"model_type": "x", "pad_token_id": 32, "intermediate_size": 5},
        CONFIG | {"pad_token_id": None, "intermediate_size": 16, "num_attention_heads": 2},
        CONFIG | {"model_type": "opt", "hidden_size": 16},  # its embedding is narrower
        CONFIG | {"quantization_config": {"bits": 4}, "hidden_size": 64},
        {"model_type": "x", "text_config": {"hidden_size": 8}},
        {"model_type": "x", "intermediate_size": [16, 16], "num_attention_heads": [2, 4]},
    ],
)
def test_what_may_be_so_is_left_to_the_library(config: dict[str, Any]):
    check_sizes(config, tensors())


def test_a_tokenizer_of_another_model_is_noticed():
    check_ids(CONFIG, [0, 31])
    check_ids({}, [10**6])
    with pytest.raises(ModelError) as caught:
        check_ids(CONFIG | {"text_config": {"vocab_size": 16}}, [3, 16])
    assert (
        "the tokenizer gives a word the id 16, but the vocabulary has 16 entries"
        in caught.value.message
    )
    assert "another model" in caught.value.hint


def test_an_id_needs_a_row_in_each_table_that_a_net_looks_it_up_in():
    smaller = {"vocab_size": 32, "vocab_size_per_layer_input": 16}
    check_ids(smaller | {"model_type": "gemma3n_text"}, [31])  # it has zeros for such an id
    check_ids(smaller | {"model_type": "gemma4_text", "hidden_size_per_layer_input": 0}, [31])
    check_ids({"model_type": "gemma4_text", "vocab_size": 32}, [31])
    for config in (
        smaller | {"model_type": "gemma4_text"},
        {"model_type": "gemma4", "text_config": smaller | {"model_type": "gemma4_text"}},
    ):
        check_ids(config, [15])
        with pytest.raises(ModelError, match="the id 16, but the vocabulary has 16 entries"):
            check_ids(config, [3, 16])


def test_a_net_whose_names_have_no_numbers_has_any_number_of_layers():
    check_sizes({"num_hidden_layers": 12}, {"shared.layers.weight": Tensor("F32", (8,), 0)})


@pytest.mark.parametrize(
    "stated",
    [
        {"quant_method": "bitsandbytes", "load_in_4bit": True},
        {"load_in_8bit": True},
        {"quant_method": "fp8"},
    ],
)
def test_weights_that_only_the_config_calls_quantised_are_refused(stated):
    with pytest.raises(ModelError, match=r"quantization_config is .*, but the weights are not qu"):
        check_sizes(CONFIG | {"quantization_config": stated}, tensors())
    packed = tensors() | {"model.layers.0.mlp.weight": Tensor("U8", (64, 1), 64)}
    check_sizes(CONFIG | {"quantization_config": stated}, packed)


def test_a_window_beyond_the_places_that_were_learned_is_refused():
    learned = {"transformer.wpe.weight": Tensor("F32", (1024, 8), 0)}
    check_places(1024, {}, learned)
    check_places(10**6, CONFIG, tensors())
    with pytest.raises(ModelError, match="--window is 1,025, but the model has 1,024 places"):
        check_places(1025, {}, learned)


@pytest.mark.parametrize("family", sorted(COUNTED))
def test_a_window_beyond_the_places_that_a_family_counts_once_is_refused(family):
    name, default = COUNTED[family]
    assert getattr(transformers.CONFIG_MAPPING[family](), name) == default
    net = tiny_net(family, CHANGES.get(family, {}) | {name: 64})
    ids = torch.zeros((1, 65), dtype=torch.long)
    with torch.inference_mode():
        net(ids[:, :-1])
        with pytest.raises((IndexError, RuntimeError)):
            net(ids)
    config = {"model_type": family, name: 64}
    check_places(64, config, {})
    with pytest.raises(ModelError, match="--window is 65, but the model has 64 places"):
        check_places(65, config, {})
    with pytest.raises(ModelError, match=f"but the model has {default:,} places"):
        check_places(default + 1, {"model_type": family}, {})
