"""The seam of a net: ids in, scores out, and going back to a shorter prefix.

Knows nothing of text, of sampling, or of what computes the scores.
"""

from __future__ import annotations

import gc
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from glmcli.errors import EngineError, GlmError, ModelError, OutOfMemory, first_line
from glmcli.language import tr
from glmcli.models.checkpoint import Checkpoint
from glmcli.models.choice import is_rounded
from glmcli.models.defaults import Defaults
from glmcli.models.libraries import says_no_memory

BLOCK = 128
"""Tokens of a prompt that are read between two looks at `cancel`."""
FEW_ROWS = 9
"""Ids at most that are read at once beside each other: one that was said and guesses behind it."""
GPU_BLOCK = 512
"""The same where starting the work of a block takes longer than the work."""


class NetReader(Protocol):
    """A net with what it has read. transformers' nets are read by plain/, others by fused/."""

    @property
    def whole_beyond(self) -> float:
        """Texts of more ids than this are not to be read in parts: infinity, or 0 for all.

        A prompt is read in one go then, and what follows it id by id.
        """
        ...

    @property
    def is_rounded(self) -> bool:
        """Whether sums are rounded to 16 bits: otherwise with each number of ids read at once."""
        ...

    @property
    def block(self) -> int:
        """How many ids at a time it likes to read, see `block_for`."""
        ...

    @property
    def memory_bytes(self) -> int:
        """Bytes reserved for keys and values."""
        ...

    @property
    def can_rewind(self) -> bool:
        """Whether `rewind` would do it now."""
        ...

    def read(self, ids: Sequence[int], last: int = 1) -> Tensor:
        """Read further `ids`. Returns the scores after each of the `last` of them.

        float32, (last, vocabulary). Raises whatever torch raises; then `forget` is due.
        """
        ...

    def rewind(self, tokens: int) -> bool:
        """Forget all but the first `tokens` that were read; False if that cannot be done."""
        ...

    def forget(self) -> None:
        """Forget everything that was read."""
        ...


@runtime_checkable
class Forks(NetReader, Protocol):
    """A net that several readers can share, each with what it has read itself."""

    def fork(self, tokens: int, room: int) -> Forks:
        """A reader of its own that has read the first `tokens`, with space for `room` tokens."""
        ...

    def bytes_for(self, tokens: int) -> int:
        """What a fork with so much room reserves for keys and values."""
        ...


@dataclass(frozen=True, slots=True)
class LoadedNet:
    """A net that is ready to answer, and what it brings along."""

    reader: NetReader
    defaults: Defaults
    """How it wants to be sampled."""
    stop_ids: frozenset[int]
    """Ids that end a reply by the word of its configurations."""
    device: str
    """Where and as what it runs: "cpu bfloat16"."""
    runner: str = ""
    """Which code runs it, and why: for `--stats`."""
    weight_bytes: int | None = None
    """What is read of the weights for each token, if that is known."""


def block_for(device: torch.device) -> int:
    """How many tokens of a prompt are read at a time: between two looks at `cancel`."""
    return BLOCK if device.type == "cpu" else GPU_BLOCK


def translate(exc: Exception, name: str = "") -> GlmError:
    """A user's error for what the net of this name raised. Frees what its frames hold."""
    if isinstance(exc, GlmError):
        return exc
    traceback.clear_frames(exc.__traceback__)
    if is_out_of_memory(exc):
        free_memory()
        return OutOfMemory(None, None, what=tr("the conversation"))
    if isinstance(exc, AttributeError | KeyError | NameError | TypeError):
        return ModelError(
            tr(
                "{name} cannot be run: {kind}: {why}",
                name=name or tr("the model"),
                kind=type(exc).__name__,
                why=first_line(exc),
            ),
            tr("correct config.json if you changed it, else download the model again"),
        )
    return EngineError(
        tr("the model failed: {why}", why=first_line(exc)),
        tr("--attn eager is the safest kernel"),
        again=True,
    )


def free_memory() -> None:
    """Give unused memory back to the device."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def is_out_of_memory(exc: Exception) -> bool:
    """Whether a device or the machine has no memory left."""
    return isinstance(exc, torch.OutOfMemoryError) or says_no_memory(exc)


def weights_told(runner: str, checkpoint: Checkpoint, number_format: str) -> str:
    """How a net runs, with what became of its weights in the format they are loaded in."""
    packing = checkpoint.packing
    if packing is not None and packing.kept_as != number_format:
        return tr("{runner}, weights unpacked from {n} bits", runner=runner, n=packing.bits)
    if is_rounded(checkpoint, number_format):
        return tr("{runner}, weights rounded from float16", runner=runner)
    return runner
