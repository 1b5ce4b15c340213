"""What a checkpoint says about sampling and what ends a reply, read from its JSON files.

The names are those of transformers' GenerationConfig. A template adds the ids that end a turn: the
engine joins both. Knows nothing of nets.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
    stated = stated_defaults(checkpoint)
    known: dict[str, Any] = {item.name: stated.get(item.name) for item in fields(Defaults)}
    ends = ending_ids(stated.get("eos_token_id"), checkpoint.config.get("eos_token_id"))
    return Defaults(**known), ends


def stated_defaults(checkpoint: Checkpoint) -> Mapping[str, Any]:
    """The fields of generation_config.json, or what stands for them. Raises ModelError."""
    path = checkpoint.folder / "generation_config.json"
    if path.exists():
        return read_json(path)
    if checkpoint.family == "chatglm":
        # The ids of its roles end a reply too; the template brings them.
        ends = ending_ids(checkpoint.config.get("eos_token_id", 2))
        return {**CHATGLM, "eos_token_id": sorted(ends)}
    return checkpoint.config


def ending_ids(*stated: int | Sequence[int] | None) -> frozenset[int]:
    """The ids that end a reply, as the fields `eos_token_id` of one or more configs state them."""
    found: set[int] = set()
    for ids in stated:
        found.update([ids] if isinstance(ids, int) else ids or [])
    return frozenset(found)
