"""What a net would take is seen first: hostile configs end, honest large ones open."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import torch
import transformers

from glmcli.engines.local.building import BUILD_S, library_config
from glmcli.engines.local.net.plain import empty
from glmcli.engines.local.net.plain.recipes import recipe_for
from glmcli.errors import ModelError
from glmcli.models.checkpoint import Checkpoint
from glmcli.models.files.headers import Tensor
from tests.hostile import families, healthy

DEEP = {"num_hidden_layers": 100, "hidden_size": 64, "intermediate_size": 96}
HONEST = {
    "a hundred layers": ("llama", DEEP),
    "hundreds of experts": ("qwen3_moe", {**DEEP, "num_experts": 384, "moe_intermediate_size": 8}),
    "a large vocabulary": ("gemma2", {"vocab_size": 300_000}),
    "a window of ten million": ("llama", {"max_position_embeddings": 10_000_000}),
}


def checkpoint(folder: Path, family: str, numbers: int, **fields) -> Checkpoint:
    config = {"model_type": family, **fields}
    folder.mkdir(exist_ok=True)
    healthy.write_json(folder / "config.json", config)
    tensors = {"a": Tensor("BF16", (numbers,), 2 * numbers)}
    return Checkpoint("tiny", folder, config, (), 2 * numbers, tensors)


def numbers_of(family, fields) -> int:
    config = transformers.CONFIG_MAPPING[family](**fields)
    with torch.device("meta"):
        net = transformers.AutoModelForCausalLM.from_config(config)
    return sum(one.numel() for one in net.parameters())


@pytest.mark.parametrize("name", HONEST)
def test_a_large_net_is_as_large_as_its_files_and_soon_built(name, tmp_path):
    family, fields = HONEST[name]
    made = checkpoint(tmp_path, family, numbers_of(family, fields), **fields)
    begin = time.thread_time()
    assert recipe_for(made).empty is not None
    assert time.thread_time() - begin < BUILD_S / 3


@pytest.mark.parametrize("family", ["llama", "qwen2", "glm4"])
def test_sizes_that_config_json_leaves_out_are_held_against_the_files(family, tmp_path):
    with pytest.raises(ModelError) as caught:
        recipe_for(checkpoint(tmp_path, family, 1000))
    assert "numbers, but the files hold 1,000" in caught.value.message
    assert "config.json" in caught.value.hint


@pytest.mark.parametrize("name", ["experts of Mixtral", "images of GIT", "repeated", "places of C"])
def test_what_only_one_family_has_is_bounded_too(name, tmp_path, monkeypatch):
    monkeypatch.setattr("glmcli.engines.local.building.BUILD_S", 0.3)
    family, fields = next(each for known, each in families.LARGE.items() if name in known)
    with pytest.raises(ModelError, match=r"config\.json describes"):
        recipe_for(checkpoint(tmp_path, family, 100_000, **fields))


def test_a_config_that_is_none_is_named(tmp_path):
    made = checkpoint(tmp_path, "jamba", 1000, attn_layer_period=0)
    with pytest.raises(ModelError, match=r"bad config\.json: .*modulo"):
        library_config(made, transformers)


def test_what_a_net_computes_for_itself_counts():
    layer = torch.nn.Linear(2, 2)
    layer.register_buffer("mask", torch.zeros(5))
    layer.table = torch.zeros(7)
    layer.same = layer.weight
    assert sum(one.numel() for one in empty.all_tensors(layer)) == 4 + 2 + 5 + 7


def test_packed_weights_may_hold_eight_numbers_in_a_byte(tmp_path):
    made = checkpoint(tmp_path, "llama", 4, quantization_config={"quant_method": "x"})
    assert empty.numbers_held(made) == 64


def test_a_tied_head_is_not_in_the_files(tmp_path, monkeypatch):
    monkeypatch.setattr(empty, "SPARE_NUMBERS", 0)
    made = checkpoint(tmp_path, "gemma2", numbers_of("gemma2", DEEP), **DEEP)
    assert recipe_for(made).empty is not None
