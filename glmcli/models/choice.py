"""In how many bits a model is loaded with `--quantize auto`: the most exact that fit the memory.

Knows the headers of a checkpoint and what this machine tells of itself, not torch.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from glmcli import machine
from glmcli.config import Settings
from glmcli.config.models import AUTO, FEW, IN_FULL, ModelOptions
from glmcli.errors import ConfigError, ModelError, OutOfMemory
from glmcli.language import tr
from glmcli.models.bits import (
    assumed_tensors,
    is_packed,
    kept_formats,
    needed_bytes,
    stored_format,
)
from glmcli.models.checkpoint import Checkpoint, find_checkpoint
from glmcli.models.files.headers import Tensor, read_weights
from glmcli.models.files.packed import Packing, as_read
from glmcli.models.libraries import installed_version
from glmcli.types import Report

_T = TypeVar("_T")

ROOM = 1.1
"""What a net needs beside its weights to be of use on one device: cache and work space."""
_ASK_S = 2.0
"""How long the driver of GPUs is asked for their memory."""


class Memory(NamedTuple):
    """That of the device where weights would go."""

    device: str
    """"cpu", "cuda:0"."""
    free_bytes: int | None
    """None if it cannot be known."""
    has_halves: bool
    """Whether the processor has a fast product of float32 with 16-bit weights."""


@dataclass(frozen=True, slots=True)
class Choice:
    """One way to load a model."""

    quantize: str
    shown: str
    """What it is called where a model runs: "bfloat16", "int8"."""
    needed_bytes: int
    """Of memory, with room to work in."""
    free_bytes: int | None

    @property
    def fits(self) -> bool:
        """Whether there is so much memory, as far as is known."""
        return self.free_bytes is None or self.needed_bytes <= self.free_bytes

    @property
    def line(self) -> str:
        """What is said of it where it was chosen."""
        if self.free_bytes is None:
            return tr(
                "--quantize auto takes {bits}: how much memory is free is not known here",
                bits=self.shown,
            )
        return tr(
            "--quantize auto takes {bits}: about {needed:.1f} GB of memory needed, {free:.1f} GB "
            "free",
            bits=self.shown,
            needed=self.needed_bytes / 1e9,
            free=self.free_bytes / 1e9,
        )


def few_bits_on(device: str) -> tuple[str, ...]:
    """In what there are fast products on a device, beside those in full, the most exact first."""
    kind = device.partition(":")[0]
    return {"cuda": FEW, "cpu": FEW[:1]}.get(kind, ())


def own_bits(packing: Packing | None, options: ModelOptions, device: str) -> str:
    """The value of `quantize` in which packed weights stay as they are on a device; "" for none.

    On a processor they are as fast whole, and --dtype asks for them so.
    """
    is_asked = options.quantize in (IN_FULL, AUTO) and options.dtype == "auto"
    if packing is None or not is_asked or not device.startswith("cuda"):
        return ""
    return packing.kept_as


def ways_to_load(
    tensors: Mapping[str, Tensor],
    config: Mapping[str, Any],
    options: ModelOptions,
    memory: Memory,
    packing: Packing | None = None,
) -> list[Choice]:
    """The ways to load a checkpoint that there are, the most exact first."""
    stored = stored_format(tensors, config)
    in_full = kept_formats(options.dtype, memory.device, stored, memory.has_halves)[0]
    own = own_bits(packing, options, memory.device)
    few = () if is_packed(config) else few_bits_on(memory.device)
    ways = (own,) if own else (IN_FULL, *few)
    return [
        Choice(
            each,
            in_full if each == IN_FULL else each,
            int(needed_bytes(tensors, config, in_full, each) * ROOM),
            memory.free_bytes,
        )
        for each in ways
    ]


def weights_of(
    folder: Path, config: dict[str, Any]
) -> tuple[dict[str, Any], Mapping[str, Tensor], Packing | None]:
    """What is in the files of weights, see `unpacked`; nothing if they cannot be read."""
    try:
        weights = read_weights(folder)
        config, tensors, packing, _ = as_read(config, weights.tensors)
    except (ModelError, OSError):
        return config, {}, None
    return config, tensors or assumed_tensors(weights.size_bytes, config), packing


def ways_here(settings: Settings, report: Report) -> list[Choice]:
    """The same, as far as can be told without torch. Raises ModelError."""
    options = settings.model_options
    found = find_checkpoint(settings.model.removeprefix("local:"), options, report)
    tensors = found.tensors or assumed_tensors(found.size_bytes, found.config)
    return ways_to_load(tensors, found.config, options, memory_here(options), found.packing)


def is_rounded(checkpoint: Checkpoint, number_format: str) -> bool:
    """Whether most weights are float16 and lose digits in the format they are loaded in."""
    is_half = stored_format(checkpoint.tensors, checkpoint.config) == "float16"
    return is_half and number_format == "bfloat16" and checkpoint.packing is None


def to_try(found: Sequence[Choice]) -> Sequence[Choice]:
    """Those that fit; where none does the smallest, which loading refuses with its numbers."""
    return [each for each in found if each.fits] or found[-1:]


def open_first(found: Sequence[Choice], open_it: Callable[[Choice], _T]) -> tuple[_T, list[str]]:
    """The model in the first way that fits, and what to say of that; the next if memory ends.

    Raises OutOfMemory, and whatever else `open_it` raises but ConfigError for few bits, of which
    there is no code for this model then.
    """
    lines: list[str] = []
    failure: OutOfMemory | None = None
    for choice in to_try(found):
        try:
            return open_it(choice), [*lines, choice.line]
        except OutOfMemory as exc:
            lines.append(tr("{bits} did not fit into memory: {why}", bits=choice.shown, why=exc))
            failure = exc.with_traceback(None)  # its frames hold what was loaded
            failure.__cause__ = failure.__context__ = None
        except ConfigError as exc:
            if choice.quantize == IN_FULL:
                raise
            failure = failure or OutOfMemory(found[0].needed_bytes, found[0].free_bytes)
            failure.hint = exc.message
            break
    assert failure is not None
    raise failure


def memory_here(options: ModelOptions) -> Memory:
    """Where weights would go, as far as it can be told without torch, which takes seconds.

    Only an estimate for cards that are not NVIDIA's: the process that loads knows better.
    """
    kind, _, number = options.device.partition(":")
    cards: list[machine.Gpu] = []
    if kind in ("auto", "cuda") and "+cpu" not in installed_version("torch"):
        with suppress(OSError):
            cards = machine.nvidia_gpus(_ASK_S)
    if kind == "auto":
        kind = "cuda" if cards else "mps" if machine.apple_gpus() else "cpu"
    if kind == "cpu":
        has_halves = platform.machine() in ("x86_64", "AMD64") and machine.has_avx2()
        return Memory(kind, machine.free_bytes(), has_halves)
    chosen = cards[int(number) : int(number) + 1] if number else cards
    frees = [card.free_bytes for card in chosen]
    known = [free for free in frees if free is not None]
    # What does not fit one card goes to all of them, unless one is named.
    total = (sum if options.device == "auto" else max)(known) if known and kind == "cuda" else None
    return Memory(kind, total, False)
