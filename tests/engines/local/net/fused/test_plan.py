"""A config.json means the same to the fused decoder as to transformers, whatever it leaves out."""

import json
from contextlib import contextmanager
from dataclasses import replace

import pytest
import torch

from glmcli.engines.local.net.fused.open import place_fused
from glmcli.engines.local.net.fused.plan import NotCovered
from glmcli.engines.local.net.load import load_net
from glmcli.engines.local.net.open import open_model
from glmcli.errors import ModelError
from glmcli.models.libraries import errors_of
from tests.support import chatglm_data
from tests.support.nets import LINEAR, LLAMA3, fused, opened, saved, wanted

ABSENT = object()
SHORT = 30
"""A sliding window that the ids here go beyond."""
IDS = torch.randint(0, 100, (2 * SHORT,), generator=torch.Generator().manual_seed(5)).tolist()
FAMILIES = ("llama", "mistral", "qwen2", "qwen3", "glm", "glm4", "chatglm")
FULL, SLIDING = "full_attention", "sliding_attention"
NARROW = {"rope_type": "default", "rope_theta": 1e4, "partial_rotary_factor": 0.25}
ROPES = [{"type": "linear", "factor": 4.0}, LINEAR, LLAMA3, NARROW]
ROPES += [{"rope_type": "dynamic", "factor": 4.0}, {"rope_type": "yarn", "factor": 4.0}]
FIELDS = {
    "num_key_value_heads": [1],
    "head_dim": [16, 32],
    "rms_norm_eps": [0.1],
    "rope_theta": [5e5],
    "rope_scaling": ROPES,
    "rope_parameters": ROPES,
    "partial_rotary_factor": [0.5, 1.0],
    "tie_word_embeddings": [True, False],
    "attention_bias": [True, False],
    "mlp_bias": [True, False],
    "hidden_act": ["gelu", "silu"],
    "max_position_embeddings": [64, 8192],
    "sliding_window": [0, SHORT, 1024],
    "use_sliding_window": [True, False],
    "max_window_layers": [0, 1],
    "layer_types": [[FULL, FULL], [FULL, SLIDING], [SLIDING, SLIDING], ["chunked_attention", FULL]],
}
CHATGLM_FIELDS = FIELDS | {
    "kv_channels": [16],
    "rope_ratio": [2, 50.0],
    "layernorm_epsilon": [0.1],
    "add_qkv_bias": [True, False],
    "seq_length": [64],
    "multi_query_group_num": [1],
}
SWITCHED = {"use_sliding_window": True, "sliding_window": SHORT, "layer_types": ABSENT}
TOGETHER = (
    *(SWITCHED | {"max_window_layers": layers} for layers in (0, 1, 9)),
    SWITCHED | {"use_sliding_window": False},
    SWITCHED | {"layer_types": [FULL, FULL]},
    {"sliding_window": SHORT, "layer_types": [FULL, FULL]},
    {"sliding_window": None, "layer_types": [SLIDING, SLIDING]},
    {"logit_scale": 3.0, "logits_scaling": 3.0, "attention_multiplier": 3.0},
    {"attn_logit_softcapping": 0.5, "final_logit_softcapping": 0.5, "query_pre_attn_scalar": 2},
)


def changes(family):
    """Each field left out, null and with other values, and some that go together."""
    fields = CHATGLM_FIELDS if family == "chatglm" else FIELDS
    for name, values in fields.items():
        yield from ({name: value} for value in (ABSENT, None, *values))
    yield from TOGETHER


def folder_of(family, tmp_path):
    if family == "chatglm":
        return chatglm_data.copy_of("tiny-6b-safetensors", tmp_path)
    return saved(family, tmp_path / family)


@contextmanager
def changed(folder, change):
    """The folder with a change of its config.json, which is undone."""
    path = folder / "config.json"
    before = path.read_text()
    config = json.loads(before) | change
    path.write_text(
        json.dumps({key: value for key, value in config.items() if value is not ABSENT})
    )
    yield
    path.write_text(before)


@pytest.mark.parametrize("family", FAMILIES)
def test_each_field_counts_as_for_transformers_or_the_decoder_steps_aside(family, tmp_path):
    folder, covered, differs = folder_of(family, tmp_path), [], []
    for change in ({}, *changes(family)):
        with changed(folder, change):
            try:
                with errors_of("opening", ""):
                    checkpoint, options = opened(folder, tmp_path)
                    ours = fused(checkpoint, options).read(IDS, len(IDS))
                    theirs = wanted(load_net(checkpoint, options, lambda progress: None), IDS)
            except (NotCovered, ModelError):
                continue
        covered.append(change)
        if not torch.allclose(ours, theirs, atol=1e-3 * float(theirs.std())):
            differs.append(change)
    assert differs == []
    assert {} in covered


LONG = {"max_position_embeddings": 8192}
UNSTATED = LONG | {"sliding_window": ABSENT, "layer_types": ABSENT}
BY_LAYER = UNSTATED | {"use_sliding_window": True, "max_window_layers": 0}
SLIDES = [
    ("mistral", UNSTATED),
    ("mistral", LONG | {"sliding_window": SHORT, "use_sliding_window": False}),
    ("mistral", LONG | {"sliding_window": SHORT, "layer_types": [FULL, FULL]}),
    ("qwen2", BY_LAYER),
    ("qwen3", BY_LAYER),
    ("qwen2", BY_LAYER | {"max_window_layers": 1}),
    ("qwen2", BY_LAYER | {"sliding_window": SHORT}),
]
SEES_ALL = [
    ("mistral", UNSTATED | {"max_position_embeddings": 4096}),
    ("mistral", LONG | {"sliding_window": None, "use_sliding_window": True}),
    ("qwen2", UNSTATED),
    ("qwen3", UNSTATED | {"sliding_window": SHORT}),
    ("qwen2", BY_LAYER | {"max_window_layers": 2}),
    ("qwen3", BY_LAYER | {"sliding_window": 8192}),
]


@pytest.mark.parametrize(("family", "change"), SLIDES)
def test_a_window_that_slides_by_the_familys_own_rule_is_not_covered(family, change, tmp_path):
    with changed(folder_of(family, tmp_path), change):
        checkpoint, options = opened(tmp_path / family, tmp_path)
        with pytest.raises(NotCovered, match="part of the text"):
            fused(checkpoint, options)
        runner = open_model(checkpoint, options, lambda progress: None).runner
    assert "part of the text" in runner


@pytest.mark.parametrize(("family", "change"), SEES_ALL)
def test_a_net_that_sees_all_of_its_window_is_covered(family, change, tmp_path):
    with changed(folder_of(family, tmp_path), change):
        assert fused(*opened(tmp_path / family, tmp_path))


def test_a_config_that_states_no_end_is_covered(tmp_path):
    folder = folder_of("glm", tmp_path)
    with changed(folder, {"eos_token_id": None}):
        assert fused(*opened(folder, tmp_path))


def test_a_window_that_config_leaves_out_may_be_any(tmp_path):
    folder = folder_of("llama", tmp_path)
    checkpoint, options = opened(folder, tmp_path)
    with pytest.raises(NotCovered, match="max_position_embeddings"):
        place_fused(replace(checkpoint, window=None), options)
