"""Products with weights in few bits, and kernels that are used only where they say the same."""

import pytest
import torch

from glmcli.engines.local.net.fused.bits.matrices import Matrix, failure_of, trial_matrix
from glmcli.engines.local.net.fused.bits.rounding import full_groups, full_rows

both = pytest.mark.parametrize("codes", [False, True], ids=["int8", "int4"])


class Right(Matrix):
    most_tokens = 3

    def few(self, x):
        return torch.nn.functional.linear(x, self.full(x.dtype))


class Wrong(Right):
    def few(self, x):
        return 1.1 * super().few(x)


class WrongWhenWhole(Right):
    def full(self, dtype):
        return super().full(dtype).flip(1)


class WrongForThree(Right):
    def few(self, x):
        return super().few(x) * (1 if len(x) < 3 else float("nan"))


class Failing(Right):
    def few(self, x):
        raise RuntimeError("no compiler\nsecond line")


@both
@pytest.mark.parametrize("tokens", [1, 5])
def test_a_product_is_that_of_the_weights_made_whole(codes, tokens):
    kept = trial_matrix(codes=codes)
    full = (full_groups if codes else full_rows)(kept, torch.float32)
    x, bias = torch.randn(tokens, full.shape[1]), torch.randn(len(full))
    assert torch.allclose(Matrix(kept)(x, bias), x @ full.T + bias, atol=1e-4)


@both
def test_a_kernel_that_says_the_same_is_used_for_a_few_tokens(codes):
    assert failure_of(Right, "cpu", torch.bfloat16, codes=codes) == ""
    matrix, whole = Wrong(trial_matrix(codes=codes)), Matrix(trial_matrix(codes=codes))
    x = torch.randn(4, 256)
    bias = torch.ones(32)
    assert torch.allclose(matrix(x[:3], bias), 1.1 * whole(x[:3]) + bias, atol=1e-4)
    assert torch.equal(matrix(x, bias), whole(x, bias))


@both
@pytest.mark.parametrize(
    ("kernel", "why"),
    [(Wrong, "0.1"), (WrongWhenWhole, "1."), (WrongForThree, "inf"), (Failing, "no compiler")],
)
def test_one_that_does_not_says_why(codes, kernel, why):
    assert failure_of(kernel, "cpu", torch.float32, codes=codes).startswith(why)
