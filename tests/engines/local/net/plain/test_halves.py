"""16-bit weights on a processor that is fast at float32 only, in nets as transformers has them."""

from __future__ import annotations

import pytest
import torch

from glmcli import machine
from glmcli.engines.local.net.fused.fbgemm import has_halves
from glmcli.engines.local.net.open import open_model
from glmcli.engines.local.net.plain import open as opening
from glmcli.engines.local.net.plain.cut import cut_of
from glmcli.engines.local.net.plain.halves import half_linears, halved, wide_bytes, widen
from glmcli.engines.local.net.plain.reader import PlainReader, Reading, ReadingWay
from tests.support.families import CHANGES, tiny_net
from tests.support.nets import opened

pytestmark = pytest.mark.skipif(not has_halves(), reason="no such product here")
IDS = torch.randint(6, 250, (60,), generator=torch.Generator().manual_seed(2)).tolist()
FAMILIES = ["gpt2", "gpt_neox", "gemma3_text", "mixtral", "jamba", "mamba"]


@pytest.fixture(autouse=True)
def processor(monkeypatch):
    monkeypatch.setattr(machine, "has_bfloat16", lambda: False)


def saved(family, folder, dtype=torch.bfloat16, change=lambda net: None):
    """A net in 16 bits, and what the same numbers say in float32."""
    net = tiny_net(family, CHANGES.get(family)).to(dtype)
    with torch.no_grad():
        change(net)
    net.save_pretrained(folder)
    exact = type(net).from_pretrained(folder, dtype=torch.float32).eval()
    return PlainReader(exact).read(IDS, len(IDS))


def apart(reader, exact):
    found = torch.cat([reader.read(IDS[:50], 50), *(reader.read([token]) for token in IDS[50:])])
    return float((found - exact).abs().max() / exact.std())


@pytest.mark.parametrize("family", FAMILIES)
def test_scores_equal_those_of_float32_also_from_a_kept_verdict(family, tmp_path):
    exact = saved(family, tmp_path / "net")
    checkpoint, options = opened(tmp_path / "net", tmp_path, dtype="auto", fused="off")
    for _ in range(2):
        model = open_model(checkpoint, options, lambda progress: None)
        assert (model.device, "sums in float32" in model.runner) == ("cpu bfloat16", True)
        assert apart(model.reader, exact) < 1e-3


def kept(family, folder, change=lambda net: None):
    """A net that keeps its 16-bit weights, and what the same numbers say in float32."""
    exact = saved(family, folder, change=change)
    net_class = halved(type(tiny_net(family)), torch.bfloat16)
    net = net_class.from_pretrained(folder, dtype=torch.float32).eval()
    widen(net)
    return net, exact


def packed(net):
    for layer in half_linears(net):
        layer.pack()
    return net


@pytest.mark.parametrize("family", ["gpt2", "gpt_neox"])
def test_no_matrix_is_there_as_float32(family, tmp_path):
    net, exact = kept(family, tmp_path)
    assert apart(PlainReader(net), exact) < 1e-4
    matrices = [weight.dtype for weight in net.parameters() if weight.dim() == 2]
    assert matrices and set(matrices) == {torch.bfloat16}
    layers = list(half_linears(net))
    sizes = [layer.shape.numel() for layer in layers]
    assert sizes and sizes == sorted(sizes, reverse=True)
    assert apart(PlainReader(packed(net)), exact) < 1e-4
    assert not list(half_linears(net))
    assert wide_bytes(net) == sum(w.nbytes for w in net.parameters() if w.dim() == 1)


@pytest.mark.parametrize("prepare", [lambda net: net, packed])
@pytest.mark.parametrize("family", ["gpt2", "mamba"])
def test_a_layer_whose_numbers_are_asked_for_becomes_float32_and_is_as_it_was(
    family, prepare, tmp_path
):
    net, exact = kept(family, tmp_path)
    name, layer = next((n, m) for n, m in net.named_modules() if m in set(half_linears(net)))
    before, wide = layer.numbers().float(), wide_bytes(prepare(net))
    assert (layer.weight.dtype, tuple(layer.weight.shape)) == (torch.float32, tuple(before.shape))
    assert wide_bytes(net) == wide, name
    assert torch.equal(torch.mul(layer.weight, 1.0), before)
    assert isinstance(layer.weight, torch.nn.Parameter)
    assert wide_bytes(net) == wide + before.nbytes
    assert apart(PlainReader(net, Reading(ReadingWay.WHOLE)), exact) < 1e-4


def test_weights_that_are_not_finite_are_used_as_they_are(tmp_path):
    def spoil(net):
        net.lm_head.weight[7, 3] = torch.inf

    net, _ = kept("phi3", tmp_path, spoil)
    scores = PlainReader(packed(net)).read(IDS)
    assert [layer.shape for layer in half_linears(net)] == [net.lm_head.weight.shape]
    assert torch.isfinite(scores).sum() == scores.numel() - 1


def test_a_part_of_the_net_can_be_cut_out_for_its_proof(tmp_path):
    net, exact = kept("gemma3_text", tmp_path)
    assert apart(PlainReader(cut_of(net)), exact) < 1e-4


@pytest.mark.parametrize("failing", ["check_same", "find_reading"])
def test_where_it_is_not_the_same_all_becomes_float32(failing, tmp_path, monkeypatch):
    real, calls = getattr(opening, failing), []

    def once(*given):
        calls.append(given)
        if len(calls) == 1:
            raise ValueError("scores differ")
        return real(*given)

    exact = saved("phi3", tmp_path / "net")
    monkeypatch.setattr(opening, failing, once)
    checkpoint, options = opened(tmp_path / "net", tmp_path, dtype="auto")
    model = open_model(checkpoint, options, lambda progress: None)
    assert (model.device, "sums" in model.runner) == ("cpu float32", False)
    assert apart(model.reader, exact) < 1e-5


def test_what_becomes_float32_is_said(tmp_path, monkeypatch):
    saved("mixtral", tmp_path / "net")
    monkeypatch.setattr(opening, "NOTABLE_BYTES", 1)
    checkpoint, options = opened(tmp_path / "net", tmp_path, dtype="auto")
    model = open_model(checkpoint, options, lambda progress: None)
    assert model.runner.endswith("sums in float32, 0 MB of the weights too")


def test_a_processor_with_bfloat16_uses_it(tmp_path, monkeypatch):
    monkeypatch.setattr(machine, "has_bfloat16", lambda: True)
    saved("phi3", tmp_path / "net")
    checkpoint, options = opened(tmp_path / "net", tmp_path, dtype="auto")
    model = open_model(checkpoint, options, lambda progress: None)
    assert (model.device, "sums" in model.runner) == ("cpu bfloat16", False)
