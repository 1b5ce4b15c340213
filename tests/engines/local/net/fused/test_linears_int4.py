"""int4 in the fused decoder, with its products in plain torch: what a GPU's kernels must equal."""

import pytest
import torch

from glmcli.config import load_settings
from glmcli.engines.local.net.fused import linears as fused_linears
from glmcli.engines.local.net.fused.bits.matrices import Matrix
from glmcli.engines.local.net.fused.linears import Int4, few_linears
from glmcli.engines.local.net.fused.open import open_fused, runner_of
from glmcli.engines.local.net.fused.weights import open_files
from glmcli.models.checkpoint import find_checkpoint
from tests.support.nets import FAMILIES, IDS, net_of, opened, saved, wanted


def apart(one, other):
    return float((one - other).norm() / other.norm())


@pytest.mark.parametrize("name", FAMILIES)
def test_scores_of_every_family_stay_near(name, tmp_path):
    checkpoint, options = opened(saved(name, tmp_path / "net"), tmp_path, quantize="int4")
    model = open_fused(checkpoint, options, lambda progress: None)
    assert model.device == "cpu int4"
    scores = torch.cat([model.reader.read(IDS[:40], 40), model.reader.read([IDS[40]])])
    assert apart(scores, wanted(net_of(name), IDS[:41])) < 0.5  # another net: 1.4


def test_weights_are_rounded_once_and_a_damaged_layer_again(tmp_path, monkeypatch):
    checkpoint, options = opened(saved("llama", tmp_path / "net"), tmp_path, quantize="int4")
    first = open_fused(checkpoint, options, lambda progress: None)
    expected = first.reader.read(IDS[:40])
    (folder,) = (tmp_path / "cache" / "quantized").iterdir()
    assert folder.name.endswith("-int4")
    with monkeypatch.context() as patch:
        patch.setattr(fused_linears, "round_groups", None)  # called, it would fail
        again = open_fused(checkpoint, options, lambda progress: None)
    assert torch.equal(again.reader.read(IDS[:40]), expected)
    assert again.weight_bytes == first.weight_bytes
    (folder / "1.down.safetensors").write_bytes(b"cut off")
    mended = open_fused(checkpoint, options, lambda progress: None)
    assert torch.equal(mended.reader.read(IDS[:40]), expected)
    assert (folder / "1.down.safetensors").stat().st_size > 100


def test_the_head_stays_in_8_bits_and_so_does_what_has_no_groups():
    bits = Int4("cpu", torch.float32)
    weight = torch.randn(8, 128)
    assert bits.round("0.down", weight).keys() == {"codes", "scale", "zero"}
    assert bits.round("head", weight)["weight"].dtype is torch.int8
    assert bits.round("0.down", weight[:, :72])["weight"].dtype is torch.int8


def test_where_there_is_no_kernel_plain_torch_multiplies_and_it_is_said(tmp_path):
    """As on a card that is too old, or where no compiler is there."""
    folder = tmp_path / "shelf"
    linears = few_linears("int4", "meta", torch.bfloat16, folder, keep=False)
    assert linears.lacks.keys() == {"int8", "int4"}
    runner = runner_of(1e-3, linears)
    assert all(f"no kernel for {bits} (" in runner for bits in linears.lacks)
    bits, x = Int4("meta", torch.bfloat16), torch.randn(1, 128)
    for place in ("head", "0.down"):
        kept = bits.round(place, torch.randn(8, 128))
        assert torch.equal(bits.product(kept, None)(x), Matrix(kept)(x))


@pytest.mark.model
def test_the_built_in_model_gets_its_own_grid_again():
    """It was in groups of 32 before; groups of 64 would be 0.08 away, and diverge by 0.29."""
    options = load_settings({"device": "cpu"}, environ={}).model_options
    checkpoint = find_checkpoint("smollm2", options, lambda progress: None)
    bits = Int4("cpu", torch.float32)
    with open_files(checkpoint.weights) as (take, _):
        for name in ("0.self_attn.q_proj", "14.mlp.gate_proj", "29.mlp.down_proj"):
            weight = take(f"model.layers.{name}.weight").float()
            kept = bits.round(name, weight)
            assert 2 * kept["codes"].shape[1] == 32 * kept["scale"].shape[1]
            assert apart(Matrix(kept).full(torch.float32), weight) < 0.01
