"""int8 weights times a few tokens, on a GPU, as Triton compiles it: one launch for a product.

Only reading the weights takes time, so sums are plain and in float32, added up once at the end.
Blocks depend on shapes alone: nothing is tried out while a graph is captured. Knows nothing of
layers.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

WARPS = 4
MOST_COLUMNS = 2048
"""Of a block; half of it for several tokens, whose sums take registers."""


@triton.jit  # type: ignore[untyped-decorator]
def multiply_block(  # type: ignore[no-untyped-def]
    x,
    weight,
    scale,
    y,
    tokens,
    rows,
    columns: tl.constexpr,
    padded: tl.constexpr,
    block_rows: tl.constexpr,
    block_columns: tl.constexpr,
):
    """Some rows of the result. `padded` is the power of two that is not less than `tokens`."""
    row = tl.program_id(0) * block_rows + tl.arange(0, block_rows)
    token = tl.arange(0, padded)
    # A last block that is ragged reads its last row again.
    first = tl.minimum(row, rows - 1).to(tl.int64) * columns
    total = tl.zeros((padded, block_rows, block_columns), dtype=tl.float32)
    for start in range(0, columns, block_columns):
        at = start + tl.arange(0, block_columns)
        inside = at < columns
        numbers = tl.load(weight + first[:, None] + at[None, :], mask=inside[None, :], other=0)
        there = (token < tokens)[:, None] & inside[None, :]
        seen = tl.load(x + token[:, None] * columns + at[None, :], mask=there, other=0.0)
        total += seen.to(tl.float32)[:, None, :] * numbers.to(tl.float32)[None, :, :]
    found = tl.sum(total, 2) * tl.load(scale + row, mask=row < rows, other=0.0)[None, :]
    kept = (token < tokens)[:, None] & (row < rows)[None, :]
    tl.store(y + token[:, None] * rows + row[None, :], found.to(y.dtype.element_ty), mask=kept)


def blocks_for(tokens: int, columns: int) -> dict[str, int]:
    """The constants of the kernel for a product."""
    padded = triton.next_power_of_2(tokens)
    most = MOST_COLUMNS if padded == 1 else MOST_COLUMNS // 2
    return {
        "columns": columns,
        "padded": padded,
        "block_rows": 4 if padded == 1 else 2 if padded <= 4 else 1,
        "block_columns": min(most, triton.next_power_of_2(columns)),
    }


def multiply_rows(x: Tensor, weight: Tensor, scale: Tensor) -> Tensor:
    """x (tokens, in) times int8 weights (out, in), each row of which has a scale."""
    tokens, rows = len(x), len(weight)
    y = torch.empty(tokens, rows, dtype=x.dtype, device=x.device)
    blocks = blocks_for(tokens, weight.shape[1])
    grid = (triton.cdiv(rows, blocks["block_rows"]),)
    with torch.cuda.device_of(x):  # type: ignore[no-untyped-call]
        multiply_block[grid](
            x.contiguous(), weight, scale, y, tokens, rows, num_warps=WARPS, **blocks
        )
    return y
