"""NF4, to which int4 is compared at equal bits: groups of 64 with one float32 scale each.

Source of the table: QLoRA, Dettmers et al., arXiv:2305.14314, appendix E.
"""

from __future__ import annotations

import torch

LEVELS = torch.tensor(
    [
        *(-1.0, -0.6961928, -0.5250731, -0.3949175, -0.2844414, -0.1847734, -0.0910500, 0.0),
        *(0.0795803, 0.1609302, 0.2461123, 0.3379152, 0.4407098, 0.5626170, 0.7229568, 1.0),
    ]
)


def as_nf4(weight: torch.Tensor) -> torch.Tensor:
    """The float32 that NF4 would make of `weight` (out, in)."""
    parts = weight.float().reshape(-1, 64)
    scale = parts.abs().amax(1, keepdim=True)
    nearest = torch.bucketize(parts / scale, (LEVELS[1:] + LEVELS[:-1]) / 2)
    return (LEVELS[nearest] * scale).view_as(weight)
