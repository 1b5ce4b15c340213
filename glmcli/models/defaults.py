"""What a checkpoint says about sampling and endings, read from its JSON files.

The names are those of transformers' GenerationConfig. Knows nothing of nets.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from glmcli.models.checkpoint import Checkpoint
from glmcli.models.files.small import read_json

CHATGLM: Mapping[str, Any] = {"do_sample": True, "top_p": 0.8, "temperature": 0.8}
"""The defaults of the original `chat`, for checkpoints without a generation_config.json."""


@dataclass(frozen=True, slots=True)
class Defaults:
    """How a model wants to be sampled; None where it does not say."""

    do_sample: bool | None = None
    temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None
    min_p: float | None = None
    repetition_penalty: float | None = None


def read_defaults(checkpoint: Checkpoint) -> tuple[Defaults, frozenset[int]]:
    """The defaults of a checkpoint, and the ids that end a reply. Raises ModelError."""
    path = checkpoint.folder / "generation_config.json"
    stated: Mapping[str, Any]
    if path.exists():
        stated = read_json(path)
    elif checkpoint.family == "chatglm":
        stated = {**CHATGLM, "eos_token_id": chatglm_stop_ids(checkpoint)}
    else:
        stated = checkpoint.config
    known: dict[str, Any] = {item.name: stated.get(item.name) for item in fields(Defaults)}
    found: set[int] = set()
    for ids in (stated.get("eos_token_id"), checkpoint.config.get("eos_token_id")):
        found.update([ids] if isinstance(ids, int) else ids or [])
    return Defaults(**known), frozenset(found)


def chatglm_stop_ids(checkpoint: Checkpoint) -> list[int]:
    """The ids that end a reply by the config alone; the template brings those of its roles."""
    stated = checkpoint.config.get("eos_token_id", 2)
    return stated if isinstance(stated, list) else [stated]
