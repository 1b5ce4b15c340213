"""From a folder to transformers' own net and its proof."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM
from transformers.models.phi3.modeling_phi3 import Phi3MLP

from glmcli.engines.local.net.fused import verdict as fused_verdict
from glmcli.engines.local.net.open import open_model
from glmcli.engines.local.net.plain import loading
from glmcli.engines.local.net.plain import open as opening
from glmcli.engines.local.net.plain.reader import ReadingWay
from glmcli.errors import ConfigError, ModelError, OutOfMemory
from tests.support.families import CHANGES, drawing_lots, tiny_net
from tests.support.nets import opened, wanted


def quiet(progress):
    pass


def saved(family, folder, changes=None):
    tiny_net(family, changes).save_pretrained(folder)
    return folder


def kept(tmp_path):
    return [json.loads(path.read_text()) for path in (tmp_path / "cache" / "proofs").glob("*")]


def test_the_way_is_found_once_and_kept_and_said(tmp_path, monkeypatch):
    checkpoint, options = opened(saved("mamba", tmp_path / "net"), tmp_path)
    model = open_model(checkpoint, options, quiet)
    assert model.runner.endswith("each prompt in one block")
    assert [verdict["way"] for verdict in kept(tmp_path)] == ["whole"]
    monkeypatch.setattr(opening, "find_reading", None)  # called, it would fail
    assert open_model(checkpoint, options, quiet).reader.reading.way is ReadingWay.WHOLE
    with pytest.raises(ModelError):
        open_model(checkpoint, replace(options, verify=True), quiet)


def test_the_class_is_that_of_the_config_as_transformers_reads_it(tmp_path):
    kinds = ["sliding_attention", "full_attention"]
    changes = {"head_dim": 16, "sliding_window": 20, "layer_types": kinds}
    folder = saved("ministral", tmp_path / "net", changes)
    path = folder / "config.json"
    config = json.loads(path.read_text()) | {"model_type": "mistral"}
    path.write_text(json.dumps(config | {"architectures": ["MistralForCausalLM"]}))
    model = open_model(*opened(folder, tmp_path), quiet)
    net = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    ids = list(range(7, 87))
    assert torch.equal(model.reader.read(ids, len(ids)).argmax(-1), wanted(net, ids).argmax(-1))


def test_a_way_that_may_not_be_written_down_is_found_once_in_a_process(tmp_path, monkeypatch):
    checkpoint, options = opened(saved("mamba", tmp_path / "net"), tmp_path, history="off")
    assert open_model(checkpoint, options, quiet).reader.reading.way is ReadingWay.WHOLE
    assert not (tmp_path / "cache").exists()
    monkeypatch.setattr(opening, "find_reading", None)  # called, it would fail
    assert open_model(checkpoint, options, quiet).reader.reading.way is ReadingWay.WHOLE


@pytest.mark.parametrize(
    ("family", "name", "shape"),
    [
        ("gptj", "transformer.h.0.attn.bias", (1, 1, 2048, 2048)),
        ("codegen", "transformer.h.1.attn.causal_mask", (1, 1, 64, 64)),
        ("gpt_bigcode", "transformer.h.0.attn.bias", (1, 1, 64, 64)),
        ("gpt_neo", "transformer.h.0.attn.attention.bias", (1, 1, 2048, 2048)),
        ("gpt_neo", "h.0.attn.attention.bias", (1, 1, 2048, 2048)),
        ("gptj", "transformer.h.0.attn.masked_bias", ()),
    ],
)
def test_masks_that_old_checkpoints_hold_are_no_weights(family, name, shape, tmp_path):
    folder = saved(family, tmp_path / "net", CHANGES.get(family))
    tensors = load_file(folder / "model.safetensors")
    mask = torch.ones(shape, dtype=torch.bool).tril() if shape else torch.tensor(-1e9)
    save_file(tensors | {name: mask}, folder / "model.safetensors", {"format": "pt"})
    assert open_model(*opened(folder, tmp_path), quiet).reader.reading.way is ReadingWay.PARTS


def test_a_weight_that_is_called_as_a_mask_is_not_left_out(tmp_path):
    folder = saved("gptj", tmp_path / "net")
    tensors = load_file(folder / "model.safetensors")
    tensors["transformer.h.0.attn.bias"] = torch.ones(64)
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(ModelError, match=r"no place for: transformer\.h\.0\.attn\.bias"):
        open_model(*opened(folder, tmp_path), quiet)


@pytest.mark.parametrize("family", ["llama", "phi3"])
@pytest.mark.parametrize("is_weight", [True, False])
def test_what_float16_cannot_hold_is_said_with_the_option(family, is_weight, tmp_path, monkeypatch):
    net = tiny_net(family).bfloat16()
    with torch.no_grad():
        if is_weight:
            net.model.layers[0].mlp.down_proj.weight[0, 0] = 1e5
        else:  # a product of them is too large, where sums are float16 too
            monkeypatch.setattr(fused_verdict, "has_halves", lambda: False)
            monkeypatch.setattr(loading, "has_halves", lambda: False)
            net.model.norm.weight.fill_(6e4)
    net.save_pretrained(tmp_path / "net")
    with pytest.raises(ConfigError, match="65,504, which --dtype float16 cannot") as caught:
        open_model(*opened(tmp_path / "net", tmp_path, dtype="float16"), quiet)
    assert "--dtype auto" in caught.value.hint
    open_model(*opened(tmp_path / "net", tmp_path, dtype="auto"), quiet)


@pytest.mark.parametrize("family", ["llama", "phi3"])
def test_float16_that_is_rounded_to_bfloat16_is_said(family, tmp_path):
    tiny_net(family).half().save_pretrained(tmp_path / "net")
    for dtype, is_said in (("bfloat16", True), ("float32", False)):
        model = open_model(*opened(tmp_path / "net", tmp_path, dtype=dtype), quiet)
        assert model.runner.endswith("weights rounded from float16") is is_said


def test_a_family_without_a_way_is_refused_before_the_weights(tmp_path):
    folder = saved("reformer", tmp_path / "net", {"axial_pos_embds_dim": [16, 48]})
    checkpoint, options = opened(folder, tmp_path)
    checkpoint.weights[0].unlink()
    with pytest.raises(
        ModelError, match="reformer models cannot be used: they draw lots"
    ) as caught:
        open_model(checkpoint, options, quiet)
    assert caught.value.hint


def test_a_net_that_no_way_makes_equal_to_generate_is_not_opened(tmp_path, monkeypatch):
    checkpoint, options = opened(saved("phi3", tmp_path / "net"), tmp_path)
    monkeypatch.setattr(Phi3MLP, "forward", drawing_lots(Phi3MLP))
    with pytest.raises(ModelError, match="in no way can this phi3 model be read") as caught:
        open_model(checkpoint, options, quiet)
    assert caught.value.hint
    assert kept(tmp_path) == []


@pytest.mark.parametrize("found", ['{"same": true}', '{"same": true, "way": "x"}', "{"])
def test_a_damaged_verdict_is_made_anew(found, tmp_path):
    checkpoint, options = opened(saved("phi3", tmp_path / "net"), tmp_path)
    open_model(checkpoint, options, quiet)
    (path,) = (tmp_path / "cache" / "proofs").glob("*")
    path.write_text(found)
    assert open_model(checkpoint, options, quiet).reader.reading.way is ReadingWay.PARTS
    assert kept(tmp_path)[0]["way"] == "parts"


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (AttributeError("no such thing\nmore"), "cannot run this phi3 model: no such thing$"),
        (torch.OutOfMemoryError("CUDA out of memory"), "the conversation"),
    ],
)
def test_a_net_that_cannot_run_is_refused_when_it_is_opened(error, expected, tmp_path, monkeypatch):
    def failing(net):
        raise error

    checkpoint, options = opened(saved("phi3", tmp_path / "net"), tmp_path)
    monkeypatch.setattr(opening, "find_reading", failing)
    with pytest.raises(OutOfMemory if "memory" in str(error) else ModelError, match=expected):
        open_model(checkpoint, options, quiet)
    assert kept(tmp_path) == []
