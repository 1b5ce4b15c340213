"""What Triton's interpreter makes of the int8 kernel: how far it is from plain torch, a line each.

A program of its own, since Triton looks at TRITON_INTERPRET when it is imported.
"""

from __future__ import annotations

import torch

from glmcli.engines.local.net.fused.bits.kernels import TritonRows
from glmcli.engines.local.net.fused.bits.matrices import relative_error
from glmcli.engines.local.net.fused.bits.rounding import full_rows, round_rows

SHAPES = [(9, 576), (5, 4096), (3, 1500)]
"""Rows that fill no last block; whole blocks of columns, and ones that are not."""

if __name__ == "__main__":
    for rows, columns in SHAPES:
        generator = torch.Generator().manual_seed(1)
        kept = round_rows(torch.randn(rows, columns, generator=generator))
        for tokens in range(1, TritonRows.most_tokens + 1):
            x = torch.randn(tokens, columns, generator=generator)
            wanted = x.double() @ full_rows(kept, torch.float64).T
            print(relative_error(TritonRows(kept).few(x).double(), wanted))
