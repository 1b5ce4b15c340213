"""What this machine's memory can do, and what a model in this process takes of it.

Only for engines of this process; knows nothing of replies or their speed.
"""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable
from typing import Any

import torch

from glmcli.config.models import ModelOptions
from glmcli.machine import PROC, free_bytes, read_lines
from glmcli.models.bits import BYTES
from glmcli.models.checkpoint import find_checkpoint

BUFFER_BYTES = 512 << 20
"""Far more than any processor's cache."""
REPEATS = 12
EXPERTS = ("num_experts", "num_local_experts", "n_routed_experts")
"""ModelOptions of nets that read some of their weights only for a token."""


def bandwidth(device: str) -> float | None:
    """Bytes per second that the memory of `device` gives; None where that is not measured.

    The best of some tries, since a neighbour can only make it slower. On the CPU a sum, read by as
    many threads as torch uses now; on CUDA a copy within the device, reading and writing counted.
    """
    if device.startswith("cuda"):
        one = torch.ones(BUFFER_BYTES, dtype=torch.uint8, device=device)
        other = torch.empty_like(one)

        def copy() -> None:
            other.copy_(one)
            torch.cuda.synchronize(device)

        return 2 * BUFFER_BYTES / shortest(copy)
    if device.startswith("cpu"):
        free = free_bytes()
        size = BUFFER_BYTES if free is None else min(BUFFER_BYTES, free // 4)
        numbers = torch.ones(max(size // 4, 1), dtype=torch.float32)
        return numbers.nbytes / shortest(lambda: numbers.sum())
    return None


def shortest(work: Callable[[], object]) -> float:
    """The seconds of the quickest of some tries, after one that does not count."""
    work()
    best = float("inf")
    for _ in range(REPEATS):
        started = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - started)
    return best


def peak_bytes() -> int:
    """The most memory that this process ever had, mapped files included."""
    for line in read_lines(PROC / "self" / "status"):
        if line.startswith("VmHWM:"):  # unlike ru_maxrss, not inherited from the parent
            return int(line.split()[1]) * 1024
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


def device_peak_bytes(device: str) -> int | None:
    """The most memory that torch ever held on a CUDA device; None for other devices."""
    if not device.startswith("cuda"):
        return None
    return torch.cuda.max_memory_allocated(device)


def threads() -> int:
    """The processor threads that torch uses now: the engine chooses among them while it runs."""
    return torch.get_num_threads()


def weight_bytes(engine: Any, name: str, options: ModelOptions) -> int | None:
    """Bytes of weights that are read for each token; None if that is not known.

    An engine may know it (`weight_bytes`). Else it is the checkpoint `name`, in the number format
    that `engine.device` names, without a table of which one row is read.
    """
    known = getattr(engine, "weight_bytes", None)
    if known is not None:
        return int(known)
    checkpoint = find_checkpoint(name, options, lambda _: None)
    size = BYTES.get(engine.device.rpartition(" ")[2])
    if size is None or not checkpoint.tensors or any(key in checkpoint.config for key in EXPERTS):
        return None
    numbers = {name: item.numbers for name, item in checkpoint.tensors.items() if item.is_float}
    has_head = any("lm_head" in name or "output_layer" in name for name in numbers)
    tables = ("embed_tokens.weight", "word_embeddings.weight")
    looked_up = sum(count for name, count in numbers.items() if has_head and name.endswith(tables))
    return round((sum(numbers.values()) - looked_up) * size)
