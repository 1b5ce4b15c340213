"""int4 in the order of torch's kernel, as far as it can be tried without a GPU."""

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from glmcli.engines.local.net.fused.bits.kernels import TorchNibbles
from glmcli.engines.local.net.fused.bits.matrices import Matrix
from glmcli.engines.local.net.fused.bits.rounding import (
    full_groups,
    join_codes,
    round_groups,
    split_codes,
)

WEIGHT = torch.randn(48, 640, generator=torch.Generator().manual_seed(1))


def packed_like_a_gpu(codes, tiles):
    """Tiles of 8 rows and 16 columns, some beside each other, among 32 threads of a warp.

    A thread has a row and two pairs of columns of each tile, 8 numbers of two tiles in an int32.
    """
    rows, columns = len(codes), 2 * codes.shape[1]
    numbers = split_codes(codes, torch.int64).view(rows // 8, 8, columns // (16 * tiles), tiles, 16)
    packed = torch.zeros(rows // 8, columns // (16 * tiles), 32, tiles // 2, dtype=torch.int64)
    for thread in range(32):
        row, first = thread // 4, thread % 4 * 2
        for pair in range(tiles // 2):
            for place, index in enumerate((0, 2, 4, 6, 1, 3, 5, 7)):
                column = first + (0, 1, 8, 9)[index % 4]
                code = numbers[:, row, :, 2 * pair + index // 4, column]
                packed[:, :, thread, pair] |= code << 4 * place
    return packed.to(torch.int32)


class LikeAGpu(TorchNibbles):
    def pack(self, codes, tiles):
        return packed_like_a_gpu(codes, tiles)


class Shapes(TorchNibbles):
    def find_order(self, device):
        return torch.arange(1)


@pytest.mark.parametrize("group", [32, 64])
@pytest.mark.parametrize("columns", [640, 192, 32])
def test_weights_come_out_of_the_order_as_they_went_in(group, columns):
    kept = round_groups(WEIGHT[:, :columns], min(group, columns))
    matrix = LikeAGpu(kept)
    for dtype in (torch.float32, torch.bfloat16):
        assert torch.equal(matrix.full(dtype), full_groups(kept, dtype))


def test_many_tokens_take_the_weights_made_whole():
    kept = round_groups(WEIGHT, 64)
    x = torch.randn(17, 640)
    assert torch.equal(LikeAGpu(kept)(x), Matrix(kept)(x))


def test_scales_and_zeros_mean_what_they_mean_to_torch():
    """Its kernel for processors has another order of codes, and the same of the rest."""
    kept = round_groups(WEIGHT, 64)
    numbers = split_codes(kept["codes"], torch.int32)
    sizes = LikeAGpu(kept).sizes
    names = ("convert_weight_to_int4pack", "weight_int4pack_mm")
    pack, product = (getattr(torch.ops.aten, f"_{name}_for_cpu") for name in names)
    x = torch.randn(3, 640).bfloat16()
    found = product(x, pack(numbers, 2), 64, sizes).float()
    wanted = x.float() @ full_groups(kept, torch.float32).T
    assert float((found - wanted).norm() / wanted.norm()) < 0.01


@pytest.mark.parametrize("columns", [640, 576, 96])
def test_what_torch_is_given_has_the_shapes_that_it_asks_for(columns):
    """By its own rules for shapes: nothing is computed."""
    kept = round_groups(WEIGHT[:, :columns], 32)
    with FakeTensorMode() as mode:
        matrix = Shapes({name: mode.from_tensor(tensor) for name, tensor in kept.items()})
        for tokens in (1, 16):
            y = matrix.few(torch.empty(tokens, columns, dtype=torch.float16))
            assert (y.shape, y.dtype) == ((tokens, 48), torch.float16)


class Calls(TorchDispatchMode):
    """Notes what torch is asked to compute."""

    def __init__(self):
        super().__init__()
        self.names = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.names.append(str(function))
        return function(*args, **kwargs or {})


def test_a_product_of_a_bfloat16_net_is_one_launch():
    """As in 16 bits, so that a step is no longer for it; the rest of a step is the same."""
    kept = round_groups(WEIGHT, 64)
    with FakeTensorMode() as mode:
        matrix = Shapes({name: mode.from_tensor(tensor) for name, tensor in kept.items()})
        x = torch.empty(1, 640, dtype=torch.bfloat16)
        with Calls() as calls:
            matrix(x)
    computed = [name for name in calls.names if name.startswith("aten.")]  # others ask for a device
    assert computed == ["aten._weight_int4pack_mm.default"]


@pytest.mark.parametrize("shape", [(12, 64), (16, 48)])
def test_other_shapes_have_no_place_in_it(shape):
    codes = join_codes(torch.zeros(shape))
    sizes = torch.zeros(shape[0], shape[1] // 16, dtype=torch.bfloat16)
    with pytest.raises(ValueError, match="tiles"):
        TorchNibbles({"codes": codes, "scale": sizes, "zero": sizes})
