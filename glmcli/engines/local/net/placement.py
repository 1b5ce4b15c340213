"""Where weights go and as what: device, dtype, and whether the memory is enough.

Knows devices, not models: a checkpoint is a table of tensors here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from glmcli import machine
from glmcli.config.models import ModelOptions
from glmcli.errors import ConfigError, OutOfMemory
from glmcli.language import tr
from glmcli.models.bits import loaded_bytes, stored_format
from glmcli.models.files.headers import Tensor

if TYPE_CHECKING:
    import torch

_KINDS = ("cuda", "mps", "xpu", "cpu")
"""Devices, the first that is there being the best."""
ROOM = 1.1
"""What a net needs beside its weights to be of use on one device: cache and work space."""


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
    needed = sum(
        loaded_bytes(name, tensor, number_format, config, options.quantize)
        for name, tensor in tensors.items()
    )
    free = free_device_bytes(device)
    device_map: str | dict[str, str] = {"": device}
    if device.startswith("cuda") and options.device == "auto" and needed * ROOM > (free or 0):
        # Several GPUs, and main memory for what they cannot hold: not in fewer bits.
        device_map, free = "auto", all_bytes(with_main=options.quantize == "none")
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
    """The dtype of the weights, and that of sums.

    Weights get the one asked for; else the checkpoint's own, or on a processor what it is fast at.
    float32 weights stay so. A processor without bfloat16 of its own is faster in float32, and
    float16 is slow on all: where there is a product for it, only the sums are in float32.
    """
    import torch

    number_format = stored_format(tensors, config) if wanted == "auto" else wanted
    is_slow = False
    if device == "cpu" and number_format != "float32":
        has_bfloat16 = machine.has_bfloat16()
        if wanted == "auto" and has_bfloat16:
            number_format = "bfloat16"
        is_slow = number_format == "float16" or not has_bfloat16
        if wanted == "auto" and is_slow and not has_halves:
            number_format = "float32"
    dtype: torch.dtype = getattr(torch, number_format)
    return dtype, torch.float32 if is_slow and has_halves else dtype


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
