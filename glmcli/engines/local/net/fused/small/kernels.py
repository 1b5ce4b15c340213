"""The small operations of a step on a GPU, as Triton compiles them: one launch for each.

Sums are in float32, and numbers are rounded where plain torch rounds them. Blocks depend on shapes
alone: nothing is tried out while a graph is captured.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from glmcli.engines.local.net.fused.small.plain import Small, Turning

GATED_NUMBERS = 1024
"""Of a block."""


@triton.jit  # type: ignore[untyped-decorator]
def add_and_norm(  # type: ignore[no-untyped-def]
    x, y, weight, total, normed, eps, width: tl.constexpr, block: tl.constexpr, adds: tl.constexpr
):
    """A row of x + y, and its norm."""
    at = tl.arange(0, block)
    inside = at < width
    row = tl.program_id(0).to(tl.int64) * width + at
    numbers = tl.load(x + row, mask=inside, other=0.0)
    if adds:
        other = tl.load(y + row, mask=inside, other=0.0).to(tl.float32)
        numbers = (numbers.to(tl.float32) + other).to(normed.dtype.element_ty)
        tl.store(total + row, numbers, mask=inside)
    wide = numbers.to(tl.float32)
    size = 1 / tl.sqrt(tl.sum(wide * wide, 0) / width + eps)
    rounded = (wide * size).to(normed.dtype.element_ty).to(tl.float32)
    scale = tl.load(weight + at, mask=inside, other=0.0).to(tl.float32)
    tl.store(normed + row, (rounded * scale).to(normed.dtype.element_ty), mask=inside)


@triton.jit
def weight_at(query_norm, key_norm, is_query, at, inside):  # type: ignore[no-untyped-def]
    """The weights of a head's norm."""
    of_queries = tl.load(query_norm + at, mask=inside & is_query, other=0.0)
    of_keys = tl.load(key_norm + at, mask=inside & (is_query == 0), other=0.0)
    return of_queries.to(tl.float32) + of_keys.to(tl.float32)


@triton.jit  # type: ignore[untyped-decorator]
def turn_heads(  # type: ignore[no-untyped-def]
    heads,
    cos,
    sin,
    query_norm,
    key_norm,
    turned,
    stride,
    queries,
    eps,
    size: tl.constexpr,
    block: tl.constexpr,
    norms: tl.constexpr,
):
    """One head of a token: its norm, if it has one, and its turn. Tokens are `stride` apart."""
    token, head = tl.program_id(0).to(tl.int64), tl.program_id(1)
    at = tl.arange(0, block)
    inside = at < size
    other_at = (at + size // 2) % size  # the other of its pair
    first = heads + token * stride + head * size
    kind = turned.dtype.element_ty
    one = tl.load(first + at, mask=inside, other=0.0).to(tl.float32)
    other = tl.load(first + other_at, mask=inside, other=0.0).to(tl.float32)
    if norms:
        scale = 1 / tl.sqrt(tl.sum(one * one, 0) / size + eps)
        is_query = head < queries
        one = (one * scale).to(kind).to(tl.float32)
        one = one * weight_at(query_norm, key_norm, is_query, at, inside)
        other = (other * scale).to(kind).to(tl.float32)
        other = other * weight_at(query_norm, key_norm, is_query, other_at, inside)
        one, other = one.to(kind).to(tl.float32), other.to(kind).to(tl.float32)
    straight = one * tl.load(cos + token * size + at, mask=inside, other=0.0).to(tl.float32)
    across = other * tl.load(sin + token * size + at, mask=inside, other=0.0).to(tl.float32)
    found = straight.to(kind).to(tl.float32) + across.to(kind).to(tl.float32)
    row = turned + (token * tl.num_programs(1) + head) * size
    tl.store(row + at, found.to(kind), mask=inside)


@triton.jit  # type: ignore[untyped-decorator]
def gate_block(gate_up, y, inner, block: tl.constexpr):  # type: ignore[no-untyped-def]
    """Some numbers of a token."""
    token = tl.program_id(0).to(tl.int64)
    at = tl.program_id(1) * block + tl.arange(0, block)
    inside = at < inner
    kind = y.dtype.element_ty
    gate = tl.load(gate_up + token * 2 * inner + at, mask=inside, other=0.0).to(tl.float32)
    up = tl.load(gate_up + token * 2 * inner + inner + at, mask=inside, other=0.0).to(tl.float32)
    opened = (gate / (1 + tl.exp(-gate))).to(kind).to(tl.float32)
    tl.store(y + token * inner + at, (opened * up).to(kind), mask=inside)


class TritonSmall(Small):
    """See `Small`: each in one launch."""

    def norm_after(
        self, x: Tensor, y: Tensor | None, weight: Tensor, eps: float
    ) -> tuple[Tensor, Tensor]:
        """See `Small`."""
        x = x.contiguous()
        other = x if y is None else y.contiguous()
        total = x if y is None else torch.empty_like(x)
        normed, width = torch.empty_like(x), x.shape[1]
        block = triton.next_power_of_2(width)
        with torch.cuda.device_of(x):  # type: ignore[no-untyped-call]
            add_and_norm[(len(x),)](
                x, other, weight, total, normed, eps, width, block, y is not None
            )
        return total, normed

    def turned(
        self,
        heads: Tensor,
        turn: Turning,
        norms: tuple[Tensor, Tensor] | None,
        queries: int,
        eps: float,
    ) -> Tensor:
        """See `Small`."""
        cos, sin = (each.contiguous() for each in turn)
        tokens, count, size = heads.shape
        heads = heads if heads.stride()[1:] == (size, 1) else heads.contiguous()
        turned = torch.empty(heads.shape, dtype=heads.dtype, device=heads.device)
        query_norm, key_norm = norms or (heads, heads)
        block = triton.next_power_of_2(size)
        with torch.cuda.device_of(heads):  # type: ignore[no-untyped-call]
            turn_heads[(tokens, count)](
                heads,
                cos,
                sin,
                query_norm,
                key_norm,
                turned,
                heads.stride(0),
                queries,
                eps,
                size,
                block,
                norms is not None,
            )
        return turned

    def gated(self, gate_up: Tensor) -> Tensor:
        """See `Small`."""
        gate_up = gate_up.contiguous()
        tokens, inner = len(gate_up), gate_up.shape[1] // 2
        y = torch.empty(tokens, inner, dtype=gate_up.dtype, device=gate_up.device)
        grid = (tokens, triton.cdiv(inner, GATED_NUMBERS))
        with torch.cuda.device_of(gate_up):  # type: ignore[no-untyped-call]
            gate_block[grid](gate_up, y, inner, GATED_NUMBERS)
        return y
