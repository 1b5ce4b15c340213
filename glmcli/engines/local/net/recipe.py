"""How a checkpoint becomes a net: the arguments for transformers, and a last step.

Knows nothing of families.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import transformers


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a checkpoint becomes a net: the arguments of `from_pretrained`, and a last step."""

    config: transformers.PreTrainedConfig
    net_class: Any
    """A class with `from_pretrained`."""
    empty: Any = None
    """The net without weights, within limits; None where code that was trusted makes it."""
    settle: Callable[[transformers.PreTrainedModel], None] = lambda net: None
    """Called once with the loaded net."""
