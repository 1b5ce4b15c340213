"""Where weights go and as what: device, dtype, and whether the memory is enough.

Knows devices, not models: a checkpoint is a table of tensors here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from glmcli import machine
from glmcli.config.models import IN_FULL, ModelOptions
from glmcli.errors import ConfigError, OutOfMemory
from glmcli.language import tr
from glmcli.models.bits import kept_formats, needed_bytes, stored_format
from glmcli.models.choice import ROOM, Memory
from glmcli.models.files.headers import Tensor

if TYPE_CHECKING:
    import torch

_KINDS = ("cuda", "mps", "xpu", "cpu")
"""Devices, the first that is there being the best."""


@dataclass(frozen=True, slots=True)
class Placement:
    """Where weights go and as what."""

    device: str
    """The best device, or the one asked for: "cuda:0", "cpu"."""
    device_map: str | dict[str, str]
    """For `from_pretrained`: one device, or "auto" for all there are."""
    dtype: torch.dtype
    """Of the weights."""
    sums: torch.dtype
    """Of all sums: float32 where the processor is slow at those of the weights' own."""
    needed_bytes: int
    """Size of the weights in that dtype, or in fewer bits."""
    free_bytes: int | None
    """Free memory before loading; None if it cannot be known."""

    def arrived_bytes(self) -> int:
        """Memory in use where the weights go: of accelerators by this process's tensors."""
        import torch

        kind = self.device.partition(":")[0]
        if kind == "cuda":
            return sum(torch.cuda.memory_allocated(i) for i in range(torch.cuda.device_count()))
        if kind == "xpu":
            return sum(torch.xpu.memory_allocated(i) for i in range(torch.xpu.device_count()))
        if kind == "mps":
            return torch.mps.current_allocated_memory()
        return machine.resident_bytes()[0]


def place_weights(
    tensors: Mapping[str, Tensor],
    config: Mapping[str, Any],
    options: ModelOptions,
    *,
    has_halves: bool = False,
) -> Placement:
    """Choose device and dtypes, and check that there is room. Raises ConfigError, OutOfMemory.

    `has_halves` says whether there is a fast product of float32 with 16-bit weights.
    """
    device = pick_device(options.device)
    dtype, sums = pick_dtypes(options.dtype, device, tensors, config, has_halves)
    number_format = str(dtype).removeprefix("torch.")
    needed = needed_bytes(tensors, config, number_format, options.quantize)
    free = free_device_bytes(device)
    device_map: str | dict[str, str] = {"": device}
    if device.startswith("cuda") and options.device == "auto" and needed * ROOM > (free or 0):
        # Several GPUs, and main memory for what they cannot hold: not in fewer bits.
        device_map, free = "auto", all_bytes(with_main=options.quantize == IN_FULL)
    if free is not None and needed > free:
        raise OutOfMemory(needed, free)
    return Placement(device, device_map, dtype, sums, needed, free)


def pick_device(wanted: str) -> str:
    """A device that is there. Raises ConfigError."""
    import torch

    kind, _, number = wanted.partition(":")
    present = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "xpu": torch.xpu.is_available(),
        "cpu": True,
    }
    if wanted == "auto":
        kind = next(kind for kind in _KINDS if present[kind])
    elif kind not in present or (number and not number.isdigit()):
        raise ConfigError(
            tr("there is no device {wanted!r}", wanted=wanted),
            tr("one of: auto, cuda, cuda:N, mps, xpu, cpu"),
        )
    count = torch.cuda.device_count() if kind == "cuda" else 1
    if not present[kind] or (kind == "cuda" and number and int(number) >= count):
        raise ConfigError(
            tr(
                "torch {version} finds no {wanted} on this machine",
                version=torch.__version__,
                wanted=wanted,
            ),
            tr("--device auto takes the best that is there; GPUs need a torch built for them"),
        )
    if kind == "cuda" and not number:
        freest = max(range(count), key=lambda i: torch.cuda.mem_get_info(i)[0])
        return f"cuda:{freest}"
    return wanted if number else kind


def pick_dtypes(
    wanted: str,
    device: str,
    tensors: Mapping[str, Tensor],
    config: Mapping[str, Any],
    has_halves: bool,
) -> tuple[torch.dtype, torch.dtype]:
    """The dtype of the weights, and that of sums; see `kept_formats`."""
    import torch

    stored = stored_format(tensors, config)
    kept, sums = kept_formats(wanted, device, stored, has_halves)
    return getattr(torch, kept), getattr(torch, sums)


def find_memory(options: ModelOptions, *, has_halves: bool) -> Memory:
    """Where weights would go, and how much memory is free there. Raises ConfigError."""
    device = pick_device(options.device)
    if device.startswith("cuda") and options.device == "auto":
        return Memory(device, all_bytes(with_main=False), has_halves)
    return Memory(device, free_device_bytes(device), has_halves)


def free_device_bytes(device: str) -> int | None:
    """Free memory of one device; None if it cannot be known."""
    import torch

    if device.startswith("cuda"):
        return torch.cuda.mem_get_info(torch.device(device))[0]
    if device.startswith("xpu"):
        return int(torch.xpu.mem_get_info(torch.device(device))[0])
    if device == "mps":
        return torch.mps.recommended_max_memory() - torch.mps.current_allocated_memory()
    return machine.free_bytes()


def all_bytes(*, with_main: bool) -> int:
    """Free memory of all GPUs, and of the main memory."""
    import torch

    gpus = sum(torch.cuda.mem_get_info(i)[0] for i in range(torch.cuda.device_count()))
    return gpus + ((machine.free_bytes() or 0) if with_main else 0)
