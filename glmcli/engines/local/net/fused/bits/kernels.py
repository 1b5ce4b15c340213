"""Products of a few tokens with weights in few bits, on a CUDA GPU, each in one launch.

Knows nothing of layers. Neither is used before it said on this machine what plain torch says.
"""

from __future__ import annotations

import torch
from torch import Tensor

from glmcli.engines.local.net.fused.bits.matrices import Matrix
from glmcli.engines.local.net.fused.bits.rounding import Kept, join_codes, split_codes, spread

TILE_ROWS, TILE_COLUMNS = 8, 16
INNER_TILES = (8, 4, 2)
"""How many tiles of columns may lie together; the most is the fastest."""
CAPABILITY = (8, 0)
"""Of the cards from which on torch's product in int4 is there; it does not look itself."""


class TritonRows(Matrix):
    """int8 by a kernel of our own. Triton comes with torch's builds for CUDA."""

    most_tokens = 8

    def few(self, x: Tensor) -> Tensor:
        """See `Matrix`."""
        from glmcli.engines.local.net.fused.bits.triton_rows import multiply_rows

        return multiply_rows(x, self._kept["weight"], self._kept["scale"])


class TorchNibbles(Matrix):
    """int4 by a kernel of torch, which multiplies in bfloat16 and has an order of its own.

    The weights are kept in that order alone. Which it is, is found by packing numbers that tell.
    """

    most_tokens = 16

    def __init__(self, kept: Kept) -> None:
        codes, sizes = kept["codes"], (kept["scale"], kept["zero"])
        if codes.is_cuda and torch.cuda.get_device_capability(codes.device) < CAPABILITY:
            raise ValueError("compute capability below 8.0")
        self.shape = rows, columns = len(codes), 2 * codes.shape[1]
        fitting = (tiles for tiles in INNER_TILES if columns % (TILE_COLUMNS * tiles) == 0)
        self._tiles = next(fitting, 0)
        if rows % TILE_ROWS or not self._tiles:
            raise ValueError("no whole tiles")
        self._group = columns // sizes[0].shape[1]
        self.sizes = torch.stack(sizes, -1).transpose(0, 1).contiguous()
        self._packed = self.pack(codes, self._tiles)
        self._order = self.find_order(codes.device)

    def few(self, x: Tensor) -> Tensor:
        """See `Matrix`."""
        product = torch.ops.aten._weight_int4pack_mm
        y: Tensor = product(x.bfloat16(), self._packed, self._group, self.sizes)
        return y.to(x.dtype)

    def full(self, dtype: torch.dtype) -> Tensor:
        """See `Matrix`."""
        rows, columns = self.shape
        width = TILE_COLUMNS * self._tiles
        tiles = self._unpacked(self._packed)[:, self._order]
        whole = tiles.view(rows // TILE_ROWS, columns // width, TILE_ROWS, width).transpose(1, 2)
        numbers = whole.to(dtype).reshape(rows, columns)
        return spread(numbers, self.sizes[..., 0].T, self.sizes[..., 1].T)

    def pack(self, codes: Tensor, tiles: int) -> Tensor:
        """Codes (out, in / 2) in the kernel's order."""
        packed: Tensor = torch.ops.aten._convert_weight_to_int4pack(codes, tiles)
        return packed

    def _unpacked(self, packed: Tensor) -> Tensor:
        """The codes as they lie, (tiles, codes of a tile)."""
        lying = packed.view(torch.uint8).reshape(-1, TILE_ROWS * TILE_COLUMNS * self._tiles // 2)
        return split_codes(lying, torch.uint8)

    def find_order(self, device: torch.device) -> Tensor:
        """Where each code of a tile lies: a tile of codes is packed for each digit of its place."""
        width = TILE_COLUMNS * self._tiles
        places = torch.arange(TILE_ROWS * width, device=device)
        found = torch.zeros_like(places)
        for shift in (0, 4, 8):
            digits = join_codes((places >> shift & 15).view(TILE_ROWS, width))
            found += self._unpacked(self.pack(digits, self._tiles))[0].long() << shift
        return found.argsort()
