"""What a model in this process needs of the settings, cut out of them once: `model_options`.

Knows nothing of models, nor of where settings come from.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

IN_FULL, FEW = "none", ("int8", "int4")
BITS = (IN_FULL, *FEW)
"""In how many bits a model may be loaded, the most exact first: values of `quantize`."""
AUTO = "auto"
"""The value that leaves it to the memory that is free."""


@dataclass(frozen=True, slots=True)
class Cache:
    """The folder of pulled and converted models, and of findings about them."""

    folder: Path
    may_write: bool = True
    """Whether findings may be kept. A model that the user asks for is kept in any case."""

    @property
    def models(self) -> Path:
        """The models, a folder for each."""
        return self.folder / "models"

    def proof(self, name: str) -> Path:
        """The file of a finding."""
        return self.folder / "proofs" / f"{name}.json"

    def quantized(self, name: str) -> Path:
        """The folder of a model in fewer bits."""
        return self.folder / "quantized" / name


@dataclass(frozen=True, slots=True)
class ModelOptions:
    """How a model in this process is found, loaded and run; the fields are those of Settings."""

    cache: Cache = Cache(Path())
    adapter: str = ""
    """The folder of an adapter for the model; "" for the one beside its weights, if any."""
    template: str = ""
    """Which of several chat templates; "" leaves it to the model."""
    device: str = "auto"
    dtype: str = "auto"
    quantize: str = "none"
    attn: str = "auto"
    fused: bool = True
    verify: bool = False
    speculate: bool | None = None
    threads: int | None = None
    window: int | None = None
    offline: bool = False
    trust_remote_code: bool = False
    untyped_model: str = ""
    """The model if it was not typed, but set or taken from a conversation; else ""."""
    is_resumed: bool = False
    """Whether it was taken from a conversation, which may have begun in another folder."""
