"""From a model's name to a net: find the folder, check its files, load the weights.

Knows nothing of prompts, tokenizers or sampling. What files say is in weights.py, the hub in
hub.py, the built-in model in builtin.py.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from glmcli.config import Settings
from glmcli.engines import Report

if TYPE_CHECKING:
    import transformers


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A folder that was checked and can be loaded."""

    name: str
    """What people call the model, short: "smollm2", "chatglm3-6b"."""
    folder: Path
    config: dict[str, Any]
    """config.json as it is."""
    weights: tuple[Path, ...]
    """The files that hold the weights: all .safetensors, or all .bin."""
    size_bytes: int
    """Size of the weights on disk."""
    parameters: int | None = None
    """Numbers in all tensors; None if only loading would tell."""

    @property
    def family(self) -> str:
        """The architecture, as `model_type` names it."""
        return str(self.config.get("model_type", ""))


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a checkpoint becomes a net: what `from_pretrained` is given, and what is done after it."""

    config: transformers.PreTrainedConfig
    net_class: Any
    """A class with `from_pretrained`."""
    settle: Callable[[transformers.PreTrainedModel], None] = lambda net: None
    """Called once with the loaded net."""


def find_checkpoint(name: str, settings: Settings, report: Report) -> Checkpoint:
    """Find a folder, a hub id or a built-in model, fetch what is missing, and check the files.

    Raises ModelError.
    """
    raise NotImplementedError


def load_net(
    checkpoint: Checkpoint, settings: Settings, report: Report
) -> transformers.PreTrainedModel:
    """Load the weights onto the device, in eval mode, and check that none was made up.

    Raises ModelError, OutOfMemory.
    """
    raise NotImplementedError


def recipe_for(checkpoint: Checkpoint, settings: Settings) -> Recipe:
    """The recipe of this checkpoint's family. Raises ModelError."""
    if checkpoint.family == "chatglm":
        from glmcli.engines import chatglm  # its recipe(checkpoint) -> Recipe

        recipe: Recipe = chatglm.recipe(checkpoint)
        return recipe
    raise NotImplementedError
