"""What Triton's interpreter makes of our kernels: how far each is from plain torch, a line each.

A program of its own, since Triton looks at TRITON_INTERPRET when it is imported. Called with "rows"
for the int8 product, with "small" for what a step does between the products.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import torch

from glmcli.engines.local.net.fused.bits.kernels import TritonRows
from glmcli.engines.local.net.fused.bits.matrices import relative_error
from glmcli.engines.local.net.fused.bits.rounding import full_rows, round_rows
from glmcli.engines.local.net.fused.small.plain import distances

SHAPES = [(9, 576), (5, 4096), (3, 1500)]
"""Rows that fill no last block; whole blocks of columns, and ones that are not."""


def distances_of(what: str) -> list[float]:
    """How far kernels are from plain torch, in a process of their own."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.interpreted", what],
        env={**os.environ, "TRITON_INTERPRET": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return [float(line) for line in done.stdout.split()]


def of_rows() -> Iterator[float]:
    for rows, columns in SHAPES:
        generator = torch.Generator().manual_seed(1)
        kept = round_rows(torch.randn(rows, columns, generator=generator))
        for tokens in range(1, TritonRows.most_tokens + 1):
            x = torch.randn(tokens, columns, generator=generator)
            wanted = x.double() @ full_rows(kept, torch.float64).T
            yield relative_error(TritonRows(kept).few(x).double(), wanted)


def of_small() -> Iterator[float]:
    from glmcli.engines.local.net.fused.small.kernels import TritonSmall

    yield from distances(TritonSmall(), torch.device("cpu"), torch.float32)


if __name__ == "__main__":
    for distance in of_rows() if sys.argv[1] == "rows" else of_small():
        print(distance)
