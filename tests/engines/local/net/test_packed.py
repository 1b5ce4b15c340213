"""Packed layers compute the same numbers, and only where they are a gain."""

import os
import weakref

import pytest
import torch
from accelerate.hooks import ModelHook, add_hook_to_module
from torch import nn

from glmcli.engines.local.net.packed import PackedLinear, can_pack, find_linears, is_packable, pack
from tests.support import tiny
from tests.support.processes import output, run_python

needs_packing = pytest.mark.skipif(not can_pack(), reason="this processor gains nothing by packing")


def linear(inputs, outputs, *, bias=False, dtype=torch.bfloat16):
    torch.manual_seed(inputs + outputs)
    return nn.Linear(inputs, outputs, bias=bias, dtype=dtype)


@needs_packing
@pytest.mark.parametrize("shape", [(32, 32), (64, 96), (576, 1536), (1536, 576)])
@pytest.mark.parametrize("bias", [False, True])
def test_a_packed_layer_computes_the_same_to_the_bit_but_for_long_prompts(shape, bias):
    plain = linear(*shape, bias=bias)
    packed = PackedLinear(plain)
    for rows in (1, 2, 7):
        x = torch.randn(1, rows, shape[0], dtype=torch.bfloat16)
        assert torch.equal(packed(x), plain(x))
    strided = torch.randn(3, 2 * shape[0], dtype=torch.bfloat16)[:, ::2]
    assert torch.equal(packed(strided), plain(strided))
    # A processor with AMX adds up in another order there: one number of some ten thousand differs.
    x = torch.randn(1, 128, shape[0], dtype=torch.bfloat16)
    y, wanted = packed(x), plain(x)
    assert float((y != wanted).float().mean()) < 1e-3
    assert torch.allclose(y.float(), wanted.float(), rtol=2**-7, atol=1e-3)


@needs_packing
def test_the_plain_weights_can_still_be_seen():
    plain = linear(64, 96)
    assert torch.equal(PackedLinear(plain).weight, plain.weight)


@needs_packing
def test_a_packed_net_has_the_same_scores_and_the_largest_layer_comes_first():
    plain = tiny.llama(448).bfloat16()
    packed = tiny.llama(448).bfloat16()
    places = find_linears(packed)
    for place in places:
        pack(place)
    ids = torch.arange(20)[None]
    assert torch.equal(packed(ids).logits, plain(ids).logits)
    assert not any(type(module) is nn.Linear for module in packed.modules())
    expected = [m.weight.nbytes for m in plain.modules() if type(m) is nn.Linear]
    assert [place.size_bytes for place in places] == sorted(expected, reverse=True)


@needs_packing
def test_tied_embeddings_keep_their_weights():
    net = tiny.llama(448, tie_word_embeddings=True).bfloat16()
    before = net(torch.arange(20)[None]).logits
    for place in find_linears(net):
        pack(place)
    assert isinstance(net.lm_head, PackedLinear)
    assert torch.equal(net(torch.arange(20)[None]).logits, before)


def test_other_dtypes_are_left_alone():
    assert find_linears(tiny.llama(448)) == []


@needs_packing
def test_a_place_does_not_keep_the_weights_of_its_layer():
    net = tiny.llama(448).bfloat16()
    places = find_linears(net)
    weights = [weakref.ref(getattr(place.parent, place.name).weight) for place in places]
    for place, weight in zip(places, weights, strict=True):
        pack(place)
        assert weight() is None


def test_hooked_derived_and_odd_layers_are_left_alone():
    class Own(nn.Linear):
        pass

    hooked = linear(32, 32)
    assert is_packable(hooked)
    add_hook_to_module(hooked, ModelHook())
    assert not is_packable(hooked)
    assert not is_packable(Own(32, 32, dtype=torch.bfloat16))
    assert not is_packable(nn.Linear(32, 32, dtype=torch.bfloat16, device="meta"))
    assert not is_packable(linear(32, 33))
    assert not is_packable(linear(33, 32))


def test_nothing_is_packed_where_the_library_is_kept_from_it():
    code = "from glmcli.engines.local.net.packed import can_pack; print(can_pack())"
    process = run_python(code, env=os.environ | {"ONEDNN_MAX_CPU_ISA": "AVX2"})
    assert output(process) == "False\n"
