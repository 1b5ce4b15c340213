"""int8 on the processor: close to the full weights, quantised once, refused where it cannot be."""

import pytest
import torch

from glmcli.engines.local.net import open as open_module
from glmcli.engines.local.net.fused import linears
from glmcli.engines.local.net.fused.bits import shelf
from glmcli.engines.local.net.fused.bits.rounding import round_rows
from glmcli.engines.local.net.fused.bits.shelf import Shelf
from glmcli.engines.local.net.fused.linears import int8_linear
from glmcli.engines.local.net.fused.open import open_fused
from glmcli.errors import ConfigError
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


@pytest.mark.parametrize("name", FAMILIES)
def test_scores_of_every_family_stay_close(name, tmp_path):
    checkpoint, options = opened(saved(name, tmp_path / "net"), tmp_path, quantize="int8")
    model = open_fused(checkpoint, options, lambda progress: None)
    assert model.device == "cpu int8"
    scores = torch.cat([model.reader.read(IDS[:40], 40), model.reader.read([IDS[40]])])
    assert apart(scores, wanted(net_of(name), IDS[:41])) < 0.2


def test_weights_are_quantised_once(tmp_path, monkeypatch):
    checkpoint, options = opened(saved("llama", tmp_path / "net"), tmp_path, quantize="int8")
    first = open_fused(checkpoint, options, lambda progress: None)
    monkeypatch.setattr(linears, "round_rows", None)  # called, it would fail
    again = open_fused(checkpoint, options, lambda progress: None)
    assert torch.equal(first.reader.read(IDS[:40]), again.reader.read(IDS[:40]))
    assert again.weight_bytes == first.weight_bytes


def test_a_shelf_that_was_cut_off_is_not_found(tmp_path):
    one = Shelf(tmp_path / "cache" / "key", keep=True)
    one.put("0.qkv", round_rows(WEIGHT))
    one.close(is_whole=False)
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_damaged_shelf_is_filled_anew(tmp_path):
    checkpoint, options = opened(saved("llama", tmp_path / "net"), tmp_path, quantize="int8")
    first = open_fused(checkpoint, options, lambda progress: None)
    (folder,) = (tmp_path / "cache" / "quantized").iterdir()
    (folder / "1.down.safetensors").write_bytes(b"cut off")
    again = open_fused(checkpoint, options, lambda progress: None)
    assert torch.equal(first.reader.read(IDS[:40]), again.reader.read(IDS[:40]))
    assert (folder / "1.down.safetensors").stat().st_size > 100


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
