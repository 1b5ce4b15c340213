"""Products by FBGEMM: of int8 with int8, and of float32 with weights that stay 16-bit."""

import pytest
import torch

from glmcli.engines.local.net.fused import fbgemm
from glmcli.engines.local.net.fused.bits.rounding import round_rows
from glmcli.engines.local.net.fused.fbgemm import (
    NARROW,
    WIDE,
    HalfProduct,
    Int8Product,
    has_halves,
    sums_are_wide,
)

WEIGHT = torch.randn(96, 64, generator=torch.Generator().manual_seed(3))
X = torch.randn(7, 64, generator=torch.Generator().manual_seed(4))
X[2] *= 1000  # sizes of tokens differ widely
X[3] = 0

needs_halves = pytest.mark.skipif(not has_halves(), reason="no such product on this processor")


def apart(one, other):
    return float((one - other).norm() / other.norm())


@pytest.mark.parametrize("is_wide", [True, False])
def test_products_of_bytes_are_those_of_the_rounded_weights(is_wide):
    if is_wide and not sums_are_wide():
        is_wide = None  # this processor cannot; the bound below holds anywhere
    numbers, scale = round_rows(WEIGHT).values()
    product = Int8Product(numbers, scale, is_wide=is_wide)
    exact = X @ (numbers * scale[:, None]).T
    for rows in (slice(0, 7), slice(1, 2)):
        assert apart(product(X[rows]), exact[rows]) < 5e-4


@pytest.mark.parametrize("is_wide", [True, False])
def test_products_of_whole_numbers_are_exact(is_wide):
    if is_wide and not sums_are_wide():
        is_wide = None
    for columns in (64, 4096):
        weight = torch.full((4, columns), 127, dtype=torch.int8)
        product = Int8Product(weight, torch.ones(4), is_wide=is_wide)
        found = product(torch.ones(2, columns))
        assert torch.allclose(found, torch.full((2, 4), 127.0 * columns), rtol=1e-6, atol=0)


def summed_in_16_bits(numbers, weight):
    """Two products of a byte with an int8 at a time, cut to 16 bits, as without AVX512-VNNI."""
    pairs = (numbers * weight).unflatten(-1, (-1, 2)).sum(-1)
    return int(pairs.clamp(-(2**15), 2**15 - 1).sum())


@pytest.mark.parametrize("sign", [1, -1])
def test_no_sum_of_narrow_products_overflows_16_bits(sign):
    top, zero = NARROW
    for value in (top, -top):
        numbers, weight = torch.full((64,), value + zero), torch.full((64,), sign * 127)
        assert summed_in_16_bits(numbers, weight) == int((numbers * weight).sum())
    top, zero = WIDE
    numbers, weight = torch.full((64,), top + zero), torch.full((64,), sign * 127)
    assert summed_in_16_bits(numbers, weight) != int((numbers * weight).sum())


def test_products_of_a_token_depend_on_no_other_token():
    product = Int8Product(*round_rows(WEIGHT).values())
    together = product(X)
    for index in range(len(X)):
        assert torch.equal(product(X[index : index + 1])[0], together[index])


@needs_halves
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("numbers", [640, 1 << 24])
def test_halves_stay_as_they_are_and_sums_are_float32(dtype, numbers, monkeypatch):
    """In one part and in several."""
    monkeypatch.setattr(fbgemm, "SLICE_NUMBERS", numbers)
    weight = WEIGHT.to(dtype)
    product, exact = HalfProduct(weight), X.double() @ weight.double().T
    for rows in (slice(0, 7), slice(1, 2)):
        assert apart(product(X[rows]), exact[rows]) < 1e-6


@needs_halves
@pytest.mark.parametrize("size", [1e-30, 1e-7, 1e-5, 1.0, 1e5, 1e30])
def test_rows_of_any_size_are_exact(size):
    """float16 ends at 65,504 and is coarse below 6e-5; bfloat16 is not."""
    weight = torch.cat((WEIGHT * size, WEIGHT)).bfloat16()
    found, exact = HalfProduct(weight)(X), X.double() @ weight.double().T
    for rows in (slice(0, 96), slice(96, 192)):
        assert apart(found[:, rows], exact[:, rows]) < 1e-6


@needs_halves
@pytest.mark.parametrize("bad", [float("inf"), -float("inf"), float("nan")])
def test_weights_that_are_not_finite_are_refused(bad):
    weight = WEIGHT.bfloat16()
    weight[3, 5] = bad
    with pytest.raises(ValueError, match="not finite"):
        HalfProduct(weight)


@needs_halves
def test_a_row_of_zeros_says_zero():
    assert not HalfProduct(torch.zeros(3, 64, dtype=torch.float16))(X).any()


def no_such_operation(*_):
    raise RuntimeError("no kernel for this processor")


@pytest.mark.parametrize(
    "product", [lambda x, packed: (x.half() @ torch.eye(64).half()).float(), no_such_operation]
)
def test_a_product_that_rounds_or_fails_is_not_used(product, monkeypatch):
    monkeypatch.setattr(fbgemm, "multiply_halves", product)
    has_halves.cache_clear()
    try:
        assert not has_halves()
    finally:
        has_halves.cache_clear()
