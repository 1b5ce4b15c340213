"""What is said of a model that is not loaded: a line of the list, and all that its files tell.

Knows nothing of where the files are, or of their forms.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Model:
    """One line of the list."""

    name: str
    """What `--model` takes."""
    path: str
    """"" if it was not fetched yet."""
    family: str
    """`model_type` of its config."""
    size_bytes: int | None
    """All its files on disk."""
    window: int | None
    """Prompt and reply together, in tokens."""
    bits: str = ""
    """In what its weights are stored: "bfloat16", "Q4_K_M"."""
    source: str = ""
    """Who has put it here: "hub", "Ollama"; "" for this program, or the user."""


@dataclass(frozen=True, slots=True)
class Details:
    """What is known of a model without loading it."""

    model: Model
    layers: int | None
    parameters: int | None
    cache_bytes: int | None
    """The KV cache of a full window, in 16 bits."""
    memory_bytes: Mapping[str, int] = field(default_factory=dict)
    """Weights and a full cache together: of "fp16", "int8", "int4"."""
    remote_code: bool = False
    """Whether Python that comes with it would have to run."""
    missing: tuple[str, ...] = ()
    """Files that should be there and are not."""
    problem: str = ""
    """Why it cannot be loaded, if that can be seen."""
    free_bytes: int | None = None
    """Memory that is free now where its weights would go; None if that is not known."""
    fits: tuple[str, ...] = ()
    """In what its weights fit there with room to work in, the most exact first."""
    auto: str = ""
    """What `--quantize auto` takes now; "" for models that do not follow it."""
