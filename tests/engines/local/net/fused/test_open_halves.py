"""16-bit weights on a processor that is fast at neither bfloat16 nor float16."""

import copy

import pytest
import torch
import transformers

from glmcli import machine
from glmcli.engines.local.net import open as open_module
from glmcli.engines.local.net.fused import fbgemm
from glmcli.engines.local.net.fused import verdict as proving
from glmcli.engines.local.net.fused.open import open_fused
from glmcli.engines.local.net.fused.proof import sum_in
from glmcli.errors import ModelError
from tests.support.nets import FAMILIES, IDS, net_of, opened, saved, wanted

pytestmark = pytest.mark.skipif(not fbgemm.has_halves(), reason="no such product here")


@pytest.fixture(autouse=True)
def processor(monkeypatch):
    monkeypatch.setattr(machine, "has_bfloat16", lambda: False)


def saved_as(dtype, name, folder, change=lambda net: None):
    """A net of a family in 16 bits, saved, and the same numbers in float32."""
    net = copy.deepcopy(net_of(name)).to(dtype)
    with torch.no_grad():
        change(net)
    net.save_pretrained(folder)
    return transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()


def scores_of(reader):
    scores = [reader.read(IDS[:100], 100), reader.read(IDS[100:130], 30)]
    return torch.cat(scores + [reader.read([token]) for token in IDS[130:140]])


@pytest.mark.parametrize("name", FAMILIES)
def test_scores_equal_those_of_transformers_in_float32(name, tmp_path):
    exact = wanted(saved_as(torch.bfloat16, name, tmp_path / "net"), IDS[:140])
    checkpoint, options = opened(tmp_path / "net", tmp_path, dtype="auto")
    model = open_fused(checkpoint, options, lambda progress: None)
    assert (model.device, "sums in float32" in model.runner) == ("cpu bfloat16", True)
    assert float((scores_of(model.reader) - exact).abs().max()) < 1e-4 * float(exact.std())


def test_float16_that_is_asked_for_is_as_exact(tmp_path):
    exact = wanted(saved_as(torch.float16, "llama", tmp_path / "net"), IDS[:140])
    for dtype in ("auto", "float16"):
        checkpoint, options = opened(tmp_path / "net", tmp_path, dtype=dtype)
        model = open_fused(checkpoint, options, lambda progress: None)
        assert model.device == "cpu float16"
        assert float((scores_of(model.reader) - exact).abs().max()) < 1e-4 * float(exact.std())


def test_half_as_much_is_read_for_each_token(tmp_path):
    saved_as(torch.bfloat16, "llama", tmp_path / "net")
    sizes = []
    for dtype in ("auto", "float32"):
        checkpoint, options = opened(tmp_path / "net", tmp_path, dtype=dtype)
        sizes.append(open_fused(checkpoint, options, lambda progress: None).weight_bytes)
    assert 2 * sizes[0] == sizes[1]


def test_float32_weights_stay_float32(tmp_path):
    checkpoint, options = opened(saved("llama", tmp_path / "net"), tmp_path, dtype="auto")
    assert open_fused(checkpoint, options, lambda progress: None).device == "cpu float32"


def test_without_such_products_weights_become_float32(tmp_path, monkeypatch):
    saved_as(torch.bfloat16, "llama", tmp_path / "net")
    monkeypatch.setattr(proving, "has_halves", lambda: False)
    checkpoint, options = opened(tmp_path / "net", tmp_path, dtype="auto")
    model = open_fused(checkpoint, options, lambda progress: None)
    assert (model.device, "sums in float32" in model.runner) == ("cpu float32", False)


def test_weights_that_are_not_finite_are_refused(tmp_path):
    def spoil(net):
        net.lm_head.weight[7, 3] = torch.inf

    saved_as(torch.bfloat16, "llama", tmp_path / "net", spoil)
    checkpoint, options = opened(tmp_path / "net", tmp_path, dtype="auto")
    with pytest.raises(ModelError, match="its scores are not finite: the weights are damaged"):
        open_module.open_model(checkpoint, options, lambda progress: None)


@pytest.mark.parametrize("name", ["llama", "tied", "glm4", "qwen3"])
def test_transformers_sums_in_float32_without_float32_weights(name, tmp_path):
    """So that the proof, too, needs no more memory than the files are large."""
    exact = wanted(saved_as(torch.bfloat16, name, tmp_path / "net"), IDS[:50])
    net = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "net", dtype="bfloat16")
    sum_in(net.eval(), torch.float32)
    assert float((wanted(net, IDS[:50]) - exact).abs().max()) < 1e-5 * float(exact.std())
    matrices = [value for value in net.parameters() if value.dim() == 2]
    assert {value.dtype for value in matrices} == {torch.bfloat16}


def test_int8_is_made_from_them(tmp_path):
    exact = wanted(saved_as(torch.bfloat16, "llama", tmp_path / "net"), IDS[:41])
    checkpoint, options = opened(tmp_path / "net", tmp_path, dtype="auto", quantize="int8")
    model = open_fused(checkpoint, options, lambda progress: None)
    assert model.device == "cpu int8"
    assert float((model.reader.read(IDS[:41], 41) - exact).norm() / exact.norm()) < 0.2
