"""Weights in few bits, in plain torch where a GPU has kernels: close, rounded once, or refused."""

import pytest
import torch

from glmcli.config import load_settings
from glmcli.engines.local.net import open as open_module
from glmcli.engines.local.net.fused import linears
from glmcli.engines.local.net.fused.bits import shelf
from glmcli.engines.local.net.fused.bits.matrices import Matrix
from glmcli.engines.local.net.fused.bits.rounding import round_rows
from glmcli.engines.local.net.fused.bits.shelf import Shelf
from glmcli.engines.local.net.fused.linears import Int4, few_linears, int8_linear
from glmcli.engines.local.net.fused.open import open_fused, runner_of
from glmcli.engines.local.net.plain.files import open_files
from glmcli.errors import ConfigError
from glmcli.models.checkpoint import find_checkpoint
from tests.support.nets import FAMILIES, IDS, net_of, opened, saved, wanted

WEIGHT = torch.randn(96, 64, generator=torch.Generator().manual_seed(3))
X = torch.randn(7, 64, generator=torch.Generator().manual_seed(4))
X[2] *= 1000  # sizes of tokens differ widely
X[3] = 0


def apart(one, other):
    return float((one - other).norm() / other.norm())


def test_rows_are_rounded_by_half_a_step_at_most():
    numbers, scale = round_rows(WEIGHT).values()
    assert numbers.dtype is torch.int8
    assert float(((numbers * scale[:, None] - WEIGHT).abs() / scale[:, None]).max()) <= 0.501


def test_a_row_of_zeros_stays_zero():
    numbers, scale = round_rows(torch.zeros(2, 64)).values()
    assert not (numbers * scale[:, None]).any()


def test_processors_without_such_products_round_what_comes_in_to_bfloat16(monkeypatch):
    monkeypatch.setattr(linears, "has_fbgemm", lambda: False)
    numbers, scale = round_rows(WEIGHT).values()
    layer = int8_linear(numbers, scale, torch.arange(96.0))
    exact = X.bfloat16().float() @ (numbers * scale[:, None]).T + torch.arange(96.0)
    assert apart(layer(X), exact) < 3e-3


@pytest.mark.parametrize(("bits", "most"), [("int8", 0.2), ("int4", 0.5)])  # another net: 1.4
@pytest.mark.parametrize("name", FAMILIES)
def test_scores_of_every_family_stay_close(name, bits, most, tmp_path):
    checkpoint, options = opened(saved(name, tmp_path / "net"), tmp_path, quantize=bits)
    model = open_fused(checkpoint, options, lambda progress: None)
    assert model.device == f"cpu {bits}"
    scores = torch.cat([model.reader.read(IDS[:40], 40), model.reader.read([IDS[40]])])
    assert apart(scores, wanted(net_of(name), IDS[:41])) < most


@pytest.mark.parametrize(("bits", "rounding"), [("int8", "round_rows"), ("int4", "round_groups")])
def test_weights_are_rounded_once_and_a_damaged_layer_again(bits, rounding, tmp_path, monkeypatch):
    checkpoint, options = opened(saved("llama", tmp_path / "net"), tmp_path, quantize=bits)
    first = open_fused(checkpoint, options, lambda progress: None)
    expected = first.reader.read(IDS[:40])
    (folder,) = (tmp_path / "cache" / "quantized").iterdir()
    assert folder.name.endswith(f"-{bits}")
    with monkeypatch.context() as patch:
        patch.setattr(linears, rounding, None)  # called, it would fail
        again = open_fused(checkpoint, options, lambda progress: None)
    assert torch.equal(again.reader.read(IDS[:40]), expected)
    assert again.weight_bytes == first.weight_bytes
    (folder / "1.down.safetensors").write_bytes(b"cut off")
    mended = open_fused(checkpoint, options, lambda progress: None)
    assert torch.equal(mended.reader.read(IDS[:40]), expected)
    assert (folder / "1.down.safetensors").stat().st_size > 100


def test_a_shelf_that_was_cut_off_is_not_found(tmp_path):
    one = Shelf(tmp_path / "cache" / "key", keep=True)
    one.put("0.qkv", round_rows(WEIGHT))
    one.close(is_whole=False)
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_full_disk_is_no_fault(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shelf, "save_file", full)
    checkpoint, options = opened(saved("llama", tmp_path / "net"), tmp_path, quantize="int8")
    open_fused(checkpoint, options, lambda progress: None).reader.read(IDS[:9])
    assert list((tmp_path / "cache" / "quantized").iterdir()) == []


def test_without_history_nothing_is_kept(tmp_path):
    folder = saved("llama", tmp_path / "net")
    open_fused(*opened(folder, tmp_path), lambda progress: None)
    checkpoint, options = opened(folder, tmp_path, quantize="int8", history="off")
    open_fused(checkpoint, options, lambda progress: None)
    assert not (tmp_path / "cache" / "quantized").exists()


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"quantize": "int4"}, "needs a CUDA GPU"),
        ({"quantize": "int8", "fused": "off"}, "cannot be quantised on the processor"),
    ],
)
def test_what_cannot_be_quantised_is_refused(options, reason, tmp_path):
    checkpoint, options = opened(saved("llama", tmp_path / "net"), tmp_path, **options)
    with pytest.raises(ConfigError, match=reason) as caught:
        open_module.open_model(checkpoint, options, lambda progress: None)
    assert caught.value.hint


def test_the_head_stays_in_8_bits_and_so_does_what_has_no_groups():
    bits = Int4("cpu", torch.float32)
    weight = torch.randn(8, 128)
    assert bits.round("0.down", weight).keys() == {"codes", "scale", "zero"}
    assert bits.round("head", weight)["weight"].dtype is torch.int8
    assert bits.round("0.down", weight[:, :72])["weight"].dtype is torch.int8


def test_where_there_is_no_kernel_plain_torch_multiplies_and_it_is_said(tmp_path):
    """As on a card that is too old, or where no compiler is there."""
    folder = tmp_path / "shelf"
    few = few_linears("int4", "meta", torch.bfloat16, folder, keep=False)
    assert few.lacks.keys() == {"int8", "int4"}
    runner = runner_of(1e-3, few, few.lacks)
    assert all(f"no kernel for {bits} (" in runner for bits in few.lacks)
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
    with open_files(checkpoint, torch.float32) as source:
        for name in ("0.self_attn.q_proj", "14.mlp.gate_proj", "29.mlp.down_proj"):
            weight = source.take(f"model.layers.{name}.weight").float()
            kept = bits.round(name, weight)
            assert 2 * kept["codes"].shape[1] == 32 * kept["scale"].shape[1]
            assert apart(Matrix(kept).full(torch.float32), weight) < 0.01
