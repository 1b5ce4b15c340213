"""A few ids that are read at once have the bits that they have alone, wherever that is said."""

import copy

import pytest
import torch
import transformers

from glmcli import machine
from glmcli.engines.local.net.fused.alike import reads_alike
from glmcli.engines.local.net.fused.fbgemm import has_fbgemm, has_halves
from glmcli.engines.local.net.fused.open import open_fused
from glmcli.engines.local.net.packed import can_pack
from glmcli.engines.local.net.plain.reader import PlainReader
from glmcli.engines.local.net.reader import FEW_ROWS
from tests.support import tiny
from tests.support.nets import COMMON, FAMILIES, IDS, net_of, opened, saved

WAYS = {
    "float32": {"dtype": "float32"},
    "bfloat16": {"dtype": "bfloat16"},
    "int8": {"quantize": "int8"},
    "halves": {"dtype": "auto"},
}


def net_in(way, name, folder, monkeypatch):
    if way == "halves":
        if not has_halves():
            pytest.skip("no such product here")
        monkeypatch.setattr(machine, "has_bfloat16", lambda: False)
        copy.deepcopy(net_of(name)).to(torch.bfloat16).save_pretrained(folder / "net")
    else:
        saved(name, folder / "net")
    checkpoint, options = opened(folder / "net", folder, **WAYS[way])
    return open_fused(checkpoint, options, lambda progress: None).reader


def bits_after(net, before, count):
    """The scores after `count` ids behind so many others: read at once, and one by one."""
    found = []
    for lengths in ([count], [1] * count):
        net.forget()
        net.read(IDS[:before])
        at = before
        for length in lengths:
            found.append(net.read(IDS[at : at + length], length))
            at += length
    return found[0], torch.cat(found[1:])


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", FAMILIES)
def test_what_is_said_to_be_alike_has_the_same_bits(way, name, tmp_path, monkeypatch):
    net = net_in(way, name, tmp_path, monkeypatch)
    is_alike = reads_alike(net)
    assert is_alike or way in ("float32", "bfloat16") or not has_fbgemm()
    for before, count in ((1, 2), (40, 3), (129, FEW_ROWS)):
        at_once, alone = bits_after(net, before, count)
        assert torch.equal(at_once, alone) or not is_alike
        torch.testing.assert_close(at_once, alone, atol=0.5 if way == "bfloat16" else 1e-3, rtol=0)


@pytest.mark.skipif(not can_pack(), reason="the processor does not multiply bfloat16")
def test_packed_bfloat16_is_alike(tmp_path):
    """With sizes that fit; of the tiny nets above the head does not."""
    config = transformers.LlamaConfig(**COMMON | {"vocab_size": 448})
    transformers.LlamaForCausalLM(config).save_pretrained(tmp_path / "net")
    checkpoint, options = opened(tmp_path / "net", tmp_path, dtype="bfloat16")
    net = open_fused(checkpoint, options, lambda progress: None).reader
    assert reads_alike(net)
    for before, count in ((1, 2), (40, 3), (129, FEW_ROWS)):
        assert torch.equal(*bits_after(net, before, count))


@pytest.mark.parametrize("place", ["head", "layer"])
def test_a_product_whose_sums_depend_on_other_rows_is_found(place, tmp_path, monkeypatch):
    net = net_in("halves", "llama", tmp_path, monkeypatch)
    assert reads_alike(net)
    weights = net.weights if place == "head" else net.weights.layers[0]
    name = "head" if place == "head" else "down"
    product = getattr(weights, name)
    object.__setattr__(weights, name, lambda x: product(x) * (1 + 1e-6 * (len(x) > 1)))
    assert not reads_alike(net)


def test_of_nets_that_transformers_runs_nothing_is_said():
    assert not reads_alike(PlainReader(tiny.llama()))
