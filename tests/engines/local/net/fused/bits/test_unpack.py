"""Packed checkpoints are read as the plain ones whose weights they stand for."""

from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file

from glmcli.engines.local.net.fused import open as fused_open
from glmcli.engines.local.net.fused.bits.matrices import Matrix
from glmcli.engines.local.net.fused.linears import few_linears
from glmcli.engines.local.net.fused.open import open_fused
from glmcli.engines.local.net.fused.plan import dimensions_of
from glmcli.engines.local.net.fused.proof import config_of_transformers
from glmcli.engines.local.net.fused.weights import load_fused
from glmcli.engines.local.net.open import open_model
from glmcli.engines.local.net.placement import place_weights
from glmcli.engines.local.net.plain.files import open_files
from glmcli.engines.local.net.plain.reader import PlainReader
from glmcli.errors import ModelError
from tests.support.nets import IDS, fused, opened, wanted
from tests.support.packing import WAYS, packed

FEW = [("gptq", 4), ("awq", 4), ("pack-quantized with zeros", 4), ("int-quantized", 8)]


def silent(progress):
    pass


def assert_same(found, expected):
    assert float((found - expected).abs().max()) < 1e-4 * float(expected.std())


@pytest.mark.parametrize("way", WAYS)
def test_scores_are_those_of_the_plain_checkpoint(way, tmp_path):
    net = packed("llama", tmp_path / "net", way)
    model = open_model(*opened(tmp_path / "net", tmp_path), silent)
    assert model.runner.startswith("fused decoder")
    assert model.runner.endswith(
        f"weights unpacked from {8 if '8' in way or 'int-' in way else 4} bits"
    )
    assert_same(model.reader.read(IDS[:50], 50), wanted(net, IDS[:50]))


@pytest.mark.parametrize("way", ["gptq", "awq", "pack-quantized"])
@pytest.mark.parametrize("name", ["qwen2", "glm"])
def test_rows_that_are_joined_and_put_in_order_too(name, way, tmp_path):
    net = packed(name, tmp_path / "net", way)
    reader = fused(*opened(tmp_path / "net", tmp_path))
    assert_same(reader.read(IDS[:50], 50), wanted(net, IDS[:50]))


def test_without_the_fused_decoder_transformers_gets_them_whole(tmp_path):
    net = packed("llama", tmp_path / "net", "awq")
    model = open_model(*opened(tmp_path / "net", tmp_path, fused="off"), silent)
    assert type(model.reader) is PlainReader
    assert "unpacked from 4 bits" in model.runner
    assert_same(model.reader.read(IDS[:50], 50), wanted(net, IDS[:50]))


@pytest.mark.parametrize(("way", "bits"), FEW)
def test_what_fits_is_kept_without_being_rounded_again(way, bits, tmp_path):
    net = packed("llama", tmp_path / "net", way, whole_scales=True)
    checkpoint, _ = opened(tmp_path / "net", tmp_path)
    assert checkpoint.packing.kept_as == f"int{bits}"
    name = "model.layers.1.mlp.down_proj"
    with open_files(checkpoint, torch.float32) as source:
        kept = source.few(name, bits)
        assert source.few(name, 12 - bits) is None
    full = Matrix(kept).full(torch.float32)
    assert torch.equal(full, net.get_submodule(name).weight)


@pytest.mark.parametrize("name", ["llama", "glm"])
@pytest.mark.parametrize(("way", "bits"), FEW)
def test_layers_in_few_bits_say_what_whole_ones_say(name, way, bits, tmp_path):
    packed(name, tmp_path / "net", way, whole_scales=True)
    checkpoint, options = opened(tmp_path / "net", tmp_path)
    net = dimensions_of(checkpoint, config_of_transformers(checkpoint), checkpoint.tensors)
    linears = few_linears(f"int{bits}", "cpu", torch.float32, tmp_path / "shelf", keep=False)
    placement = place_weights(checkpoint.tensors, checkpoint.config, options)
    few = load_fused(net, checkpoint, placement, linears, silent).weights.layers
    for layer, whole in zip(few, fused(checkpoint, options).weights.layers, strict=True):
        for part in ("qkv", "out", "gate_up", "down"):
            x = torch.randn(
                3, 96 if part == "down" else 128 if name == "glm" and part == "out" else 64
            )
            assert torch.allclose(getattr(layer, part)(x), getattr(whole, part)(x), atol=1e-3)


def test_groups_that_are_no_neighbours_are_not_kept(tmp_path):
    packed("llama", tmp_path / "net", "gptq by activation")
    checkpoint, _ = opened(tmp_path / "net", tmp_path)
    assert checkpoint.packing.kept_as == ""
    with open_files(checkpoint, torch.float32) as source:
        assert source.few("model.layers.0.mlp.down_proj", 4) is None


def test_biases_of_zeros_that_a_packer_wrote_are_no_fault(tmp_path):
    net = packed("llama", tmp_path / "net", "gptq")
    change(tmp_path / "net", "model.layers.0.self_attn.o_proj.bias", torch.zeros(64))
    model = open_model(*opened(tmp_path / "net", tmp_path), silent)
    assert_same(model.reader.read(IDS[:50], 50), wanted(net, IDS[:50]))


def test_a_group_that_is_not_there_is_one_line(tmp_path):
    packed("llama", tmp_path / "net", "gptq")
    change(tmp_path / "net", "model.layers.1.mlp.up_proj.g_idx", torch.arange(64).int())
    with pytest.raises(ModelError, match="up_proj: g_idx names groups other than its 2") as caught:
        open_model(*opened(tmp_path / "net", tmp_path), silent)
    assert "download" in caught.value.hint


def change(folder, name, tensor):
    path = folder / "model.safetensors"
    state = load_file(path)
    path.unlink()
    save_file(state | {name: tensor}, path)


@pytest.mark.parametrize(("dtype", "shown"), [("auto", "int4"), ("float32", "float32")])
def test_where_a_gpu_is_they_stay_in_their_bits_unless_a_dtype_is_asked_for(
    dtype, shown, tmp_path, monkeypatch
):
    monkeypatch.setattr(fused_open, "pick_device", lambda wanted: "cuda:0")
    packed("llama", tmp_path / "net", "gptq")
    model = open_fused(*opened(tmp_path / "net", tmp_path, dtype=dtype), silent)
    assert model.device == f"cpu {shown}"


def test_kept_bits_are_not_called_unpacked_and_take_less_memory(tmp_path):
    """As a GPU has them, by plain torch."""
    packed("llama", tmp_path / "net", "awq")
    checkpoint, options = opened(tmp_path / "net", tmp_path)
    model = open_fused(checkpoint, replace(options, quantize="int4"), silent)
    assert model.device == "cpu int4"
    assert "unpacked" not in model.runner
    other = open_fused(checkpoint, replace(options, quantize="int8"), silent)
    assert other.runner.endswith("weights unpacked from 4 bits")
    assert model.weight_bytes < 0.8 * other.weight_bytes
