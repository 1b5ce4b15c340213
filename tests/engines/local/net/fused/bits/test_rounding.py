"""Weights in 4 bits stand for numbers that are near, at four and a half bits each."""

import pytest
import torch

from glmcli.engines.local.net.fused.bits.rounding import (
    full_groups,
    full_rows,
    group_for,
    join_codes,
    round_groups,
    round_rows,
    split_codes,
)
from tests.support.nf4 import as_nf4

SEED = torch.Generator().manual_seed(3)
GAUSS = 0.02 * torch.randn(96, 512, generator=SEED)
LONG_TAILED = GAUSS / torch.rand(96, 1, generator=SEED).clamp_min(0.1) ** 2
LONG_TAILED[::7, ::50] *= 6


def apart(found, wanted):
    return float((found.float() - wanted).norm() / wanted.norm())


def in_groups(weight, group=64):
    return full_groups(round_groups(weight, group), torch.float32)


def q4_1(weight):
    """As GGUF's Q4_1 has it: groups of 32, least and largest number kept, float16 for both."""
    parts = weight.view(len(weight), -1, 32)
    low, high = parts.aminmax(dim=2, keepdim=True)
    step = (high - low) / 15
    codes = ((parts - low) / step).round()
    return (codes * step.half().float() + low.half().float()).view_as(weight)


@pytest.mark.parametrize("weight", [GAUSS, LONG_TAILED], ids=["gauss", "long-tailed"])
def test_four_bits_are_nearer_than_nf4_at_equal_bits(weight):
    kept = round_groups(weight, 64)
    assert 8 * sum(tensor.nbytes for tensor in kept.values()) == 4.5 * weight.numel()
    assert apart(full_groups(kept, torch.float32), weight) < 0.95 * apart(as_nf4(weight), weight)


def test_small_groups_are_nearer_and_half_precision_changes_little():
    assert apart(in_groups(GAUSS, 32), GAUSS) < apart(in_groups(GAUSS), GAUSS) < 0.09
    kept = round_groups(GAUSS, 64)
    for dtype in (torch.bfloat16, torch.float16):
        full = full_groups(kept, dtype)
        assert full.dtype is dtype
        assert apart(full, full_groups(kept, torch.float32)) < 2**-9


def test_what_was_in_groups_of_32_gets_its_own_grid_again():
    weight = q4_1(GAUSS)
    for stored in (weight, weight.bfloat16()):
        assert group_for(stored) == 32
        assert apart(in_groups(stored, 32), weight) < 0.01
    assert group_for(GAUSS) == 64


@pytest.mark.parametrize(("width", "group"), [(96, 32), (128, 64), (80, None), (33, None)])
def test_groups_are_whole(width, group):
    assert group_for(GAUSS[:, :width]) == group


@pytest.mark.parametrize("value", [0.0, 1.0, -3e-5, 1e-9])
def test_a_group_of_equal_numbers_stays_as_it_is(value):
    weight = torch.full((8, 64), value)
    assert float((in_groups(weight) - weight).abs().max()) <= abs(value) * 2**-8


def test_a_slice_at_a_time_is_rounded_as_the_whole_is(monkeypatch):
    whole = round_groups(GAUSS, 64)
    monkeypatch.setattr("glmcli.engines.local.net.fused.bits.rounding.ROUNDED_AT_ONCE", 5 * 512)
    parts = round_groups(GAUSS, 64)
    assert all(torch.equal(whole[name], parts[name]) for name in whole)


def test_two_neighbours_lie_in_a_byte_the_first_in_its_higher_half():
    numbers = torch.arange(16).repeat(3, 2)
    codes = join_codes(numbers)
    assert codes[0, :3].tolist() == [0x01, 0x23, 0x45]
    assert torch.equal(split_codes(codes, torch.float32), numbers.float())


def test_rows_in_8_bits_become_whole_in_any_dtype_with_one_rounding():
    kept = round_rows(GAUSS)
    exact = kept["weight"].double() * kept["scale"].double()[:, None]
    for dtype in (torch.float32, torch.bfloat16, torch.float16):
        assert torch.equal(full_rows(kept, dtype), exact.float().to(dtype))
